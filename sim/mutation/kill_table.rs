//! The kill table (mutation testing): each bug is planted in the model, and the exhaustive layer
//! and the swarm try to find it. At least [`KILLS`] of CI's seeds must find it, so that no bug
//! depends on one lucky seed. The median number of commands until other seeds find it has a
//! committed budget, so a weaker generator is noticed even if it still finds the bug.
//!
//! Large seeds are left out: they are for bugs that depend on sizes, and the model has none.

use std::fmt::Write as _;
use std::ops::Range;

use crate::check::exhaustive::{self, ExploreOptions, Scope};
use crate::check::failure::Failure;
use crate::check::swarm::{Ending, play_seed};
use crate::ci;
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::plan::Plan;
use crate::plan::generator::plan_of;
use crate::plan::workload::{Style, Workload};
use crate::runner::in_order;
use crate::shrink;

/// Orders in the exhaustive layer: enough for every bug that it can find.
const ORDERS: usize = 2;
/// Number of seeds of CI that must find each bug.
const KILLS: usize = 5;
/// How often the number of commands until a bug is found is measured, each time with other seeds.
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
    /// Median number of commands until a seed finds it.
    pub(crate) commands: Option<u64>,
    /// Number of seeds until [`KILLS`] of them have found it; `None`: not enough do.
    pub(crate) seeds: Option<u64>,
    /// The budget for this number.
    pub(crate) budget: Option<u64>,
    /// The first failure, with its shrunk plan.
    pub(crate) counterexample: Option<(Box<Failure>, Plan, Ending)>,
}

impl KillResult {
    /// Whether enough seeds find it, within its budget.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        let in_budget = self.commands.zip(self.budget).is_some_and(|(n, budget)| n <= budget);
        in_budget && self.seeds.is_some()
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
    let failed = Scope::ALL.into_iter().find_map(|scope| explore(scope).failed);
    let mut trials: Vec<Option<u64>> = Vec::new();
    let mut counterexample = None;
    for trial in 0..TRIALS {
        let first = trial * SEED_DISTANCE;
        let found = kills(first..u64::MAX, injected).next();
        trials.push(found.as_ref().map(|kill| kill.commands));
        if let (None, Some(Kill { plan, failure, .. })) = (&counterexample, found) {
            let (shrunk, ending) = shrink::failing(&plan, &failure, injected);
            counterexample = Some((failure, shrunk.plan, ending));
        }
    }
    // A trial that does not find it counts as the longest.
    trials.sort_by_key(|commands| commands.unwrap_or(u64::MAX));
    KillResult {
        bug,
        exhaustive: failed.map(|(plan, _)| plan.steps.len()),
        commands: trials[trials.len() / 2],
        seeds: kills(0..ci::SEEDS, injected).nth(KILLS - 1).map(|kill| kill.seed + 1),
        budget: budget(bug),
        counterexample,
    }
}

/// A seed that finds a bug.
struct Kill {
    seed: u64,
    /// Number of commands of all seeds so far.
    commands: u64,
    plan: Plan,
    failure: Box<Failure>,
}

/// The seeds that fail, among these seeds without the large ones, up to [`MOST_COMMANDS`].
fn kills(seeds: Range<u64>, injected: InjectedFaults) -> impl Iterator<Item = Kill> {
    let mut commands = 0;
    seeds
        .map(|seed| (seed, Workload::of(seed)))
        .filter(|(_, workload)| workload.style != Style::Large)
        .map_while(move |(seed, workload)| {
            let run = play_seed(seed, &workload, workload.length, injected);
            commands += run.counts.commands;
            let kill = run.verdict.err().map(|failure| {
                let mut plan = plan_of(seed, &workload, false, workload.length);
                plan.steps.extend(run.drained);
                Kill { seed, commands: commands + 1, plan, failure }
            });
            (commands <= MOST_COMMANDS).then_some(kill)
        })
        .flatten()
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
        "{:<29}{:<12}{:<25}{:>6}{:>8}{:>8}{:>8}\n",
        "bug, planted in the model",
        "exhaustive",
        "swarm: found by",
        "seeds",
        "median",
        "budget",
        "shrunk"
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
        let verdict = match kill.seeds {
            None => "  TOO FEW SEEDS",
            Some(_) if kill.is_good() => "",
            Some(_) => "  OVER BUDGET",
        };
        let _ = writeln!(
            text,
            "{:<29}{exhaustive:<12}{oracle:<25}{:>6}{:>8}{:>8}{shrunk:>8}{verdict}",
            kill.bug.name(),
            figure(kill.seeds),
            figure(kill.commands),
            figure(kill.budget),
        );
    }
    let mut shrunk: Vec<usize> = kills
        .iter()
        .filter_map(|kill| kill.counterexample.as_ref().map(|(_, plan, _)| plan.steps.len()))
        .collect();
    shrunk.sort_unstable();
    if let Some(median) = shrunk.get(shrunk.len() / 2) {
        let _ = writeln!(text, "shrunk to {median} commands in the median");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_counts_only_with_enough_seeds_and_within_its_budget() {
        let good = |seeds, commands, budget| {
            let (bug, exhaustive, counterexample) = (Bug::ALL[0], None, None);
            KillResult { bug, exhaustive, commands, seeds, budget, counterexample }.is_good()
        };
        assert!(good(Some(5), Some(10), Some(10)));
        assert!(!good(None, Some(10), Some(10)));
        assert!(!good(Some(5), Some(11), Some(10)));
        assert!(!good(Some(5), None, Some(10)));
        assert!(!good(Some(5), Some(10), None));
    }
}
