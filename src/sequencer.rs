//! The one lock. Whatever comes in from many connections goes through here, one after another,
//! and is stamped with the time at which it does.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{Level, debug, enabled, info};

use crate::state_machine::{
    Action, Cause, Command, LomsState, Outcome, Rejection, Timestamp, Transition,
};

/// The most orders that expire while the lock is held once, which bounds how long it is held and
/// how much is gathered: some 0.1 ms.
const EXPIRIES_A_STEP: usize = 4_096;

/// A clock: any source of moments. Where it runs backwards the machine's time stands still.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the real world: the time of day at this call, and from then on the monotonic
/// clock, so that setting the machine's clock moves no deadline. Under tokio's paused clock it
/// stands still and moves with that.
#[must_use]
pub fn wall_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    let (day, start) = (SystemTime::now(), Instant::now());
    let since_1970 = day.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Box::new(move || {
        let nanos = since_1970.saturating_add(start.elapsed()).as_nanos();
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    })
}

/// An answer, and its place in the one order of all commands and reads, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced<T> {
    /// The place.
    pub index: u64,
    /// The answer.
    pub value: T,
}

impl<T> Sequenced<T> {
    /// The same place with another answer.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Sequenced<U> {
        Sequenced { index: self.index, value: f(self.value) }
    }
}

/// More orders are due than one command expires, as after the process was suspended. Whoever
/// [ticks](Sequencer::tick) works that off in steps. Until then no command is taken: it would meet
/// stock of the past, or a new order would get a time, and so a deadline, of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind;

/// The machine behind its lock, with its clock.
pub struct Sequencer {
    inner: Mutex<Inner>,
    clock: Clock,
    /// Wakes whoever ticks, sooner than it meant to.
    tick_early: Notify,
    /// Wakes those who found the machine behind.
    caught_up: Notify,
}

struct Inner {
    state: LomsState,
    transitions: Vec<Transition>,
    index: u64,
}

impl Sequencer {
    /// Guards this machine and gives it this clock.
    #[must_use]
    pub fn new(state: LomsState, clock: Clock) -> Self {
        let inner = Inner { state, transitions: Vec::new(), index: 0 };
        Self {
            inner: Mutex::new(inner),
            clock,
            tick_early: Notify::new(),
            caught_up: Notify::new(),
        }
    }

    /// Applies one action, at the present time, and makes an answer of its result and of the
    /// state that it left, before anything else can change that.
    ///
    /// # Errors
    /// [`Behind`]: nothing was done. Try again once the machine has [caught up].
    ///
    /// [caught up]: Self::caught_up
    pub fn submit<T>(
        &self,
        action: Action<'_>,
        answer: impl FnOnce(Result<Outcome, Rejection>, &LomsState) -> T,
    ) -> Result<Sequenced<T>, Behind> {
        let inner = self.lock();
        let now = self.stamp(&inner.state);
        if inner.state.expiry_horizon(now, EXPIRIES_A_STEP) < now {
            drop(inner);
            self.tick_early.notify_one();
            return Err(Behind);
        }
        Ok(self.apply(inner, Command { at: now, action }, answer))
    }

    /// Applies one command under the lock, and logs it once the lock is free again.
    fn apply<T>(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        command: Command<'_>,
        answer: impl FnOnce(Result<Outcome, Rejection>, &LomsState) -> T,
    ) -> Sequenced<T> {
        let Command { at, action } = command;
        let Inner { state, transitions, index } = &mut *inner;
        *index = index.checked_add(1).expect("2⁶⁴ commands are never reached");
        let index = *index;
        let had_deadline = state.next_deadline().is_some();
        transitions.clear();
        let result = state.apply(command, transitions);
        let wake = !had_deadline && state.next_deadline().is_some();
        let log = Log::of(index, at, action, result, transitions);
        let value = answer(result, state);
        drop(inner);
        if wake {
            self.tick_early.notify_one();
        }
        if let Some(log) = log {
            log.write(&self.clock);
        }
        Sequenced { index, value }
    }

    /// Looks at the state as it is at the present time.
    ///
    /// # Errors
    /// [`Behind`], as for [`Sequencer::submit`].
    pub fn read<T>(&self, look: impl FnOnce(&LomsState) -> T) -> Result<Sequenced<T>, Behind> {
        self.submit(Action::Tick, |_, state| look(state))
    }

    /// Lets time pass, by as many expiries as one step may have, and says how long the machine
    /// can be left alone from now on: until its next order expires, which is no time at all where
    /// more are due; `None` where none will.
    pub fn tick(&self) -> Option<Duration> {
        let inner = self.lock();
        let now = self.stamp(&inner.state);
        let step = inner.state.expiry_horizon(now, EXPIRIES_A_STEP);
        let tick = Command { at: step, action: Action::Tick };
        let deadline = self.apply(inner, tick, |_, state| state.next_deadline()).value;
        if step >= now {
            self.caught_up.notify_waiters();
        }
        let wait = deadline?.as_nanos().saturating_sub((self.clock)().as_nanos());
        Some(Duration::from_nanos(wait))
    }

    /// Waits until a tick is wanted sooner than the last one said.
    pub async fn tick_early(&self) {
        self.tick_early.notified().await;
    }

    /// Waits until the machine has next caught up with the present; from the call on, not only
    /// from the first poll.
    pub fn caught_up(&self) -> impl Future<Output = ()> {
        self.caught_up.notified()
    }

    /// The present time, later than every time before, so that deadlines differ.
    fn stamp(&self, state: &LomsState) -> Timestamp {
        let next = Timestamp::from_nanos(state.now().as_nanos().saturating_add(1));
        (self.clock)().max(next)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("a broken invariant has stopped the machine")
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").finish_non_exhaustive()
    }
}

/// What is to be logged of a command, gathered under the lock and written outside it. Nothing is
/// gathered where nothing would be written.
struct Log {
    at: Timestamp,
    expired: Vec<Transition>,
    detail: Option<Detail>,
}

/// What is logged at debug.
struct Detail {
    index: u64,
    command: String,
    outcome: String,
    transitions: String,
}

impl Log {
    fn of(
        index: u64,
        at: Timestamp,
        action: Action<'_>,
        result: Result<Outcome, Rejection>,
        transitions: &[Transition],
    ) -> Option<Self> {
        // Whatever expires does so before the command itself.
        let expired = transitions
            .iter()
            .take_while(|transition| transition.cause == Cause::PaymentTimeout)
            .count();
        let verbose = enabled!(Level::DEBUG);
        if expired == 0 && !verbose {
            return None;
        }
        let detail = verbose.then(|| Detail {
            index,
            command: action.to_string(),
            outcome: match result {
                Ok(outcome) => outcome.to_string(),
                Err(rejection) => format!("refused: {rejection}"),
            },
            transitions: transitions
                .iter()
                .map(Transition::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        });
        Some(Self { at, expired: transitions[..expired].to_vec(), detail })
    }

    fn write(self, clock: &Clock) {
        if let [first, .., last] = self.expired.as_slice() {
            let count = self.expired.len();
            info!(count, first = %first.order, last = %last.order, "orders expired");
        } else if let [only] = self.expired.as_slice() {
            info!(order = %only.order, "order expired");
        }
        if let Some(Detail { index, command, outcome, transitions }) = self.detail {
            let took_ns = clock().as_nanos().saturating_sub(self.at.as_nanos());
            debug!(index, command, outcome, transitions, took_ns, "command");
        }
    }
}
