//! With faults: concurrent clients, each with its own steps of the plan, over a network that loses,
//! duplicates, delays and reorders messages, to a server that restarts and whose clock jumps. All
//! events are in one queue by (virtual time, random number): no task, no timer, no thread.
//!
//! The checker sees every answer when the server gives it, whether or not a client receives it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::service::LomsService;
use tonic::body::Body;
use tonic::codegen::{Service, http};

use super::channel::{Channel, Gate};
use super::checker::{ServiceChecker, call_of};
use super::edge::Edge;
use super::effects::{self, AttemptFaults, ClockError, RequestLog};
use super::fault_counts::FaultCounts;
use super::fault_schedule::FaultSchedule;
use super::server::{ManualClock, Server};
use super::timers::Timers;
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::layers::wire::{self, Received};
use crate::model::contract::Answer;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::{CreatedOrders, KeyText, Op, Plan, Step};
use crate::progress;

type ClientCall<'a> = Pin<Box<dyn Future<Output = Received> + 'a>>;
type ServerCall = <LomsService as Service<http::Request<Body>>>::Future;

/// An event in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A client sends its step; `attempt` counts from 0.
    Send { client: usize, attempt: u8 },
    /// A request arrives.
    Arrive(usize),
    /// The rest of its body arrives.
    Finish(usize),
    /// Its client disconnects.
    Disconnect(usize),
    /// The reply arrives.
    Reply(usize),
    /// The client's timeout for the call ends.
    Deadline(usize),
    /// The ticker does one step of the backlog.
    Tick,
    /// The server must refuse a call that still waits.
    Refuse(usize),
}

/// A request in flight.
pub(super) struct InFlight<'a> {
    pub(super) client: usize,
    pub(super) attempt: u8,
    pub(super) step: &'a Step,
    /// The order of the call, as the client knew it when it sent the call.
    pub(super) order: i64,
    /// A duplicate by the network: no client waits for its reply.
    pub(super) duplicate: bool,
    pub(super) faults: AttemptFaults,
    pub(super) log: RequestLog,
    pub(super) channel: Channel,
    pub(super) gate: Gate,
    pub(super) calling: ClientCall<'a>,
    pub(super) serving: Option<ServerCall>,
    pub(super) answer: Option<Answer>,
    /// When to send the call again, after a refusal because of a backlog.
    pub(super) retry_after: Option<u64>,
}

/// A client with its remaining steps; the first one is current.
#[derive(Debug, Default)]
struct Client<'a> {
    steps: VecDeque<&'a Step>,
    /// The request whose reply it waits for.
    waits_for: Option<usize>,
}

/// A run.
pub(crate) struct FaultyRun<'a> {
    /// The checker.
    pub(crate) checker: ServiceChecker,
    /// The counts.
    pub(crate) fault_counts: FaultCounts,
    pub(super) server: Server,
    pub(super) created: CreatedOrders,
    pub(super) plan: &'a Plan,
    pub(super) schedule: &'a FaultSchedule,
    edge: Edge,
    pub(super) injected: InjectedFaults,
    pub(super) now: u64,
    clock_error: ClockError,
    /// What it must be by the schedule.
    scheduled_error: ClockError,
    queue: BTreeMap<(u64, u64, u64), Event>,
    pub(super) queued: u64,
    pub(super) draws: Draws,
    clients: Vec<Client<'a>>,
    pub(super) in_flight: Vec<InFlight<'a>>,
    /// The requests in the order in which they were sent, for a network that never reorders.
    pub(super) in_order: Option<VecDeque<usize>>,
    /// The most recently sent request among those that have arrived.
    pub(super) latest_arrived: usize,
    /// The calls that wait for the end of a backlog.
    pub(super) waiting: Vec<usize>,
    /// Whether an [`Event::Tick`] is in the queue.
    pub(super) ticking: bool,
    /// The service's timers, in virtual time.
    pub(super) timers: Timers,
    /// If keys never expire: the first order of each create, by step.
    pub(super) keyed: BTreeMap<u32, i64>,
}

