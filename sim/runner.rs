//! Runs seeds on several threads. Each seed is one run on one thread. Workers take seeds from a
//! shared counter. Results are combined in seed order, so the output does not depend on the number
//! of threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::check::failure::{Failure, Oracle};
use crate::check::swarm::{law_plan, play_seed};
use crate::clock::Stopwatch;
use crate::coverage;
use crate::coverage::counts::Counts;
use crate::coverage::marks::{Mark, MarkSet};
use crate::exit::Exit;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::mutation::regressions;
use crate::plan::Plan;
use crate::plan::generator::{GENERATOR, origin, plan_of};
use crate::plan::workload::Workload;
use crate::progress::reproduce;
use crate::{report, shrink};

/// A request to run many seeds.
#[derive(Clone, Debug)]
pub(crate) struct RunRequest {
    /// The seeds.
    pub(crate) seeds: Range<u64>,
    /// Number of threads.
    pub(crate) jobs: usize,
    /// Number of commands per seed; `None`: chosen by the seed.
    pub(crate) steps: Option<u32>,
    /// Stop after this time.
    pub(crate) time: Option<Duration>,
    /// Stop after [`STABLE`] seeds in a row that reach nothing new.
    pub(crate) until_stable: bool,
    /// Injected faults.
    pub(crate) injected: InjectedFaults,
}

/// After this many seeds without a new mark, another new mark is unlikely.
const STABLE: u64 = 1_000;

/// Runs the regression plans and then one seed.
pub(crate) fn run_seed(seed: u64, steps: Option<u32>, injected: InjectedFaults) -> (String, Exit) {
    if let Some(regression) = failing_regression(injected) {
        return regression;
    }
    let workload = Workload::of(seed);
    let run = play_seed(seed, &workload, steps.unwrap_or(workload.length), injected);
    match run.verdict {
        Ok(()) => (report::seed(seed, &workload, &run), Exit::Ok),
        Err(failure) => report_seed_failure(seed, steps, &failure, injected),
    }
}

/// Runs the regression plans and then many seeds.
pub(crate) fn run_many(request: RunRequest) -> (String, Exit) {
    if let Some(regression) = failing_regression(request.injected) {
        return regression;
    }
    let mut stop = StopRule::new(&request);
    let RunRequest { seeds, jobs, steps, injected, .. } = request;
    let bar = progress(seeds.end - seeds.start);
    let summary = run_seeds(seeds.clone(), RunOptions { jobs, steps, injected }, |summary| {
        bar.set_position(summary.seeds);
        let reached = summary.reached.iter().filter(|&&seeds| seeds > 0).count();
        stop.continues(summary.seeds, reached)
    });
    bar.finish_and_clear();
    print_speed(summary.counts.commands, jobs, stop.elapsed());
    if let Some((seed, failure)) = summary.failed {
        return report_seed_failure(seed, steps, &failure, injected);
    }
    let last = seeds.start + summary.seeds;
    let counts = &summary.counts;
    let text = format!(
        "swarm · generator {GENERATOR} · seeds {}..{last} · {} commands, all agree\n\
         orders {}: {} paid, {} cancelled, {} expired\n{}answers {}\n",
        seeds.start,
        counts.commands,
        counts.orders,
        counts.paid,
        counts.cancelled,
        counts.expired,
        coverage::missing(counts.marks),
        counts.fingerprint(),
    );
    (text, Exit::Ok)
}

/// Decides whether a run of many seeds ends before its last seed.
#[derive(Debug)]
pub(crate) struct StopRule {
    began: Stopwatch,
    time: Option<Duration>,
    until_stable: bool,
    /// The highest `reached` so far, and the number of seeds when it last grew.
    reached: usize,
    reached_at: u64,
}

impl StopRule {
    /// The rule that the request asks for. Its time starts now.
    #[must_use]
    pub(crate) fn new(request: &RunRequest) -> Self {
        Self {
            began: Stopwatch::start(),
            time: request.time,
            until_stable: request.until_stable,
            reached: 0,
            reached_at: 0,
        }
    }

