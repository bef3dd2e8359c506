//! A whole run: starts the threads, shows progress on stderr, handles signals and adds up results.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use loms::client::Credentials;
use loms::signals::{Request, Signals};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant, interval};

use super::call_stats::{CallStats, ErrorSamples};
use super::check::{OrderCheck, read_back};
use super::connection::{Connection, Destination};
use super::loops::{LoopMode, ThreadConfig, share};
use super::mix::Mix;
use super::order_log::OrderGenerator;
use super::report::{LoadReport, several};
use super::schedule::Timer;

/// What to do about an unreachable server.
const ADDRESS_ADVICE: &str = "; start a server there with `loms`, or set --address or LOMS_ADDRESS";

/// How often the progress bar is updated.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The checked configuration of a run.
#[derive(Clone, Debug)]
pub(crate) struct LoadConfig {
    pub(crate) address: String,
    pub(crate) credentials: Credentials,
    pub(crate) mode: LoopMode,
    pub(crate) connections: u32,
    /// At most the number of connections.
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) timeout: Duration,
    pub(crate) mix: Mix,
    /// Whether to read the orders back at the end.
    pub(crate) check: bool,
    pub(crate) generator: Arc<OrderGenerator>,
}

/// What a thread reports.
enum ThreadMessage {
    Connected,
    Unreachable(String),
    /// Its calls are over. It will read back this many orders.
    CallsDone(u64),
    Done(Box<ThreadResult>),
}

struct ThreadResult {
    stats: CallStats,
    refused: ErrorSamples,
    unanswered_creates: u64,
    measured: Duration,
    /// `None` with `--no-check`.
    check: Option<OrderCheck>,
}

/// A thread that makes calls.
struct LoadThread {
    config: ThreadConfig,
    check: bool,
    to: Destination,
    connections: u32,
    start: watch::Receiver<Option<Instant>>,
    stop: watch::Receiver<bool>,
    messages: mpsc::UnboundedSender<ThreadMessage>,
    read: Arc<AtomicU64>,
}

/// Runs the load.
///
/// # Errors
/// The server is unreachable, or the system has no resources for threads or timers.
pub(crate) fn run(config: &LoadConfig) -> Result<LoadReport, String> {
    let to = Destination::new(&config.address, &config.credentials)?;
    let (messages, received) = mpsc::unbounded_channel();
    let (start, start_received) = watch::channel(None);
    let (stop, stop_received) = watch::channel(false);
    let read = Arc::new(AtomicU64::new(0));
    let calls: Vec<Arc<AtomicU64>> = (0..config.threads).map(|_| Arc::default()).collect();
    for (thread, calls) in (0..config.threads).zip(&calls) {
        let load_thread = LoadThread {
            config: config.of_thread(thread, Arc::clone(calls)),
            check: config.check,
            to: to.clone(),
            connections: share(config.connections, thread, config.threads),
            start: start_received.clone(),
            stop: stop_received.clone(),
            messages: messages.clone(),
            read: Arc::clone(&read),
        };
        thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || load_thread.run())
            .map_err(|error| format!("cannot start a thread: {error}"))?;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the tokio runtime: {error}"))?;
    runtime.block_on(async {
        let coordinator = Coordinator { config, calls: &calls, read: &read, start, stop };
        coordinator.run(received).await
    })
}

impl LoadConfig {
    fn of_thread(&self, thread: u32, calls: Arc<AtomicU64>) -> ThreadConfig {
        ThreadConfig {
            mode: self.mode,
            thread,
            threads: self.threads,
            warm_up: self.warm_up,
            duration: self.duration,
            timeout: self.timeout,
            mix: self.mix.clone(),
            generator: Arc::clone(&self.generator),
            calls,
        }
    }
}

impl LoadThread {
    /// The main function of the thread.
    fn run(self) {
        let mut runtime = Builder::new_current_thread();
        // If the receiver is gone, the run has failed already.
        let _ = match runtime.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(self.call()),
            Err(error) => {
                let problem = format!("cannot start the tokio runtime: {error}");
                self.messages.send(ThreadMessage::Unreachable(problem)).map_err(drop)
            }
        };
    }

    async fn call(mut self) -> Result<(), ()> {
        let connections = match self.connect().await {
            Ok(connections) => connections,
            Err(problem) => {
                return self.messages.send(ThreadMessage::Unreachable(problem)).map_err(drop);
            }
        };
        self.messages.send(ThreadMessage::Connected).map_err(drop)?;
        let start = self.start.wait_for(Option::is_some).await.map_err(drop)?;
        let start = start.ok_or(())?;
        let outcome = self.config.run(&connections, start, self.stop.clone(), Timer::new()).await;
        let orders = outcome.workers.iter().map(|worker| worker.order_log.borrow().len());
        let orders = u64::try_from(orders.sum::<usize>()).expect("a count of orders");
        self.messages.send(ThreadMessage::CallsDone(orders)).map_err(drop)?;
        let check = if self.check {
            let (workers, timeout) = (&outcome.workers, self.config.timeout);
            Some(read_back(workers, connections.len(), timeout, self.read.clone()).await)
        } else {
            None
        };
        let done = ThreadResult {
            stats: outcome.stats,
            refused: outcome.refused,
            unanswered_creates: outcome.unanswered_creates,
            measured: outcome.measured,
            check,
        };
        self.messages.send(ThreadMessage::Done(Box::new(done))).map_err(drop)
    }

    async fn connect(&self) -> Result<Vec<Rc<Connection>>, String> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            match time::timeout(self.config.timeout, Connection::connect(self.to.clone())).await {
                Ok(Ok(connection)) => connections.push(connection),
                Ok(Err(error)) => return Err(format!("{error}{ADDRESS_ADVICE}")),
                Err(_elapsed) => {
                    return Err(format!("no answer within {:?}", self.config.timeout));
                }
            }
        }
        Ok(connections)
    }
}