impl<'a> FaultyRun<'a> {
    /// A run of this plan with this schedule.
    #[must_use]
    pub(crate) fn open(
        plan: &'a Plan,
        schedule: &'a FaultSchedule,
        edge: Edge,
        injected: InjectedFaults,
    ) -> Self {
        let expiry_step = schedule.expiry_step;
        let clients = plan.steps.iter().map(|step| usize::from(step.client) + 1).max();
        let mut clients: Vec<Client<'_>> =
            std::iter::repeat_with(Client::default).take(clients.unwrap_or(0)).collect();
        for step in &plan.steps {
            clients[usize::from(step.client)].steps.push_back(step);
        }
        let mut run = Self {
            checker: ServiceChecker::open(&plan.world, edge, expiry_step, injected),
            fault_counts: FaultCounts::default(),
            server: Server::start(&plan.world, edge, ManualClock::default(), expiry_step),
            created: CreatedOrders::default(),
            plan,
            schedule,
            edge,
            injected,
            now: plan.start,
            clock_error: ClockError::default(),
            scheduled_error: ClockError::default(),
            queue: BTreeMap::new(),
            queued: 0,
            draws: Draws::new(plan.start, Domain::Network),
            clients,
            in_flight: Vec::new(),
            in_order: injected.has(SimulatorFault::NoReordering).then(VecDeque::new),
            latest_arrived: 0,
            waiting: Vec::new(),
            ticking: false,
            timers: Timers::start(plan.start),
            keyed: BTreeMap::new(),
        };
        for client in 0..run.clients.len() {
            run.send_next(client);
        }
        run
    }

