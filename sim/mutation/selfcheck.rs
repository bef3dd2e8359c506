//! The simulator checks itself first: the same seeds give the same bytes, twice and with any number
//! of threads; and every fault that the simulator could have ([`SimulatorFault`]) makes a check
//! fail.

use std::time::Duration;

use crate::check::compared::{Compared, Judge};
use crate::check::failure::{Failure, Oracle};
use crate::check::swarm::{play_plan, play_seed};
use crate::layers::service::{self, NetworkFault, NotCovered};
use crate::layers::wire::corruption::Corruption;
use crate::mutation::injected::{ENDLESS_STEP, InjectedFaults, SimulatorFault};
use crate::mutation::planted_bugs::Bug;
use crate::mutation::{comparisons, regressions};
use crate::plan::Kind;
use crate::plan::generator::{GENERATOR, plan_of};
use crate::plan::workload::Workload;
use crate::progress::{self, Limits};
use crate::report::screen;
use crate::runner::{RunOptions, RunRequest, run_seeds};
use crate::shrink;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// The name.
    pub(crate) name: String,
    /// What is wrong, if it failed.
    pub(crate) wrong: Option<String>,
    /// Whether it is a check of determinism.
    pub(crate) of_determinism: bool,
}

/// Number of seeds that run twice.
const SEEDS: u64 = 64;

/// Number of seeds of the service layer.
const SERVICE_SEEDS: u64 = 60;

/// What does not happen if all seeds of the service layer have the default settings.
const NOT_BY_DEFAULT: &str = "failed create refused, refused, over 150 short, \
    info, over 150 short, over 150 lines reserved, key not ASCII";

/// All checks; determinism first, because the others depend on it.
#[must_use]
pub(crate) fn all(jobs: usize) -> Vec<Check> {
    let mut checks = vec![
        determinism("two runs are equal", 1, 1),
        determinism("one thread and several give the same", 1, jobs.max(3)),
    ];
    let none = InjectedFaults::default();
    checks.push(service_determinism(jobs.max(3)));
    for check in [
        every_answer_is_compared,
        shrinking_keeps_the_failure,
        draws_depend_on_their_purpose,
        every_step_ends,
        every_order_ends,
        every_network_fault_happens,
        every_network_fault_has_its_effect,
        every_field_of_a_reply_is_compared,
    ] {
        checks.push(check(none));
    }
    checks.extend(Judge::ALL.iter().map(|&judge| every_comparison_finds_a_difference(judge)));
    checks.push(regression_plans_can_fail());
    // The reverse: with each injected fault its check must fail, and for the reason of this fault.
    for simulator_fault in SimulatorFault::all() {
        let (check, reason) = check_and_reason(simulator_fault);
        let result = check(InjectedFaults { simulator_fault: Some(simulator_fault), ..none });
        let wrong = match result.wrong {
            None => Some(format!("{} still passes", result.name)),
            Some(wrong) if wrong.ends_with(&reason) => None,
            Some(wrong) => Some(format!("the reason is {wrong}, and must be {reason}")),
        };
        let name = format!("detected: {}", simulator_fault.name());
        checks.push(Check { name, wrong, of_determinism: false });
    }
    checks
}

/// The check that fails with this fault, and the end of what it then says.
fn check_and_reason(simulator_fault: SimulatorFault) -> (fn(InjectedFaults) -> Check, String) {
    let undetected = |what: &str| format!("a wrong {what} is not detected");
    match simulator_fault {
        SimulatorFault::SkipsInfo => (every_answer_is_compared, undetected("answer to info")),
        SimulatorFault::ShrinksToAnother => {
            (shrinking_keeps_the_failure, "fails differently after shrinking".to_owned())
        }
        SimulatorFault::DrawsIgnorePurpose => {
            (draws_depend_on_their_purpose, "marks are missing".to_owned())
        }
        SimulatorFault::EndlessStep => {
            (every_step_ends, format!("step {ENDLESS_STEP} does not end"))
        }
        SimulatorFault::IncompleteDrain => {
            (every_order_ends, format!("found by {:?}", Compared::ReservedAtEnd))
        }
        SimulatorFault::NoReordering => {
            // A request that must be late arrives in order instead.
            (every_network_fault_has_its_effect, format!("found by {:?}", Compared::FaultEffect))
        }
        SimulatorFault::DefaultEdge => {
            (every_network_fault_happens, format!("never happened: {NOT_BY_DEFAULT}"))
        }
        SimulatorFault::NoEffect(kind) => {
            (every_network_fault_has_its_effect, format!("found by {:?}", effect_of(kind)))
        }
        SimulatorFault::SkipsDetails => (
            every_field_of_a_reply_is_compared,
            undetected(&format!("{:?}", Corruption::Description)),
        ),
        SimulatorFault::SkipsIndex => {
            (every_field_of_a_reply_is_compared, undetected(&format!("{:?}", Corruption::Index)))
        }
        SimulatorFault::AcceptsAnyCatchingUp => (
            every_field_of_a_reply_is_compared,
            undetected(&format!("{:?}", Corruption::RetryDelay)),
        ),
    }
}

