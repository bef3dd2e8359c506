//! The schedule of an open loop, and a timer that wakes a task on time. With R calls per second,
//! call k is due k/R seconds after the start, independent of the calls before it.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The times at which the calls of one thread are due. Threads take turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// Calls per second, of all threads together.
    pub(crate) rate: NonZeroU64,
    /// The number of this thread, from 0.
    pub(crate) thread: u64,
    pub(crate) threads: u64,
}

impl Schedule {
    /// When call `number` of this thread is due. Computed from the start, so that rounding errors
    /// do not add up.
    pub(crate) fn due(&self, number: u64) -> Instant {
        let k = u128::from(number) * u128::from(self.threads) + u128::from(self.thread);
        let nanos = k * 1_000_000_000 / u128::from(self.rate.get());
        self.start
            + Duration::from_nanos(u64::try_from(nanos).expect("a run is shorter than 584 years"))
    }
}

/// Wakes a task at a given time. Timers of tokio are up to a millisecond late, which is more than
/// most latencies. On Linux a timerfd is used instead.
#[derive(Debug)]
pub(crate) enum Timer {
    #[cfg(target_os = "linux")]
    Fine(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    Coarse,
}

impl Timer {
    /// The finest timer of the system.
    #[cfg(target_os = "linux")]
    #[expect(deprecated, reason = "its replacement is `unsafe`; an owned descriptor is safe")]
    pub(crate) fn new() -> Self {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use tokio::io::{Interest, unix::AsyncFd};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(std::io::Error::from);
        let timer = timer.and_then(|timer| AsyncFd::with_interest(timer, Interest::READABLE));
        timer.map_or(Self::Coarse, Self::Fine)
    }

    /// The finest timer of the system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> Self {
        Self::Coarse
    }

    /// Waits until that time. May return slightly early.
    pub(crate) async fn until(&mut self, due: Instant) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Fine(timer) => {
                let span = due.saturating_duration_since(Instant::now());
                if !span.is_zero() && wait(timer, span).await.is_err() {
                    sleep_until(due).await;
                }
            }
            Self::Coarse => sleep_until(due).await,
        }
    }
}

/// Sets the timer and waits until it expires. No other task uses it.
#[cfg(target_os = "linux")]
async fn wait(
    timer: &mut tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    span: Duration,
) -> std::io::Result<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec::try_from(span).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 }),
    };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
    // Setting the timer clears an earlier expiry, so waiting for readiness is enough.
    let mut ready = timer.readable().await?;
    ready.clear_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn schedule_of_all_threads_has_no_drift() {
        let start = Instant::now();
        let schedule =
            |thread| Schedule { start, rate: NonZeroU64::new(3).unwrap(), thread, threads: 2 };
        let after = |thread, number| (schedule(thread).due(number) - start).as_nanos();
        assert_eq!([after(0, 0), after(1, 0)], [0, 333_333_333]);
        assert_eq!([after(0, 1), after(1, 1)], [666_666_666, 1_000_000_000]);
        // After three million calls the time is exact to the nanosecond.
        assert_eq!(after(0, 1_500_000), 1_000_000_000_000_000);
    }
}
