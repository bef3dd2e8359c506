//! The checker of the service layer: the model gets the same calls in the order in which the server
//! executes them.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use loms::grpc::service::ServiceOptions;
use loms::sequencer::Sequencer;
use loms::state_machine::{Command, LomsState};

use super::edge::Edge;
use super::edge_counts::EdgeCounts;
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::subject::rules;
use crate::coverage::counts::Counts;
use crate::layers::wire::{Received, expected};
use crate::model::contract::{Answer, Call, Limits};
use crate::model::{Model, World};
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::{CreatedOrders, KeyText, Kind, Op, Step};
use crate::report::answers::Class;

/// The model of a server since its start, and the comparison with it.
#[derive(Debug)]
pub(crate) struct ServiceChecker {
    /// Counts of the run so far.
    pub(crate) counts: Counts,
    /// Counts of the answers that depend on settings and limits.
    pub(crate) edge_counts: EdgeCounts,
    /// The model.
    pub(crate) model: Model,
    /// Whether the server has a backlog: it knows of due orders that have not yet expired.
    pub(crate) has_backlog: bool,
    world: World,
    options: ServiceOptions,
    expiry_step: NonZeroUsize,
    injected: InjectedFaults,
}

/// A call as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentCall<'a> {
    /// The number of the step in the plan.
    pub(crate) number: u32,
    /// The call.
    pub(crate) call: Call<'a>,
}

/// The kind of a call.
#[must_use]
pub(crate) const fn kind_of(call: Call<'_>) -> Kind {
    match call {
        Call::Create { .. } => Kind::Create,
        Call::Info(_) => Kind::Info,
        Call::Pay(_) => Kind::Pay,
        Call::Cancel(_) => Kind::Cancel,
        Call::Stock(_) => Kind::Stock,
        Call::Tick => Kind::Tick,
        Call::ChangeRules { .. } => Kind::Rules,
    }
}

/// The call of a step. If the call is about an order, it is this one.
pub(super) fn call_of<'a>(step: &'a Step, order: i64, buffer: &'a mut KeyText) -> Call<'a> {
    let no_orders = CreatedOrders::default();
    match step.op {
        Op::Info(_) => Call::Info(order),
        Op::Pay(_) => Call::Pay(order),
        Op::Cancel(_) => Call::Cancel(order),
        Op::Create { .. } | Op::Stock(_) | Op::Tick | Op::Rules { .. } => {
            step.call(&no_orders, buffer)
        }
    }
}

fn is_invalid(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(refusal) if refusal.is_invalid())
}

impl ServiceChecker {
    /// The checker of a server that starts with this world and these settings. The server expires
    /// at most `expiry_step` orders at once.
    #[must_use]
    pub(crate) fn open(
        world: &World,
        edge: Edge,
        expiry_step: NonZeroUsize,
        injected: InjectedFaults,
    ) -> Self {
        Self {
            counts: Counts::default(),
            edge_counts: EdgeCounts::default(),
            options: edge.options(world),
            model: Model::new(world, injected.bug),
            has_backlog: false,
            world: world.clone(),
            expiry_step,
            injected,
        }
    }

    /// The server is restarted and has lost its state.
    pub(crate) fn restart(&mut self) {
        self.model = Model::new(&self.world, self.injected.bug);
        self.has_backlog = false;
    }

    /// Whether this call must wait when the server's clock shows `clock`: more orders are due than
    /// the server expires at once. An invalid request is refused without waiting.
    pub(crate) fn must_wait(&mut self, clock: u64, call: Call<'_>) -> bool {
        let now = clock.max(self.model.now());
        if !self.has_backlog && self.end_of_next_step(now) >= now {
            return false;
        }
        // An invalid request is refused in any state, so a new model is enough.
        let answer = Model::new(&self.world, self.injected.bug).answer(now, call);
        let valid = !is_invalid(&answer);
        self.has_backlog |= valid;
        valid
    }

    /// The time up to which the server's next step expires orders: as late as possible, but not
    /// after `now`, and with at most `expiry_step` orders. Only orders with the same deadline can
    /// make a step larger.
    fn end_of_next_step(&self, now: u64) -> u64 {
        let mut due = self.model.deadlines().take_while(|&deadline| deadline <= now);
        let Some(first) = due.next() else { return now };
        match due.nth(self.expiry_step.get() - 1) {
            None => now,
            Some(beyond) if beyond == first => beyond,
            Some(beyond) => beyond - 1,
        }
    }

    /// The server has not answered a call, or has refused it with `CATCHING_UP`. The call changes
    /// nothing; all later answers show that.
    ///
    /// # Errors
    /// The call did not have to wait.
    pub(crate) fn not_answered(
        &self,
        at: Compared,
        sent: SentCall<'_>,
        must_wait: bool,
        what: &str,
    ) -> Verdict {
        if self.injected.alter(at, must_wait, |_| false) {
            return Ok(());
        }
        let actual = (Class::Impossible, what.to_owned());
        let expected = "an answer: the server has no backlog".to_owned();
        Err(self.differs(at, sent, actual, (Class::Done, expected)))
    }

