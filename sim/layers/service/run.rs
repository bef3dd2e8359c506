//! Runs seeds of the service layer: each one without faults and with faults.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::time::Duration;

use super::backlog;
use super::edge::{self, Edge};
use super::edge_counts::EdgeCounts;
use super::fault_counts::FaultCounts;
use super::fault_free::{self, retimed};
use super::fault_schedule::FaultSchedule;
use super::faulty_run::FaultyRun;
use crate::check::failure::{Failure, Signature};
use crate::check::panic;
use crate::clock::Stopwatch;
use crate::coverage::counts::Counts;
use crate::exit::Exit;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::generator::{GENERATOR, origin, plan_of};
use crate::plan::text::WorldLine;
use crate::plan::workload::Workload;
use crate::plan::{Kind, Plan};
use crate::progress::{self, Hung, Watched, reproduce};
use crate::report::screen;
use crate::runner::{self, RunRequest, SeedResult, StopRule};
use crate::{report, shrink};

/// Maximum number of steps of a seed by default.
const LENGTH: u32 = 600;

/// Number of steps of a short plan.
const SHORT: u32 = 120;

/// Marks the text of a plan without faults, in the place of a fault schedule.
const NO_FAULTS: &str = "net no-faults";

/// The cost of a step in the shrinker's budget, which counts commands of the state machine.
const COST: u64 = 8;

/// Maximum number of runs to shrink the fault schedule.
const MOST_RUNS: u64 = 5_000;

/// A text and an exit code.
type Outcome = (String, Exit);

/// A plan with the settings of the service and its fault schedule; `None`: no faults.
#[derive(Clone, Debug)]
struct Case {
    plan: Plan,
    edge: Edge,
    schedule: Option<FaultSchedule>,
}

/// The counts of a run.
#[derive(Debug, Default)]
struct CaseResult {
    counts: Counts,
    edge_counts: EdgeCounts,
    fault_counts: FaultCounts,
}

impl Case {
    /// The name on pages.
    const fn name(&self) -> &'static str {
        if self.schedule.is_some() { "with faults" } else { "without faults" }
    }

    /// Runs the case; a panic of the service is a failure.
    fn play(&self, injected: InjectedFaults) -> Result<CaseResult, Box<Failure>> {
        let (case, flags) = (self.clone(), injected.flag());
        let _watched = progress::check(move |number| case.hung(number, &flags));
        let panicked = |caught| Err(Box::new(Failure::of_panic(caught, None, 0, 0)));
        panic::caught(|| self.play_unguarded(injected)).unwrap_or_else(panicked)
    }

    /// The watchdog's report of this case.
    fn hung(&self, number: u32, flags: &str) -> Hung {
        let what = match number {
            0 => format!("service, {}, in the drain", self.name()),
            number => format!("service, {}, last step {number}", self.name()),
        };
        let mut case = self.clone();
        // Without faults the steps begin one after another.
        let in_order = self.schedule.is_none() && number > 0;
        case.plan.steps.retain(|step| !in_order || step.number <= number);
        Hung { what, plan: screen::plan(&case.text(), flags), again: None }
    }

    fn play_unguarded(&self, injected: InjectedFaults) -> Result<CaseResult, Box<Failure>> {
        match &self.schedule {
            None => {
                let (counts, edge_counts) = fault_free::play(&self.plan, self.edge, injected)?;
                Ok(CaseResult { counts, edge_counts, ..CaseResult::default() })
            }
            Some(schedule) => {
                let mut run = FaultyRun::open(&self.plan, schedule, self.edge, injected);
                run.play()?;
                let FaultyRun { checker, fault_counts, .. } = run;
                let (counts, edge_counts) = (checker.counts, checker.edge_counts);
                Ok(CaseResult { counts, edge_counts, fault_counts })
            }
        }
    }

    fn fails(&self, injected: InjectedFaults, signature: Signature) -> bool {
        self.play(injected).err().is_some_and(|failure| failure.signature == signature)
    }

    /// Removes faults, shrinks the plan, and removes faults again.
    fn shrink(&self, injected: InjectedFaults, signature: Signature) -> Self {
        let mut case = self.clone();
        case.drop_faults(injected, signature);
        let schedule = case.schedule.clone();
        let shrunk = shrink::keeping(&case.plan, |plan| {
            let plan = if schedule.is_none() { retimed(plan.clone()) } else { plan.clone() };
            let steps = u64::try_from(plan.steps.len()).expect("lengths fit 64 bits");
            let candidate = Self { plan, edge: case.edge, schedule: schedule.clone() };
            (candidate.fails(injected, signature), COST * steps)
        });
        case.plan = if schedule.is_none() { retimed(shrunk.plan) } else { shrunk.plan };
        case.drop_faults(injected, signature);
        case
    }

    fn drop_faults(&mut self, injected: InjectedFaults, signature: Signature) {
        let Some(schedule) = &mut self.schedule else { return };
        let steps: std::collections::BTreeSet<u32> =
            self.plan.steps.iter().map(|step| step.number).collect();
        schedule.faults.retain(|fault| steps.contains(&fault.step));
        let case = self.clone();
        let fails = |schedule: &FaultSchedule| {
            let candidate = Self { schedule: Some(schedule.clone()), ..case.clone() };
            (candidate.fails(injected, signature), 1)
        };
        let mut shrinker = shrink::Shrinker::new(MOST_RUNS, fails);
        if let Some(schedule) = &mut self.schedule {
            shrinker.remove_ranges(schedule, |schedule| &mut schedule.faults);
        }
    }

    fn text(&self) -> String {
        let no_faults = || format!("{NO_FAULTS}\n");
        let schedule = self.schedule.as_ref().map_or_else(no_faults, FaultSchedule::to_string);
        format!("{}{}\n{schedule}", self.plan, self.edge)
    }
}

