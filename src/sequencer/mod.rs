//! The sequencer: the one lock, which puts the calls of all connections into one order, and the
//! clock, which gives each command its time.
//!
//! | module | content |
//! |---|---|
//! | `clock` | the source of the time |
//! | `expiry` | expires due orders on time, in steps; the wake-ups between calls and ticker |
//! | `log` | what is logged of calls and of expired orders |
//! | `sync` | the lock, notifications and timers that all of this uses |
//!
//! `tests` runs this module on `model`, which tries every interleaving of its threads.

mod clock;
mod expiry;
mod log;
#[cfg(test)]
mod model;
mod sync;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;

pub use self::clock::{Clock, clock_of, wall_clock};
use self::log::{Expired, Read};
use self::sync::{Mutex, MutexGuard, Notify};
use crate::state_machine::{
    Command, Entry, Event, LomsState, Order, OrderId, Outcome, Rejection, Sku, Timestamp,
};

/// The default of [`Sequencer::with_expiry_step`].
const EXPIRY_STEP: NonZeroUsize = NonZeroUsize::new(4_096).expect("above 0");

/// An answer, and the index of the last entry that it depends on: the state that it shows is the
/// state after that entry. 0 if there is no entry yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced<T> {
    /// The index.
    pub index: u64,
    /// The answer.
    pub value: T,
}

impl<T> Sequenced<T> {
    /// Another answer with the same index.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Sequenced<U> {
        Sequenced { index: self.index, value: f(self.value) }
    }
}

/// More orders are due than one step expires, as after the process was suspended. The
/// [ticker](Sequencer::tick) expires the backlog in steps. No call is answered before that: it
/// would see old stock, or create an order with an old time and deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind;

/// The state behind its lock, with its clock.
pub struct Sequencer {
    inner: Mutex<Inner>,
    clock: Clock,
    expiry_step: NonZeroUsize,
    /// Wakes the ticker early, because the next deadline is now earlier.
    wake_ticker: Notify,
    /// Wakes the calls that wait until the backlog has expired.
    caught_up: Notify,
}

struct Inner {
    state: LomsState,
    /// Whether there is a backlog of due orders. Set by the first call or tick that finds it;
    /// cleared by the tick that ends it. While it is set, calls are refused without a check.
    behind: bool,
    /// Scratch buffer: the events of the last command.
    events: Vec<Event>,
}

impl Sequencer {
    /// A sequencer of this state, with this clock.
    #[must_use]
    pub fn new(state: LomsState, clock: Clock) -> Self {
        let inner = Inner { state, behind: false, events: Vec::new() };
        Self {
            inner: Mutex::new(inner),
            clock,
            expiry_step: EXPIRY_STEP,
            wake_ticker: Notify::new(),
            caught_up: Notify::new(),
        }
    }

    /// Sets the maximum number of orders that expire in one step, under one hold of the lock. The
    /// default is 4,096, which takes about 0.1 ms.
    #[must_use]
    pub fn with_expiry_step(mut self, most: NonZeroUsize) -> Self {
        self.expiry_step = most;
        self
    }

    /// Takes the lock and expires due orders, so that no call sees an order past its deadline.
    ///
    /// # Errors
    /// [`Behind`]: try again after [`caught_up`](Self::caught_up).
    pub fn present(&self) -> Result<Present<'_>, Behind> {
        let called = (self.clock)();
        let mut inner = self.lock();
        if inner.behind {
            return Err(Behind);
        }
        let now = called.max(inner.state.now());
        // A command is later than every entry before, so that no two orders have the same deadline.
        // At the last representable time, in 2554, the time stops.
        let after = inner.state.now().as_nanos().saturating_add(1);
        let at = called.max(Timestamp::from_nanos(after));
        let mut expired = None;
        if inner.is_due(now) {
            if inner.state.expiry_horizon(now, self.expiry_step.get()) < now {
                inner.behind = true;
                drop(inner);
                self.wake_ticker.notify_one();
                return Err(Behind);
            }
            expired = inner.expire(now);
        }
        Ok(Present { sequencer: self, inner, called, at, expired })
    }

    /// The present time, by the clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The nanoseconds since this time; 0 if the clock went backwards.
    fn since(&self, start: Timestamp) -> u64 {
        (self.clock)().as_nanos().saturating_sub(start.as_nanos())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("a failed assertion has stopped the machine")
    }
}

