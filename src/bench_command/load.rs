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
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Code;

use super::ledger::Assortment;
use super::link::{Link, PAUSE};
use super::mix::{Mix, Wish};
use super::run::share;
use super::schedule::{Alarm, Schedule};
use super::shopper::{Books, Shopper};
use super::tally::{Complaints, Tally};

/// Calls in flight at once in an open loop, over all threads; a server that is this far behind
/// will not catch up.
const MOST_IN_FLIGHT: usize = 100_000;

/// After so many sends in a row answers have their turn.
const SENDS_IN_A_ROW: u32 = 32;

/// When the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    /// So many calls are always in flight.
    Closed { concurrency: u32 },
    /// Calls are due at fixed times, so many a second.
    Open { rate: NonZeroU64 },
}

/// One thread's part of a run.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) pace: Loop,
    /// This thread, from 0, of how many.
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long calls in flight at the end still have.
    pub(crate) grace: Duration,
    pub(crate) mix: Mix,
    pub(crate) assortment: Arc<Assortment>,
    pub(crate) calls: Arc<AtomicU64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) refused: Complaints,
    pub(crate) unanswered_creates: u64,
    /// The measured time.
    pub(crate) measured: Duration,
    pub(crate) shoppers: Vec<Rc<Shopper>>,
}

/// Calls, or workers, that have not come to their end.
#[derive(Debug, Default)]
struct Flight {
    count: Cell<usize>,
    landed: Notify,
}

impl Flight {
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

impl Part {
    /// Calls from `start` on, for the time of the part or until `stop` is true.
    pub(crate) async fn run(
        &self,
        links: &[Rc<Link>],
        start: Instant,
        stop: watch::Receiver<bool>,
        alarm: Alarm,
    ) -> Outcome {
        let books = Rc::new(Books {
            tally: RefCell::new(Tally::new()),
            refused: RefCell::default(),
            unanswered_creates: Cell::new(0),
            measured_from: start + self.warm_up,
            closed: Cell::new(false),
            calls: Arc::clone(&self.calls),
        });
        let shoppers = self.shoppers(links, &books);
        let flight = Rc::new(Flight::default());
        let end = start + self.warm_up + self.duration;
        let ended = match self.pace {
            Loop::Closed { .. } => self.closed_loop(&shoppers, &flight, start, end, stop).await,
            Loop::Open { rate } => {
                let schedule = Schedule {
                    start,
                    rate,
                    thread: self.thread.into(),
                    threads: self.threads.into(),
                };
                self.open_loop(&shoppers, &flight, schedule, end, (stop, alarm)).await
            }
        };
        let landed = timeout(self.grace, flight.falls_below(1)).await;
        books.closed.set(true);
        if landed.is_err() {
            let unfinished = u64::try_from(flight.count.get()).expect("a count of calls");
            books.tally.borrow_mut().unfinished = unfinished;
        }
        Outcome {
            tally: books.tally.borrow().clone(),
            refused: books.refused.borrow().clone(),
            unanswered_creates: books.unanswered_creates.get(),
            measured: ended.saturating_duration_since(books.measured_from),
            shoppers,
        }
    }

    /// In a closed loop one for each worker, in an open one for each connection.
    fn shoppers(&self, links: &[Rc<Link>], books: &Rc<Books>) -> Vec<Rc<Shopper>> {
        let count = match self.pace {
            Loop::Closed { concurrency } => share(concurrency, self.thread, self.threads),
            Loop::Open { .. } => u32::try_from(links.len()).expect("few connections"),
        };
        let shopper = |(number, link): (u32, &Rc<Link>)| {
            let user = 1 + self.thread + number * self.threads;
            let assortment = Arc::clone(&self.assortment);
            Rc::new(Shopper::new(user, Rc::clone(link), assortment, Rc::clone(books)))
        };
        (0..count).zip(links.iter().cycle()).map(shopper).collect()
    }

    /// Returns when it ended.
    async fn closed_loop(
        &self,
        shoppers: &[Rc<Shopper>],
        flight: &Rc<Flight>,
        start: Instant,
        end: Instant,
        stop: watch::Receiver<bool>,
    ) -> Instant {
        sleep_until(start).await;
        let over = Rc::new(Cell::new(false));
        for shopper in shoppers {
            let (shopper, flight) = (Rc::clone(shopper), Rc::clone(flight));
            let (over, mix) = (Rc::clone(&over), self.mix.clone());
            flight.takes_off();
            spawn_local(async move {
                loop {
                    let wish = shopper.wish(&mix);
                    let code = shopper.fulfil(wish, Instant::now()).await;
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
                flight.lands();
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
        shoppers: &[Rc<Shopper>],
        flight: &Rc<Flight>,
        schedule: Schedule,
        end: Instant,
        (stop, mut alarm): (watch::Receiver<bool>, Alarm),
    ) -> Instant {
        let most = MOST_IN_FLIGHT.div_ceil(usize::try_from(self.threads).expect("few threads"));
        let number = Cell::new(0);
        let sending = async {
            let mut in_a_row = 0;
            for shopper in shoppers.iter().cycle() {
                let due = schedule.due(number.get());
                if due >= end {
                    break;
                }
                while Instant::now() < due {
                    alarm.until(due).await;
                    in_a_row = 0;
                }
                flight.falls_below(most).await;
                self.send(shopper, flight, due, &number);
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
        if let Some(shopper) = shoppers.first() {
            let measured_from = shopper.books.measured_from;
            let due = (number.get()..).map(|number| schedule.due(number));
            let unsent = due.take_while(|due| *due < ended).filter(|due| *due >= measured_from);
            let unsent = u64::try_from(unsent.count()).expect("a count of calls");
            shopper.books.tally.borrow_mut().unsent = unsent;
        }
        ended
    }

    /// Sends what is due, and moves on in the schedule: a life takes the room of three calls.
    fn send(&self, shopper: &Rc<Shopper>, flight: &Rc<Flight>, due: Instant, number: &Cell<u64>) {
        let wish = shopper.wish(&self.mix);
        number.set(number.get() + if wish == Wish::Life { 3 } else { 1 });
        if due >= shopper.books.measured_from {
            shopper.books.tally.borrow_mut().record_late(due.elapsed());
        }
        let (shopper, flight) = (Rc::clone(shopper), Rc::clone(flight));
        flight.takes_off();
        spawn_local(async move {
            shopper.fulfil(wish, due).await;
            flight.lands();
        });
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Where nobody is left who could say so, the run takes its time.
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending().await
    }
}