/// One seed in this many also has a backlog of thousands of orders.
const BACKLOG_SAMPLE: u64 = 64;

/// The cases of a seed: a plan without and with faults, for some seeds also a plan with hundreds of
/// lines, and for some with a large backlog.
fn cases(seed: u64, steps: Option<u32>, injected: InjectedFaults) -> Vec<Case> {
    let workload = Workload::of(seed);
    let length = steps.unwrap_or(workload.length.min(LENGTH));
    let plans = if injected.has(SimulatorFault::DefaultEdge) {
        vec![(plan_of(seed, &workload, false, length), Edge::default())]
    } else {
        let usual = (edge::plan(seed, &workload, length), Edge::of(seed));
        std::iter::once(usual).chain(edge::wide(seed, &workload, length)).collect()
    };
    let mut cases = Vec::new();
    for (plan, edge) in plans {
        let schedule = Some(FaultSchedule::of(seed, &plan));
        cases.push(Case { plan: retimed(plan.clone()), edge, schedule: None });
        cases.push(Case { plan, edge, schedule });
    }
    if steps.is_none() && seed % BACKLOG_SAMPLE == 1 {
        let (plan, schedule) = backlog::of(seed);
        cases.push(Case { plan, edge: Edge::of(seed), schedule: Some(schedule) });
    }
    cases
}

/// Runs a seed without and with faults.
#[must_use]
pub(crate) fn seed(seed: u64, steps: Option<u32>, injected: InjectedFaults) -> Outcome {
    let _watched = watched(seed, steps, injected);
    let mut text = format!("seed {seed} · generator {GENERATOR} · service\n");
    for case in cases(seed, steps, injected) {
        match case.play(injected) {
            Ok(result) => page(&mut text, &case, &result),
            Err(failure) => {
                return report_seed_failure(seed, steps, &case, &failure, injected);
            }
        }
    }
    (text, Exit::Ok)
}

/// Runs many seeds, up to the first that fails.
#[must_use]
pub(crate) fn run_many(request: RunRequest) -> Outcome {
    play_seeds(request).report()
}

/// As [`run_many`], and prints the speed on stderr.
#[must_use]
pub(crate) fn run_with_speed(request: RunRequest) -> Outcome {
    let summary = play_seeds(request);
    summary.speed.print();
    summary.report()
}

/// The watchdog's description of a seed.
fn watched(seed: u64, steps: Option<u32>, injected: InjectedFaults) -> Watched {
    progress::check(move |_| Hung {
        what: origin(seed),
        again: Some(arguments(seed, steps, injected)),
        ..Hung::default()
    })
}

/// The arguments that run a seed again.
fn arguments(seed: u64, steps: Option<u32>, injected: InjectedFaults) -> String {
    let steps = steps.map_or_else(String::new, |steps| format!(" --steps {steps}"));
    let bug = injected.flag();
    format!("--seed {seed} --generator {GENERATOR} --layer service{steps}{bug}")
}

