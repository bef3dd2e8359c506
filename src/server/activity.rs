//! What happens on one connection, shared by its socket, its calls and its supervisor. All of them
//! are on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::limits::CANCELLED_CALLS;

/// Counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The client has sent the start of HTTP/2.
    spoke: AtomicBool,
    /// Streams that have begun.
    begun: AtomicU64,
    /// Streams that have not ended.
    open: AtomicU32,
    /// Calls that are not answered.
    calls: AtomicU32,
    /// Requests of calls that have not arrived.
    arriving: AtomicU32,
    /// Cancelled calls, less the answered ones.
    cancelled: AtomicU32,
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
        let cancelled = self.activity.cancelled.load(Ordering::Relaxed);
        let cancelled = match (self.answered, cancelled) {
            (true, 0) => return,
            (true, some) => some - 1,
            (false, some) => some + 1,
        };
        // The connection is on one thread, so nobody else changes it between.
        self.activity.cancelled.store(cancelled, Ordering::Relaxed);
        if cancelled > CANCELLED_CALLS {
            self.activity.abused.notify_one();
        }
    }
}
