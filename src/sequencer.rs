//! The one lock. Whatever comes in from many connections goes through here, one after another,
//! and is stamped with the time at which it does.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{Level, debug, enabled, info};

use crate::state_machine::{
    Action, Cause, Command, LomsState, Outcome, Rejection, Timestamp, Transition,
};

/// The most orders that one call lets expire on its way, so that no call waits for a backlog.
/// While there is one, after the process was suspended for instance, the machine's time runs
/// behind the clock, and never shows an order that is past its deadline by the machine's time.
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

/// The machine behind its lock, with its clock.
pub struct Sequencer {
    inner: Mutex<Inner>,
    clock: Clock,
    deadline_set: Notify,
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
        Self { inner: Mutex::new(inner), clock, deadline_set: Notify::new() }
    }

    /// Applies one action, at the present time, and makes an answer of its result and of the
    /// state that it left, before anything else can change that.
    pub fn submit<T>(
        &self,
        action: Action<'_>,
        answer: impl FnOnce(Result<Outcome, Rejection>, &LomsState) -> T,
    ) -> Sequenced<T> {
        let mut inner = self.lock();
        let Inner { state, transitions, index } = &mut *inner;
        *index = index.checked_add(1).expect("2⁶⁴ commands are never reached");
        let index = *index;
        let had_deadline = state.next_deadline().is_some();
        let at = self.stamp(state);
        transitions.clear();
        let result = state.apply(Command { at, action }, transitions);
        let wake = !had_deadline && state.next_deadline().is_some();
        let log = Log::of(index, at, action, result, transitions);
        let value = answer(result, state);
        drop(inner);
        if wake {
            self.deadline_set.notify_one();
        }
        if let Some(log) = log {
            log.write(&self.clock);
        }
        Sequenced { index, value }
    }

    /// Looks at the state as it is at the present time.
    pub fn read<T>(&self, look: impl FnOnce(&LomsState) -> T) -> Sequenced<T> {
        self.submit(Action::Tick, |_, state| look(state))
    }

    /// Lets time pass, and says how long the machine can be left alone from now on: until its
    /// next order expires; `None` where none will.
    pub fn tick(&self) -> Option<std::time::Duration> {
        let deadline = self.read(LomsState::next_deadline).value?;
        let wait = deadline.as_nanos().saturating_sub((self.clock)().as_nanos());
        Some(std::time::Duration::from_nanos(wait))
    }

    /// Waits until there is a deadline where there was none.
    pub async fn deadline_set(&self) {
        self.deadline_set.notified().await;
    }

    /// The present time, later than every time before, so that deadlines differ: with the
    /// machine's time held back where more is due than one call should wait for.
    fn stamp(&self, state: &LomsState) -> Timestamp {
        let next = Timestamp::from_nanos(state.now().as_nanos().saturating_add(1));
        state.expiry_horizon((self.clock)().max(next), EXPIRIES_A_STEP).max(next)
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
