//! [`Rules`]: the settings that decide answers. They change only by a command, so that a replay of
//! the entries gives the same answers.

use std::fmt;

use super::ids::{Span, Timestamp};

/// The settings that decide answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long an order may await payment before it expires. Zero: without limit.
    pub payment_timeout: Span,
    /// How long an idempotency key is remembered after its order was created. Zero: not at all.
    pub idempotency_window: Span,
}

impl Default for Rules {
    /// Ten minutes to pay; keys are remembered for a day.
    fn default() -> Self {
        Self { payment_timeout: Span::from_secs(600), idempotency_window: Span::from_secs(86_400) }
    }
}

impl Rules {
    /// The deadline of an order that was created at this time. These rules apply since `since`.
    /// `None` for no deadline, and if that time cannot be represented.
    ///
    /// An order that was created before the rules changed does not expire before the change, so
    /// the deadlines of orders are in the order of their ids.
    pub(super) fn deadline(&self, created: Timestamp, since: Timestamp) -> Option<Timestamp> {
        if self.payment_timeout == Span::default() {
            return None;
        }
        created.checked_add(self.payment_timeout).map(|deadline| deadline.max(since))
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payment_timeout, idempotency_window } = self;
        write!(
            f,
            "payment_timeout={}ns idempotency_window={}ns",
            payment_timeout.as_nanos(),
            idempotency_window.as_nanos()
        )
    }
}