/// The main thread. It makes no calls.
struct Coordinator<'a> {
    config: &'a LoadConfig,
    calls: &'a [Arc<AtomicU64>],
    read: &'a AtomicU64,
    start: watch::Sender<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl Coordinator<'_> {
    async fn run(
        self,
        mut messages: mpsc::UnboundedReceiver<ThreadMessage>,
    ) -> Result<LoadReport, String> {
        let mut signals = Signals::new()?;
        let mut ticks = interval(PROGRESS_INTERVAL);
        let mut report = self.report();
        let (mut connected, mut calls_done, mut done) = (0, 0, 0);
        let mut progress = Progress::new(self.config);
        while done < self.config.threads {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(ThreadMessage::Connected) => {
                        connected += 1;
                        if connected == self.config.threads {
                            progress.start = Some(Instant::now());
                            self.start.send_replace(progress.start);
                        }
                    }
                    Some(ThreadMessage::Unreachable(problem)) => {
                        return Err(format!("{}: {problem}", self.config.address));
                    }
                    Some(ThreadMessage::CallsDone(orders)) => {
                        calls_done += 1;
                        progress.orders += orders;
                        if calls_done == self.config.threads {
                            progress.start_reading();
                        }
                    }
                    Some(ThreadMessage::Done(result)) => {
                        done += 1;
                        add(&mut report, *result);
                    }
                    None => return Err("a thread ended early".to_owned()),
                },
                request = signals.next() => {
                    // There is nothing to reload, so a hang-up stops, too.
                    let code = match request {
                        Request::Stop(number) => number,
                        Request::Reload => 1,
                    };
                    if progress.start.is_none() || *self.stop.borrow() {
                        std::process::exit(128 + code);
                    }
                    self.stop.send_replace(true);
                }
                _ = ticks.tick() => {
                    let calls = self.calls.iter().map(|calls| calls.load(Ordering::Relaxed));
                    progress.show(calls.sum(), self.read.load(Ordering::Relaxed));
                }
            }
        }
        progress.bar.finish_and_clear();
        report.stopped = *self.stop.borrow();
        if let Some(check) = &mut report.check {
            check.compare_ids();
        }
        Ok(report)
    }

    fn report(&self) -> LoadReport {
        LoadReport {
            address: self.config.address.clone(),
            mode: self.config.mode,
            connections: self.config.connections,
            threads: self.config.threads,
            measured: Duration::ZERO,
            stopped: false,
            stats: CallStats::new(),
            refused: ErrorSamples::default(),
            unanswered_creates: 0,
            check: self.config.check.then(OrderCheck::default),
        }
    }
}

fn add(report: &mut LoadReport, result: ThreadResult) {
    report.stats.add(&result.stats);
    report.refused.add(result.refused);
    report.unanswered_creates += result.unanswered_creates;
    report.measured = report.measured.max(result.measured);
    if let (Some(total), Some(check)) = (&mut report.check, result.check) {
        total.add(check);
    }
}

/// A progress bar on stderr, if stderr is a terminal.
struct Progress {
    bar: ProgressBar,
    start: Option<Instant>,
    /// Warm-up and measured time.
    total: Duration,
    /// The number of orders to read back.
    orders: u64,
    reading: bool,
}

impl Progress {
    fn new(config: &LoadConfig) -> Self {
        let total = config.warm_up + config.duration;
        let bar = ProgressBar::new(millis(total));
        Self { bar: bar.with_style(style()), start: None, total, orders: 0, reading: false }
    }

    fn start_reading(&mut self) {
        self.reading = true;
        self.bar.set_length(self.orders);
    }

    fn show(&self, calls: u64, read: u64) {
        let Some(start) = self.start else { return };
        if self.reading {
            self.bar.set_position(read);
            self.bar.set_message(format!("{} read back", several(read, "order")));
        } else {
            let elapsed = start.elapsed().min(self.total);
            self.bar.set_position(millis(elapsed));
            let left = (self.total - elapsed).as_secs();
            self.bar.set_message(format!("{}, {left} s left", several(calls, "call")));
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {msg}").expect("the template is valid")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
