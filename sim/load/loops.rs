//! The loop of one thread, closed or open. Threads share only a few counters, which the progress
//! bar reads.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{self, Instant, sleep, sleep_until};
use tonic::Code;

use super::call_stats::{CallStats, ErrorSamples};
use super::client_worker::{ClientWorker, ThreadRecords};
use super::connection::{Connection, RECONNECT_PAUSE};
use super::mix::{Mix, Operation};
use super::order_log::OrderGenerator;
use super::schedule::{Schedule, Timer};

/// The limit of calls in flight in an open loop, for all threads together. A server that is this
/// far behind will not catch up.
const MAX_IN_FLIGHT: usize = 100_000;

/// After this many sends without a pause, the thread processes answers.
const SENDS_PER_TURN: u32 = 32;

/// What decides when the next call is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopMode {
    /// This many calls are always in flight.
    Closed { concurrency: u32 },
    /// Calls are due at fixed times, this many per second.
    Open { rate: NonZeroU64 },
}

/// The part of a run that one thread executes.
#[derive(Clone, Debug)]
pub(crate) struct ThreadConfig {
    pub(crate) mode: LoopMode,
    /// The number of this thread, from 0.
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// The time limit for calls that are in flight at the end.
    pub(crate) timeout: Duration,
    pub(crate) mix: Mix,
    pub(crate) generator: Arc<OrderGenerator>,
    pub(crate) calls: Arc<AtomicU64>,
}

/// The result of the loop of one thread.
#[derive(Debug)]
pub(crate) struct CallingResult {
    pub(crate) stats: CallStats,
    pub(crate) refused: ErrorSamples,
    pub(crate) unanswered_creates: u64,
    /// The measured time.
    pub(crate) measured: Duration,
    pub(crate) workers: Vec<Rc<ClientWorker>>,
}

/// Counts the calls of an open loop, or the workers of a closed loop, that have not finished.
#[derive(Debug, Default)]
struct InFlight {
    count: Cell<usize>,
    finished: Notify,
}

impl InFlight {
    fn start(&self) {
        self.count.set(self.count.get() + 1);
    }

    fn finish(&self) {
        self.count.set(self.count.get() - 1);
        self.finished.notify_one();
    }

    async fn below(&self, count: usize) {
        while self.count.get() >= count {
            self.finished.notified().await;
        }
    }
}

impl ThreadConfig {
    /// Calls from `start` on, until the time is over or `stop` is true.
    pub(crate) async fn run(
        &self,
        connections: &[Rc<Connection>],
        start: Instant,
        stop: watch::Receiver<bool>,
        timer: Timer,
    ) -> CallingResult {
        let records = Rc::new(ThreadRecords {
            stats: RefCell::new(CallStats::new()),
            refused: RefCell::default(),
            unanswered_creates: Cell::new(0),
            measured_from: start + self.warm_up,
            closed: Cell::new(false),
            calls: Arc::clone(&self.calls),
        });
        let workers = self.workers(connections, &records);
        let in_flight = Rc::new(InFlight::default());
        let end = start + self.warm_up + self.duration;
        let ended = match self.mode {
            LoopMode::Closed { .. } => {
                self.closed_loop(&workers, &in_flight, start, end, stop).await
            }
            LoopMode::Open { rate } => {
                let schedule = Schedule {
                    start,
                    rate,
                    thread: self.thread.into(),
                    threads: self.threads.into(),
                };
                self.open_loop(&workers, &in_flight, schedule, end, (stop, timer)).await
            }
        };
        let all_finished = time::timeout(self.timeout, in_flight.below(1)).await;
        records.closed.set(true);
        if all_finished.is_err() {
            let unfinished = u64::try_from(in_flight.count.get()).expect("a count of calls");
            records.stats.borrow_mut().unfinished = unfinished;
        }
        CallingResult {
            stats: records.stats.borrow().clone(),
            refused: records.refused.borrow().clone(),
            unanswered_creates: records.unanswered_creates.get(),
            measured: ended.saturating_duration_since(records.measured_from),
            workers,
        }
    }