    /// If the server has refused a call because of a backlog, the delay after which to send it
    /// again, in nanoseconds.
    #[must_use]
    pub(crate) fn catching_up(&self, received: &Received) -> Option<u64> {
        let any = self.injected.has(SimulatorFault::AcceptsAnyCatchingUp);
        self.seen(received).catching_up(any)
    }

    /// What the checker sees of a reply: a test may have changed a field.
    fn seen<'a>(&self, received: &'a Received) -> Cow<'a, Received> {
        let mut seen = Cow::Borrowed(received);
        if let Some(corruption) = self.injected.corruption {
            corruption.apply(seen.to_mut());
        }
        seen
    }

    /// The failure of a server that answers a call although it has a backlog.
    pub(crate) fn answered_during_backlog(
        &self,
        sent: SentCall<'_>,
        received: &Received,
    ) -> Box<Failure> {
        let actual = (Class::Impossible, received.reply.to_string());
        let expected = "CATCHING_UP: more orders are due than expire at once".to_owned();
        self.differs(Compared::NoAnswerInBacklog, sent, actual, (Class::Done, expected))
    }

    /// Checks and returns an answer that the server gave when its clock showed `clock`. It does not
    /// matter whether a client receives the answer.
    ///
    /// # Errors
    /// The answer or its command index is wrong.
    pub(crate) fn answered(
        &mut self,
        clock: u64,
        sent: SentCall<'_>,
        received: &Received,
    ) -> Result<Answer, Box<Failure>> {
        let received = self.seen(received);
        let at = self.time_of(clock, sent.call);
        let expected = self.model.answer(at, sent.call);
        let expected_class = Class::of(Some(&expected));
        let reply = expected::reply(sent.call, &expected, self.options);
        let same = received.reply == reply
            || self.injected.has(SimulatorFault::SkipsDetails)
                && received.answer(sent.call).as_ref() == Ok(&expected);
        if !same {
            let actual_class =
                received.answer(sent.call).map_or(Class::Impossible, |it| Class::of(Some(&it)));
            let [mut actual, mut text] = [&received.reply, &reply].map(ToString::to_string);
            if actual == text {
                [actual, text] = [&received.reply, &reply].map(|reply| format!("{reply:?}"));
            }
            return Err(self.differs(
                Compared::Reply,
                sent,
                (actual_class, actual),
                (expected_class, text),
            ));
        }
        // An invalid request does not reach the state machine, so its answer has no index.
        let index = (!is_invalid(&expected)).then_some(self.model.entries());
        if received.index != index && !self.injected.has(SimulatorFault::SkipsIndex) {
            let text = |index: Option<u64>| index.map_or("no index".into(), |i| format!("#{i}"));
            let actual = (Class::Done, text(received.index));
            let expected = (expected_class, text(index));
            return Err(self.differs(Compared::CommandIndex, sent, actual, expected));
        }
        self.edge_counts.note(sent.call, &expected, self.options);
        self.counts.note(kind_of(sent.call), &expected);
        Ok(expected)
    }

    /// The time of this call in the state machine when the server's clock shows `clock`. A command
    /// is later than every command before it; a read may have the time of the last command.
    fn time_of(&self, clock: u64, call: Call<'_>) -> u64 {
        match call {
            Call::Info(_) | Call::Stock(_) | Call::Tick => clock.max(self.model.now()),
            Call::Create { .. } | Call::Pay(_) | Call::Cancel(_) | Call::ChangeRules { .. } => {
                clock.max(self.model.now().saturating_add(1))
            }
        }
    }

    /// The server's ticker does one step when the server's clock shows `clock`: it expires due
    /// orders, but no more than `expiry_step`.
    ///
    /// # Errors
    /// The next deadline or the number of log entries differs.
    pub(crate) fn tick(&mut self, clock: u64, number: u32, server: &Sequencer) -> Verdict {
        let now = clock.max(self.model.now());
        let end = self.end_of_next_step(now);
        self.has_backlog = end < now;
        self.model.pass(end.max(self.model.now()));
        let wait = server.tick().map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        let sent = SentCall { number, call: Call::Tick };
        let expected = self.model.next_deadline().map(|deadline| deadline.saturating_sub(clock));
        let wait = self.injected.alter(Compared::NextTick, wait, |_| Some(u64::MAX));
        if wait != expected {
            let text = |wait: Option<u64>| (Class::Done, format!("next tick in {wait:?} ns"));
            return Err(self.differs(Compared::NextTick, sent, text(wait), text(expected)));
        }
        self.compare_deadlines(sent, server)?;
        self.counts.note(Kind::Tick, &Answer::Done);
        Ok(())
    }

    /// The operator changes the rules on both sides when the server's clock shows `clock`. A server
    /// with a backlog refuses the change.
    ///
    /// # Errors
    /// As for [`ServiceChecker::tick`].
    pub(crate) fn change_rules(
        &mut self,
        clock: u64,
        number: u32,
        (timeout, window, limits): (u64, u64, Limits),
        server: &Sequencer,
    ) -> Verdict {
        let call = Call::ChangeRules { timeout, window, limits };
        let sent = SentCall { number, call };
        if !self.must_wait(clock, call) {
            let present = server.present().ok();
            let Some(present) = self.injected.alter(Compared::RulesChanged, present, |_| None)
            else {
                return self.not_answered(Compared::RulesChanged, sent, false, "a backlog");
            };
            let changed = present.submit(Command::ChangeRules(rules(timeout, window, limits)));
            changed.value.expect("a change of the rules is never refused");
            let answer = self.model.answer(self.time_of(clock, call), call);
            self.counts.note(Kind::Rules, &answer);
        }
        self.compare_deadlines(sent, server)
    }

    /// Compares the next deadline and the number of log entries. If the server has a backlog, it
    /// checks only that the model expects one.
    fn compare_deadlines(&self, sent: SentCall<'_>, server: &Sequencer) -> Verdict {
        let alter = self.injected;
        let Ok(present) = server.present() else {
            let at = Compared::BacklogEnded;
            return self.not_answered(at, sent, self.has_backlog, "a backlog");
        };
        let state = present.state();
        let deadline = state.next_deadline().map(|time| time.as_nanos());
        let deadline = alter.alter(Compared::ServerDeadline, deadline, |_| Some(0));
        let index = alter.alter(Compared::ServerEntries, state.index(), |index| index + 1);
        let compared = if alter.alter(Compared::BacklogStays, self.has_backlog, |_| true) {
            Compared::BacklogStays
        } else if deadline != self.model.next_deadline() {
            Compared::ServerDeadline
        } else if index != self.model.entries() {
            Compared::ServerEntries
        } else {
            return Ok(());
        };
        let text = |at: Option<u64>, index| format!("next deadline {at:?}, entry {index}");
        let actual = (Class::Done, text(deadline, index));
        let expected = if compared == Compared::BacklogStays {
            "a backlog".to_owned()
        } else {
            text(self.model.next_deadline(), self.model.entries())
        };
        Err(self.differs(compared, sent, actual, (Class::Done, expected)))
    }

    /// Checks the invariants, and compares the stock of both sides.
    ///
    /// # Errors
    /// They differ, an invariant is violated, or units are reserved although no order awaits
    /// payment.
    pub(crate) fn audit(&mut self, clock: u64, server: &Sequencer) -> Verdict {
        let nothing_awaits = self.model.awaiting().next().is_none();
        self.model.pass(self.time_of(clock, Call::Tick));
        let stock: Vec<_> = self.model.stock().collect();
        let alter = self.injected;
        let difference = |state: &LomsState| {
            let violation = state.check_invariants().err().map(|violation| violation.to_string());
            let wrong = |_| Some("injected".to_owned());
            if let Some(violation) = alter.alter(Compared::ServerInvariants, violation, wrong) {
                return Some((Compared::ServerInvariants, violation, String::new()));
            }
            let actual: Vec<_> = state
                .stock()
                .map(|record| (record.opening.sku.get(), record.total, record.reserved))
                .collect();
            let actual = alter.alter(Compared::ServerStock, actual, |_| Vec::new());
            if actual != stock {
                let (actual, expected) = (format!("{actual:?}"), format!("{stock:?}"));
                return Some((Compared::ServerStock, actual, expected));
            }
            let at = Compared::ServerReserved;
            let wrong = state.stock().find(|record| {
                alter.alter(at, record.reserved, |units| units ^ 1) != record.opening.reserved
            });
            wrong.filter(|_| nothing_awaits).map(|record| {
                let text = format!("SKU {}: {} reserved", record.opening.sku, record.reserved);
                (at, text, "as at the start".to_owned())
            })
        };
        let present = server.present().ok();
        let Some(present) = alter.alter(Compared::BacklogAtEnd, present, |_| None) else {
            let (actual, expected) = ("a backlog".to_owned(), "no backlog".to_owned());
            return Err(self.without_call(Compared::BacklogAtEnd, actual, expected));
        };
        match difference(present.state()) {
            None => Ok(()),
            Some((compared, actual, expected)) => {
                Err(self.without_call(compared, actual, expected))
            }
        }
    }

    /// A failure that belongs to no call.
    #[must_use]
    pub(crate) fn without_call(
        &self,
        compared: Compared,
        actual: String,
        expected: String,
    ) -> Box<Failure> {
        let oracle = Oracle::of(compared);
        let (done, commands) = (Class::Done, self.counts.commands);
        let signature = Signature { oracle, kind: None, actual: done, expected: done };
        Box::new(Failure { compared, signature, number: 0, commands, actual, expected })
    }

    /// A failure at this call. Each side has a class, for the signature, and a text.
    #[cold]
    fn differs(
        &self,
        compared: Compared,
        sent: SentCall<'_>,
        (actual_class, actual): (Class, String),
        (expected_class, expected): (Class, String),
    ) -> Box<Failure> {
        Box::new(Failure {
            compared,
            signature: Signature {
                oracle: Oracle::of(compared),
                kind: Some(kind_of(sent.call)),
                actual: actual_class,
                expected: expected_class,
            },
            number: sent.number,
            commands: self.counts.commands + 1,
            actual,
            expected,
        })
    }
}
