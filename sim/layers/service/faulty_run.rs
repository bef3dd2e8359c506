//! With faults: concurrent clients, each with its own steps of the plan, over a network that loses,
//! duplicates, delays and reorders messages, to a server that restarts and whose clock jumps. All
//! events are in one queue by (virtual time, random number): no task, no timer, no thread.
//!
//! The checker sees every answer when the server gives it, whether or not a client receives it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loms::grpc::proto::loms_client::LomsClient;
use tonic::body::Body;
use tonic::codegen::{Service, http};

use super::channel::{Channel, Gate};
use super::checker::{SentCall, ServiceChecker, call_of};
use super::fault_counts::FaultCounts;
use super::fault_schedule::{FaultSchedule, NetworkFault};
use super::server::{Loms, ManualClock, Server};
use super::timers::Timers;
use crate::check::checker::Verdict;
use crate::check::failure::Oracle;
use crate::layers::wire::{self, Received};
use crate::model::contract::Answer;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::{CreatedOrders, KeyText, Op, Plan, Step};

type ClientCall<'a> = Pin<Box<dyn Future<Output = Received> + 'a>>;
type ServerCall = <Loms as Service<http::Request<Body>>>::Future;

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
    client: usize,
    attempt: u8,
    step: &'a Step,
    /// The order of the call, as the client knew it when it sent the call.
    order: i64,
    /// A duplicate by the network: no client waits for its reply.
    duplicate: bool,
    channel: Channel,
    gate: Gate,
    calling: ClientCall<'a>,
    pub(super) serving: Option<ServerCall>,
    answer: Option<Answer>,
    /// When to send the call again, after a refusal because of a backlog.
    retry_after: Option<u64>,
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
    plan: &'a Plan,
    schedule: &'a FaultSchedule,
    pub(super) now: u64,
    /// The error of the server's clock: it is this far ahead of `now`, and this far behind it.
    clock_ahead: u64,
    clock_behind: u64,
    queue: BTreeMap<(u64, u64, u64), Event>,
    pub(super) queued: u64,
    pub(super) draws: Draws,
    clients: Vec<Client<'a>>,
    pub(super) in_flight: Vec<InFlight<'a>>,
    /// The requests in the order in which they were sent, for a network that never reorders.
    in_order: Option<VecDeque<usize>>,
    /// The most recently sent request among those that have arrived.
    latest_arrived: usize,
    /// The calls that wait for the end of a backlog.
    pub(super) waiting: Vec<usize>,
    /// Whether an [`Event::Tick`] is in the queue.
    pub(super) ticking: bool,
    /// The service's timers, in virtual time.
    pub(super) timers: Timers,
    /// If keys never expire: the first order of each create, by step.
    keyed: BTreeMap<u32, i64>,
}

impl<'a> FaultyRun<'a> {
    /// A run of this plan with this schedule.
    #[must_use]
    pub(crate) fn open(
        plan: &'a Plan,
        schedule: &'a FaultSchedule,
        injected: InjectedFaults,
    ) -> Self {
        let clients = plan.steps.iter().map(|step| usize::from(step.client) + 1).max();
        let mut clients: Vec<Client<'_>> =
            std::iter::repeat_with(Client::default).take(clients.unwrap_or(0)).collect();
        for step in &plan.steps {
            clients[usize::from(step.client)].steps.push_back(step);
        }
        let mut run = Self {
            checker: ServiceChecker::open(&plan.world, schedule.expiry_step, injected),
            fault_counts: FaultCounts::default(),
            server: Server::start(&plan.world, ManualClock::default(), schedule.expiry_step),
            created: CreatedOrders::default(),
            plan,
            schedule,
            now: plan.start,
            clock_ahead: 0,
            clock_behind: 0,
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
        let steps = u64::try_from(self.plan.steps.len()).expect("lengths fit 64 bits");
        if resolved != steps || self.clients.iter().any(|client| !client.steps.is_empty()) {
            let text = |count| format!("{count} calls resolved");
            return Err(self.checker.without_call(Oracle::Liveness, text(resolved), text(steps)));
        }
        self.drain()
    }

    /// The time of the server's clock.
    pub(super) fn clock(&self) -> u64 {
        self.now.saturating_add(self.clock_ahead).saturating_sub(self.clock_behind)
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
        let schedule = self.schedule;
        for fault in schedule.faults_of(step.number, attempt) {
            if fault == NetworkFault::Restart {
                self.restart();
            } else if let NetworkFault::ClockForward(span) = fault {
                self.clock_ahead = self.clock_ahead.saturating_add(span);
            } else if let NetworkFault::ClockBack(span) = fault {
                self.clock_behind = self.clock_behind.saturating_add(span);
            } else {
                continue;
            }
            self.fault_counts.faults[fault.kind()] += 1;
        }
        self.server.clock.set(self.clock());
        let (clock, server) = (self.clock(), &self.server.sequencer);
        if let Op::Rules { timeout, window } = step.op {
            self.checker.change_rules(clock, step.number, timeout, window, server)?;
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
        let flight = self.start_call(client, attempt, step, order, false);
        self.clients[client].waits_for = Some(flight);
        self.push(schedule.deadline, Event::Deadline(flight));
        let (mut late, mut dropped, mut again) = (0, false, None);
        for fault in schedule.faults_of(step.number, attempt) {
            if fault == NetworkFault::RequestLost {
                dropped = true;
            } else if let NetworkFault::RequestDelayed(span) = fault {
                late = span;
            } else if let NetworkFault::Duplicate(span) = fault {
                again = Some(span);
            } else {
                continue;
            }
            self.fault_counts.faults[fault.kind()] += 1;
        }
        if !dropped {
            self.send_request(late, flight);
        }
        if let Some(after) = again {
            let duplicate = self.start_call(client, attempt, step, order, true);
            self.send_request(late.saturating_add(after), duplicate);
        }
        Ok(())
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
            channel,
            gate: Gate::default(),
            calling,
            serving: None,
            answer: None,
            retry_after: None,
        });
        self.in_flight.len() - 1
    }

