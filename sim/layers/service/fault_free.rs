//! Without faults: the steps of a plan one after another. The answers must equal those of the swarm
//! layer to the same plan.

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::service::LomsService;

use super::checker::{SentCall, ServiceChecker};
use super::edge::Edge;
use super::edge_counts::EdgeCounts;
use super::server::{ManualClock, SHIPPED_EXPIRY_STEP, Server, call_now};
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::check::failure::Failure;
use crate::check::swarm::{self, Ending};
use crate::coverage::counts::Counts;
use crate::model::contract::{Answer, Call};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{CreatedOrders, KeyText, Plan, Step};
use crate::progress;
use crate::report::fingerprint::Fingerprint;

/// The same plan with strictly increasing times from 1, as the sequencer assigns them. It ends at
/// the end of time.
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

/// A run without faults.
#[derive(Debug)]
pub(crate) struct FaultFreeRun {
    /// The server under test.
    server: Server,
    client: LomsClient<LomsService>,
    /// The checker.
    pub(crate) checker: ServiceChecker,
    created: CreatedOrders,
    start: u64,
    injected: InjectedFaults,
}

impl FaultFreeRun {
    /// A server that starts with the plan's world.
    #[must_use]
    pub(crate) fn open(plan: &Plan, edge: Edge, injected: InjectedFaults) -> Self {
        let (world, expiry_step) = (&plan.world, SHIPPED_EXPIRY_STEP);
        let server = Server::start(world, edge, ManualClock::default(), expiry_step);
        let client = server.client();
        let checker = ServiceChecker::open(world, edge, expiry_step, injected);
        let (created, start) = (CreatedOrders::default(), plan.start);
        Self { server, client, checker, created, start, injected }
    }

    /// Runs a step.
    ///
    /// # Errors
    /// The answer differs from the model's.
    pub(crate) fn step(&mut self, step: &Step) -> Verdict {
        progress::step(step.number);
        let at = self.start.saturating_add(step.at);
        self.server.clock.set(at);
        let mut buffer = KeyText::default();
        let call = step.call(&self.created, &mut buffer);
        if call == Call::Tick {
            return self.checker.tick(at, step.number, &self.server.sequencer);
        }
        if let Call::ChangeRules { timeout, window, limits } = call {
            let server = &self.server.sequencer;
            return self.checker.change_rules(at, step.number, (timeout, window, limits), server);
        }
        let had_deadline = self.checker.model.next_deadline().is_some();
        let received = call_now(&mut self.client, call);
        let sent = SentCall { number: step.number, call };
        if let Answer::Created { order, .. } = self.checker.answered(at, sent, &received)? {
            self.created.note(step.number, order);
        }
        // Without a deadline the ticker sleeps until a call wakes it.
        let must_wake = !had_deadline && self.checker.model.next_deadline().is_some();
        let woken = self.server.ticker_is_woken();
        if self.injected.alter(Compared::DeadlineWakesTicker, woken, |_| false) || !must_wake {
            return Ok(());
        }
        let (actual, expected) = ("the ticker is not woken", "a first deadline wakes the ticker");
        let at = Compared::DeadlineWakesTicker;
        Err(self.checker.without_call(at, actual.to_owned(), expected.to_owned()))
    }
}

/// Runs a plan with increasing times, and compares its answers with the swarm layer's.
///
/// # Errors
/// The model or the swarm layer gives another answer.
pub(crate) fn play(
    plan: &Plan,
    edge: Edge,
    injected: InjectedFaults,
) -> Result<(Counts, EdgeCounts), Box<Failure>> {
    let mut run = FaultFreeRun::open(plan, edge, injected);
    plan.steps.iter().try_for_each(|step| run.step(step))?;
    let swarm = swarm::play_plan(plan, injected, Ending::Abrupt);
    swarm.verdict?;
    let (service, swarm) = (run.checker.counts.fingerprint(), swarm.counts.fingerprint());
    let service = injected.alter(Compared::SameAnswers, service, |_| Fingerprint::default());
    if service != swarm {
        let text = |fingerprint| format!("answers {fingerprint}");
        let swarm = format!("{} in the swarm layer", text(swarm));
        return Err(run.checker.without_call(Compared::SameAnswers, text(service), swarm));
    }
    Ok((run.checker.counts, run.checker.edge_counts))
}
