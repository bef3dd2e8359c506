//! Ends a check that makes no progress, and says which one.
//!
//! Every thread counts the steps of its checks here. One more thread, the watchdog, looks at these
//! counts. A check hangs if it makes no step
//!
//! * while it uses much processor time: [`COMPUTING`] times the time of a fixed amount of work. So
//!   the limit scales with the machine and the build, and a busy machine changes nothing;
//! * or, if it waits, while no other check makes a step either, for [`WAITING`] times as long.
//!
//! The watchdog then prints the check and its plan so far, and ends the process.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

/// The limit of processor time, as a multiple of the time of the work that [`Limits::measure`]
/// does: about 8 s on a present machine, which is enough for millions of steps.
const COMPUTING: u32 = 1_000;

/// How much longer a check may wait than compute.
const WAITING: u32 = 10;

/// Time between two looks at the counts.
const TICK: Duration = Duration::from_millis(100);

/// Time to print a plan: the hung code may be needed to make it.
const PRINTING: Duration = Duration::from_secs(10);

/// What is printed of a hung check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hung {
    /// What hangs.
    pub(crate) what: String,
    /// The plan so far, with the line that replays it; empty if there is no plan.
    pub(crate) plan: String,
    /// The arguments of `sim` that run it again.
    pub(crate) again: Option<String>,
}

/// Describes a check. It gets the number of the step that does not end.
type Describe = dyn Fn(u32) -> Hung + Send + Sync;

/// The checks of a thread.
#[derive(Default)]
struct Thread {
    id: u64,
    /// Number of steps of all checks so far.
    steps: AtomicU64,
    /// The number of the last step.
    number: AtomicU32,
    /// Whether the watchdog has given up on the present check.
    is_ended: AtomicBool,
    /// The checks, from the outermost to the present one.
    checks: Mutex<Vec<Arc<Describe>>>,
}

static THREADS: Mutex<Vec<Weak<Thread>>> = Mutex::new(Vec::new());

/// What the whole process does, from the outermost stage to the present one.
static STAGES: Mutex<Vec<Arc<Describe>>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: Arc<Thread> = register();
}

fn register() -> Arc<Thread> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let thread = Arc::new(Thread { id, ..Thread::default() });
    lock(&THREADS).push(Arc::downgrade(&thread));
    thread
}

/// A panic while a lock is held leaves a complete list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Thread {
    fn count(&self) {
        // Only this thread writes.
        self.steps.store(self.steps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The present check of this thread begins this step.
pub(crate) fn step(number: u32) {
    THREAD.with(|thread| {
        thread.number.store(number, Ordering::Relaxed);
        thread.count();
    });
}

/// Whether the watchdog has given up on the present check of this thread. Only injected faults
/// ask.
pub(crate) fn is_ended() -> bool {
    THREAD.with(|thread| thread.is_ended.load(Ordering::Relaxed))
}

/// A check or a stage, until it is dropped.
#[must_use]
pub(crate) struct Watched {
    /// The thread of a check; `None` for a stage.
    thread: Option<Arc<Thread>>,
}

/// Begins a check on this thread. Until its end the thread must make steps. A check that waits for
/// other threads is a [`stage`].
pub(crate) fn check(describe: impl Fn(u32) -> Hung + Send + Sync + 'static) -> Watched {
    let thread = THREAD.with(Arc::clone);
    lock(&thread.checks).push(Arc::new(describe));
    thread.count();
    Watched { thread: Some(thread) }
}

/// Begins a stage: during a stage any thread must make steps.
pub(crate) fn stage(describe: impl Fn() -> Hung + Send + Sync + 'static) -> Watched {
    lock(&STAGES).push(Arc::new(move |_| describe()));
    step(0);
    Watched { thread: None }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let list = self.thread.as_ref().map_or(&STAGES, |thread| &thread.checks);
        lock(list).pop();
        THREAD.with(|thread| thread.count());
    }
}

/// How long a check may make no step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Processor time of the process, for each thread with a check.
    pub(crate) computing: Duration,
    /// Time in which no thread makes a step.
    pub(crate) waiting: Duration,
}

