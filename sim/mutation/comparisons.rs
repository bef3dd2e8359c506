//! The self-check of the comparisons: for each of them, what it compares is changed, and the run
//! must fail there. A comparison that is not made, or that finds nothing, is reported by name.

use super::injected::{InjectedFaults, SimulatorFault};
use crate::check::compared::{Compared, Judge};
use crate::check::exhaustive::{self, ExploreOptions, Scope};
use crate::check::swarm::{Ending, play_plan, play_seed};
use crate::layers::concurrent;
use crate::layers::service::{self, NetworkFault, NotCovered};
use crate::layers::wire::corruption::Corruption;
use crate::plan::generator::plan_of;
use crate::plan::workload::Workload;

/// Number of seeds until a difference must be found.
const SEEDS: u64 = 64;

/// Changes what each comparison of a judge compares, one after the other.
///
/// # Errors
/// The comparisons that do not find the difference.
pub(crate) fn all_find_a_difference(judge: Judge) -> Result<(), String> {
    let find: &dyn Fn(Compared) -> Option<Compared> = match judge {
        Judge::Checker => &of_checker,
        Judge::Laws => &of_laws,
        Judge::Exhaustive => &of_exhaustive,
        Judge::Service => &|compared| of_service(in_service(compared)),
        Judge::Concurrent => {
            let sample = concurrent::Sample::record().map_err(|error| error.to_string())?;
            if let Some(found) = sample.check(InjectedFaults::default()) {
                return Err(format!("{found:?} finds a difference, but nothing is changed"));
            }
            every_field_is_compared(&sample)?;
            return undetected(judge, &|compared| sample.check(InjectedFaults::altering(compared)));
        }
    };
    undetected(judge, find)
}

fn undetected(judge: Judge, find: &dyn Fn(Compared) -> Option<Compared>) -> Result<(), String> {
    let wrong = judge.compares().iter().filter_map(|&compared| match find(compared) {
        Some(found) if found == compared => None,
        Some(found) => Some(format!("{compared:?} is found by {found:?}")),
        None => Some(format!("a wrong {compared:?} is not detected")),
    });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

/// A change of any field of the replies of the concurrent layer must be found.
fn every_field_is_compared(sample: &concurrent::Sample) -> Result<(), String> {
    for &corruption in Corruption::ALL {
        // The server of this layer never has a backlog, and answers failed creates with OK.
        let never = matches!(corruption, Corruption::RetryDelay | Corruption::CreatedInDetails);
        let Some(sample) = sample.corrupted(corruption) else {
            if never {
                continue;
            }
            return Err(format!("no reply has a {corruption:?}"));
        };
        if sample.check(InjectedFaults::default()).is_none() {
            return Err(format!("a wrong {corruption:?} is not detected"));
        }
    }
    Ok(())
}

fn of_checker(compared: Compared) -> Option<Compared> {
    // Only a run with more than a thousand orders compares at sizes.
    let length = if compared == Compared::OrdersAtSize { 6_000 } else { 200 };
    let injected = InjectedFaults::altering(compared);
    (0..SEEDS).find_map(|seed| {
        let run = play_seed(seed, &Workload::of(seed), length, injected);
        run.verdict.err().map(|failure| failure.compared)
    })
}

/// The laws are checked in some seeds of the swarm layer and by themselves: both must find it.
fn of_laws(compared: Compared) -> Option<Compared> {
    let injected = InjectedFaults::altering(compared);
    let by_themselves = (0..SEEDS).find_map(|seed| {
        let plan = plan_of(seed, &Workload::of(seed), false, 60);
        play_plan(&plan, injected, Ending::Laws).verdict.err()
    });
    by_themselves?;
    of_checker(compared)
}

/// The layer must report what it compares itself, and what its checker finds.
fn of_exhaustive(compared: Compared) -> Option<Compared> {
    let (jobs, steps, time, orders) = (1, Some(2), None, 1);
    let explore = |compared| {
        let (scope, injected) = (Scope::FixedRules, InjectedFaults::altering(compared));
        let options = ExploreOptions { orders, scope, jobs, steps, time, injected };
        exhaustive::explore(&options).failed.map(|(_, failure)| failure.compared)
    };
    (explore(Compared::Units)? == Compared::Units).then_some(())?;
    explore(compared)
}

/// How to change what the service layer compares.
fn in_service(compared: Compared) -> InjectedFaults {
    let none = InjectedFaults::default();
    let corrupting = |field| InjectedFaults { corruption: Some(field), ..none };
    let without = |fault: NetworkFault| {
        let simulator_fault = Some(SimulatorFault::NoEffect(fault.kind()));
        InjectedFaults { simulator_fault, ..none }
    };
    let by_other_faults = [
        (Compared::Reply, corrupting(Corruption::Code)),
        (Compared::CommandIndex, corrupting(Corruption::Index)),
        (Compared::DuplicateSent, without(NetworkFault::Duplicate(0))),
        (Compared::FaultEffect, without(NetworkFault::RequestLost)),
        (Compared::ClockJumped, without(NetworkFault::ClockForward(0))),
        (Compared::Restarted, without(NetworkFault::Restart)),
    ];
    let found = by_other_faults.into_iter().find(|(of, _)| *of == compared);
    found.map_or(InjectedFaults::altering(compared), |(_, injected)| injected)
}

/// The comparison that finds a difference in the service layer, if one does.
pub(super) fn of_service(injected: InjectedFaults) -> Option<Compared> {
    match service::covered(0..SEEDS, injected) {
        Err(NotCovered::Failed(_, failure)) => Some(failure.compared),
        Err(NotCovered::Missing(_)) | Ok(()) => None,
    }
}