    /// Runs the plan, and then the drain.
    ///
    /// # Errors
    /// An answer is wrong, or a call never ends.
    pub(crate) fn play(&mut self) -> Verdict {
        while let Some(((at, _, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.server.clock.set(self.clock());
            self.handle(event)?;
            self.follow_backlog()?;
        }
        let resolved = self.fault_counts.resolved + self.fault_counts.given_up;
        let resolved = self.injected.alter(Compared::EveryCallEnds, resolved, |calls| calls + 1);
        let steps = u64::try_from(self.plan.steps.len()).expect("lengths fit 64 bits");
        let text = |count| format!("calls resolved: {count}");
        if resolved != steps {
            let at = Compared::EveryCallEnds;
            return Err(self.checker.without_call(at, text(resolved), text(steps)));
        }
        let left = self.clients.iter().map(|client| client.steps.len()).sum();
        let left: usize = self.injected.alter(Compared::NoStepLeft, left, |left| left + 1);
        if left > 0 {
            let (actual, expected) = (format!("{left} steps left"), "no step left".to_owned());
            return Err(self.checker.without_call(Compared::NoStepLeft, actual, expected));
        }
        self.every_fault_had_its_effect()?;
        self.drain()
    }

    /// Every request was delivered as its faults demand.
    fn every_fault_had_its_effect(&self) -> Verdict {
        for (place, flight) in self.in_flight.iter().enumerate() {
            let InFlight { step, faults, duplicate, .. } = flight;
            let again = !duplicate && faults.span(effects::DUPLICATE).is_some();
            let missing =
                again && !self.in_flight.get(place + 1).is_some_and(|next| next.duplicate);
            let at = format!("step {}, attempt {}: ", step.number, flight.attempt);
            if missing {
                let (actual, expected) = (at + "no duplicate", "a duplicate".to_owned());
                return Err(self.checker.without_call(Compared::DuplicateSent, actual, expected));
            }
            if let Some((actual, expected)) = flight.log.difference(faults, *duplicate) {
                let actual = at + &actual;
                return Err(self.checker.without_call(Compared::FaultEffect, actual, expected));
            }
        }
        Ok(())
    }

    /// The time of the server's clock.
    pub(super) fn clock(&self) -> u64 {
        self.clock_error.clock(self.now)
    }

    pub(super) fn push(&mut self, after: u64, event: Event) {
        self.queued += 1;
        self.draws.turn_to(self.queued);
        let tie = self.draws.draw(Purpose::KIND).below(u64::MAX);
        self.queue.insert((self.now.saturating_add(after), tie, self.queued), event);
    }

    /// The client sends its next step, at the step's own time or now.
    fn send_next(&mut self, client: usize) {
        if let Some(step) = self.clients[client].steps.front() {
            let wait = self.plan.start.saturating_add(step.at).saturating_sub(self.now);
            self.push(wait, Event::Send { client, attempt: 0 });
        }
    }

    fn handle(&mut self, event: Event) -> Verdict {
        match event {
            Event::Send { client, attempt } => self.send(client, attempt),
            Event::Arrive(flight) => self.arrive(flight),
            Event::Finish(flight) => self.finish(flight),
            Event::Disconnect(flight) => {
                self.in_flight[flight].serving = None;
                Ok(())
            }
            Event::Reply(flight) => {
                self.reply(flight);
                Ok(())
            }
            Event::Deadline(flight) => {
                self.deadline(flight);
                Ok(())
            }
            Event::Tick => self.tick_backlog(),
            Event::Refuse(flight) => self.refuse(flight),
        }
    }

    fn send(&mut self, client: usize, attempt: u8) -> Verdict {
        let step =
            *self.clients[client].steps.front().expect("a client with a Send event has a step");
        let faults = AttemptFaults::of(self.schedule.faults_of(step.number, attempt));
        self.fail_server(&faults)?;
        let (clock, server) = (self.clock(), &self.server.sequencer);
        if let Op::Rules { timeout, window, limits } = step.op {
            self.checker.change_rules(clock, step.number, (timeout, window, limits), server)?;
            self.resolve(client);
            return Ok(());
        }
        if step.op == Op::Tick {
            self.checker.tick(clock, step.number, server)?;
            self.resolve(client);
            return Ok(());
        }
        self.fault_counts.retries += u64::from(attempt > 0);
        let order = step.op.target().map_or(0, |target| self.created.find(target));
        let flight = self.start_call(client, attempt, step, order, faults, false);
        self.clients[client].waits_for = Some(flight);
        self.push(self.schedule.deadline, Event::Deadline(flight));
        let late = self.happens(&faults, effects::REQUEST_DELAYED).unwrap_or(0);
        if self.happens(&faults, effects::REQUEST_LOST).is_none() {
            self.send_request(late, flight);
        }
        if let Some(after) = self.happens(&faults, effects::DUPLICATE) {
            let duplicate = self.start_call(client, attempt, step, order, faults, true);
            self.send_request(late.saturating_add(after), duplicate);
        }
        Ok(())
    }

    /// The fault of this kind, if the attempt has one: it is counted and happens now.
    pub(super) fn happens(&mut self, faults: &AttemptFaults, kind: usize) -> Option<u64> {
        let span = faults.span(kind)?;
        self.fault_counts.faults[kind] += 1;
        (!self.injected.has(SimulatorFault::NoEffect(kind))).then_some(span)
    }

    /// Before an attempt the server may restart, and its clock may jump.
    fn fail_server(&mut self, faults: &AttemptFaults) -> Verdict {
        if self.happens(faults, effects::RESTART).is_some() {
            self.restart();
        }
        let [forward, back] = [effects::CLOCK_FORWARD, effects::CLOCK_BACK];
        let jumps = (self.happens(faults, forward), self.happens(faults, back));
        self.clock_error.jump(jumps.0, jumps.1);
        self.server.clock.set(self.clock());
        self.scheduled_error.jump(faults.span(forward), faults.span(back));
        let clocks = [self.server.clock.now(), self.scheduled_error.clock(self.now)];
        if clocks[0] != clocks[1] {
            let [actual, expected] = clocks.map(|clock| format!("the server's clock is {clock}"));
            return Err(self.checker.without_call(Compared::ClockJumped, actual, expected));
        }
        if faults.span(effects::RESTART).is_none() {
            return Ok(());
        }
        let index = self.server.sequencer.present().map(|present| present.state().index());
        if index == Ok(0) {
            return Ok(());
        }
        let expected = "a server that has lost its state".to_owned();
        let actual = format!("entries: {index:?}");
        Err(self.checker.without_call(Compared::Restarted, actual, expected))
    }

    fn send_request(&mut self, after: u64, flight: usize) {
        if let Some(in_order) = &mut self.in_order {
            in_order.push_back(flight);
        }
        self.push(after, Event::Arrive(flight));
    }

    /// The generated client makes its call; the request is in the channel.
    fn start_call(
        &mut self,
        client: usize,
        attempt: u8,
        step: &'a Step,
        order: i64,
        faults: AttemptFaults,
        duplicate: bool,
    ) -> usize {
        let channel = Channel::default();
        let mut rpc = LomsClient::new(channel.clone());
        let mut calling: ClientCall<'a> = Box::pin(async move {
            let mut buffer = KeyText::default();
            wire::call(&mut rpc, call_of(step, order, &mut buffer)).await
        });
        let polled = calling.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the client has an answer before the server has the request");
        self.in_flight.push(InFlight {
            client,
            attempt,
            step,
            order,
            duplicate,
            faults,
            log: RequestLog { sent: self.now, ..RequestLog::default() },
            channel,
            gate: Gate::default(),
            calling,
            serving: None,
            answer: None,
            retry_after: None,
        });
        self.in_flight.len() - 1
    }

