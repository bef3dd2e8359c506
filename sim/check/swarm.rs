//! The swarm layer: random commands of many clients, sent to the state machine and compared with
//! the model. Every run ends with a drain and a comparison of the whole state. Half of the seeds
//! run with the smallest containers.

use std::fmt::Debug;

use loms::state_machine::{Digest, LomsState, Shipped, Sizes, StockView, Tiny};

use crate::check::checker::{Checker, Verdict};
use crate::check::compared::Compared;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::laws;
use crate::check::panic;
use crate::check::subject::{Subject, SubjectReply};
use crate::coverage::counts::Counts;
use crate::model::ContainerSizes;
use crate::model::contract::Answer;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::generator::{GENERATOR, Generator, origin, plan_of};
use crate::plan::workload::Workload;
use crate::plan::{CreatedOrders, KeyText, Plan, Step};
use crate::progress::{self, Hung, Watched};
use crate::report::answers::Class;
use crate::report::screen;

/// One seed of this many is run twice, and another one is checked against the laws.
const SAMPLE: u64 = 16;

/// Number of steps for the laws.
const LAW_STEPS: u32 = 120;

/// A finished run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Counts of the run.
    pub(crate) counts: Counts,
    /// The steps that the drain added.
    pub(crate) drained: Vec<Step>,
    /// The result.
    pub(crate) verdict: Verdict,
    /// The final state; the last state before a failure, if there is one.
    pub(crate) state: Box<dyn FinalState>,
}

/// A state with containers of any sizes. Few callers read it, and a digest reads all orders.
pub(crate) trait FinalState: Debug {
    /// The stock of all SKUs.
    fn stock(&self) -> Vec<StockView>;

    /// The digest.
    fn digest(&self) -> Digest;
}

impl<S: Sizes> FinalState for LomsState<S> {
    fn stock(&self) -> Vec<StockView> {
        self.stock().collect()
    }

    fn digest(&self) -> Digest {
        self.digest()
    }
}

impl Run {
    fn of<S: Sizes>(checker: Checker<S>, verdict: Verdict) -> Self {
        let state = Box::new(checker.subject.state);
        Self { counts: checker.counts, drained: checker.drained, verdict, state }
    }
}

/// Runs `length` steps of a seed.
#[must_use]
pub(crate) fn play_seed(
    seed: u64,
    workload: &Workload,
    length: u32,
    injected: InjectedFaults,
) -> Run {
    match workload.world.sizes {
        ContainerSizes::Shipped => play_with::<Shipped, Tiny>(seed, workload, length, injected),
        ContainerSizes::Tiny => play_with::<Tiny, Shipped>(seed, workload, length, injected),
    }
}

/// Runs a seed with containers of sizes `S`, and some seeds again with sizes `O`.
fn play_with<S: Sizes, O: Sizes>(
    seed: u64,
    workload: &Workload,
    length: u32,
    injected: InjectedFaults,
) -> Run {
    let blind = injected.has(SimulatorFault::DrawsIgnorePurpose);
    let _watched = watched(seed, length, injected);
    let mut checker = Checker::<S>::open(&workload.world, workload.start, injected);
    checker.reserve(length);
    let verdict = catch_panic(&mut checker, |checker| {
        let mut generator = Generator::new(seed, workload.clone(), blind);
        let mut step = Step::default();
        for _ in 0..length {
            generator.next(&mut step);
            checker.step(&step)?;
        }
        injected.alter(Compared::NoPanic, (), |()| panic!("injected"));
        checker.drain()?;
        checker.audit(Compared::OrdersAtEnd)?;
        if seed.is_multiple_of(SAMPLE) {
            let length = injected.alter(Compared::SecondRun, length, |length| length / 2);
            let generator = Generator::new(seed, workload.clone(), blind);
            let second = digest_of::<O>(&checker.drained, generator, workload, length);
            compare_digests(checker.subject.state.digest(), second)?;
        }
        if seed % SAMPLE == 1 {
            check_laws::<S>(&law_plan(seed, workload, length, injected), injected)?;
        }
        Ok(())
    });
    Run::of(checker, verdict)
}

