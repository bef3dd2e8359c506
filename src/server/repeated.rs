//! Warnings that clients can cause.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// A warning that clients can cause as often as they like: one a second is logged.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    next: Option<Instant>,
    suppressed: u64,
}

impl Repeated {
    /// Whether to log it now, and how many were suppressed before it.
    pub(super) fn admit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.suppressed += 1;
            return None;
        }
        self.next = Some(now + Duration::from_secs(1));
        Some(mem::take(&mut self.suppressed))
    }
}
