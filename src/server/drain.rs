//! The drain: the time for calls in flight after a stop, the signal that starts it, and its result.

use std::time::Duration;

use tokio::sync::watch;

/// How long calls in flight may take to finish after the drain began.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How long a connection without a call in flight may take to end: a request may still arrive, an
/// answer may still be sent, and a client answers GOAWAY.
pub const LINGER: Duration = Duration::from_secs(1);

/// How the drain of a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drained {
    /// Every call in flight was answered.
    Fully,
    /// Some calls were dropped after [`DRAIN`].
    CutShort,
}

/// Starts the drain when it is dropped. So the drain begins for every reason to stop: a shutdown,
/// a worker that failed, or a caller that drops the server.
#[derive(Debug, Default)]
pub struct Stop(watch::Sender<()>);

impl Stop {
    pub(super) fn stopped(&self) -> Stopped {
        Stopped(self.0.subscribe())
    }
}

/// Whether the drain has begun. Workers and health share this signal, so they always agree.
#[derive(Clone, Debug)]
pub(super) struct Stopped(watch::Receiver<()>);

impl Stopped {
    /// Waits until the drain begins.
    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: the wait ends with an error when the sender is dropped.
        let _ = self.0.changed().await;
    }

    /// Whether the drain has begun.
    pub(super) fn now(&self) -> bool {
        self.0.has_changed().is_err()
    }
}
