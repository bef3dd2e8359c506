//! What CI runs. First what finds a bug of LOMS, from the shortest counterexample to the longest:
//! the regression plans, the laws, the exhaustive layer, 2,000 seeds with all marks, the service
//! layer and concurrent clients. Then what finds a gap in the simulator: its own checks and the
//! planted bugs.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use crate::check::exhaustive::{self, ExploreOptions, Scope};
use crate::check::swarm::{self, Ending};
use crate::cli::print;
use crate::clock::Stopwatch;
use crate::coverage;
use crate::exit::Exit;
use crate::layers::concurrent;
use crate::layers::service;
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::mutation::selfcheck::Check;
use crate::mutation::{kill_table, machine_kills, regressions, selfcheck};
use crate::plan::generator::{origin, plan_of};
use crate::plan::workload::Workload;
use crate::progress::{self, Hung};
use crate::report::{self, pages};
use crate::runner;
use crate::runner::{RunOptions, SeedResult, run_seeds};
use crate::words::counted;

/// Number of seeds of the swarm layer.
pub(crate) const SEEDS: u64 = 2_000;

/// Number of seeds whose first steps are checked against the laws, and how many of these.
const LAW_SEEDS: u64 = 300;
const LAW_STEPS: u32 = 60;

/// Number of seeds of the service layer.
const SERVICE_SEEDS: u64 = 300;

/// Number of calls of the concurrent layer.
const CONCURRENT_CALLS: u32 = 20_000;