    fn reply(&mut self, place: usize) {
        self.in_flight[place].log.replied = Some(self.now);
        let InFlight { client, step, attempt, .. } = self.in_flight[place];
        if self.clients[client].waits_for != Some(place) {
            self.fault_counts.not_received += 1;
            return;
        }
        if let Some(delay) = self.in_flight[place].retry_after {
            self.retry(client, attempt, delay);
            return;
        }
        if let Some(Answer::Created { order, .. }) = self.in_flight[place].answer {
            self.created.note(step.number, order);
        }
        self.resolve(client);
    }

    fn deadline(&mut self, place: usize) {
        let InFlight { client, attempt, .. } = self.in_flight[place];
        if self.clients[client].waits_for == Some(place) {
            self.retry(client, attempt, 0);
        }
    }

    /// The client sends its step again after this delay, or gives up after its last attempt.
    fn retry(&mut self, client: usize, attempt: u8, delay: u64) {
        if attempt + 1 < self.schedule.attempts {
            self.clients[client].waits_for = None;
            self.push(delay, Event::Send { client, attempt: attempt + 1 });
        } else {
            self.fault_counts.given_up += 1;
            self.start_next_step(client);
        }
    }

    /// The client has received its answer.
    fn resolve(&mut self, client: usize) {
        self.fault_counts.resolved += 1;
        self.start_next_step(client);
    }

    /// The client has finished its step, with or without an answer.
    fn start_next_step(&mut self, client: usize) {
        self.clients[client].waits_for = None;
        if let Some(step) = self.clients[client].steps.pop_front() {
            progress::step(step.number);
        }
        self.send_next(client);
    }

    /// The server restarts with its opening stock and loses its state.
    fn restart(&mut self) {
        self.in_flight.iter_mut().for_each(|flight| flight.serving = None);
        let (clock, expiry_step) = (self.server.clock.clone(), self.schedule.expiry_step);
        self.server = Server::start(&self.plan.world, self.edge, clock, expiry_step);
        self.checker.restart();
        self.waiting.clear();
        self.created = CreatedOrders::default();
        self.keyed.clear();
    }
}
