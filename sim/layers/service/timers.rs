//! The timers of the service under test. Their time is the virtual time of the run: it changes only
//! when the run advances it.

use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A tokio runtime that runs no tasks, only timers.
#[derive(Debug)]
pub(crate) struct Timers {
    runtime: Runtime,
    /// The virtual time that the timers have reached.
    now: u64,
}

impl Timers {
    /// Timers that start at this virtual time.
    #[must_use]
    pub(crate) fn start(now: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        Self { runtime: runtime.expect("a runtime without IO needs nothing"), now }
    }

    /// While the guard exists, new timers belong to this runtime.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Advances to this virtual time.
    pub(crate) fn advance_to(&mut self, now: u64) {
        let span = now.checked_sub(self.now).expect("the time of a run never goes back");
        self.now = now;
        self.advance(span);
    }

    /// Advances by `span` nanoseconds.
    pub(crate) fn advance(&self, span: u64) {
        self.runtime.block_on(tokio::time::advance(Duration::from_nanos(span)));
    }
}
