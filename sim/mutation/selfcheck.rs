//! The simulator checked by itself, before anything it says is believed: the same seeds give the
//! same bytes, twice and with any number of threads; and each fault that the simulator could have
//! ([`SimulatorFault`]) turns a check red.

use crate::check::failure::Oracle;
use crate::check::swarm::{play_plan, play_seed};
use crate::exit::Exit;
use crate::layers::service;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::mutation::planted_bugs::Bug;
use crate::plan::Kind;
use crate::plan::generator::plan_of;
use crate::plan::workload::Workload;
use crate::runner::{RunOptions, RunRequest, run_seeds};
use crate::shrink;

/// A check and how it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is checked.
    pub(crate) name: String,
    /// What was wrong, if something was.
    pub(crate) wrong: Option<String>,
    /// Whether what was wrong is that two equal runs differ.
    pub(crate) of_determinism: bool,
}

/// Seeds that are played twice.
const SEEDS: u64 = 64;

/// All checks; determinism first, since without it the rest means nothing.
#[must_use]
pub(crate) fn all(jobs: usize) -> Vec<Check> {
    let mut checks = vec![
        determinism("twice the same", 1, 1),
        determinism("one thread or several", 1, jobs.max(3)),
    ];
    let sound = InjectedFaults::default();
    checks.push(service_determinism(jobs.max(3)));
    for check in [
        every_answer_is_looked_at,
        shrinking_keeps_the_failure,
        draws_have_purposes,
        everything_ends,
        every_trouble_happens,
    ] {
        checks.push(check(sound));
    }
    // And the other way round: each of these must be able to turn red.
    for simulator_fault in SimulatorFault::ALL {
        let check = match simulator_fault {
            SimulatorFault::SkipsInfo => every_answer_is_looked_at,
            SimulatorFault::ShrinksToAnother => shrinking_keeps_the_failure,
            SimulatorFault::DrawsIgnorePurpose => draws_have_purposes,
            SimulatorFault::IncompleteDrain => everything_ends,
            SimulatorFault::NoReordering => every_trouble_happens,
        };
        let red = check(InjectedFaults { simulator_fault: Some(simulator_fault), ..sound });
        checks.push(Check {
            name: format!("seen: {}", simulator_fault.name()),
            wrong: red.wrong.is_none().then(|| format!("{} stays green", red.name)),
            of_determinism: false,
        });
    }
    checks
}

fn determinism(name: &str, jobs: usize, other_jobs: usize) -> Check {
    let sail = |jobs| {
        let options = RunOptions { jobs, steps: Some(2_000), injected: InjectedFaults::default() };
        run_seeds(0..SEEDS, options, |_| true)
    };
    let (one, other) = (sail(jobs), sail(other_jobs));
    let differs = one.counts != other.counts || one.reached != other.reached;
    Check {
        name: format!("{name}: {SEEDS} seeds"),
        wrong: differs.then(|| {
            let (one, other) = (one.counts.fingerprint(), other.counts.fingerprint());
            format!("fingerprint {one}, and then {other}")
        }),
        of_determinism: true,
    }
}

fn service_determinism(jobs: usize) -> Check {
    const SEEDS: u64 = 16;
    let run = |jobs| {
        service::run_many(RunRequest {
            seeds: 0..SEEDS,
            jobs,
            steps: Some(200),
            time: None,
            until_stable: false,
            injected: InjectedFaults::default(),
        })
    };
    Check {
        name: format!("service layer, one thread or several: {SEEDS} seeds"),
        wrong: (run(1) != run(jobs)).then(|| "the output differs".to_owned()),
        of_determinism: true,
    }
}

/// The model lies about every call of one kind, and the checker must say so at the first.
fn every_answer_is_looked_at(injected: InjectedFaults) -> Check {
    let unseen = Kind::ALL.into_iter().find(|&kind| {
        let injected = InjectedFaults { wrong_answers: Some(kind), ..injected };
        let caught = (0..200).find_map(|seed| {
            let workload = Workload::of(seed);
            play_seed(seed, &workload, 60, injected).verdict.err()
        });
        caught.is_none_or(|failure| {
            failure.signature.oracle != Oracle::Answer || failure.signature.kind != Some(kind)
        })
    });
    Check {
        name: "every kind of answer is looked at".to_owned(),
        wrong: unseen.map(|kind| format!("a lie about {} goes unseen", kind.name())),
        of_determinism: false,
    }
}

/// What is shrunk must fail as it did: over many failures of one bug that shows in several ways.
fn shrinking_keeps_the_failure(injected: InjectedFaults) -> Check {
    let injected = InjectedFaults { bug: Some(Bug::CountCutTo16Bits), ..injected };
    let mut swapped = None;
    for seed in 0..40 {
        let workload = Workload::of(seed);
        let run = play_seed(seed, &workload, 200, injected);
        let Err(failure) = run.verdict else { continue };
        let mut plan = plan_of(seed, &workload, false, 200);
        plan.steps.extend(run.checker.drained);
        let (shrunk, ending) = shrink::failing(&plan, &failure, injected);
        let again = play_plan(&shrunk.plan, injected, ending).verdict.err();
        if again.is_none_or(|again| again.signature != failure.signature) {
            swapped = Some(seed);
            break;
        }
    }
    Check {
        name: "shrinking keeps the failure".to_owned(),
        wrong: swapped.map(|seed| format!("seed {seed} fails otherwise once it is shrunk")),
        of_determinism: false,
    }
}

/// Draws that do not know what they are for go together, and much is then never drawn.
fn draws_have_purposes(injected: InjectedFaults) -> Check {
    const ENOUGH: usize = 6;
    let options = RunOptions { jobs: 1, steps: Some(600), injected };
    let missing = run_seeds(0..150, options, |_| true).marks().missing().count();
    Check {
        name: "draws reach nearly every mark in 150 seeds".to_owned(),
        wrong: (missing > ENOUGH).then(|| format!("{missing} marks are missing")),
        of_determinism: false,
    }
}

/// Whatever clients leave undone, in the end nothing of it stays reserved.
fn everything_ends(injected: InjectedFaults) -> Check {
    let options = RunOptions { jobs: 1, steps: Some(60), injected };
    let failed = run_seeds(0..100, options, |_| true).failed;
    Check {
        name: "everything comes to its end".to_owned(),
        wrong: failed.map(|(seed, failure)| format!("seed {seed}: {}", failure.actual)),
        of_determinism: false,
    }
}

/// A storm that is none would prove nothing of the service.
fn every_trouble_happens(injected: InjectedFaults) -> Check {
    let (text, exit) = service::run_covered(0..60, 2, injected);
    Check {
        name: "every trouble of the network happens in 60 seeds".to_owned(),
        wrong: (exit != Exit::Ok).then(|| text.lines().last().unwrap_or_default().to_owned()),
        of_determinism: false,
    }
}
