//! Regression plans: one for every bug that was ever found, and for bugs that services of this kind
//! have had. They run before anything else and are never removed.

use crate::check::failure::Failure;
use crate::check::swarm::{Ending, play_plan};
use crate::mutation::injected::InjectedFaults;
use crate::plan::Plan;

/// The plans in `sim/regressions/`, by name.
const PLANS: &[(&str, &str)] = &[
    ("cancel-failed-releases", include_str!("../regressions/cancel-failed-releases.plan")),
    ("count-cut-to-16-bits", include_str!("../regressions/count-cut-to-16-bits.plan")),
    ("double-pay-takes-twice", include_str!("../regressions/double-pay-takes-twice.plan")),
    ("failed-create-keeps-lines", include_str!("../regressions/failed-create-keeps-lines.plan")),
    ("missing-order-done", include_str!("../regressions/missing-order-done.plan")),
    ("pay-returns-stock", include_str!("../regressions/pay-returns-stock.plan")),
    ("release-clamps", include_str!("../regressions/release-clamps.plan")),
    ("reserved-subtracted-twice", include_str!("../regressions/reserved-subtracted-twice.plan")),
];

/// A regression plan.
#[derive(Clone, Debug)]
pub(crate) struct Regression {
    /// The file's name, without `.plan`.
    pub(crate) name: &'static str,
    /// A description of the bug: the first line of the file.
    pub(crate) description: &'static str,
    /// The plan that shows it.
    pub(crate) plan: Plan,
}

/// All regression plans, by name.
#[must_use]
pub(crate) fn all() -> Vec<Regression> {
    PLANS
        .iter()
        .map(|&(name, text)| Regression {
            name,
            description: text.lines().next().map_or("", |line| line.trim_start_matches(['#', ' '])),
            plan: Plan::parse(text).expect("a test reads every plan in sim/regressions"),
        })
        .collect()
}

/// Runs all regression plans. Returns the first one that fails.
pub(crate) fn first_failure(injected: InjectedFaults) -> Option<(Regression, Box<Failure>)> {
    all().into_iter().find_map(|regression| {
        let run = play_plan(&regression.plan, injected, Ending::Drained);
        run.verdict.err().map(|failure| (regression, failure))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;

    #[test]
    fn every_plan_is_listed_and_readable() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sim/regressions");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = PLANS.iter().map(|(name, _)| format!("{name}.plan")).collect();
        assert_eq!(files, listed);
        assert!(all().iter().all(|regression| !regression.description.is_empty()));
    }

    #[test]
    fn a_plan_named_after_a_planted_bug_finds_it() {
        for regression in all() {
            if let Some(bug) = Bug::parse(regression.name) {
                let run =
                    play_plan(&regression.plan, InjectedFaults::with_bug(bug), Ending::Drained);
                assert!(run.verdict.is_err(), "{} is not detected", regression.name);
            }
        }
    }

    #[test]
    fn no_regression_plan_fails() {
        let failed = first_failure(InjectedFaults::default());
        assert!(failed.is_none(), "{:?}", failed.map(|(regression, why)| (regression.name, why)));
    }
}
