//! What one thread does: connects, calls in a closed or an open loop, reads back what it placed.
//! It shares nothing with the other threads but a few counters that a progress bar reads.

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
use super::connection::{Connection, PAUSE};
use super::mix::{Mix, Operation};
use super::order_log::OrderGenerator;
use super::run::share;
use super::schedule::{Schedule, Timer};

/// KindStats in flight at once in an open loop, over all threads; a server that is this far behind
/// will not catch up.
const MOST_IN_FLIGHT: usize = 100_000;

/// After so many sends in a row answers have their turn.
const SENDS_IN_A_ROW: u32 = 32;

/// When the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopMode {
    /// So many calls are always in flight.
    Closed { concurrency: u32 },
    /// KindStats are due at fixed times, so many a second.
    Open { rate: NonZeroU64 },
}

/// Single thread's part of a run.
#[derive(Clone, Debug)]
pub(crate) struct ThreadConfig {
    pub(crate) mode: LoopMode,
    /// This thread, from 0, of how many.
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long calls in flight at the end still have.
    pub(crate) timeout: Duration,
    pub(crate) mix: Mix,
    pub(crate) generator: Arc<OrderGenerator>,
    pub(crate) calls: Arc<AtomicU64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct CallingResult {
    pub(crate) stats: CallStats,
    pub(crate) refused: ErrorSamples,
    pub(crate) unanswered_creates: u64,
    /// The measured time.
    pub(crate) measured: Duration,
    pub(crate) workers: Vec<Rc<ClientWorker>>,
}

/// KindStats, or workers, that have not come to their end.
#[derive(Debug, Default)]
struct InFlight {
    count: Cell<usize>,
    landed: Notify,
}

impl InFlight {
    fn takes_off(&self) {
        self.count.set(self.count.get() + 1);
    }

    fn lands(&self) {
        self.count.set(self.count.get() - 1);
        self.landed.notify_one();
    }

    async fn falls_below(&self, count: usize) {
        while self.count.get() >= count {
            self.landed.notified().await;
        }
    }
}

impl ThreadConfig {
    /// KindStats from `start` on, for the time of the part or until `stop` is true.
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
        let landed = time::timeout(self.timeout, in_flight.falls_below(1)).await;
        records.closed.set(true);
        if landed.is_err() {
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

    /// In a closed loop one for each worker, in an open one for each connection.
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

    /// Returns when it ended.
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
            in_flight.takes_off();
            spawn_local(async move {
                loop {
                    let operation = worker.operation(&mix);
                    let code = worker.perform(operation, Instant::now()).await;
                    // Asked last: on a machine that was busy elsewhere a short time is over before
                    // a worker has its first turn, and a run without calls has shown nothing.
                    if over.get() {
                        break;
                    }
                    if code == Code::Unavailable {
                        // A server that is gone is not asked as fast as it can refuse.
                        sleep(PAUSE).await;
                    }
                }
                in_flight.lands();
            });
        }
        tokio::select! {
            () = sleep_until(end) => {}
            () = stopped(stop) => {}
        }
        over.set(true);
        Instant::now().min(end)
    }

    /// Returns when it ended.
    async fn open_loop(
        &self,
        workers: &[Rc<ClientWorker>],
        in_flight: &Rc<InFlight>,
        schedule: Schedule,
        end: Instant,
        (stop, mut timer): (watch::Receiver<bool>, Timer),
    ) -> Instant {
        let most = MOST_IN_FLIGHT.div_ceil(usize::try_from(self.threads).expect("few threads"));
        let number = Cell::new(0);
        let sending = async {
            let mut in_a_row = 0;
            for worker in workers.iter().cycle() {
                let due = schedule.due(number.get());
                if due >= end {
                    break;
                }
                while Instant::now() < due {
                    timer.until(due).await;
                    in_a_row = 0;
                }
                in_flight.falls_below(most).await;
                self.send(worker, in_flight, due, &number);
                in_a_row += 1;
                if in_a_row == SENDS_IN_A_ROW {
                    in_a_row = 0;
                    yield_now().await;
                }
            }
            pending::<()>().await;
        };
        tokio::select! {
            // Sending first: what was due in the time is sent even where all of it has gone by.
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

    /// Sends what is due, and moves on in the schedule: a life takes the room of three calls.
    fn send(
        &self,
        worker: &Rc<ClientWorker>,
        in_flight: &Rc<InFlight>,
        due: Instant,
        number: &Cell<u64>,
    ) {
        let operation = worker.operation(&self.mix);
        number.set(number.get() + if operation == Operation::Lifecycle { 3 } else { 1 });
        if due >= worker.records.measured_from {
            worker.records.stats.borrow_mut().record_late(due.elapsed());
        }
        let (worker, in_flight) = (Rc::clone(worker), Rc::clone(in_flight));
        in_flight.takes_off();
        spawn_local(async move {
            worker.perform(operation, due).await;
            in_flight.lands();
        });
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Where nobody is left who could say so, the run takes its time.
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending().await
    }
}
