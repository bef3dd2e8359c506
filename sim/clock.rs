//! The wall clock, for `--time` and for what stderr tells of speed. No run ever sees it.

use std::time::{Duration, Instant};

/// A moment at which something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the simulator's one clock, outside all runs")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    #[must_use]
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
