//! A whole run: its threads, its progress on stderr, the signals that end it early.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use http::uri::Authority;
use indicatif::{ProgressBar, ProgressStyle};
use loms::signals::Signals;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant, interval};

use super::call_stats::{CallStats, ErrorSamples};
use super::check::{OrderCheck, read_back};
use super::connection::{Connection, authority};
use super::loops::{LoopMode, ThreadConfig};
use super::mix::Mix;
use super::order_log::OrderGenerator;
use super::report::{LoadReport, grouped};
use super::schedule::Timer;

/// What to do about a server that cannot be reached.
const ADDRESS_ADVICE: &str = "; start a server there with `loms`, or set --address or LOMS_ADDRESS";

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// What to do; all of it checked.
#[derive(Clone, Debug)]
pub(crate) struct LoadConfig {
    pub(crate) address: String,
    pub(crate) mode: LoopMode,
    pub(crate) connections: u32,
    /// At most as many as connections.
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) timeout: Duration,
    pub(crate) mix: Mix,
    /// Whether the orders are read back at the end.
    pub(crate) check: bool,
    pub(crate) generator: Arc<OrderGenerator>,
}

/// What a thread tells.
enum ThreadMessage {
    Connected,
    Unreachable(String),
    /// Its calls are over, so many orders are to be read back.
    Called(u64),
    ThreadResult(Box<ThreadResult>),
}

struct ThreadResult {
    stats: CallStats,
    refused: ErrorSamples,
    unanswered_creates: u64,
    measured: Duration,
    /// `None` where there is to be none.
    check: Option<OrderCheck>,
}

/// What a thread is given.
struct LoadThread {
    part: ThreadConfig,
    check: bool,
    to: Authority,
    connections: u32,
    start: watch::Receiver<Option<Instant>>,
    stop: watch::Receiver<bool>,
    events: mpsc::UnboundedSender<ThreadMessage>,
    read: Arc<AtomicU64>,
}

/// Runs it. Fails where the server cannot be reached.
pub(crate) fn run(config: &LoadConfig) -> Result<LoadReport, String> {
    let to = authority(&config.address)?;
    let (events, told) = mpsc::unbounded_channel();
    let (start, start_told) = watch::channel(None);
    let (stop, stop_told) = watch::channel(false);
    let read = Arc::new(AtomicU64::new(0));
    let calls: Vec<Arc<AtomicU64>> = (0..config.threads).map(|_| Arc::default()).collect();
    for (thread, calls) in (0..config.threads).zip(&calls) {
        let job = LoadThread {
            part: config.part(thread, Arc::clone(calls)),
            check: config.check,
            to: to.clone(),
            connections: share(config.connections, thread, config.threads),
            start: start_told.clone(),
            stop: stop_told.clone(),
            events: events.clone(),
            read: Arc::clone(&read),
        };
        thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || job.run())
            .map_err(|error| format!("the system gives no thread: {error}"))?;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no event queue: {error}"))?;
    runtime.block_on(async {
        let watcher = Coordinator { config, calls: &calls, read: &read, start, stop };
        watcher.watch(told).await
    })
}

/// The part of a whole that a thread has; the first have one more where it is not even.
pub(crate) fn share(whole: u32, thread: u32, threads: u32) -> u32 {
    whole / threads + u32::from(thread < whole % threads)
}

impl LoadConfig {
    fn part(&self, thread: u32, calls: Arc<AtomicU64>) -> ThreadConfig {
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
    /// A thread's whole life.
    fn run(self) {
        let mut runtime = Builder::new_current_thread();
        // That nobody listens any more means that the run has failed already.
        let _ = match runtime.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(self.call()),
            Err(error) => {
                let problem = format!("the system gives no event queue: {error}");
                self.events.send(ThreadMessage::Unreachable(problem)).map_err(drop)
            }
        };
    }

