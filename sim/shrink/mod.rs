//! The shrinker: makes a failing plan small while it still fails in the same way, or a passing
//! plan while it still reaches a mark. `search` is the loop that all layers use; `plan_changes`
//! are the changes that it tries on a plan.

mod plan_changes;
mod search;

pub(crate) use self::search::Shrinker;

use crate::check::failure::{Failure, Oracle};
use crate::check::swarm::{Ending, Run, play_plan};
use crate::coverage::marks::Mark;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::Plan;
use crate::progress::{self, Hung};
use crate::report::screen;

/// The minimum budget for one plan, in commands; they take less than two seconds.
const BUDGET: u64 = 2_000_000;

/// A long plan must be run often enough to become short.
fn budget(plan: &Plan) -> u64 {
    BUDGET.max(100 * u64::try_from(plan.steps.len()).expect("lengths fit 64 bits"))
}

/// A small plan.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// The plan.
    pub(crate) plan: Plan,
    /// How many plans were tried.
    pub(crate) runs: u64,
}

/// Shrinks a failing plan; it must still fail in the same way.
#[must_use]
pub(crate) fn failing(
    plan: &Plan,
    failure: &Failure,
    injected: InjectedFaults,
) -> (Shrunk, Ending) {
    let (copy, flags) = (plan.clone(), injected.flag());
    let _watched = progress::check(move |_| Hung {
        what: format!("shrinking a plan of {} steps", copy.steps.len()),
        plan: screen::plan(&copy.to_string(), &flags),
        again: None,
    });
    let wanted = failure.signature;
    let fails = |plan: &Plan, ending| {
        let run = play_plan(plan, injected, ending);
        let same = run.verdict.as_ref().err().is_some_and(|failure| {
            failure.signature == wanted || injected.has(SimulatorFault::ShrinksToAnother)
        });
        (same, cost(&run))
    };
    let mut plan = plan.clone();
    let ending = if matches!(wanted.oracle, Oracle::Law(_)) {
        Ending::Laws
    } else if fails(&cut(&plan, failure.number), Ending::Abrupt).0 {
        // A plan that ends where it fails is easier to read; not every failure allows that.
        plan = cut(&plan, failure.number);
        Ending::Abrupt
    } else {
        Ending::Drained
    };
    (small(Shrinker::new(budget(&plan), |plan: &Plan| fails(plan, ending)), plan), ending)
}

/// Shrinks a plan that reaches a mark; it must still reach it, without the drain, and not fail.
#[must_use]
pub(crate) fn reaching(plan: &Plan, mark: Mark) -> Shrunk {
    let reaches = |plan: &Plan| {
        let run = play_plan(plan, InjectedFaults::default(), Ending::Abrupt);
        let reached = run.verdict.is_ok() && run.counts.marks.has(mark);
        (reached, cost(&run))
    };
    let mut shrinker = Shrinker::new(budget(plan), reaches);
    // The first steps that reach it, by binary search: a mark once reached stays reached.
    let (mut short, mut enough) = (0, plan.steps.len());
    while short + 1 < enough {
        let middle = usize::midpoint(short, enough);
        let mut candidate = plan.clone();
        candidate.steps.truncate(middle);
        if shrinker.test(&candidate) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    let mut plan = plan.clone();
    plan.steps.truncate(enough);
    small(shrinker, plan)
}

/// Shrinks a plan that has any other property. `holds` returns whether the plan has it, and the
/// cost of the test in commands.
#[must_use]
pub(crate) fn keeping(plan: &Plan, holds: impl FnMut(&Plan) -> (bool, u64)) -> Shrunk {
    small(Shrinker::new(budget(plan), holds), plan.clone())
}

fn small<F: FnMut(&Plan) -> (bool, u64)>(shrinker: Shrinker<F>, plan: Plan) -> Shrunk {
    let (plan, runs) = shrinker.shrink(plan);
    Shrunk { plan, runs }
}

/// The cost of a run: opening a world costs about as much as a few commands.
const fn cost(run: &Run) -> u64 {
    run.counts.commands + 8
}

fn cut(plan: &Plan, number: u32) -> Plan {
    let mut plan = plan.clone();
    plan.steps.retain(|step| step.number <= number);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;
    use crate::plan::generator::plan_of;
    use crate::plan::workload::Workload;

    /// The first failure of a bug, and what it shrinks to.
    fn shrunk(bug: Bug) -> (Failure, Plan, Ending) {
        let injected = InjectedFaults::with_bug(bug);
        let failing = (0..).find_map(|seed| {
            let plan = plan_of(seed, &Workload::of(seed), false, 400);
            let verdict = play_plan(&plan, injected, Ending::Drained).verdict;
            verdict.err().map(|failure| (plan, failure))
        });
        let (plan, failure) = failing.unwrap();
        let (shrunk, ending) = super::failing(&plan, &failure, injected);
        (*failure, shrunk.plan, ending)
    }

    #[test]
    fn shrunk_plans_are_short_and_fail_like_the_original() {
        let mut sizes = Vec::new();
        for &bug in Bug::ALL {
            if bug == Bug::LeakAfter64Cancels {
                // It takes 130 commands, and longer runs than these.
                continue;
            }
            let (failure, plan, ending) = shrunk(bug);
            let again =
                play_plan(&plan, InjectedFaults::with_bug(bug), ending).verdict.unwrap_err();
            assert_eq!(again.signature, failure.signature, "{}", bug.name());
            // A plan that needs full room or sold-out stock keeps the creates that fill it.
            assert!(plan.steps.len() <= 12, "{}: {plan}", bug.name());
            sizes.push(plan.steps.len());
        }
        sizes.sort_unstable();
        assert!(sizes[sizes.len() / 2] <= 2, "{sizes:?}");
    }

    #[test]
    fn a_shrunk_plan_has_nothing_irrelevant() {
        let (_, plan, _) = shrunk(Bug::DoublePayTakesTwice);
        assert_eq!(
            plan.to_string(),
            "plan v1\nworld timeout=600s window=86400s max_lines=1000 start=0s\nstock 1=1\n\
             1 @0s c0 create user=1 1x1\n2 @0s c0 pay order#1\n3 @0s c0 pay order#1\n"
        );
    }
}