    /// Whether to run another seed after the first `seeds`, which together reached `reached`
    /// different marks, or faults and kinds of answer.
    #[must_use]
    pub(crate) fn continues(&mut self, seeds: u64, reached: usize) -> bool {
        if reached > self.reached {
            (self.reached, self.reached_at) = (reached, seeds);
        }
        let stable = self.until_stable && seeds - self.reached_at >= STABLE;
        !stable && self.time.is_none_or(|time| self.elapsed() < time)
    }

    /// The time since the run began.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

fn failing_regression(injected: InjectedFaults) -> Option<(String, Exit)> {
    // With a planted bug the regression plans would find only that bug.
    if injected.bug.is_some() {
        return None;
    }
    let (regression, failure) = regressions::first_failure(injected)?;
    Some(report_failure(
        &failure,
        &format!("regression {}", regression.name),
        &regression.plan,
        injected,
    ))
}

/// Shrinks and reports the failure of a seed, with the command that reproduces it.
pub(crate) fn report_seed_failure(
    seed: u64,
    steps: Option<u32>,
    failure: &Failure,
    injected: InjectedFaults,
) -> (String, Exit) {
    let workload = Workload::of(seed);
    let length = steps.unwrap_or(workload.length);
    let plan = if matches!(failure.signature.oracle, Oracle::Law(_)) {
        law_plan(seed, &workload, length, injected)
    } else {
        let blind = injected.has(SimulatorFault::DrawsIgnorePurpose);
        // The steps of the drain are part of the plan.
        let mut plan = plan_of(seed, &workload, blind, length);
        plan.steps.extend(play_seed(seed, &workload, length, injected).drained);
        plan
    };
    let (mut text, exit) = report_failure(failure, &origin(seed), &plan, injected);
    let steps = steps.map_or_else(String::new, |steps| format!(" --steps {steps}"));
    let bug = injected.flag();
    text.push_str(&reproduce(&format!("--seed {seed} --generator {GENERATOR}{steps}{bug}")));
    (text, exit)
}

/// Shrinks and reports a failing plan.
pub(crate) fn report_failure(
    failure: &Failure,
    origin: &str,
    plan: &Plan,
    injected: InjectedFaults,
) -> (String, Exit) {
    let (shrunk, ending) = shrink::failing(plan, failure, injected);
    let text = report::failure(failure, origin, &shrunk.plan, ending, injected, shrunk.runs);
    (text, Exit::of(failure))
}

/// A progress bar on stderr. It is hidden if stderr is not a terminal.
pub(crate) fn progress(seeds: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} seeds, {per_sec}, {eta} left")
            .expect("the template is valid");
    ProgressBar::new(seeds).with_style(style)
}

fn print_speed(commands: u64, jobs: usize, took: Duration) {
    let micros = took.as_micros().max(1);
    let per_second = u128::from(commands) * 1_000_000 / micros;
    let millis = took.as_millis();
    eprintln!("{millis} ms, {jobs} jobs, {per_second} commands a second");
}

/// The combined results of many seeds.
#[derive(Debug)]
pub(crate) struct RunSummary {
    /// Counts of all seeds, up to the first failure.
    pub(crate) counts: Counts,
    /// Number of seeds.
    pub(crate) seeds: u64,
    /// Number of seeds that reached each mark, by its index in [`Mark::ALL`].
    pub(crate) reached: Vec<u64>,
    /// The lowest seed that failed.
    pub(crate) failed: Option<(u64, Box<Failure>)>,
}

/// Options of a run of many seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunOptions {
    /// Number of threads.
    pub(crate) jobs: usize,
    /// Number of commands per seed; `None`: chosen by the seed.
    pub(crate) steps: Option<u32>,
    /// Injected faults.
    pub(crate) injected: InjectedFaults,
}

