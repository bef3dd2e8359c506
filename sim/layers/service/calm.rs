//! With faults off: the steps of a plan one after another, each at its time. The answers must be
//! those of the swarm layer to the same plan.

use loms::grpc::proto::loms_client::LomsClient;

use super::judge::{Judge, Made as MadeCall};
use super::server::{HandClock, Loms, Server, call_at_once};
use crate::check::checker::Verdict;
use crate::check::failure::Oracle;
use crate::check::swarm::{self, Ending};
use crate::coverage::counts::Tally;
use crate::model::contract::{Answer, Call};
use crate::mutation::injected::Rig;
use crate::plan::{KeyText, Made, Plan, Step};

/// The same plan with times that rise from step to step, as the sequencer's do, from 1. It ends
/// where time does.
#[must_use]
pub(crate) fn retimed(mut plan: Plan) -> Plan {
    let mut last = None;
    let start = plan.start;
    plan.steps.retain_mut(|step| {
        let soonest = match last {
            None => u64::from(start == 0),
            Some(last) => match u64::checked_add(last, 1) {
                Some(next) => next,
                None => return false,
            },
        };
        step.at = step.at.max(soonest);
        last = Some(step.at);
        start.checked_add(step.at).is_some()
    });
    plan
}

/// A calm run.
#[derive(Debug)]
pub(crate) struct Calm {
    /// The server under test.
    server: Server,
    client: LomsClient<Loms>,
    /// Its judge.
    pub(crate) judge: Judge,
    made: Made,
    start: u64,
}

impl Calm {
    /// A server that opens as the plan does.
    #[must_use]
    pub(crate) fn open(plan: &Plan, rig: Rig) -> Self {
        let server = Server::start(&plan.world, HandClock::default());
        let client = server.client();
        let judge = Judge::open(&plan.world, rig);
        Self { server, client, judge, made: Made::default(), start: plan.start }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// The answer is not the model's.
    pub(crate) fn step(&mut self, step: &Step) -> Verdict {
        let at = self.start.saturating_add(step.at);
        self.server.clock.set(at);
        let mut room = KeyText::default();
        let call = step.call(&self.made, &mut room);
        if call == Call::Tick {
            return self.judge.tick(at, step.number, &self.server.sequencer);
        }
        let heard = call_at_once(&mut self.client, call);
        let made = MadeCall { number: step.number, call };
        if let Answer::Created { order, .. } = self.judge.answered(at, made, &heard)? {
            self.made.note(step.number, order);
        }
        Ok(())
    }
}

/// Plays a plan whose times rise, and holds its answers against the swarm layer's.
///
/// # Errors
/// The model, or the swarm layer, answers otherwise.
pub(crate) fn play(plan: &Plan, rig: Rig) -> Result<Tally, Box<crate::check::failure::Failure>> {
    let mut calm = Calm::open(plan, rig);
    plan.steps.iter().try_for_each(|step| calm.step(step))?;
    let swarm = swarm::play_plan(plan, rig, Ending::Abrupt);
    swarm.verdict?;
    let (service, swarm) = (calm.judge.tally.fingerprint(), swarm.judge.tally.fingerprint());
    if service != swarm {
        let words = |fingerprint| format!("answers {fingerprint}");
        let swarm = format!("{} in the swarm layer", words(swarm));
        return Err(calm.judge.at_the_end(Oracle::Replay, words(service), swarm));
    }
    Ok(calm.judge.tally)
}