/// Runs many seeds, up to the first that fails. It is also a failure if a count of
/// [`FaultCounts`] or [`EdgeCounts`] is 0 at the end.
#[must_use]
pub(crate) fn run_covered(seeds: Range<u64>, jobs: usize, injected: InjectedFaults) -> Outcome {
    let summary = play_seeds(request(seeds, jobs, injected));
    let uncovered = summary.failed.is_none() && !summary.total.missing().is_empty();
    let (text, exit) = summary.report();
    (text, if uncovered { Exit::Coverage } else { exit })
}

/// As [`run_covered`], with short plans, and without shrinking a failure.
///
/// # Errors
/// The first failure, or else the counts that are 0 at the end.
pub(crate) fn covered(seeds: Range<u64>, injected: InjectedFaults) -> Result<(), NotCovered> {
    let summary = play_seeds(RunRequest { steps: Some(SHORT), ..request(seeds, 2, injected) });
    if let Some((seed, _, failure)) = summary.failed {
        return Err(NotCovered::Failed(seed, failure));
    }
    let missing = summary.total.missing();
    if missing.is_empty() { Ok(()) } else { Err(NotCovered::Missing(missing)) }
}

/// What is wrong with a run that must cover everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCovered {
    /// This seed failed.
    Failed(u64, Box<Failure>),
    /// These counts are 0.
    Missing(Vec<&'static str>),
}

impl fmt::Display for NotCovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(seed, failure) => {
                let (actual, expected) = screen::short_pair(&failure.actual, &failure.expected);
                write!(f, "seed {seed}: {actual}, not {expected}")
            }
            Self::Missing(names) => write!(f, "never happened: {}", names.join(", ")),
        }
    }
}

fn request(seeds: Range<u64>, jobs: usize, injected: InjectedFaults) -> RunRequest {
    RunRequest { seeds, jobs, steps: None, time: None, until_stable: false, injected }
}

/// The result of many seeds.
struct Summary {
    request: RunRequest,
    /// Number of seeds that ran.
    seeds: u64,
    total: CaseResult,
    speed: Speed,
    /// The lowest seed that failed, and how.
    failed: Option<(u64, Case, Box<Failure>)>,
}

/// The counts of one seed.
#[derive(Default)]
struct SeedTotals {
    total: CaseResult,
    speed: Speed,
    failed: Option<Case>,
}

fn play_seed(seed: u64, request: &RunRequest) -> SeedResult<SeedTotals> {
    let _watched = watched(seed, request.steps, request.injected);
    let mut played = SeedTotals::default();
    for case in cases(seed, request.steps, request.injected) {
        let began = Stopwatch::start();
        match case.play(request.injected) {
            Ok(result) => {
                played.speed.note(&case, result.counts.commands, began.elapsed());
                played.total.add(&result);
            }
            Err(failure) => {
                played.failed = Some(case);
                return SeedResult { seed, counts: played, failure: Some(failure) };
            }
        }
    }
    SeedResult { seed, counts: played, failure: None }
}

fn play_seeds(request: RunRequest) -> Summary {
    let mut stop = StopRule::new(&request);
    let bar = runner::progress(request.seeds.end - request.seeds.start);
    let (mut seeds, mut failed) = (0, None);
    let (mut total, mut speed) = (CaseResult::default(), Speed::default());
    let play = |seed| play_seed(seed, &request);
    runner::play_in_order(request.seeds.clone(), request.jobs, play, |result| {
        let SeedResult { seed, counts: played, failure } = result;
        seeds += 1;
        total.add(&played.total);
        speed.add(&played.speed);
        failed = played.failed.zip(failure).map(|(case, failure)| (seed, case, failure));
        bar.set_position(seeds);
        stop.continues(seeds, total.reached())
    });
    bar.finish_and_clear();
    Summary { request, seeds, total, speed, failed }
}

impl Summary {
    fn report(self) -> Outcome {
        let Self { request: RunRequest { seeds, steps, injected, .. }, total, failed, .. } = self;
        if let Some((seed, case, failure)) = failed {
            return report_seed_failure(seed, steps, &case, &failure, injected);
        }
        let last = seeds.start + self.seeds;
        let mut text = format!("seeds {}..{last} · generator {GENERATOR} · service\n", seeds.start);
        let (calls, answers) = (total.counts.commands, total.counts.fingerprint());
        let _ = writeln!(text, "calls  {calls}, answers {answers}");
        total.edge_counts.write(&mut text);
        total.fault_counts.write(&mut text);
        let missing = total.missing();
        if !missing.is_empty() {
            let _ = writeln!(text, "never happened: {}", missing.join(", "));
        }
        (text, Exit::Ok)
    }
}