impl Limits {
    /// The limits for this machine and this build.
    fn measure() -> Self {
        let began = processor_times().thread;
        let mut state = 1_u64;
        for word in 0..4_000_000 {
            state = black_box((state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
        }
        let computing = (processor_times().thread - began) * COMPUTING;
        Self { computing, waiting: computing * WAITING }
    }
}

/// Processor time so far.
struct ProcessorTimes {
    /// Of this process.
    process: Duration,
    /// Of this thread.
    thread: Duration,
}

#[cfg(target_os = "linux")]
fn processor_times() -> ProcessorTimes {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).expect("it is not negative");
    ProcessorTimes { process: read(ClockId::ProcessCPUTime), thread: read(ClockId::ThreadCPUTime) }
}

/// Elsewhere the wall clock must do.
#[cfg(not(target_os = "linux"))]
fn processor_times() -> ProcessorTimes {
    static BEGAN: std::sync::OnceLock<crate::clock::Stopwatch> = std::sync::OnceLock::new();
    let elapsed = BEGAN.get_or_init(crate::clock::Stopwatch::start).elapsed();
    ProcessorTimes { process: elapsed, thread: elapsed }
}

/// When a count last changed.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    steps: u64,
    /// Processor time of the process.
    computing: Duration,
    /// Time as the watchdog counts it: while the process is stopped, it does not pass.
    waiting: Duration,
}

/// What hangs.
enum Found {
    /// The check of this thread.
    Check(Arc<Thread>),
    /// No thread with a check makes a step, and no other thread either.
    Stage,
}

/// Compares the counts of all threads.
struct Watchdog {
    limits: Limits,
    threads: BTreeMap<u64, Last>,
    all: Last,
}

impl Watchdog {
    fn new(limits: Limits) -> Self {
        Self { limits, threads: BTreeMap::new(), all: Last::default() }
    }

    /// Looks at the counts of these threads, after this much processor time and time.
    fn look(
        &mut self,
        threads: &[Arc<Thread>],
        computing: Duration,
        waiting: Duration,
    ) -> Option<Found> {
        let checking = |thread: &&Arc<Thread>| !lock(&thread.checks).is_empty();
        let busy: Vec<&Arc<Thread>> = threads.iter().filter(checking).collect();
        let sharing = u32::try_from(busy.len().max(1)).expect("there are few threads");
        let limit = self.limits.computing * sharing;
        let now = |steps| Last { steps, computing, waiting };
        let known = std::mem::take(&mut self.threads);
        for &thread in &busy {
            let now = now(thread.steps.load(Ordering::Relaxed));
            let last = known.get(&thread.id).filter(|last| last.steps == now.steps);
            let last = *last.unwrap_or(&now);
            self.threads.insert(thread.id, last);
            if computing - last.computing > limit {
                return Some(Found::Check(Arc::clone(thread)));
            }
        }
        let steps = threads.iter().map(|thread| thread.steps.load(Ordering::Relaxed)).sum();
        if steps != self.all.steps {
            self.all = now(steps);
        }
        let waits = waiting - self.all.waiting > self.limits.waiting;
        if !waits && computing - self.all.computing <= limit {
            return None;
        }
        Some(busy.first().map_or(Found::Stage, |&thread| Found::Check(Arc::clone(thread))))
    }
}

/// Starts the watchdog. It ends the process with `end` when a check hangs.
pub(crate) fn watch(end: fn(&str) -> !) {
    thread::spawn(move || {
        thread::park_timeout(TICK);
        let mut watchdog = Watchdog::new(Limits::measure());
        let mut ticks = 0;
        loop {
            thread::park_timeout(TICK);
            ticks += 1;
            let threads = all_threads();
            if let Some(found) = watchdog.look(&threads, processor_times().process, TICK * ticks) {
                end(&report_in_time(found));
            }
        }
    });
}

fn all_threads() -> Vec<Arc<Thread>> {
    let mut threads = lock(&THREADS);
    threads.retain(|thread| thread.strong_count() > 0);
    threads.iter().filter_map(Weak::upgrade).collect()
}

/// The report, or at least its stages if the hung code is needed to make it.
fn report_in_time(found: Found) -> String {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(report(&found)));
    receive.recv_timeout(PRINTING).unwrap_or_else(|_| report(&Found::Stage))
}