    /// A closed loop has one worker per call in flight, an open loop one per connection.
    fn workers(
        &self,
        connections: &[Rc<Connection>],
        records: &Rc<ThreadRecords>,
    ) -> Vec<Rc<ClientWorker>> {
        let count = match self.mode {
            LoopMode::Closed { concurrency } => share(concurrency, self.thread, self.threads),
            LoopMode::Open { .. } => u32::try_from(connections.len()).expect("few connections"),
        };
        let worker = |(number, connection): (u32, &Rc<Connection>)| {
            let user = 1 + self.thread + number * self.threads;
            let generator = Arc::clone(&self.generator);
            Rc::new(ClientWorker::new(user, Rc::clone(connection), generator, Rc::clone(records)))
        };
        (0..count).zip(connections.iter().cycle()).map(worker).collect()
    }

    /// Returns the time of its end.
    async fn closed_loop(
        &self,
        workers: &[Rc<ClientWorker>],
        in_flight: &Rc<InFlight>,
        start: Instant,
        end: Instant,
        stop: watch::Receiver<bool>,
    ) -> Instant {
        sleep_until(start).await;
        let over = Rc::new(Cell::new(false));
        for worker in workers {
            let (worker, in_flight) = (Rc::clone(worker), Rc::clone(in_flight));
            let (over, mix) = (Rc::clone(&over), self.mix.clone());
            in_flight.start();
            spawn_local(async move {
                loop {
                    let operation = worker.choose(&mix);
                    let code = worker.perform(operation, Instant::now()).await;
                    // Each worker makes at least one call, even if a busy machine starts it after
                    // the end of a short run.
                    if over.get() {
                        break;
                    }
                    if code == Code::Unavailable {
                        // Do not call an unreachable server in a busy loop.
                        sleep(RECONNECT_PAUSE).await;
                    }
                }
                in_flight.finish();
            });
        }
        tokio::select! {
            () = sleep_until(end) => {}
            () = stopped(stop) => {}
        }
        over.set(true);
        Instant::now().min(end)
    }

    /// Returns the time of its end.
    async fn open_loop(
        &self,
        workers: &[Rc<ClientWorker>],
        in_flight: &Rc<InFlight>,
        schedule: Schedule,
        end: Instant,
        (stop, mut timer): (watch::Receiver<bool>, Timer),
    ) -> Instant {
        let limit = MAX_IN_FLIGHT.div_ceil(usize::try_from(self.threads).expect("few threads"));
        let number = Cell::new(0);
        let sending = async {
            let mut sends = 0;
            for worker in workers.iter().cycle() {
                let due = schedule.due(number.get());
                if due >= end {
                    break;
                }
                while Instant::now() < due {
                    timer.until(due).await;
                    sends = 0;
                }
                in_flight.below(limit).await;
                self.send(worker, in_flight, due, &number);
                sends += 1;
                if sends == SENDS_PER_TURN {
                    sends = 0;
                    yield_now().await;
                }
            }
            pending::<()>().await;
        };
        tokio::select! {
            // Sending comes first: calls that were due are sent even if the time is already over.
            biased;
            () = sending => {}
            () = sleep_until(end) => {}
            () = stopped(stop) => {}
        }
        let ended = Instant::now().min(end);
        if let Some(worker) = workers.first() {
            let measured_from = worker.records.measured_from;
            let due = (number.get()..).map(|number| schedule.due(number));
            let unsent = due.take_while(|due| *due < ended).filter(|due| *due >= measured_from);
            let unsent = u64::try_from(unsent.count()).expect("a count of calls");
            worker.records.stats.borrow_mut().unsent = unsent;
        }
        ended
    }

    /// Starts an operation and advances the schedule. A life counts as three calls.
    fn send(
        &self,
        worker: &Rc<ClientWorker>,
        in_flight: &Rc<InFlight>,
        due: Instant,
        number: &Cell<u64>,
    ) {
        let operation = worker.choose(&self.mix);
        number.set(number.get() + if operation == Operation::Lifecycle { 3 } else { 1 });
        if due >= worker.records.measured_from {
            worker.records.stats.borrow_mut().record_late(due.elapsed());
        }
        let (worker, in_flight) = (Rc::clone(worker), Rc::clone(in_flight));
        in_flight.start();
        spawn_local(async move {
            worker.perform(operation, due).await;
            in_flight.finish();
        });
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Without a sender nothing can stop the run, so it lasts for its whole time.
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending().await
    }
}

/// The share of one thread. If the total is not divisible, the first threads have one more.
pub(crate) fn share(total: u32, thread: u32, threads: u32) -> u32 {
    total / threads + u32::from(thread < total % threads)
}