/// The locked state at the present time, for one call. The call returns owned data, so that the
/// answer is converted, formatted and logged after the lock is released.
pub struct Present<'a> {
    sequencer: &'a Sequencer,
    inner: MutexGuard<'a, Inner>,
    /// The time by the clock, just before the lock was taken.
    called: Timestamp,
    /// The time of a command.
    at: Timestamp,
    /// The orders that expired before this call.
    expired: Option<Expired>,
}

impl Present<'_> {
    /// The time by the clock, last read before the lock was taken.
    #[must_use]
    pub fn called(&self) -> Timestamp {
        self.called
    }

    /// Executes a command.
    pub fn submit(mut self, command: Command) -> Sequenced<Result<Outcome, Rejection>> {
        let at = self.at;
        // If the clock did not advance, the command has a later time than the last expiry.
        if self.inner.is_due(at) {
            let expired = self.inner.expire(at);
            self.expired = self.expired.map_or(expired, |earlier| Some(earlier.and(expired)));
        }
        let entry = self.inner.entry(at, command);
        let before = self.inner.state.next_deadline();
        let result = self.inner.apply(&entry);
        let after = self.inner.state.next_deadline();
        let events = log::logs_calls().then(|| self.inner.events.clone());
        let sequencer = self.sequencer;
        let (index, called) = self.release();
        // New orders are due after the present ones, but new rules can make these due earlier.
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            sequencer.wake_ticker.notify_one();
        }
        if let Some(events) = events {
            log::command(index, &entry.command, &result, &events, sequencer.since(called));
        }
        Sequenced { index, value: result }
    }

    /// The whole state, for tests and for the simulator.
    #[must_use]
    pub fn state(&self) -> &LomsState {
        &self.inner.state
    }

    /// The order with this id.
    #[must_use]
    pub fn order(self, id: OrderId) -> Sequenced<Option<Order>> {
        let now = self.called.max(self.inner.state.now());
        self.read(Read::Order(id), |state| state.order_at(id, now).map(|order| order.to_order()))
    }

    /// How many units of this SKU can still be reserved; `None` for a SKU without a stock record.
    #[must_use]
    pub fn available(self, sku: Sku) -> Sequenced<Option<u64>> {
        self.read(Read::Stock(sku), |state| state.available(sku))
    }

    fn read<T>(self, read: Read, look: impl FnOnce(&LomsState) -> T) -> Sequenced<T> {
        let value = look(&self.inner.state);
        let sequencer = self.sequencer;
        let (index, called) = self.release();
        if log::logs_calls() {
            log::read(index, read, sequencer.since(called));
        }
        Sequenced { index, value }
    }

    /// Releases the lock without a call.
    pub fn leave(self) {
        self.release();
    }

    /// Releases the lock. Returns the index of the last entry, and when the call arrived.
    fn release(self) -> (u64, Timestamp) {
        let Self { inner, called, expired, .. } = self;
        let index = inner.state.index();
        drop(inner);
        if let Some(expired) = expired {
            expired.log();
        }
        (index, called)
    }
}

impl fmt::Debug for Present<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").field("called", &self.called).finish_non_exhaustive()
    }
}

impl Inner {
    fn entry(&self, at: Timestamp, command: Command) -> Entry {
        let index = self.state.index().checked_add(1).expect("2⁶⁴ entries are never reached");
        Entry { index, at, command }
    }

    fn apply(&mut self, entry: &Entry) -> Result<Outcome, Rejection> {
        self.events.clear();
        self.state.apply(entry, &mut self.events)
    }

    /// Whether any order is due by this time.
    fn is_due(&self, at: Timestamp) -> bool {
        self.state.next_deadline().is_some_and(|deadline| deadline <= at)
    }

    /// Expires the orders that are due by this time, as a separate entry.
    fn expire(&mut self, at: Timestamp) -> Option<Expired> {
        let tick = self.entry(at, Command::Tick);
        self.apply(&tick).expect("time does not go backwards");
        Expired::among(&self.events)
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").finish_non_exhaustive()
    }
}