fn report(found: &Found) -> String {
    let mut checks = lock(&STAGES).clone();
    let mut number = 0;
    if let Found::Check(thread) = found {
        checks.extend(lock(&thread.checks).iter().cloned());
        number = thread.number.load(Ordering::Relaxed);
    }
    let mut text = String::new();
    let (mut plan, mut again) = (String::new(), None);
    for describe in checks.iter().rev() {
        let hung = describe(number);
        if text.is_empty() {
            text = format!("FAIL {}: no progress\n", hung.what);
            plan = hung.plan;
        } else {
            text = format!("{text}  in {}\n", hung.what);
        }
        again = again.or(hung.again);
    }
    if !plan.is_empty() {
        text = format!("{text}\n{plan}");
    }
    text + &again.map_or_else(String::new, |arguments| reproduce(&arguments))
}

/// The line that runs `sim` again with these arguments.
#[must_use]
pub(crate) fn reproduce(arguments: &str) -> String {
    format!("reproduce: cargo run --release --bin sim -- {arguments}\n")
}

/// Runs `work` on a new thread, with these limits. Returns the report if it hangs; then
/// [`is_ended`] is true on its thread, so that an injected endless loop ends.
pub(crate) fn first_hang(limits: Limits, work: impl FnOnce() + Send + 'static) -> Option<String> {
    let tick = limits.computing / 10;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        if send.send(THREAD.with(Arc::clone)).is_ok() {
            work();
        }
    });
    let threads = [receive.recv().ok()?];
    let mut watchdog = Watchdog::new(limits);
    let (mut ticks, mut found) = (0, None);
    while matches!(receive.recv_timeout(tick), Err(mpsc::RecvTimeoutError::Timeout)) {
        ticks += 1;
        let hangs = watchdog.look(&threads, processor_times().process, tick * ticks);
        if let (Some(hangs), None) = (hangs, &found) {
            found = Some(report_in_time(hangs));
            threads[0].is_ended.store(true, Ordering::Relaxed);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { computing: Duration::from_secs(10), waiting: Duration::from_secs(100) };

    fn checking(id: u64) -> Arc<Thread> {
        let thread = Thread { id, ..Thread::default() };
        lock(&thread.checks)
            .push(Arc::new(|number| Hung { what: format!("step {number}"), ..Hung::default() }));
        Arc::new(thread)
    }

    fn look(watchdog: &mut Watchdog, threads: &[Arc<Thread>], seconds: [u64; 2]) -> Option<u64> {
        let [computing, waiting] = seconds.map(Duration::from_secs);
        watchdog.look(threads, computing, waiting).map(|found| match found {
            Found::Check(thread) => thread.id,
            Found::Stage => u64::MAX,
        })
    }

    #[test]
    fn a_check_that_computes_without_a_step_is_found() {
        let mut watchdog = Watchdog::new(LIMITS);
        let threads = [checking(1), checking(2)];
        for second in 0..=20 {
            assert_eq!(look(&mut watchdog, &threads, [second, second]), None);
            threads[0].count();
        }
        // Two threads share the processor time, so the limit is twice as long.
        assert_eq!(look(&mut watchdog, &threads, [21, 21]), Some(2));
    }

    #[test]
    fn a_check_that_waits_is_found_later() {
        let mut watchdog = Watchdog::new(LIMITS);
        let threads = [checking(7)];
        threads[0].count();
        assert_eq!(look(&mut watchdog, &threads, [5, 0]), None);
        assert_eq!(look(&mut watchdog, &threads, [5, 100]), None);
        assert_eq!(look(&mut watchdog, &threads, [5, 101]), Some(7));
    }

    #[test]
    fn a_stage_hangs_only_if_no_thread_makes_a_step() {
        let mut watchdog = Watchdog::new(LIMITS);
        let threads = [Arc::new(Thread::default())];
        threads[0].count();
        assert_eq!(look(&mut watchdog, &threads, [0, 0]), None);
        threads[0].count();
        assert_eq!(look(&mut watchdog, &threads, [11, 0]), None);
        assert_eq!(look(&mut watchdog, &threads, [22, 0]), Some(u64::MAX));
    }

    #[test]
    fn a_report_has_the_check_and_everything_around_it() {
        let thread = checking(1);
        thread.number.store(12, Ordering::Relaxed);
        lock(&thread.checks).push(Arc::new(|number| Hung {
            what: format!("inside {number}"),
            plan: "plan v1\n".to_owned(),
            again: Some("--seed 3".to_owned()),
        }));
        let text = report(&Found::Check(thread));
        assert!(text.starts_with("FAIL inside 12: no progress\n  in step 12\n"), "{text}");
        assert!(
            text.ends_with("\nplan v1\nreproduce: cargo run --release --bin sim -- --seed 3\n")
        );
    }
}
