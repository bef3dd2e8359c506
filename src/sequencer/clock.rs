//! Clocks: the source of the time of each command.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tracing::warn;

use super::log::TARGET;
use crate::state_machine::Timestamp;

/// A source of timestamps. If it goes backwards, the time of the state does not: it advances by one
/// nanosecond per command.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The time of day that only moves forward. It is the wall clock at this call, plus the time that
/// has passed since then, the machine's suspension included.
///
/// Once a second it is compared with the wall clock. If the wall clock is ahead, because somebody
/// corrected it, this clock follows at once. If the wall clock is behind, this clock does not go
/// back, so that no order gets more time: it stays ahead until the next start. Both are logged.
#[must_use]
pub fn wall_clock() -> Clock {
    clock_of(passing_time, || clock_gettime(ClockId::Realtime).nanos())
}

/// Time that passes, whatever happens to the wall clock, and also while the machine is suspended.
fn passing_time() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    // Elsewhere this clock counts suspension, or there is none that does.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    clock_gettime(clock).nanos()
}

trait Nanos {
    fn nanos(self) -> u64;
}

impl Nanos for Timespec {
    /// 0 before 1970.
    fn nanos(self) -> u64 {
        let nanos = i128::from(self.tv_sec) * 1_000_000_000 + i128::from(self.tv_nsec);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

/// How often the wall clock is read, in nanoseconds.
const CHECK_EVERY: u64 = 1_000_000_000;

/// A wall clock that is this much behind, in nanoseconds, was set back. Less is not logged.
const LOGGED_STEP: u64 = 100_000_000;

/// At the last representable time, in 2554, the time stops.
fn time(passed: u64, offset: u64) -> u64 {
    passed.saturating_add(offset)
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// Passing time plus an offset that only grows.
struct Corrected<P, W> {
    passing: P,
    wall: W,
    /// What to add to the passing time.
    offset: AtomicU64,
    /// The passing time of the last comparison.
    compared: AtomicU64,
    /// How much the wall clock was behind at the last comparison. Locked for a comparison, which
    /// only one thread makes.
    behind: Mutex<u64>,
}

/// [`wall_clock`] of these two sources, in nanoseconds; the wall clock is since 1970.
pub fn clock_of(
    passing: impl Fn() -> u64 + Send + Sync + 'static,
    wall: impl Fn() -> u64 + Send + Sync + 'static,
) -> Clock {
    // In this order, as in `compare`.
    let (day, start) = (wall(), passing());
    let offset = day.saturating_sub(start);
    let clock = Corrected {
        passing,
        wall,
        offset: offset.into(),
        compared: start.into(),
        behind: Mutex::new(0),
    };
    Box::new(move || clock.now())
}

impl<P: Fn() -> u64, W: Fn() -> u64> Corrected<P, W> {
    fn now(&self) -> Timestamp {
        let passed = (self.passing)();
        // The order of these accesses does not matter: a thread that sees an old offset compares
        // too, or its answer is a moment older.
        let compared = self.compared.load(Ordering::Relaxed);
        if passed.checked_sub(compared).is_some_and(|since| since >= CHECK_EVERY) {
            self.compare();
        }
        let offset = self.offset.load(Ordering::Relaxed);
        Timestamp::from_nanos(time(passed, offset))
    }

    /// Follows the wall clock forward, and logs when it was changed.
    fn compare(&self) {
        // Another thread is doing it.
        let Ok(mut behind) = self.behind.try_lock() else { return };
        let before = (self.passing)();
        let day = (self.wall)();
        let after = (self.passing)();
        self.compared.store(after, Ordering::Relaxed);
        let offset = self.offset.load(Ordering::Relaxed);
        // The thread can stand still between two readings. `before` and `after` are on both sides
        // of `day`, so that such a pause never looks like a change of the wall clock.
        if let Some(ahead) = day.checked_sub(time(after, offset)).filter(|&by| by > 0) {
            self.offset.store(time(offset, ahead), Ordering::Relaxed);
            *behind = 0;
            if ahead >= LOGGED_STEP {
                warn!(target: TARGET, seconds = seconds(ahead), "the wall clock was set forward: \
                      the time of orders follows");
            }
            return;
        }
        let now_behind = time(before, offset).saturating_sub(day);
        if now_behind.checked_sub(*behind).is_some_and(|more| more >= LOGGED_STEP) {
            warn!(target: TARGET, seconds = seconds(now_behind), "the wall clock was set back: the \
                  time of orders stays ahead of it until the next start");
        }
        *behind = now_behind;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_pause_between_two_readings_does_not_move_the_clock() {
        const DAY: u64 = 86_400_000_000_000;
        const PAUSE: u64 = 10_000_000;
        let time = Arc::new(AtomicU64::new(0));
        let reading = |offset| {
            let time = Arc::clone(&time);
            move || offset + time.fetch_add(PAUSE, Ordering::Relaxed)
        };
        let clock = clock_of(reading(0), reading(DAY));
        for _ in 0..10 {
            time.fetch_add(CHECK_EVERY, Ordering::Relaxed);
            // The first call compares, the second one does not.
            clock();
            let wall = DAY + time.load(Ordering::Relaxed);
            let behind = wall.checked_sub(clock().as_nanos()).expect("it is never ahead");
            assert!(behind <= PAUSE);
        }
    }
}