/// The first steps of a seed's run, with which the laws are checked.
#[must_use]
pub(crate) fn law_plan(
    seed: u64,
    workload: &Workload,
    length: u32,
    injected: InjectedFaults,
) -> Plan {
    let blind = injected.has(SimulatorFault::DrawsIgnorePurpose);
    plan_of(seed, workload, blind, length.min(LAW_STEPS))
}

/// The watchdog's description of a seed's run.
fn watched(seed: u64, length: u32, injected: InjectedFaults) -> Watched {
    progress::check(move |number| {
        let (origin, flags) = (origin(seed), injected.flag());
        let blind = injected.has(SimulatorFault::DrawsIgnorePurpose);
        let plan = plan_of(seed, &Workload::of(seed), blind, length.min(number));
        let again = Some(format!("--seed {seed} --generator {GENERATOR} --steps {length}{flags}"));
        Hung { again, ..screen::hung(&origin, &plan, number, &flags) }
    })
}

/// How a plan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a drain and a comparison of the whole state.
    Drained,
    /// After its last step.
    Abrupt,
    /// Only the laws are checked.
    Laws,
}

/// Runs a plan.
#[must_use]
pub(crate) fn play_plan(plan: &Plan, injected: InjectedFaults, ending: Ending) -> Run {
    match plan.world.sizes {
        ContainerSizes::Shipped => play_plan_with::<Shipped>(plan, injected, ending),
        ContainerSizes::Tiny => play_plan_with::<Tiny>(plan, injected, ending),
    }
}

/// Runs a plan with a drain, and then checks the laws with it.
///
/// # Errors
/// The first failure.
pub(crate) fn check_plan(plan: &Plan, injected: InjectedFaults) -> Verdict {
    play_plan(plan, injected, Ending::Drained).verdict?;
    play_plan(plan, injected, Ending::Laws).verdict
}

fn play_plan_with<S: Sizes>(plan: &Plan, injected: InjectedFaults, ending: Ending) -> Run {
    let (copy, flags) = (plan.clone(), injected.flag());
    let _watched = progress::check(move |number| screen::hung("a plan", &copy, number, &flags));
    let mut checker = Checker::<S>::open(&plan.world, plan.start, injected);
    let verdict = catch_panic(&mut checker, |checker| {
        if ending == Ending::Laws {
            return check_laws::<S>(plan, injected);
        }
        plan.steps.iter().try_for_each(|step| checker.step(step))?;
        if ending == Ending::Drained {
            checker.drain()?;
            checker.audit(Compared::OrdersAtEnd)?;
        }
        Ok(())
    });
    Run::of(checker, verdict)
}

/// Runs and turns a panic into a failure.
pub(super) fn catch_panic<S: Sizes>(
    checker: &mut Checker<S>,
    run: impl FnOnce(&mut Checker<S>) -> Verdict,
) -> Verdict {
    match panic::caught(|| run(checker)) {
        Ok(verdict) => verdict,
        Err(caught) => Err(checker.panicked(caught)),
    }
}

/// The digest after the same steps on a new subject, with containers of sizes `S`.
fn digest_of<S: Sizes>(
    drained: &[Step],
    mut generator: Generator,
    workload: &Workload,
    length: u32,
) -> Digest {
    let mut subject = Subject::<S>::open(&workload.world);
    let mut created = CreatedOrders::default();
    let mut play = |step: &Step| {
        progress::step(step.number);
        let mut buffer = KeyText::default();
        let at = workload.start.saturating_add(step.at);
        if let SubjectReply::Created(order, _) = subject.call(at, step.call(&created, &mut buffer))
        {
            created.note(step.number, order.get());
        }
    };
    let mut step = Step::default();
    for _ in 0..length {
        generator.next(&mut step);
        play(&step);
    }
    drained.iter().for_each(play);
    subject.state.digest()
}

/// Two runs of the same steps give the same digest, whatever the sizes of the containers are.
fn compare_digests(first: Digest, second: Digest) -> Verdict {
    if first == second {
        return Ok(());
    }
    Err(at_the_end(
        Compared::SecondRun,
        format!("digest {first}"),
        format!("digest {second}, second run, with other container sizes"),
    ))
}

fn check_laws<S: Sizes>(plan: &Plan, injected: InjectedFaults) -> Verdict {
    laws::check(plan, Subject::<S>::open, injected)
        .map_err(|breach| at_the_end(breach.compared, breach.one, breach.other))
}

