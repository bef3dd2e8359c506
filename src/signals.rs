//! The signals with which a user controls the process.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT, QUIT | stop: calls in flight finish. A second one ends the process at once |
//! | HUP | reload what can change without a restart |
//! | USR1, USR2 | none |

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stop. This is the number of the signal.
    Stop(i32),
    /// Reload what can change.
    Reload,
}

/// Receives all signals that would otherwise end the process and can be handled.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    _ignored: [Signal; 2],
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The handlers could not be installed. The text says so.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Result<Self, String> {
        let new = || -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                hang_up: signal(SignalKind::hangup())?,
                _ignored: [
                    signal(SignalKind::user_defined1())?,
                    signal(SignalKind::user_defined2())?,
                ],
            })
        };
        new().map_err(|error| format!("cannot listen for signals: {error}"))
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Request {
        let kind = tokio::select! {
            biased;
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.quit.recv() => SignalKind::quit(),
            _ = self.hang_up.recv() => return Request::Reload,
        };
        Request::Stop(kind.as_raw_value())
    }

    /// Waits for the next signal to stop, and returns its number. Calls `reload` at each other one.
    pub async fn stop(&mut self, mut reload: impl FnMut()) -> i32 {
        loop {
            match self.next().await {
                Request::Stop(number) => return number,
                Request::Reload => reload(),
            }
        }
    }
}