    fn arrive(&mut self, place: usize) -> Verdict {
        let place = self.in_order.as_mut().and_then(VecDeque::pop_front).unwrap_or(place);
        self.fault_counts.reordered += u64::from(place < self.latest_arrived);
        self.latest_arrived = self.latest_arrived.max(place);
        let flight = &mut self.in_flight[place];
        let (mut slow, mut disconnect) = (None, None);
        if !flight.duplicate {
            for fault in self.schedule.faults_of(flight.step.number, flight.attempt) {
                if let NetworkFault::BodyDelayed(span) = fault {
                    slow = Some(span);
                } else if let NetworkFault::Disconnect(span) = fault {
                    disconnect = Some(span);
                } else {
                    continue;
                }
                self.fault_counts.faults[fault.kind()] += 1;
            }
        }
        let request = flight.channel.take_request().expect("a request arrives once");
        flight.serving = Some(self.server.loms.call(flight.gate.before(request)));
        match (disconnect, slow) {
            (Some(span), _) => self.push(span, Event::Disconnect(place)),
            (None, Some(span)) => self.push(span, Event::Finish(place)),
            (None, None) => return self.finish(place),
        }
        // The handler has the headers of the request and waits for the body.
        let serving = self.in_flight[place].serving.as_mut().expect("it has just been called");
        let polled = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the service answers before the body has arrived");
        Ok(())
    }

    /// The whole request has arrived: the server works on it.
    fn finish(&mut self, place: usize) -> Verdict {
        self.in_flight[place].gate.open();
        self.serve(place)
    }

    /// The server answers a complete request. While it has a backlog of due orders, it lets the
    /// call wait, and refuses it if it waits too long.
    pub(super) fn serve(&mut self, place: usize) -> Verdict {
        let clock = self.clock();
        let flight = &mut self.in_flight[place];
        let Some(mut serving) = flight.serving.take() else {
            // The server has restarted since, or the client has disconnected.
            return Ok(());
        };
        let (step, order) = (flight.step, flight.order);
        let mut buffer = KeyText::default();
        let call = call_of(step, order, &mut buffer);
        let sent = SentCall { number: step.number, call };
        let had_backlog = self.checker.has_backlog;
        let must_wait = self.checker.must_wait(clock, call);
        if must_wait {
            self.timers.advance_to(self.now);
            // Only a wake-up by this call counts, so clear earlier ones.
            self.ticker_is_woken();
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = {
            let _timers = self.timers.enter();
            serving.as_mut().poll(&mut context)
        };
        let flight = &mut self.in_flight[place];
        let Poll::Ready(Ok(response)) = polled else {
            flight.serving = Some(serving);
            self.checker.not_answered(sent, must_wait, "no answer")?;
            return self.wait_for_ticker(place, had_backlog);
        };
        flight.channel.put_response(response);
        let Poll::Ready(received) = flight.calling.as_mut().poll(&mut context) else {
            panic!("the client still waits after the response has arrived");
        };
        flight.retry_after = received.catching_up();
        if flight.retry_after.is_some() {
            self.checker.not_answered(sent, must_wait, "CATCHING_UP")?;
            self.fault_counts.catching_up += 1;
        } else if must_wait {
            return Err(self.checker.answered_during_backlog(sent, &received));
        } else {
            let answer = self.checker.answered(clock, sent, &received)?;
            self.one_key_one_order(place, &answer)?;
            self.in_flight[place].answer = Some(answer);
        }
        self.send_reply(place);
        Ok(())
    }

    /// The server has answered: its reply is on the way to the client, or lost.
    fn send_reply(&mut self, place: usize) {
        let flight = &self.in_flight[place];
        let (mut back, mut lost) = (0, flight.duplicate);
        for fault in self.schedule.faults_of(flight.step.number, flight.attempt) {
            if fault == NetworkFault::ReplyLost {
                lost = true;
            } else if let NetworkFault::ReplyDelayed(span) = fault {
                back = span;
            } else {
                continue;
            }
            self.fault_counts.faults[fault.kind()] += u64::from(!flight.duplicate);
        }
        if lost {
            self.fault_counts.not_received += 1;
        } else {
            self.push(back, Event::Reply(place));
        }
    }

    /// If keys never expire, all attempts of a create with a key give the same order.
    fn one_key_one_order(&mut self, place: usize, answer: &Answer) -> Verdict {
        let InFlight { step, .. } = self.in_flight[place];
        let keyed = matches!(step.op, Op::Create { key, .. } if key.name > 0);
        let (true, true, Answer::Created { order, .. }) =
            (keyed, self.plan.keys_never_expire(), answer)
        else {
            return Ok(());
        };
        let first = *self.keyed.entry(step.number).or_insert(*order);
        if first == *order {
            return Ok(());
        }
        let (actual, expected) =
            (format!("order {order} for a repeated create"), format!("order {first}"));
        Err(self.checker.without_call(Oracle::Retry, actual, expected))
    }

    fn reply(&mut self, place: usize) {
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
        self.clients[client].steps.pop_front();
        self.send_next(client);
    }

    /// The server restarts with its opening stock and loses its state.
    fn restart(&mut self) {
        self.in_flight.iter_mut().for_each(|flight| flight.serving = None);
        self.server =
            Server::start(&self.plan.world, self.server.clock.clone(), self.schedule.expiry_step);
        self.checker.restart();
        self.waiting.clear();
        self.created = CreatedOrders::default();
        self.keyed.clear();
    }
}
