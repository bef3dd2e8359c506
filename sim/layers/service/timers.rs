//! The timers of the service under test. Their time is that of the run: it stands still until the
//! run advances it.

use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A tokio runtime that runs no tasks, only timers.
#[derive(Debug)]
pub(crate) struct Timers {
    runtime: Runtime,
    /// The time of the run that they have reached.
    now: u64,
}

impl Timers {
    /// Timers at this time of the run.
    #[must_use]
    pub(crate) fn start(now: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        Self { runtime: runtime.expect("a runtime without IO needs nothing"), now }
    }

    /// While the guard is alive, new timers are these.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Advances to this time of the run.
    pub(crate) fn advance_to(&mut self, now: u64) {
        let span = now.checked_sub(self.now).expect("the time of a run never goes back");
        self.now = now;
        self.advance(span);
    }

    /// Advances by so many nanoseconds.
    pub(crate) fn advance(&self, span: u64) {
        self.runtime.block_on(tokio::time::advance(Duration::from_nanos(span)));
    }
}
