//! Expiry on time. One task, the ticker, expires due orders with or without calls. It works off a
//! large backlog in steps, and between them other calls get the lock.
//!
//! | who waits | until | woken by |
//! |---|---|---|
//! | the ticker | the next deadline, but at most a second | the timer |
//! | | | a command that makes the next deadline earlier |
//! | | | a call that finds a backlog |
//! | a call | the backlog is worked off | the tick that does the last step |
//!
//! A flag under the lock says that there is a backlog. It is always changed before the wake-up, and
//! a call registers before it looks at the flag. So no wake-up is lost.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use super::sync::{Instant, sleep_until, yield_now};
use super::{Present, Sequencer};

/// The longest sleep of the ticker while an order awaits payment. Timers stand still while the
/// machine is suspended, and do not know when the wall clock is set forward. The clock does.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl Sequencer {
    /// Ticks whenever the next order is due, and as soon as possible while there is a backlog. One
    /// task runs this for as long as the sequencer is used.
    pub async fn expire_on_time(&self) -> Infallible {
        loop {
            // The tick computes the wait from a later time. So a pause of the process between the
            // two makes the timer early, not late.
            let start = Instant::now();
            match self.tick() {
                Some(Duration::ZERO) => yield_now().await,
                Some(wait) => tokio::select! {
                    biased;
                    () = self.tick_needed() => {}
                    () = sleep_until(start + wait.min(LONGEST_SLEEP)) => {}
                },
                None => self.tick_needed().await,
            }
        }
    }

    /// Expires due orders, at most one step of them. Returns the time until the next tick is
    /// needed: until the next order expires, or zero while there is a backlog; `None` if no
    /// order will expire.
    pub fn tick(&self) -> Option<Duration> {
        let mut inner = self.lock();
        let now = (self.clock)().max(inner.state.now());
        let step = inner.state.expiry_horizon(now, self.expiry_step.get());
        let expired = if inner.is_due(step) { inner.expire(step) } else { None };
        inner.behind = step < now;
        let (behind, deadline) = (inner.behind, inner.state.next_deadline());
        drop(inner);
        if !behind {
            self.caught_up.notify_waiters();
        }
        if let Some(expired) = expired {
            expired.log();
        }
        if behind {
            return Some(Duration::ZERO);
        }
        let wait = deadline?.as_nanos().saturating_sub((self.clock)().as_nanos());
        Some(Duration::from_nanos(wait))
    }

    /// Waits until a tick is needed sooner than the last one returned.
    pub async fn tick_needed(&self) {
        self.wake_ticker.notified().await;
    }

    /// Waits until there is no backlog. The wait starts at the call, not at the first poll.
    pub fn caught_up(&self) -> impl Future<Output = ()> {
        self.caught_up.notified()
    }

    /// The state at the present time, as soon as there is no backlog; `None` if it is `late` before
    /// that.
    pub async fn present_after_backlog(
        &self,
        late: impl Future<Output = ()>,
    ) -> Option<Present<'_>> {
        let mut late = pin!(late);
        loop {
            let caught_up = self.caught_up();
            if let Ok(present) = self.present() {
                return Some(present);
            }
            tokio::select! {
                biased;
                () = caught_up => {}
                () = late.as_mut() => return None,
            }
            // Lets the caller drop a call that the client has given up meanwhile.
            yield_now().await;
        }
    }
}
