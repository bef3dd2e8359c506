//! What happens on one connection, shared by its socket, its calls and its supervisor. All of them
//! are on one thread.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::CANCELLED_CALLS;

/// After this time, one cancelled call is forgotten.
const PER_CANCELLED_CALL: Duration = Duration::from_nanos(1_000_000_000 / CANCELLED_CALLS as u64);

/// Counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The client has sent the start of HTTP/2.
    spoke: AtomicBool,
    /// The server closes the connection.
    closing: AtomicBool,
    /// Streams that have begun.
    begun: AtomicU64,
    /// Streams that have not ended.
    open: AtomicU32,
    /// Calls that are not answered.
    calls: AtomicU32,
    /// Requests of calls that have not arrived.
    arriving: AtomicU32,
    /// Cancelled calls, less the answered ones and those that are long ago.
    cancelled: AtomicU32,
    /// The time up to which that number is reduced.
    reduced: Mutex<Option<Instant>>,
    /// The next stream that hyper starts is a watch.
    watch: AtomicBool,
    /// Too many calls were cancelled.
    pub(super) abused: Notify,
}

impl Activity {
    pub(super) fn speak(&self) {
        self.spoke.store(true, Ordering::Relaxed);
    }

    pub(super) fn spoke(&self) -> bool {
        self.spoke.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn closes(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Calls that have arrived and are not answered.
    pub(super) fn in_flight(&self) -> u32 {
        let arriving = self.arriving.load(Ordering::Relaxed);
        let calls = self.calls.load(Ordering::Relaxed);
        calls.checked_sub(arriving).expect("the request of a call ends before the call")
    }

    /// An answered call counts against a cancelled one.
    fn balance_cancelled(&self) {
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        if cancelled > 0 {
            // The connection is on one thread, so nobody else changes it between.
            self.cancelled.store(cancelled - 1, Ordering::Relaxed);
        }
    }

    /// Counts a cancelled call, and forgets one for each 1/[`CANCELLED_CALLS`] of a second that has
    /// passed.
    fn count_cancelled(&self) {
        let now = Instant::now();
        let mut reduced = self.reduced.lock().unwrap_or_else(PoisonError::into_inner);
        let since = reduced.get_or_insert(now);
        let forgotten = now.duration_since(*since).as_nanos() / PER_CANCELLED_CALL.as_nanos();
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        *since += PER_CANCELLED_CALL.saturating_mul(forgotten);
        let before = self.cancelled.load(Ordering::Relaxed);
        let cancelled = before.saturating_sub(forgotten) + 1;
        self.cancelled.store(cancelled, Ordering::Relaxed);
        if cancelled > CANCELLED_CALLS {
            self.abused.notify_one();
        }
    }

    /// Says that the stream which hyper starts next is a watch: it has no time limit.
    pub(super) fn next_is_watch(&self) {
        self.watch.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_watch(&self) -> bool {
        self.watch.swap(false, Ordering::Relaxed)
    }
}

/// A stream that has not ended.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<Activity>);

impl OpenStream {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The request of a call that has not arrived.
#[derive(Debug)]
pub(super) struct ArrivingRequest(Arc<Activity>);

impl ArrivingRequest {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.arriving.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for ArrivingRequest {
    fn drop(&mut self) {
        self.0.arriving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that has not been answered. If it is dropped, the client has cancelled it.
#[derive(Debug)]
pub(super) struct OpenCall {
    activity: Arc<Activity>,
    answered: bool,
}

impl OpenCall {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.calls.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), answered: false }
    }

    /// The answer is made.
    pub(super) fn answer(&mut self) {
        self.answered = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.activity.calls.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            self.activity.balance_cancelled();
        } else {
            self.activity.count_cancelled();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    async fn is_abused(activity: &Activity) -> bool {
        timeout(Duration::ZERO, activity.abused.notified()).await.is_ok()
    }

    fn cancel(activity: &Arc<Activity>, calls: u32) {
        (0..calls).for_each(|_| drop(OpenCall::new(activity)));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_calls_are_forgotten_with_time_and_with_answers() {
        let activity = Arc::new(Activity::default());
        // A cart whose shoppers leave, 800 in a second, for a minute.
        for _ in 0..240 {
            cancel(&activity, 200);
            advance(Duration::from_millis(250)).await;
        }
        advance(Duration::from_secs(1)).await;
        cancel(&activity, CANCELLED_CALLS);
        assert!(!is_abused(&activity).await);
        for _ in 0..CANCELLED_CALLS {
            OpenCall::new(&activity).answer();
        }
        cancel(&activity, CANCELLED_CALLS);
        assert!(!is_abused(&activity).await);
        cancel(&activity, 1);
        assert!(is_abused(&activity).await, "one more without an answer or a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_cancels_more_than_is_forgotten_is_abusive() {
        let activity = Arc::new(Activity::default());
        for _ in 0..11 {
            cancel(&activity, 2 * CANCELLED_CALLS / 10);
            advance(Duration::from_millis(100)).await;
        }
        assert!(is_abused(&activity).await);
    }
}
