//! The kill table (mutation testing): each bug is planted in the model, and the exhaustive layer
//! and the swarm try to find it. The median number of commands until it is found has a committed
//! budget, so a weaker generator is noticed even if it still finds the bug.

use std::fmt::Write as _;

use crate::check::exhaustive::{self, ExploreOptions, Scope};
use crate::check::failure::Failure;
use crate::check::swarm::{Ending, play_seed};
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::plan::Plan;
use crate::plan::generator::plan_of;
use crate::plan::workload::Workload;
use crate::runner::in_order;
use crate::shrink;

/// Orders in the exhaustive layer: enough for every bug that it can find.
const ORDERS: usize = 2;
/// How often the swarm tries to find each bug, each time with other seeds.
const TRIALS: u64 = 5;
/// Distance between the first seeds of two trials.
const SEED_DISTANCE: u64 = 1_000_000;
/// Number of commands after which a bug counts as surviving.
const MOST_COMMANDS: u64 = 4_000_000;

/// The result for one bug.
#[derive(Debug)]
pub(crate) struct KillResult {
    /// The bug.
    pub(crate) bug: Bug,
    /// Length of the shortest plan with which the exhaustive layer finds it.
    pub(crate) exhaustive: Option<usize>,
    /// Median number of commands until the swarm finds it.
    pub(crate) commands: Option<u64>,
    /// The budget for this number.
    pub(crate) budget: Option<u64>,
    /// The shrunk failure of the first trial.
    pub(crate) counterexample: Option<(Box<Failure>, Plan, Ending)>,
}

impl KillResult {
    /// Whether it was found within its budget.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.commands.is_some_and(|commands| self.budget.is_some_and(|budget| commands <= budget))
    }
}

/// Tries to find each of these bugs.
#[must_use]
pub(crate) fn kill_all(bugs: &[Bug], jobs: usize) -> Vec<KillResult> {
    in_order(bugs.len(), jobs, |place| kill(bugs[place]))
}

fn kill(bug: Bug) -> KillResult {
    let injected = InjectedFaults::with_bug(bug);
    let (jobs, steps, time) = (1, None, None);
    let explore = |scope| {
        exhaustive::explore(&ExploreOptions { orders: ORDERS, scope, jobs, steps, time, injected })
    };
    let mut exploration = explore(Scope::FixedRules);
    if exploration.failed.is_none() {
        exploration = explore(Scope::ChangingRules);
    }
    let mut trials: Vec<Option<u64>> = Vec::new();
    let mut counterexample = None;
    for trial in 0..TRIALS {
        let killed = swarm(trial * SEED_DISTANCE, injected);
        trials.push(killed.as_ref().map(|(commands, ..)| *commands));
        if let (None, Some((_, plan, failure))) = (&counterexample, killed) {
            let (shrunk, ending) = shrink::failing(&plan, &failure, injected);
            counterexample = Some((failure, shrunk.plan, ending));
        }
    }
    // A trial that does not find it counts as the longest.
    trials.sort_by_key(|commands| commands.unwrap_or(u64::MAX));
    KillResult {
        bug,
        exhaustive: exploration.failed.map(|(plan, _)| plan.steps.len()),
        commands: trials[trials.len() / 2],
        budget: budget(bug),
        counterexample,
    }
}

/// Runs seeds until one fails. Returns the number of commands and the failing plan.
fn swarm(first: u64, injected: InjectedFaults) -> Option<(u64, Plan, Box<Failure>)> {
    let mut commands = 0;
    for seed in first.. {
        let workload = Workload::of(seed);
        let run = play_seed(seed, &workload, workload.length, injected);
        commands += run.checker.counts.commands;
        if let Err(failure) = run.verdict {
            let mut plan = plan_of(seed, &workload, false, workload.length);
            plan.steps.extend(run.checker.drained);
            return Some((commands + 1, plan, failure));
        }
        if commands > MOST_COMMANDS {
            break;
        }
    }
    None
}

/// The committed budgets: a name and the maximum number of commands per line.
const BUDGETS: &str = include_str!("kill_budgets.txt");

fn budget(bug: Bug) -> Option<u64> {
    BUDGETS
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == bug.name())
        .and_then(|(_, commands)| commands.trim().parse().ok())
}

/// The table, one line for each bug.
#[must_use]
pub(crate) fn table(kills: &[KillResult]) -> String {
    let mut text = format!(
        "{:<29}{:<13}{:<26}{:>8}{:>8}{:>8}\n",
        "bug, planted in the model", "exhaustive", "swarm: found by", "median", "budget", "shrunk"
    );
    for kill in kills {
        let exhaustive = kill.exhaustive.map_or("-".to_owned(), |steps| steps.to_string());
        let figure = |figure: Option<u64>| figure.map_or("NEVER".to_owned(), |n| n.to_string());
        let (oracle, shrunk) = kill.counterexample.as_ref().map_or_else(
            || ("survives".to_owned(), "-".to_owned()),
            |(failure, plan, _)| {
                let at = failure.signature.kind.map_or("end", crate::plan::Kind::name);
                (
                    format!("{} at {at}", failure.signature.oracle.name()),
                    plan.steps.len().to_string(),
                )
            },
        );
        let verdict = if kill.is_good() { "" } else { "  OVER BUDGET" };
        let _ = writeln!(
            text,
            "{:<29}{exhaustive:<13}{oracle:<26}{:>8}{:>8}{shrunk:>8}{verdict}",
            kill.bug.name(),
            figure(kill.commands),
            figure(kill.budget),
        );
    }
    text
}