fn at_the_end(compared: Compared, actual: String, expected: String) -> Box<Failure> {
    let nothing = Class::of(Some(&Answer::Done));
    let oracle = Oracle::of(compared);
    let signature = Signature { oracle, kind: None, actual: nothing, expected: nothing };
    Box::new(Failure { compared, signature, number: 0, commands: 0, actual, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;

    #[test]
    fn a_panic_is_a_failure() {
        let workload = Workload::of(1);
        let mut checker =
            Checker::<Shipped>::open(&workload.world, workload.start, InjectedFaults::default());
        let failure = catch_panic(&mut checker, |_| panic!("out of stock")).unwrap_err();
        assert!(matches!(failure.signature.oracle, Oracle::Panic { .. }));
        assert_eq!(failure.actual, "out of stock");
    }

    #[test]
    fn an_incomplete_drain_is_detected() {
        let injected = InjectedFaults {
            simulator_fault: Some(SimulatorFault::IncompleteDrain),
            ..InjectedFaults::default()
        };
        let oracles = (0..100).filter_map(|seed| {
            let run = play_seed(seed, &Workload::of(seed), 60, injected);
            run.verdict.err().map(|failure| failure.signature.oracle)
        });
        let seen: Vec<Oracle> = oracles.collect();
        assert!(seen.len() > 10 && seen.iter().all(|&oracle| oracle == Oracle::Liveness));
    }

    #[test]
    fn a_different_second_run_is_detected() {
        let workload = Workload::of(2);
        let run = play_seed(2, &workload, 60, InjectedFaults::default());
        assert!(run.verdict.is_ok());
        let generator = || Generator::new(2, workload.clone(), false);
        let again = |steps| digest_of::<Tiny>(&run.drained, generator(), &workload, steps);
        assert!(compare_digests(run.state.digest(), again(60)).is_ok());
        // Half of the steps give another digest.
        let failure = compare_digests(run.state.digest(), again(30)).unwrap_err();
        assert_eq!(failure.signature.oracle, Oracle::Replay);
    }

    #[test]
    fn a_plan_runs_like_its_seed() {
        for seed in 0..20 {
            let workload = Workload::of(seed);
            let by_seed = play_seed(seed, &workload, 60, InjectedFaults::default());
            let plan = plan_of(seed, &workload, false, 60);
            let by_plan = play_plan(&plan, InjectedFaults::default(), Ending::Drained);
            assert_eq!(by_seed.counts, by_plan.counts);
        }
    }

    #[test]
    fn a_bug_is_detected_at_its_command() {
        let injected = InjectedFaults::with_bug(Bug::PayReturnsStock);
        let text = "plan v1\nworld timeout=600s window=1s max_lines=9 start=0s\nstock 1=2\n\
                    1 @0s c0 create user=1 1x1\n2 @0s c0 pay order#1\n3 @0s c0 stock 1\n";
        let run = play_plan(&Plan::parse(text).unwrap(), injected, Ending::Drained);
        let failure = run.verdict.unwrap_err();
        assert_eq!((failure.signature.oracle, failure.number), (Oracle::Stock, 2));
        assert_eq!(failure.actual, "SKU 1: total 1, reserved 0");
        assert_eq!(failure.expected, "SKU 1: total 2, reserved 0");
    }

    #[test]
    fn every_sku_of_a_large_stock_is_compared() {
        // A tick changes no SKU, so only comparisons of the whole stock can find a difference.
        let stock: Vec<String> = (1..=20).map(|sku| format!("{sku}=5")).collect();
        let failure_of = |number| {
            let world = "plan v1\nworld timeout=600s window=1s max_lines=9 start=0s";
            let text = format!("{world}\nstock {}\n{number} @0s c0 tick\n", stock.join(" "));
            let injected = InjectedFaults::altering(Compared::StockTotal);
            let run = play_plan(&Plan::parse(&text).unwrap(), injected, Ending::Drained);
            let failure = run.verdict.unwrap_err();
            (failure.compared, failure.number)
        };
        assert_eq!(failure_of(64), (Compared::StockTotal, 64));
        // The audit at the end finds it.
        assert_eq!(failure_of(63), (Compared::StockTotal, 0));
    }
}
