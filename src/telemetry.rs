//! The log: lines on stderr, written by a thread of their own.
//!
//! A reader of stderr that does not read must not stop the service. So lines wait in a bounded
//! queue, and are dropped and counted while it is full.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::Duration;

use tracing::{info, warn};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{Log, LogFormat};

/// How many lines wait for the reader of stderr.
const QUEUE: usize = 8_192;

/// How often dropped lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The log of this process.
pub struct Telemetry {
    level: reload::Handle<Targets, Registry>,
    dropped: ErrorCounter,
    /// The thread that writes. `None` once the log has ended.
    writer: Mutex<Option<WorkerGuard>>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the log. `log.level` sets the level for each module.
    ///
    /// # Panics
    /// This process has a log already.
    #[must_use]
    pub fn start(log: &Log) -> Self {
        let (queue, writer) =
            NonBlockingBuilder::default().buffered_lines_limit(QUEUE).finish(io::stderr());
        let dropped = queue.error_counter();
        let (filter, level) = reload::Layer::new(log.level.clone());
        let lines = tracing_subscriber::fmt::layer().with_writer(queue);
        let lines = match log.format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(lines.with_filter(filter)).init();
        Self { level, dropped, writer: Mutex::new(Some(writer)) }
    }

    /// Changes the level.
    pub fn set_level(&self, level: &Targets) {
        // This fails only if there is no log, and then no line says so either.
        if self.level.reload(level.clone()).is_ok() {
            info!(%level, "log level reloaded");
        }
    }

    /// Reports how many lines were dropped, soon after they were.
    pub async fn report_dropped(&self) -> Infallible {
        let mut reported = 0;
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            let dropped = self.dropped.dropped_lines();
            if dropped != reported {
                // If this line is dropped as well, the number changes and it is written again.
                warn!(dropped, "log lines were dropped: stderr is read too slowly");
                reported = dropped;
            }
        }
    }

    /// Ends the log: writes the lines that wait, for a second at most. Later lines are lost.
    pub fn end(&self) {
        // No holder of the lock panics.
        if let Ok(mut writer) = self.writer.lock() {
            drop(writer.take());
        }
    }
}
