//! The swarm layer: random programs of many clients against the machine, judged by the model.
//! One seed is one run; a plan is one run too. Both end with a drain and a look at everything.

use crate::check::checker::{Judge, Verdict};
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::laws;
use crate::check::panic;
use crate::check::subject::{Machine, Reply};
use crate::model::contract::Answer;
use crate::mutation::injected::{Rig, Sabotage};
use crate::plan::generator::{Generator, plan_of};
use crate::plan::workload::Habits;
use crate::plan::{KeyText, Made, Plan, Step};
use crate::report::words::Class;

/// One seed in this many is played twice, and one in as many is held to the laws.
const SAMPLE: u64 = 16;

/// Steps of a seed that the laws are held to.
const LAW_STEPS: u32 = 120;

/// A run that has come to its end, good or bad.
#[derive(Debug)]
pub(crate) struct Run {
    /// Everything that was judged.
    pub(crate) judge: Judge,
    /// Whether all was well.
    pub(crate) verdict: Verdict,
}

/// Plays a seed: as many steps as it has a mind to, or `length`.
#[must_use]
pub(crate) fn play_seed(seed: u64, habits: &Habits, length: u32, rig: Rig) -> Run {
    let blind = rig.has(Sabotage::BlindDraws);
    let mut judge = Judge::open(&habits.world, habits.start, rig);
    let verdict = guarded(&mut judge, |judge| {
        let mut generator = Generator::new(seed, habits.clone(), blind);
        let mut step = Step::default();
        for _ in 0..length {
            generator.next(&mut step);
            judge.step(&step)?;
        }
        judge.drain()?;
        judge.audit()?;
        if seed.is_multiple_of(SAMPLE) {
            replay_is_equal(judge, seed, habits, length)?;
        }
        if seed % SAMPLE == 1 {
            keeps_laws(&plan_of(seed, habits, blind, length.min(LAW_STEPS)))?;
        }
        Ok(())
    });
    Run { judge, verdict }
}

/// How a plan is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is drained and audited.
    Drained,
    /// It stops after its last step.
    Abrupt,
    /// It is held to the laws, and to nothing else.
    Laws,
}

/// Plays a plan.
#[must_use]
pub(crate) fn play_plan(plan: &Plan, rig: Rig, ending: Ending) -> Run {
    let mut judge = Judge::open(&plan.world, plan.start, rig);
    let verdict = guarded(&mut judge, |judge| {
        if ending == Ending::Laws {
            return keeps_laws(plan);
        }
        plan.steps.iter().try_for_each(|step| judge.step(step))?;
        if ending == Ending::Drained {
            judge.drain()?;
            judge.audit()?;
        }
        Ok(())
    });
    Run { judge, verdict }
}

/// A panic of the machine is a failure like any other.
fn guarded(judge: &mut Judge, run: impl FnOnce(&mut Judge) -> Verdict) -> Verdict {
    match panic::caught(|| run(judge)) {
        Ok(verdict) => verdict,
        Err(crash) => Err(judge.crashed(crash)),
    }
}

/// Plays the same steps on a fresh machine: it must come to the same end.
fn replay_is_equal(judge: &Judge, seed: u64, habits: &Habits, length: u32) -> Verdict {
    let mut machine = Machine::open(&habits.world);
    let mut made = Made::default();
    let mut play = |step: &Step| {
        let mut room = KeyText::default();
        let at = habits.start.saturating_add(step.at);
        if let Reply::Created(order, _) = machine.call(at, step.call(&made, &mut room)) {
            made.note(step.number, order.get());
        }
    };
    let mut generator = Generator::new(seed, habits.clone(), false);
    let mut step = Step::default();
    for _ in 0..length {
        generator.next(&mut step);
        play(&step);
    }
    judge.drained.iter().for_each(play);
    let (first, again) = (judge.machine.state.digest(), machine.state.digest());
    if first == again {
        return Ok(());
    }
    Err(at_the_end(Oracle::Replay, format!("digest {first}"), format!("digest {again}, again")))
}

fn keeps_laws(plan: &Plan) -> Verdict {
    laws::check(plan, Machine::open)
        .map_err(|breach| at_the_end(Oracle::Law(breach.law), breach.one, breach.other))
}

fn at_the_end(oracle: Oracle, machine: String, model: String) -> Box<Failure> {
    let nothing = Class::of(Some(&Answer::Done));
    let signature = Signature { oracle, kind: None, machine: nothing, model: nothing };
    Box::new(Failure { signature, number: 0, commands: 0, machine, model })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;

    #[test]
    fn a_panic_is_a_failure_like_any_other() {
        let habits = Habits::of(1);
        let mut judge = Judge::open(&habits.world, habits.start, Rig::default());
        let failure = guarded(&mut judge, |_| panic!("out of stock")).unwrap_err();
        assert!(matches!(failure.signature.oracle, Oracle::Crash { .. }));
        assert_eq!(failure.machine, "out of stock");
    }

    #[test]
    fn what_the_drain_leaves_is_seen() {
        let rig = Rig { sabotage: Some(Sabotage::ForgetfulDrain), ..Rig::default() };
        let oracles = (0..100).filter_map(|seed| {
            let run = play_seed(seed, &Habits::of(seed), 60, rig);
            run.verdict.err().map(|failure| failure.signature.oracle)
        });
        let seen: Vec<Oracle> = oracles.collect();
        assert!(seen.len() > 10 && seen.iter().all(|&oracle| oracle == Oracle::Liveness));
    }

    #[test]
    fn a_run_that_ends_otherwise_when_played_again_is_seen() {
        let habits = Habits::of(2);
        let run = play_seed(2, &habits, 60, Rig::default());
        assert!(run.verdict.is_ok());
        assert!(replay_is_equal(&run.judge, 2, &habits, 60).is_ok());
        // Half of the steps, and the end is another.
        let failure = replay_is_equal(&run.judge, 2, &habits, 30).unwrap_err();
        assert_eq!(failure.signature.oracle, Oracle::Replay);
    }

    #[test]
    fn a_plan_is_played_as_its_seed_is() {
        for seed in 0..20 {
            let habits = Habits::of(seed);
            let by_seed = play_seed(seed, &habits, 60, Rig::default());
            let plan = plan_of(seed, &habits, false, 60);
            let by_plan = play_plan(&plan, Rig::default(), Ending::Drained);
            assert_eq!(by_seed.judge.tally, by_plan.judge.tally);
        }
    }

    #[test]
    fn a_bug_is_seen_at_the_command_that_shows_it() {
        let rig = Rig::with_bug(Bug::PayReturnsStock);
        let text = "plan v1\nworld timeout=600s window=1s max_lines=9 start=0s\nstock 1=2\n\
                    1 @0s c0 create user=1 1x1\n2 @0s c0 pay order#1\n3 @0s c0 stock 1\n";
        let run = play_plan(&Plan::parse(text).unwrap(), rig, Ending::Drained);
        let failure = run.verdict.unwrap_err();
        assert_eq!((failure.signature.oracle, failure.number), (Oracle::Stock, 2));
        assert_eq!(failure.machine, "SKU 1: total 1, reserved 0");
        assert_eq!(failure.model, "SKU 1: total 2, reserved 0");
    }
}
