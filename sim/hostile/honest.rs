//! The honest client beside an attack: orders are placed, read and paid, at a constant rate.

use std::num::NonZeroU64;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use loms::client::{Credentials, code_name};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use super::judge::Figures;
use super::server::SKUS;
use crate::load::call_stats::CallStats;
use crate::load::check::{OrderCheck, read_back};
use crate::load::connection::{Connection, Destination};
use crate::load::loops::{CallingResult, LoopMode, ThreadConfig};
use crate::load::mix::Mix;
use crate::load::order_log::OrderGenerator;
use crate::load::schedule::Timer;

/// Calls per second.
const RATE: NonZeroU64 = NonZeroU64::new(200).expect("not 0");

const CONNECTIONS: usize = 2;

/// The time that a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An attack begins after this many calls.
const CALLS_BEFORE: u64 = 30;

/// A thread that makes the calls.
#[derive(Debug)]
pub(crate) struct HonestClient {
    calls: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(CallStats, OrderCheck), String>>,
}

impl HonestClient {
    /// Starts to call.
    pub(crate) fn start(address: &str) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(false);
        let (config, address) = (config(Arc::clone(&calls)), format!("http://{address}"));
        let thread = thread::spawn(move || {
            let mut runtime = Builder::new_current_thread();
            let runtime = runtime.enable_all().build_local(LocalOptions::default());
            let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
            runtime.block_on(call(&config, &address, stopped))
        });
        Self { calls, stop, thread }
    }

    /// Waits until it has made some calls.
    pub(crate) async fn has_called(&self) -> Result<(), String> {
        let called = async {
            while self.calls.load(Ordering::Relaxed) < CALLS_BEFORE {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let called = timeout(2 * TIMEOUT, called).await;
        called.map_err(|_elapsed| "the honest client gets no answers".to_owned())
    }

    /// Ends the calls and reads all orders back.
    pub(crate) fn end(self, figures: &mut Figures) {
        self.stop.send_replace(true);
        match self.thread.join() {
            Ok(Ok((stats, check))) => add(&stats, &check, figures),
            Ok(Err(problem)) => figures.failures.push(problem),
            Err(_panic) => figures.broken.push("the honest client panicked".to_owned()),
        }
    }
}

fn config(calls: Arc<AtomicU64>) -> ThreadConfig {
    let skus = (1..=SKUS).collect();
    ThreadConfig {
        mode: LoopMode::Open { rate: RATE },
        thread: 0,
        threads: 1,
        warm_up: Duration::ZERO,
        // It is stopped before.
        duration: Duration::from_secs(24 * 60 * 60),
        timeout: TIMEOUT,
        mix: Mix::from_str("life=1").expect("a mix"),
        generator: Arc::new(OrderGenerator { skus, lines: 2, seed: 1, keys: false }),
        calls,
    }
}

async fn call(
    config: &ThreadConfig,
    address: &str,
    stopped: watch::Receiver<bool>,
) -> Result<(CallStats, OrderCheck), String> {
    let to = Destination::new(address, &Credentials::default())?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = Connection::connect(to.clone()).await;
        connections.push(connection.map_err(|error| format!("cannot connect: {error}"))?);
    }
    let result = config.run(&connections, Instant::now(), stopped, Timer::new()).await;
    let CallingResult { stats, workers, .. } = result;
    let mut check = read_back(&workers, CONNECTIONS, TIMEOUT, Arc::default()).await;
    check.compare_ids();
    Ok((stats, check))
}

fn add(stats: &CallStats, check: &OrderCheck, figures: &mut Figures) {
    let all = stats.all();
    let latency = |quantile| Duration::from_nanos(all.latency.value_at_quantile(quantile));
    figures.calls = all.latency.len();
    (figures.p50, figures.p99) = (latency(0.5), latency(0.99));
    for (code, count) in (0..).map(Code::from_i32).zip(all.codes) {
        if code != Code::Ok && count > 0 {
            figures.failures.push(format!("honest calls with {}: {count}", code_name(code)));
        }
    }
    let counts = [
        ("honest calls without an answer", stats.unfinished),
        ("honest orders without stock", stats.failed_orders),
        ("honest orders that are lost", check.missing + check.unread),
        ("honest orders that are wrong", check.wrong.count),
    ];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        figures.failures.push(format!("{what}: {count}"));
    }
}
