//! Every bug that was ever found, and those that services of this kind have shipped, as the plan
//! that shows it. They are replayed before anything else is run, and stay for ever.

use crate::check::failure::Failure;
use crate::check::swarm::{Ending, play_plan};
use crate::mutation::injected::InjectedFaults;
use crate::plan::Plan;

/// The plans of `sim/regressions/`, by name.
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

/// A plan that shows a bug.
#[derive(Clone, Debug)]
pub(crate) struct Regression {
    /// The file's name, without `.plan`.
    pub(crate) name: &'static str,
    /// What the bug was: the file's first line.
    pub(crate) description: &'static str,
    /// How it shows.
    pub(crate) plan: Plan,
}

/// All of them, by name.
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

/// Replays all of them.
///
/// # Errors
/// The first that shows its bug again.
pub(crate) fn replay(injected: InjectedFaults) -> Result<usize, (Regression, Box<Failure>)> {
    let all = all();
    for regression in &all {
        if let Err(failure) = play_plan(&regression.plan, injected, Ending::Drained).verdict {
            return Err((regression.clone(), failure));
        }
    }
    Ok(all.len())
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
    fn a_plan_that_bears_a_planted_bug_s_name_shows_it() {
        for regression in all() {
            if let Some(bug) = Bug::parse(regression.name) {
                let run =
                    play_plan(&regression.plan, InjectedFaults::with_bug(bug), Ending::Drained);
                assert!(run.verdict.is_err(), "{} goes unseen", regression.name);
            }
        }
    }

    #[test]
    fn the_machine_has_none_of_them() {
        assert_eq!(
            replay(InjectedFaults::default())
                .map_err(|(regression, failure)| (regression.name, failure)),
            Ok(all().len())
        );
    }
}
