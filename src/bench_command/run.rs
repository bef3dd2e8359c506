//! A whole run: its threads, its progress on stderr, the signals that end it early.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use http::uri::Authority;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, timeout};

use super::check::{Check, read_back};
use super::ledger::Assortment;
use super::link::{Link, authority};
use super::load::{Loop, Part};
use super::mix::Mix;
use super::report::{Report, grouped};
use super::schedule::Alarm;
use super::tally::{Complaints, Tally};
use crate::client_commands::WHERE_IT_IS;
use crate::signals::Signals;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// What to do; all of it checked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pub(crate) pace: Loop,
    pub(crate) connections: u32,
    /// At most as many as connections.
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) grace: Duration,
    pub(crate) mix: Mix,
    /// Whether the orders are read back at the end.
    pub(crate) check: bool,
    pub(crate) assortment: Arc<Assortment>,
}

/// What a thread tells.
enum Event {
    Connected,
    Unreachable(String),
    /// Its calls are over, so many orders are to be read back.
    Called(u64),
    Done(Box<Done>),
}

struct Done {
    tally: Tally,
    refused: Complaints,
    unanswered_creates: u64,
    measured: Duration,
    /// `None` where there is to be none.
    check: Option<Check>,
}

/// What a thread is given.
struct Job {
    part: Part,
    check: bool,
    to: Authority,
    connections: u32,
    start: watch::Receiver<Option<Instant>>,
    stop: watch::Receiver<bool>,
    events: mpsc::UnboundedSender<Event>,
    read: Arc<AtomicU64>,
}

/// Runs it. Fails where the server cannot be reached.
pub(crate) fn run(plan: &Plan) -> Result<Report, String> {
    let to = authority(&plan.address)?;
    let (events, told) = mpsc::unbounded_channel();
    let (start, start_told) = watch::channel(None);
    let (stop, stop_told) = watch::channel(false);
    let read = Arc::new(AtomicU64::new(0));
    let calls: Vec<Arc<AtomicU64>> = (0..plan.threads).map(|_| Arc::default()).collect();
    for (thread, calls) in (0..plan.threads).zip(&calls) {
        let job = Job {
            part: plan.part(thread, Arc::clone(calls)),
            check: plan.check,
            to: to.clone(),
            connections: share(plan.connections, thread, plan.threads),
            start: start_told.clone(),
            stop: stop_told.clone(),
            events: events.clone(),
            read: Arc::clone(&read),
        };
        thread::Builder::new()
            .name(format!("bench-{thread}"))
            .spawn(move || job.run())
            .map_err(|error| format!("the system gives no thread: {error}"))?;
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no event queue: {error}"))?;
    runtime.block_on(async {
        let watcher = Watcher { plan, calls: &calls, read: &read, start, stop };
        watcher.watch(told).await
    })
}

/// The part of a whole that a thread has; the first have one more where it is not even.
pub(crate) fn share(whole: u32, thread: u32, threads: u32) -> u32 {
    whole / threads + u32::from(thread < whole % threads)
}

impl Plan {
    fn part(&self, thread: u32, calls: Arc<AtomicU64>) -> Part {
        Part {
            pace: self.pace,
            thread,
            threads: self.threads,
            warm_up: self.warm_up,
            duration: self.duration,
            grace: self.grace,
            mix: self.mix.clone(),
            assortment: Arc::clone(&self.assortment),
            calls,
        }
    }
}

impl Job {
    /// A thread's whole life.
    fn run(self) {
        let mut runtime = Builder::new_current_thread();
        // That nobody listens any more means that the run has failed already.
        let _ = match runtime.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(self.call()),
            Err(error) => {
                let problem = format!("the system gives no event queue: {error}");
                self.events.send(Event::Unreachable(problem)).map_err(drop)
            }
        };
    }

    async fn call(mut self) -> Result<(), ()> {
        let links = match self.connect().await {
            Ok(links) => links,
            Err(problem) => {
                return self.events.send(Event::Unreachable(problem)).map_err(drop);
            }
        };
        self.events.send(Event::Connected).map_err(drop)?;
        let start = self.start.wait_for(Option::is_some).await.map_err(drop)?;
        let start = start.ok_or(())?;
        let outcome = self.part.run(&links, start, self.stop.clone(), Alarm::new()).await;
        let orders = outcome.shoppers.iter().map(|shopper| shopper.ledger.borrow().len());
        let orders = u64::try_from(orders.sum::<usize>()).expect("a count of orders");
        self.events.send(Event::Called(orders)).map_err(drop)?;
        let check = if self.check {
            let (shoppers, grace) = (&outcome.shoppers, self.part.grace);
            Some(read_back(shoppers, links.len(), grace, self.read.clone()).await)
        } else {
            None
        };
        let done = Done {
            tally: outcome.tally,
            refused: outcome.refused,
            unanswered_creates: outcome.unanswered_creates,
            measured: outcome.measured,
            check,
        };
        self.events.send(Event::Done(Box::new(done))).map_err(drop)
    }

    async fn connect(&self) -> Result<Vec<Rc<Link>>, String> {
        let mut links = Vec::new();
        for _ in 0..self.connections {
            match timeout(self.part.grace, Link::connect(self.to.clone())).await {
                Ok(Ok(link)) => links.push(link),
                Ok(Err(error)) => return Err(format!("{error}{WHERE_IT_IS}")),
                Err(_elapsed) => {
                    return Err(format!("no answer in {:?}", self.part.grace));
                }
            }
        }
        Ok(links)
    }
}

/// The thread that does not call.
struct Watcher<'a> {
    plan: &'a Plan,
    calls: &'a [Arc<AtomicU64>],
    read: &'a AtomicU64,
    start: watch::Sender<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl Watcher<'_> {
    async fn watch(self, mut events: mpsc::UnboundedReceiver<Event>) -> Result<Report, String> {
        let mut signals = Signals::new()?;
        let mut ticks = interval(TICK);
        let mut report = self.report();
        let (mut connected, mut called, mut done) = (0, 0, 0);
        let mut progress = Progress::new(self.plan);
        while done < self.plan.threads {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Connected) => {
                        connected += 1;
                        if connected == self.plan.threads {
                            progress.start = Some(Instant::now());
                            self.start.send_replace(progress.start);
                        }
                    }
                    Some(Event::Unreachable(problem)) => {
                        return Err(format!("{}: {problem}", self.plan.address));
                    }
                    Some(Event::Called(orders)) => {
                        called += 1;
                        progress.orders += orders;
                        if called == self.plan.threads {
                            progress.reading();
                        }
                    }
                    Some(Event::Done(part)) => {
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

    fn report(&self) -> Report {
        Report {
            address: self.plan.address.clone(),
            pace: self.plan.pace,
            connections: self.plan.connections,
            threads: self.plan.threads,
            measured: Duration::ZERO,
            stopped: false,
            tally: Tally::new(),
            refused: Complaints::default(),
            unanswered_creates: 0,
            check: self.plan.check.then(Check::default),
        }
    }
}

fn add(report: &mut Report, part: Done) {
    report.tally.add(&part.tally);
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
    fn new(plan: &Plan) -> Self {
        let whole = plan.warm_up + plan.duration;
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