    async fn call(mut self) -> Result<(), ()> {
        let connections = match self.connect().await {
            Ok(connections) => connections,
            Err(problem) => {
                return self.events.send(ThreadMessage::Unreachable(problem)).map_err(drop);
            }
        };
        self.events.send(ThreadMessage::Connected).map_err(drop)?;
        let start = self.start.wait_for(Option::is_some).await.map_err(drop)?;
        let start = start.ok_or(())?;
        let outcome = self.part.run(&connections, start, self.stop.clone(), Timer::new()).await;
        let orders = outcome.workers.iter().map(|worker| worker.order_log.borrow().len());
        let orders = u64::try_from(orders.sum::<usize>()).expect("a count of orders");
        self.events.send(ThreadMessage::Called(orders)).map_err(drop)?;
        let check = if self.check {
            let (workers, timeout) = (&outcome.workers, self.part.timeout);
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
        self.events.send(ThreadMessage::ThreadResult(Box::new(done))).map_err(drop)
    }

    async fn connect(&self) -> Result<Vec<Rc<Connection>>, String> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            match time::timeout(self.part.timeout, Connection::connect(self.to.clone())).await {
                Ok(Ok(connection)) => connections.push(connection),
                Ok(Err(error)) => return Err(format!("{error}{ADDRESS_ADVICE}")),
                Err(_elapsed) => {
                    return Err(format!("no answer in {:?}", self.part.timeout));
                }
            }
        }
        Ok(connections)
    }
}

/// The thread that does not call.
struct Coordinator<'a> {
    config: &'a LoadConfig,
    calls: &'a [Arc<AtomicU64>],
    read: &'a AtomicU64,
    start: watch::Sender<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl Coordinator<'_> {
    async fn watch(
        self,
        mut events: mpsc::UnboundedReceiver<ThreadMessage>,
    ) -> Result<LoadReport, String> {
        let mut signals = Signals::new()?;
        let mut ticks = interval(TICK);
        let mut report = self.report();
        let (mut connected, mut called, mut done) = (0, 0, 0);
        let mut progress = Progress::new(self.config);
        while done < self.config.threads {
            tokio::select! {
                event = events.recv() => match event {
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
                    Some(ThreadMessage::Called(orders)) => {
                        called += 1;
                        progress.orders += orders;
                        if called == self.config.threads {
                            progress.reading();
                        }
                    }
                    Some(ThreadMessage::ThreadResult(part)) => {
                        done += 1;
                        add(&mut report, *part);
                    }
                    None => return Err("a thread ended early".to_owned()),
                },
                code = signals.next() => {
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

fn add(report: &mut LoadReport, part: ThreadResult) {
    report.stats.add(&part.stats);
    report.refused.add(part.refused);
    report.unanswered_creates += part.unanswered_creates;
    report.measured = report.measured.max(part.measured);
    if let (Some(whole), Some(part)) = (&mut report.check, part.check) {
        whole.add(part);
    }
}

/// A bar on stderr, where that is a terminal.
struct Progress {
    bar: ProgressBar,
    start: Option<Instant>,
    whole: Duration,
    /// To be read back.
    orders: u64,
    reading: bool,
}

impl Progress {
    fn new(config: &LoadConfig) -> Self {
        let whole = config.warm_up + config.duration;
        let bar = ProgressBar::new(millis(whole));
        Self { bar: bar.with_style(style()), start: None, whole, orders: 0, reading: false }
    }

    fn reading(&mut self) {
        self.reading = true;
        self.bar.set_length(self.orders);
    }

    fn show(&self, calls: u64, read: u64) {
        let Some(start) = self.start else { return };
        if self.reading {
            self.bar.set_position(read);
            self.bar.set_message(format!("{} orders read back", grouped(read)));
        } else {
            let elapsed = start.elapsed().min(self.whole);
            self.bar.set_position(millis(elapsed));
            let left = (self.whole - elapsed).as_secs();
            self.bar.set_message(format!("{} calls, {left} s left", grouped(calls)));
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {msg}").expect("a template that is well formed")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
