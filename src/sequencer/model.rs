//! What the sequencer waits with, for `loom`: every operation on the lock, a notification or the
//! time is a step, and `loom` runs the test once for each order of steps that can make a
//! difference. Time moves only when a test moves it.

use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::mem;
use std::ops::Add;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::Condvar;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::SeqCst;
pub(super) use loom::sync::{Mutex, MutexGuard};

thread_local! {
    /// The time of this run. All threads of `loom` are on one thread of the system.
    static TIME: RefCell<Arc<Time>> = panic!("a test starts the time");
}

/// The time of one run, and what was counted in it.
pub(super) struct Time {
    now: AtomicU64,
    timers: Mutex<Vec<(u64, Waker)>>,
    /// Not a step: only the end of a test reads it.
    starts: std::sync::atomic::AtomicUsize,
}

impl Time {
    /// Starts the time of a run at 0.
    pub(super) fn start() -> Arc<Self> {
        let (now, timers, starts) = (AtomicU64::new(0), Mutex::new(Vec::new()), 0.into());
        let time = Arc::new(Self { now, timers, starts });
        TIME.set(Arc::clone(&time));
        time
    }

    fn current() -> Arc<Self> {
        TIME.with_borrow(Arc::clone)
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.now.load(SeqCst)
    }

    /// Moves the time forward and wakes the timers that are due. One thread at a time does this.
    pub(super) fn advance(&self, milliseconds: u64) {
        let now = self.now() + milliseconds * 1_000_000;
        self.now.store(now, SeqCst);
        let mut timers = self.timers.lock().expect("no test panics with this lock");
        let due: Vec<_> = timers.extract_if(.., |(due, _)| *due <= now).collect();
        drop(timers);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// How often the time was read with [`Instant::now`]: once before each tick of the ticker.
    pub(super) fn ticks(&self) -> usize {
        self.starts.load(SeqCst)
    }
}

/// `tokio::time::Instant`.
#[derive(Clone, Copy)]
pub(super) struct Instant(u64);

impl Instant {
    pub(super) fn now() -> Self {
        let time = Time::current();
        time.starts.fetch_add(1, SeqCst);
        Self(time.now())
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0 + u64::try_from(wait.as_nanos()).expect("less than 584 years"))
    }
}

/// `tokio::time::sleep_until`.
pub(super) fn sleep_until(Instant(due): Instant) -> impl Future<Output = ()> {
    poll_fn(move |context| {
        let time = Time::current();
        // In this order: a timer that is not in the list when the time moves sees the new time.
        let waker = context.waker().clone();
        time.timers.lock().expect("no test panics with this lock").push((due, waker));
        if time.now() >= due { Poll::Ready(()) } else { Poll::Pending }
    })
}

/// `tokio::task::yield_now`. Other threads can run before every step anyway.
pub(super) fn yield_now() -> impl Future<Output = ()> {
    ready(())
}

/// `tokio::sync::Notify` itself. The lock makes each operation on it a step.
pub(super) struct Notify {
    step: Mutex<()>,
    notify: tokio::sync::Notify,
}

impl Notify {
    pub(super) fn new() -> Self {
        Self { step: Mutex::new(()), notify: tokio::sync::Notify::new() }
    }

    pub(super) fn notify_one(&self) {
        let _step = self.step.lock();
        self.notify.notify_one();
    }

    pub(super) fn notify_waiters(&self) {
        let _step = self.step.lock();
        self.notify.notify_waiters();
    }

    pub(super) fn notified(&self) -> Notified<'_> {
        let _step = self.step.lock();
        Notified { step: &self.step, notified: Some(Box::pin(self.notify.notified())) }
    }
}

/// `tokio::sync::futures::Notified`.
pub(super) struct Notified<'a> {
    step: &'a Mutex<()>,
    /// `None` once it is dropped.
    notified: Option<Pin<Box<tokio::sync::futures::Notified<'a>>>>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let step = self.step;
        let _step = step.lock();
        self.notified.as_mut().expect("it exists until it is dropped").as_mut().poll(context)
    }
}

impl Drop for Notified<'_> {
    /// A notification that nobody received goes to the next waiter.
    fn drop(&mut self) {
        let step = self.step;
        let _step = step.lock();
        self.notified = None;
    }
}

/// Wakes a thread that runs [`block_on`].
#[derive(Default)]
struct Unpark {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().expect("nothing panics with this lock") = true;
        self.changed.notify_one();
    }
}

/// Runs a future on this thread. If nothing wakes it, `loom` reports a deadlock.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let unpark = Arc::new(Unpark::default());
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut woken = unpark.woken.lock().expect("nothing panics with this lock");
        while !mem::take(&mut *woken) {
            woken = unpark.changed.wait(woken).expect("nothing panics with this lock");
        }
    }
}