/// The number of cores.
#[must_use]
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs everything, up to the first failure. Prints the result of each stage when it is known.
#[must_use]
pub(crate) fn everything() -> (String, Exit) {
    type Stage = (&'static str, fn() -> (String, Exit));
    let stages: [Stage; 8] = [
        ("regressions", regressions),
        ("laws", laws),
        ("exhaustive", || run_exhaustive(InjectedFaults::default())),
        ("seeds and marks", marks),
        ("service", || service::run_covered(0..SERVICE_SEEDS, cores(), InjectedFaults::default())),
        ("concurrent", || concurrent::run(8, CONCURRENT_CALLS, 1)),
        ("selfcheck", || selfcheck(&selfcheck::all(cores()))),
        ("planted bugs", || mutants(None, cores())),
    ];
    for (name, stage) in stages {
        print(&format!("--- {name}\n"));
        let timer = Stopwatch::start();
        let _watched =
            progress::stage(move || Hung { what: format!("stage {name}"), ..Hung::default() });
        let (text, exit) = stage();
        print(&text);
        eprintln!("{name}: {} ms", timer.elapsed().as_millis());
        if exit != Exit::Ok {
            return (String::new(), exit);
        }
    }
    (String::new(), Exit::Ok)
}

/// Checks the laws with the first steps of some seeds.
#[must_use]
pub(crate) fn laws() -> (String, Exit) {
    let plan = |seed| plan_of(seed, &Workload::of(seed), false, LAW_STEPS);
    let play = |seed| {
        let run = swarm::play_plan(&plan(seed), InjectedFaults::default(), Ending::Laws);
        SeedResult { seed, counts: (), failure: run.verdict.err() }
    };
    let mut failed = None;
    runner::play_in_order(0..LAW_SEEDS, cores(), play, |result| {
        failed = result.failure.map(|failure| (result.seed, failure));
        failed.is_none()
    });
    match failed {
        None => (format!("{LAW_SEEDS} seeds keep all laws\n"), Exit::Ok),
        Some((seed, failure)) => {
            let none = InjectedFaults::default();
            runner::report_failure(&failure, &origin(seed), &plan(seed), none)
        }
    }
}

/// Runs the checks of the simulator itself.
#[must_use]
pub(crate) fn selfcheck(checks: &[Check]) -> (String, Exit) {
    let mut text = String::new();
    let mut exit = Exit::Ok;
    for Check { name, wrong, of_determinism } in checks {
        match wrong {
            None => {
                let _ = writeln!(text, "ok   {name}");
            }
            Some(wrong) => {
                let _ = writeln!(text, "FAIL {name}: {wrong}");
                // Nondeterminism is the most serious failure.
                if *of_determinism {
                    exit = Exit::Nondeterminism;
                } else if exit == Exit::Ok {
                    exit = Exit::Survivor;
                }
            }
        }
    }
    (text, exit)
}

/// Runs the exhaustive layer completely.
#[must_use]
pub(crate) fn run_exhaustive(injected: InjectedFaults) -> (String, Exit) {
    explore(None, None, cores(), injected)
}

/// Runs the exhaustive layer, each scope after the other. `time` is for all of them.
#[must_use]
pub(crate) fn explore(
    steps: Option<u32>,
    time: Option<Duration>,
    jobs: usize,
    injected: InjectedFaults,
) -> (String, Exit) {
    let mut text = String::new();
    let began = Stopwatch::start();
    for scope in Scope::ALL {
        let (orders, rules) = (scope.orders(), scope.name());
        let time = time.map(|time| time.saturating_sub(began.elapsed()));
        let options = ExploreOptions { orders, scope, jobs, steps, time, injected };
        let exploration = exhaustive::explore(&options);
        eprintln!("{rules}: done after {} ms", began.elapsed().as_millis());
        if let Some((plan, failure)) = exploration.failed {
            return runner::report_failure(&failure, "exhaustive", &plan, injected);
        }
        let (states, commands) = (exploration.states, exploration.commands);
        let end = if exploration.closed { "closed" } else { "not closed" };
        let _ = writeln!(
            text,
            "{}, {rules}: {states} states, {commands} commands, at most {} deep: {end}, all agree",
            counted(orders, "order"),
            exploration.depth
        );
    }
    (text, Exit::Ok)
}

/// Runs the regression plans.
#[must_use]
pub(crate) fn regressions() -> (String, Exit) {
    match regressions::first_failure(InjectedFaults::default()) {
        Some((regression, failure)) => runner::report_failure(
            &failure,
            &format!("regression {}", regression.name),
            &regression.plan,
            InjectedFaults::default(),
        ),
        None => {
            let mut text = String::new();
            for regression in regressions::all() {
                let steps = regression.plan.steps.len();
                let _ = writeln!(
                    text,
                    "ok   {} ({}): {}",
                    regression.name,
                    counted(steps, "command"),
                    regression.description
                );
            }
            (text, Exit::Ok)
        }
    }
}

/// Runs the seeds of the swarm layer, and prints how many of them reach each mark.
#[must_use]
pub(crate) fn marks() -> (String, Exit) {
    let options = RunOptions { jobs: cores(), steps: None, injected: InjectedFaults::default() };
    let summary = run_seeds(0..SEEDS, options, |_| true);
    if let Some((seed, failure)) = &summary.failed {
        return runner::report_seed_failure(*seed, None, failure, InjectedFaults::default());
    }
    let exit = if summary.marks().missing().next().is_none() { Exit::Ok } else { Exit::Coverage };
    let text = format!(
        "{SEEDS} seeds, {} commands, all agree; number of seeds that reach each mark:\n\n{}\n{}{}",
        summary.counts.commands,
        coverage::picture(&summary.reached),
        coverage::missing(summary.marks()),
        pages::lost_scenarios(summary.marks()),
    );
    (text, exit)
}

/// Tries to find the planted bugs. Prints the kill table, and the one of the shipped code; for a
/// single bug its line, and the plan that finds it.
#[must_use]
pub(crate) fn mutants(only: Option<Bug>, jobs: usize) -> (String, Exit) {
    let bugs = only.as_ref().map_or(Bug::ALL, std::slice::from_ref);
    let kills = kill_table::kill_all(bugs, jobs);
    let mut text = kill_table::table(&kills);
    if only.is_none() {
        let _ = write!(text, "\n{}", machine_kills::table());
    }
    if let (Some(bug), Some((_, plan, ending))) =
        (only, kills.first().and_then(|kill| kill.counterexample.as_ref()))
    {
        let _ = write!(text, "\n# {}\nplan v1\n", bug.description());
        text.push_str(&report::compared_plan(plan, *ending, InjectedFaults::with_bug(bug)));
    }
    let exit =
        if kills.iter().all(kill_table::KillResult::is_good) { Exit::Ok } else { Exit::Survivor };
    (text, exit)
}
