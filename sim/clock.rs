//! The wall clock, for `--time` and for the speed on stderr. No run reads it.

use std::time::{Duration, Instant};

/// Measures elapsed time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the simulator's one clock, outside all runs")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
