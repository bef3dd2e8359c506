//! The drain: the time for calls in flight after a stop, and its result.

use std::time::Duration;

/// How long calls in flight may take to finish after the shutdown began.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How the drain of a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drained {
    /// Every call in flight was answered.
    Fully,
    /// Some calls were dropped after [`DRAIN`].
    CutShort,
}
