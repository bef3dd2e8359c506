//! The kill table: proof that the simulator sees bugs. Each is planted in the model, and the
//! layers are set on it; how long it lives, on average, has a budget that is committed, so that a
//! generator that grows weaker shows even while the bug still dies.

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

/// Orders that the exhaustive layer has room for here: what it sees at all, it sees with these.
const ROOM: usize = 2;
/// How often the swarm is set on each bug, each time with other seeds.
const TRIALS: u64 = 5;
/// Seeds between one trial and the next.
const APART: u64 = 1_000_000;
/// Commands after which a bug is said to survive.
const PATIENCE: u64 = 4_000_000;

/// What became of a bug.
#[derive(Debug)]
pub(crate) struct KillResult {
    /// The bug.
    pub(crate) bug: Bug,
    /// Commands in the shortest plan that the exhaustive layer kills it with.
    pub(crate) exhaustive: Option<usize>,
    /// Commands until the swarm killed it, in the median of its trials.
    pub(crate) commands: Option<u64>,
    /// What that may be.
    pub(crate) budget: Option<u64>,
    /// The first trial's failure, shrunk.
    pub(crate) counterexample: Option<(Box<Failure>, Plan, Ending)>,
}

impl KillResult {
    /// Whether it died, and in time.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.commands.is_some_and(|commands| self.budget.is_some_and(|budget| commands <= budget))
    }
}

/// Sets all layers on these bugs.
#[must_use]
pub(crate) fn kill_all(bugs: &[Bug], jobs: usize) -> Vec<KillResult> {
    in_order(bugs.len(), jobs, |place| kill(bugs[place]))
}

fn kill(bug: Bug) -> KillResult {
    let injected = InjectedFaults::with_bug(bug);
    let (jobs, steps, time) = (1, None, None);
    let explore = |scope| {
        exhaustive::explore(&ExploreOptions { orders: ROOM, scope, jobs, steps, time, injected })
    };
    let mut exploration = explore(Scope::FixedRules);
    if exploration.failed.is_none() {
        exploration = explore(Scope::ChangingRules);
    }
    let mut trials: Vec<Option<u64>> = Vec::new();
    let mut counterexample = None;
    for trial in 0..TRIALS {
        let killed = swarm(trial * APART, injected);
        trials.push(killed.as_ref().map(|(commands, ..)| *commands));
        if let (None, Some((_, plan, failure))) = (&counterexample, killed) {
            let (shrunk, ending) = shrink::failing(&plan, &failure, injected);
            counterexample = Some((failure, shrunk.plan, ending));
        }
    }
    // A trial in which it survived counts as the longest.
    trials.sort_by_key(|commands| commands.unwrap_or(u64::MAX));
    KillResult {
        bug,
        exhaustive: exploration.failed.map(|(plan, _)| plan.steps.len()),
        commands: trials[trials.len() / 2],
        budget: budget(bug),
        counterexample,
    }
}

/// Plays seed after seed until one fails: commands played, and the plan that fails.
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
        if commands > PATIENCE {
            break;
        }
    }
    None
}

/// The committed budgets: a bug's name and the most commands it may live, a line each.
const BUDGETS: &str = include_str!("kill_budgets.txt");

fn budget(bug: Bug) -> Option<u64> {
    BUDGETS
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == bug.name())
        .and_then(|(_, commands)| commands.trim().parse().ok())
}

/// The table, a line for each bug.
#[must_use]
pub(crate) fn table(kills: &[KillResult]) -> String {
    let mut text = format!(
        "{:<29}{:<13}{:<26}{:>8}{:>8}{:>8}\n",
        "bug, planted in the model", "exhaustive", "swarm: seen by", "median", "budget", "shrunk"
    );
    for kill in kills {
        let exhaustive =
            kill.exhaustive.map_or("-".to_owned(), |steps| format!("{steps} commands"));
        let figure = |figure: Option<u64>| figure.map_or("NEVER".to_owned(), |n| n.to_string());
        let (oracle, shrunk) = kill.counterexample.as_ref().map_or_else(
            || ("survives".to_owned(), "-".to_owned()),
            |(failure, plan, _)| {
                let at = failure.signature.kind.map_or("the end", crate::plan::Kind::name);
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