/// The comparison that shows whether a network fault of this kind has its effect.
fn effect_of(kind: usize) -> Compared {
    let is = |fault: NetworkFault| fault.kind() == kind;
    if is(NetworkFault::Duplicate(0)) {
        Compared::DuplicateSent
    } else if is(NetworkFault::Restart) {
        Compared::Restarted
    } else if is(NetworkFault::ClockForward(0)) || is(NetworkFault::ClockBack(0)) {
        Compared::ClockJumped
    } else {
        Compared::FaultEffect
    }
}

fn determinism(name: &str, jobs: usize, other_jobs: usize) -> Check {
    let run = |jobs| {
        let options = RunOptions { jobs, steps: Some(2_000), injected: InjectedFaults::default() };
        run_seeds(0..SEEDS, options, |_| true)
    };
    let (one, other) = (run(jobs), run(other_jobs));
    let differs = one.counts != other.counts || one.reached != other.reached;
    Check {
        name: format!("{name}: {SEEDS} seeds"),
        wrong: differs.then(|| {
            let (one, other) = (one.counts.fingerprint(), other.counts.fingerprint());
            format!("fingerprints {one} and {other}")
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
        name: format!("service layer: one thread and several give the same: {SEEDS} seeds"),
        wrong: (run(1) != run(jobs)).then(|| "the output differs".to_owned()),
        of_determinism: true,
    }
}

/// The model answers all calls of one kind wrongly, and the checker must detect the first one.
fn every_answer_is_compared(injected: InjectedFaults) -> Check {
    let undetected = Kind::ALL.into_iter().find(|&kind| {
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
        name: "every kind of answer is compared".to_owned(),
        wrong: undetected.map(|kind| format!("a wrong answer to {} is not detected", kind.name())),
        of_determinism: false,
    }
}

/// A difference in what a comparison compares must be found, and by this comparison.
fn every_comparison_finds_a_difference(judge: Judge) -> Check {
    let comparisons = judge.compares().len();
    Check {
        name: format!("{judge:?}: each of {comparisons} comparisons finds a difference"),
        wrong: comparisons::all_find_a_difference(judge).err(),
        of_determinism: false,
    }
}

/// A regression plan that fails must be reported.
fn regression_plans_can_fail() -> Check {
    let failed = regressions::first_failure(InjectedFaults::altering(Compared::AnswerKind));
    let detected = failed.is_some_and(|(_, failure)| failure.compared == Compared::AnswerKind);
    Check {
        name: "a regression plan can fail".to_owned(),
        wrong: (!detected).then(|| "a wrong answer is not detected".to_owned()),
        of_determinism: false,
    }
}

/// A shrunk plan must fail like the original, for many failures of a bug with several symptoms.
fn shrinking_keeps_the_failure(injected: InjectedFaults) -> Check {
    let injected = InjectedFaults { bug: Some(Bug::CountCutTo16Bits), ..injected };
    let mut changed = None;
    for seed in 0..40 {
        let workload = Workload::of(seed);
        let run = play_seed(seed, &workload, 200, injected);
        let Err(failure) = run.verdict else { continue };
        let mut plan = plan_of(seed, &workload, false, 200);
        plan.steps.extend(run.drained);
        let (shrunk, ending) = shrink::failing(&plan, &failure, injected);
        let again = play_plan(&shrunk.plan, injected, ending).verdict.err();
        if again.is_none_or(|again| again.signature != failure.signature) {
            changed = Some(seed);
            break;
        }
    }
    Check {
        name: "shrinking keeps the failure".to_owned(),
        wrong: changed.map(|seed| format!("seed {seed} fails differently after shrinking")),
        of_determinism: false,
    }
}

/// If draws ignore their purpose, they are correlated, and many marks are never reached.
fn draws_depend_on_their_purpose(injected: InjectedFaults) -> Check {
    const ENOUGH: usize = 6;
    let options = RunOptions { jobs: 1, steps: Some(600), injected };
    let summary = run_seeds(0..150, options, |_| true);
    // 600 steps cannot reach the marks of sizes.
    let missing = summary.marks().missing().filter(|mark| !mark.is_of_sizes()).count();
    // A failure ends the run, so that most marks are missing.
    let failed = summary.failed.map(|(seed, failure)| found(seed, &failure));
    Check {
        name: "draws reach nearly every mark in 150 seeds".to_owned(),
        wrong: failed
            .or_else(|| (missing > ENOUGH).then(|| format!("{missing} marks are missing"))),
        of_determinism: false,
    }
}

/// The watchdog finds a step that never ends, and names it.
fn every_step_ends(injected: InjectedFaults) -> Check {
    const SEED: u64 = 3;
    let waiting = Duration::from_secs(60);
    let limits = Limits { computing: Duration::from_millis(200), waiting };
    let hung = progress::first_hang(limits, move || {
        let _ = play_seed(SEED, &Workload::of(SEED), 60, injected);
    });
    let what = format!("seed {SEED}, generator {GENERATOR}, step {ENDLESS_STEP}, ");
    let found = |report: String| {
        let is_named = report.contains(&what);
        if is_named { format!("step {ENDLESS_STEP} does not end") } else { screen::short(&report) }
    };
    Check { name: "every step ends".to_owned(), wrong: hung.map(found), of_determinism: false }
}

/// At the end of a run nothing stays reserved.
fn every_order_ends(injected: InjectedFaults) -> Check {
    let options = RunOptions { jobs: 1, steps: Some(60), injected };
    let failed = run_seeds(0..100, options, |_| true).failed;
    Check {
        name: "every order reaches a final status".to_owned(),
        wrong: failed.map(|(seed, failure)| found(seed, &failure)),
        of_determinism: false,
    }
}

/// Every network fault and every setting must happen: otherwise the service layer proves little.
fn every_network_fault_happens(injected: InjectedFaults) -> Check {
    let wrong = service::covered(0..SERVICE_SEEDS, injected).err();
    Check {
        name: format!("every network fault and setting happens in {SERVICE_SEEDS} seeds"),
        wrong: wrong.map(|wrong| wrong.to_string()),
        of_determinism: false,
    }
}

/// A network fault that is only counted tests nothing.
fn every_network_fault_has_its_effect(injected: InjectedFaults) -> Check {
    let wrong = match service::covered(0..SERVICE_SEEDS, injected) {
        Err(NotCovered::Failed(seed, failure)) => Some(found(seed, &failure)),
        Err(NotCovered::Missing(_)) | Ok(()) => None,
    };
    Check { name: "every network fault has its effect".to_owned(), wrong, of_determinism: false }
}

/// The service layer must detect a change of any field of a reply.
fn every_field_of_a_reply_is_compared(injected: InjectedFaults) -> Check {
    let undetected = Corruption::ALL.iter().find(|&&corruption| {
        let injected = InjectedFaults { corruption: Some(corruption), ..injected };
        let expected = if matches!(corruption, Corruption::Index | Corruption::NoIndex) {
            Compared::CommandIndex
        } else if corruption == Corruption::RetryDelay {
            // During a backlog, a refusal with another delay is an answer.
            Compared::NoAnswerInBacklog
        } else if corruption == Corruption::Shortage {
            // No earlier call in these seeds reads an order with shortages.
            Compared::OrderAtEnd
        } else {
            Compared::Reply
        };
        comparisons::of_service(injected) != Some(expected)
    });
    Check {
        name: "every field of a reply is compared".to_owned(),
        wrong: undetected.map(|corruption| format!("a wrong {corruption:?} is not detected")),
        of_determinism: false,
    }
}

fn found(seed: u64, failure: &Failure) -> String {
    let Failure { actual, expected, compared, .. } = failure;
    let (actual, expected) = screen::short_pair(actual, expected);
    format!("seed {seed}: {actual}, not {expected}; found by {compared:?}")
}
