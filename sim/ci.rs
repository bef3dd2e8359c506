//! What CI asks for, each with its verdict: the simulator's own checks, the tiny world, the bugs of
//! old, two thousand seeds with every mark reached, and every planted bug dead within its budget.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use crate::check::exhaustive::{self, ExploreOptions, Scope};
use crate::clock::Stopwatch;
use crate::coverage;
use crate::exit::Exit;
use crate::layers::concurrent;
use crate::layers::service;
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::mutation::selfcheck::Check;
use crate::mutation::{kill_table as kills, regressions, selfcheck};
use crate::report;
use crate::runner;
use crate::runner::{RunOptions, run_seeds};

/// Seeds that CI plays.
const SEEDS: u64 = 2_000;

/// Seeds of the service layer that CI plays.
const SERVICE_SEEDS: u64 = 300;

/// Calls at once that CI makes.
const CONCURRENT_CALLS: u32 = 20_000;

/// As many threads as there are cores.
#[must_use]
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Everything, and the first bad news last.
#[must_use]
pub(crate) fn everything() -> (String, Exit) {
    type Stage = (&'static str, fn() -> (String, Exit));
    let stages: [Stage; 7] = [
        ("selfcheck", || selfcheck(&selfcheck::all(cores()))),
        ("exhaustive", || exhaustive(InjectedFaults::default())),
        ("bugs", bugs),
        ("seeds and marks", marks),
        ("service", || service::run_covered(0..SERVICE_SEEDS, cores(), InjectedFaults::default())),
        ("concurrent", || concurrent::run(8, CONCURRENT_CALLS, 1)),
        ("planted bugs", || mutants(None, cores())),
    ];
    let mut all = String::new();
    for (name, stage) in stages {
        let began = Stopwatch::start();
        let (text, exit) = stage();
        eprintln!("{name}: {} ms", began.elapsed().as_millis());
        let _ = write!(all, "--- {name}\n{text}");
        if exit != Exit::Ok {
            return (all, exit);
        }
    }
    (all, Exit::Ok)
}

/// The simulator's own checks.
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
                // That equal runs differ outweighs all else.
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

/// Explores the tiny world completely.
#[must_use]
pub(crate) fn exhaustive(injected: InjectedFaults) -> (String, Exit) {
    explore(None, None, cores(), injected)
}

/// Explores the tiny world, with fixed and with changing rules.
#[must_use]
pub(crate) fn explore(
    steps: Option<u32>,
    time: Option<Duration>,
    jobs: usize,
    injected: InjectedFaults,
) -> (String, Exit) {
    let mut text = String::new();
    let began = Stopwatch::start();
    for (orders, scope, rules) in [
        (exhaustive::ORDERS, Scope::FixedRules, "fixed rules"),
        (exhaustive::ORDERS_WITH_CHANGES, Scope::ChangingRules, "changing rules"),
    ] {
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
            "{orders} orders, {rules}: {states} states, {commands} commands, at most {} deep: \
             {end}, all agree",
            exploration.depth
        );
    }
    (text, Exit::Ok)
}

/// The bugs of old.
#[must_use]
pub(crate) fn bugs() -> (String, Exit) {
    match regressions::replay(InjectedFaults::default()) {
        Err((known, failure)) => runner::report_failure(
            &failure,
            &format!("bug {}", known.name),
            &known.plan,
            InjectedFaults::default(),
        ),
        Ok(_) => {
            let mut text = String::new();
            for known in regressions::all() {
                let steps = known.plan.steps.len();
                let _ =
                    writeln!(text, "ok   {} ({steps} commands): {}", known.name, known.description);
            }
            (text, Exit::Ok)
        }
    }
}

/// The seeds of CI, and the marks they reach.
#[must_use]
pub(crate) fn marks() -> (String, Exit) {
    let options = RunOptions { jobs: cores(), steps: None, injected: InjectedFaults::default() };
    let summary = run_seeds(0..SEEDS, options, |_| true);
    if let Some((seed, failure)) = &summary.failed {
        return runner::report_seed_failure(*seed, None, failure, InjectedFaults::default());
    }
    let exit = if summary.marks().missing().next().is_none() { Exit::Ok } else { Exit::Coverage };
    let text = format!(
        "{SEEDS} seeds, {} commands, all agree; so many seeds reach:\n\n{}\n{}",
        summary.counts.commands,
        coverage::picture(&summary.reached),
        coverage::missing(summary.marks()),
    );
    (text, exit)
}

/// The planted bugs: all of them as a table, or one of them with its plan.
#[must_use]
pub(crate) fn mutants(only: Option<Bug>, jobs: usize) -> (String, Exit) {
    let bugs = only.as_ref().map_or(Bug::ALL, std::slice::from_ref);
    let kills = kills::kill_all(bugs, jobs);
    let mut text = kills::table(&kills);
    if let (Some(bug), Some((_, plan, ending))) =
        (only, kills.first().and_then(|kill| kill.counterexample.as_ref()))
    {
        let _ = write!(text, "\n# {}\nplan v1\n", bug.description());
        text.push_str(&report::compared_plan(plan, *ending, InjectedFaults::with_bug(bug)));
    }
    let exit = if kills.iter().all(kills::KillResult::is_good) { Exit::Ok } else { Exit::Survivor };
    (text, exit)
}