impl CaseResult {
    fn add(&mut self, next: &Self) {
        self.counts.add(&next.counts);
        self.edge_counts.add(&next.edge_counts);
        self.fault_counts.add(&next.fault_counts);
    }

    /// Number of different faults, settings and answers.
    fn reached(&self) -> usize {
        let answers = Kind::ALL.iter().map(|&kind| self.counts.by_class(kind).len()).sum::<usize>();
        answers + self.all().filter(|&(_, count)| count > 0).count()
    }

    /// All counts of faults and settings, with their names.
    fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.fault_counts.all().into_iter().chain(self.edge_counts.all())
    }

    /// The names of all counts that are 0.
    fn missing(&self) -> Vec<&'static str> {
        self.all().filter(|&(_, count)| count == 0).map(|(name, _)| name).collect()
    }
}

/// Runs a plan with a fault schedule; `None` if the text has no readable schedule.
#[must_use]
pub(crate) fn replay(text: &str, injected: InjectedFaults) -> Option<Outcome> {
    let (edge, text) = Edge::parse(text).ok()?;
    let case = if let Some((before, after)) = text.split_once(NO_FAULTS) {
        let plan = retimed(Plan::parse(&format!("{before}{after}")).ok()?);
        Case { plan, edge, schedule: None }
    } else {
        text.lines().find(|line| line.starts_with("net "))?;
        let (schedule, plan) = FaultSchedule::parse(&text).ok()?;
        Case { plan: Plan::parse(&plan).ok()?, edge, schedule: Some(schedule) }
    };
    Some(match case.play(injected) {
        Ok(result) => {
            let mut text = String::new();
            page(&mut text, &case, &result);
            (text, Exit::Ok)
        }
        Err(failure) => report_failure("plan", &case, &failure, injected),
    })
}

/// The report of a seed that failed, with the command that reproduces it.
fn report_seed_failure(
    seed: u64,
    steps: Option<u32>,
    case: &Case,
    failure: &Failure,
    injected: InjectedFaults,
) -> Outcome {
    let (mut text, exit) = report_failure(&origin(seed), case, failure, injected);
    text.push_str(&reproduce(&arguments(seed, steps, injected)));
    (text, exit)
}

fn report_failure(
    origin: &str,
    case: &Case,
    failure: &Failure,
    injected: InjectedFaults,
) -> Outcome {
    let small = case.shrink(injected, failure.signature);
    let shrunk = small.play(injected).err().unwrap_or_else(|| Box::new(failure.clone()));
    let origin = format!("{origin} · service, {}", case.name());
    let mut text = report::difference(&shrunk, &origin);
    let (before, after) = (case.plan.steps.len(), small.plan.steps.len());
    let _ = writeln!(text, "  shrunk from {before} steps to {after}\n");
    text.push_str(&screen::plan(&small.text(), &injected.flag()));
    (text, Exit::of(failure))
}

fn page(text: &mut String, case: &Case, result: &CaseResult) {
    let CaseResult { counts, edge_counts, fault_counts } = result;
    let name = case.name();
    let _ = writeln!(text, "\n{name}: {} calls, {}", counts.commands, counts.fingerprint());
    let _ = writeln!(text, "  {}\n  {}", WorldLine(&case.plan), case.edge);
    for kind in Kind::ALL {
        let counts = counts.by_class(kind);
        if !counts.is_empty() {
            let _ = writeln!(text, "  {:<7}{}", kind.name(), counts.join(", "));
        }
    }
    edge_counts.write(text);
    if case.schedule.is_some() {
        fault_counts.write(text);
    }
}

/// Number of calls and their total duration: first without faults, then with faults.
#[derive(Debug, Default)]
struct Speed([(u64, Duration); 2]);

impl Speed {
    fn note(&mut self, case: &Case, calls: u64, took: Duration) {
        let sum = &mut self.0[usize::from(case.schedule.is_some())];
        *sum = (sum.0 + calls, sum.1 + took);
    }

    fn add(&mut self, next: &Self) {
        for ((calls, took), (more_calls, more_time)) in self.0.iter_mut().zip(next.0) {
            *calls += more_calls;
            *took += more_time;
        }
    }

    fn print(&self) {
        for (name, (calls, took)) in ["off, checked twice", "on"].iter().zip(self.0) {
            let each = took.as_nanos() / u128::from(calls.max(1));
            eprintln!("sim: service, faults {name}: {calls} calls in {took:.2?}, {each} ns each");
        }
    }
}
