//! When calls are due in an open loop, and waking up then. Call k of R a second is due k/R after
//! the start, whatever has become of the calls before it.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The times at which the calls of one thread are due; threads take turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// KindStats a second, of all threads together.
    pub(crate) rate: NonZeroU64,
    /// This thread, from 0, of how many.
    pub(crate) thread: u64,
    pub(crate) threads: u64,
}

impl Schedule {
    /// When call `number` of this thread is due. Computed from the start, so that nothing adds up.
    pub(crate) fn due(&self, number: u64) -> Instant {
        let k = u128::from(number) * u128::from(self.threads) + u128::from(self.thread);
        let nanos = k * 1_000_000_000 / u128::from(self.rate.get());
        self.start + Duration::from_nanos(u64::try_from(nanos).expect("a run of some centuries"))
    }
}

/// Wakes a task at a moment. The timers of tokio do so up to a millisecond late, which would be
/// most of the latency that is shown; the system's are used where there are any.
#[derive(Debug)]
pub(crate) enum Timer {
    #[cfg(target_os = "linux")]
    Fine(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    Coarse,
}

impl Timer {
    /// As fine as the system has it.
    #[cfg(target_os = "linux")]
    #[expect(deprecated, reason = "what came after it is `unsafe`; an owned descriptor is sound")]
    pub(crate) fn new() -> Self {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use tokio::io::{Interest, unix::AsyncFd};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(std::io::Error::from);
        let timer = timer.and_then(|timer| AsyncFd::with_interest(timer, Interest::READABLE));
        timer.map_or(Self::Coarse, Self::Fine)
    }

    /// As fine as the system has it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> Self {
        Self::Coarse
    }

    /// Waits until that moment, or hardly less.
    pub(crate) async fn until(&mut self, due: Instant) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Fine(timer) => {
                let span = due.saturating_duration_since(Instant::now());
                if !span.is_zero() && ring(timer, span).await.is_err() {
                    sleep_until(due).await;
                }
            }
            Self::Coarse => sleep_until(due).await,
        }
    }
}

/// Sets the timer, which nobody else waits for, and waits until it has run out.
#[cfg(target_os = "linux")]
async fn ring(
    timer: &mut tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    span: Duration,
) -> std::io::Result<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec::try_from(span).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 }),
    };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
    // Setting it takes back what it had to tell, so that readiness is all there is to wait for.
    let mut ready = timer.readable().await?;
    ready.clear_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn threads_share_the_times_and_nothing_drifts() {
        let start = Instant::now();
        let schedule =
            |thread| Schedule { start, rate: NonZeroU64::new(3).unwrap(), thread, threads: 2 };
        let after = |thread, number| (schedule(thread).due(number) - start).as_nanos();
        assert_eq!([after(0, 0), after(1, 0)], [0, 333_333_333]);
        assert_eq!([after(0, 1), after(1, 1)], [666_666_666, 1_000_000_000]);
        // Three million calls later it is a million seconds to the nanosecond.
        assert_eq!(after(0, 1_500_000), 1_000_000_000_000_000);
    }
}