impl RunSummary {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            seeds: 0,
            reached: vec![0; Mark::ALL.len()],
            failed: None,
        }
    }

    /// The marks that any seed reached.
    #[must_use]
    pub(crate) const fn marks(&self) -> MarkSet {
        self.counts.marks
    }

    fn take(&mut self, result: SeedResult<Counts>) {
        self.seeds += 1;
        self.counts.add(&result.counts);
        for (count, &mark) in self.reached.iter_mut().zip(Mark::ALL) {
            *count += u64::from(result.counts.marks.has(mark));
        }
        self.failed = result.failure.map(|failure| (result.seed, failure));
    }
}

/// Runs these seeds of the swarm layer, up to the first that fails. `on_result` gets the summary
/// after each seed, in order, and decides whether to continue.
#[must_use]
pub(crate) fn run_seeds(
    seeds: Range<u64>,
    options: RunOptions,
    mut on_result: impl FnMut(&RunSummary) -> bool,
) -> RunSummary {
    let RunOptions { jobs, steps, injected } = options;
    let mut summary = RunSummary::new();
    let play = |seed| {
        let workload = Workload::of(seed);
        let run = play_seed(seed, &workload, steps.unwrap_or(workload.length), injected);
        SeedResult { seed, counts: run.counts, failure: run.verdict.err() }
    };
    play_in_order(seeds, jobs, play, |result| {
        summary.take(result);
        on_result(&summary)
    });
    summary
}

/// Number of seeds that a worker takes at once, so that the shared counter costs little.
const BATCH: u64 = 8;

/// The result of one seed.
#[derive(Debug)]
pub(crate) struct SeedResult<T> {
    /// The seed.
    pub(crate) seed: u64,
    /// Its counts, up to its end or its failure.
    pub(crate) counts: T,
    /// Why it failed.
    pub(crate) failure: Option<Box<Failure>>,
}

/// Runs these seeds on `jobs` threads, up to the first that fails. `take` gets the results one by
/// one, in seed order, and decides whether to continue. So its results do not depend on the number
/// of threads.
pub(crate) fn play_in_order<T: Send>(
    seeds: Range<u64>,
    jobs: usize,
    play: impl Fn(u64) -> SeedResult<T> + Sync,
    mut take: impl FnMut(SeedResult<T>) -> bool,
) {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (next, end, play, send) = (&next, &end, &play, send.clone());
            scope.spawn(move || work(next, end, play, &send));
        }
        drop(send);
        // Results that wait for those of lower seeds.
        let mut early = BTreeMap::new();
        let mut due = seeds.start;
        let mut continues = true;
        for results in receive {
            early.extend(results.into_iter().map(|result| (result.seed, result)));
            while let Some(result) = early.remove(&due).filter(|_| continues) {
                due += 1;
                let failed = result.failure.is_some();
                continues = take(result) && !failed;
            }
            if !continues {
                end.fetch_min(due, Ordering::Relaxed);
            }
        }
    });
}

/// A worker: takes batches of seeds until there are none. When a seed fails, all lower seeds that
/// were taken still run, because one of them may fail too.
fn work<T>(
    next: &AtomicU64,
    end: &AtomicU64,
    play: &impl Fn(u64) -> SeedResult<T>,
    send: &mpsc::Sender<Vec<SeedResult<T>>>,
) {
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        let results: Vec<SeedResult<T>> = (first..first.saturating_add(BATCH))
            .take_while(|&seed| seed < end.load(Ordering::Relaxed))
            .map(play)
            .inspect(|result| {
                if result.failure.is_some() {
                    end.fetch_min(result.seed + 1, Ordering::Relaxed);
                }
            })
            .collect();
        if results.is_empty() || send.send(results).is_err() {
            return;
        }
    }
}

/// Calls `work` with every number below `count`, on `jobs` threads. Returns the results in order.
#[must_use]
pub(crate) fn in_order<T: Send>(
    count: usize,
    jobs: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut done = BTreeMap::new();
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..jobs.clamp(1, count.max(1)) {
            let (next, work, send) = (&next, &work, send.clone());
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count || send.send((place, work(place))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        done.extend(receive);
    });
    done.into_values().collect()
}
