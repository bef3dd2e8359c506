//! The checker of the service layer: the model gets the same calls in the order in which the server
//! executes them.

use std::num::NonZeroUsize;

use loms::sequencer::{Behind, Sequencer};
use loms::state_machine::{Command, LomsState};

use crate::check::checker::Verdict;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::subject::rules;
use crate::coverage::counts::Counts;
use crate::layers::wire::Received;
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{CreatedOrders, KeyText, Kind, Op, Step};
use crate::report::answers::Class;

/// A server's model, from the start of the server.
#[derive(Debug)]
pub(crate) struct ServiceChecker {
    /// Counts of the run so far.
    pub(crate) counts: Counts,
    /// The model.
    pub(crate) model: Model,
    /// Whether the server has found a backlog of due orders that it has not worked off.
    pub(crate) behind: bool,
    world: World,
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

/// The call of a step about an order.
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

impl ServiceChecker {
    /// The checker of a server that starts with this world. The server expires at most
    /// `expiry_step` orders at once.
    #[must_use]
    pub(crate) fn open(world: &World, expiry_step: NonZeroUsize, injected: InjectedFaults) -> Self {
        Self {
            counts: Counts::default(),
            model: Model::new(world, injected.bug),
            behind: false,
            world: world.clone(),
            expiry_step,
            injected,
        }
    }

    /// The server is restarted and has lost its state.
    pub(crate) fn restart(&mut self) {
        self.model = Model::new(&self.world, self.injected.bug);
        self.behind = false;
    }

    /// Whether the server must not answer this call now, its clock at `clock`: more orders are due
    /// than it expires at once. What the edge refuses, it refuses all the same.
    pub(crate) fn must_wait(&mut self, clock: u64, call: Call<'_>) -> bool {
        let now = clock.max(self.model.now());
        if !self.behind && self.horizon(now) >= now {
            return false;
        }
        let edge = Model::new(&self.world, self.injected.bug).answer(now, call);
        let valid = !matches!(edge, Answer::Refused(refusal) if refusal.is_invalid());
        self.behind |= valid;
        valid
    }

    /// The latest time, up to `now`, by which the server expires no more orders than one step has;
    /// more only if they expire at the same time.
    fn horizon(&self, now: u64) -> u64 {
        let mut due = self.model.deadlines().take_while(|&deadline| deadline <= now);
        let Some(first) = due.next() else { return now };
        match due.nth(self.expiry_step.get() - 1) {
            None => now,
            Some(beyond) if beyond == first => beyond,
            Some(beyond) => beyond - 1,
        }
    }

    /// The server has not answered a call, or refuses it while it works a backlog off. Nothing has
    /// changed: all later answers show that.
    ///
    /// # Errors
    /// It has no backlog.
    pub(crate) fn not_answered(&self, sent: SentCall<'_>, must_wait: bool, what: &str) -> Verdict {
        if must_wait {
            return Ok(());
        }
        let class = Class::Impossible;
        let mut failure =
            self.differs(Oracle::Liveness, sent, class, what.to_owned(), &Answer::Done);
        failure.expected = "an answer: the server has no backlog".to_owned();
        Err(failure)
    }

    /// A call was answered although the server has a backlog.
    pub(crate) fn answered_behind(&self, sent: SentCall<'_>, received: &Received) -> Box<Failure> {
        let (class, said) = (Class::Impossible, received.reply.to_string());
        let mut failure = self.differs(Oracle::Answer, sent, class, said, &Answer::Done);
        failure.expected = "CATCHING_UP: more orders are due than expire at once".to_owned();
        failure
    }

    /// Checks an answer of the server, given at clock time `clock`, whether or not a client
    /// receives it. Gives the answer.
    ///
    /// # Errors
    /// The answer or its command index is wrong.
    pub(crate) fn answered(
        &mut self,
        clock: u64,
        sent: SentCall<'_>,
        received: &Received,
    ) -> Result<Answer, Box<Failure>> {
        let at = self.time_of(clock, sent.call);
        let expected = self.model.answer(at, sent.call);
        let invalid = matches!(expected, Answer::Refused(refusal) if refusal.is_invalid());
        match received.answer(sent.call) {
            Ok(answer) if answer == expected => {}
            Ok(answer) => {
                let class = Class::of(Some(&answer));
                return Err(self.differs(
                    Oracle::Answer,
                    sent,
                    class,
                    answer.to_string(),
                    &expected,
                ));
            }
            Err(unexpected) => {
                return Err(self.differs(
                    Oracle::Answer,
                    sent,
                    Class::Impossible,
                    unexpected,
                    &expected,
                ));
            }
        }
        let place = (!invalid).then_some(self.model.entries());
        if received.index != place {
            let text = |index: Option<u64>| index.map_or("no index".into(), |i| format!("#{i}"));
            let mut failure =
                self.differs(Oracle::Index, sent, Class::Done, text(received.index), &expected);
            failure.expected = text(place);
            return Err(failure);
        }
        self.counts.note(kind_of(sent.call), &expected);
        Ok(expected)
    }

    /// The time that the machine gives this call when the clock shows `clock`. A command is later
    /// than every command before it; a read sees the present.
    fn time_of(&self, clock: u64, call: Call<'_>) -> u64 {
        match call {
            Call::Info(_) | Call::Stock(_) | Call::Tick => clock.max(self.model.now()),
            Call::Create { .. } | Call::Pay(_) | Call::Cancel(_) | Call::ChangeRules { .. } => {
                clock.max(self.model.now().saturating_add(1))
            }
        }
    }

    /// The server's ticker expires what is due, with the server's clock at `clock`, but no more
    /// orders than one step has.
    ///
    /// # Errors
    /// They have different deadlines, or different entries.
    pub(crate) fn tick(&mut self, clock: u64, number: u32, server: &Sequencer) -> Verdict {
        let now = clock.max(self.model.now());
        let step = self.horizon(now);
        self.behind = step < now;
        self.model.pass(step.max(self.model.now()));
        let wait = server.tick().map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        let sent = SentCall { number, call: Call::Tick };
        let expected = self.model.next_deadline().map(|deadline| deadline.saturating_sub(clock));
        if wait != expected {
            let words = |wait: Option<u64>| format!("next tick in {wait:?} ns");
            let (class, said) = (Class::Done, words(wait));
            let mut failure = self.differs(Oracle::Deadline, sent, class, said, &Answer::Done);
            failure.expected = words(expected);
            return Err(failure);
        }
        self.compare_deadlines(sent, server)?;
        self.counts.note(Kind::Tick, &Answer::Done);
        Ok(())
    }

    /// The operator changes the rules on both sides, with the server's clock at `clock`. A server
    /// with a backlog refuses that, and nothing changes.
    ///
    /// # Errors
    /// As for [`ServiceChecker::tick`].
    pub(crate) fn change_rules(
        &mut self,
        clock: u64,
        number: u32,
        timeout: u64,
        window: u64,
        server: &Sequencer,
    ) -> Verdict {
        let call = Call::ChangeRules { timeout, window };
        let sent = SentCall { number, call };
        if !self.must_wait(clock, call) {
            let Ok(present) = server.present() else {
                return self.not_answered(sent, false, "behind");
            };
            let changed = present.submit(Command::ChangeRules(rules(timeout, window)));
            changed.value.expect("a change of the rules is never refused");
            let answer = self.model.answer(self.time_of(clock, call), call);
            self.counts.note(Kind::Rules, &answer);
        }
        self.compare_deadlines(sent, server)
    }

    /// Compares the next deadline and the number of entries; of a server with a backlog, only that
    /// it has one.
    fn compare_deadlines(&self, sent: SentCall<'_>, server: &Sequencer) -> Verdict {
        let present = match server.present() {
            Ok(present) => present,
            Err(Behind) => return self.not_answered(sent, self.behind, "behind"),
        };
        let state = present.state();
        let deadline = state.next_deadline().map(|time| time.as_nanos());
        let machine = (deadline, state.index());
        let model = (self.model.next_deadline(), self.model.entries());
        if machine == model && !self.behind {
            return Ok(());
        }
        let words =
            |(at, index): (Option<u64>, u64)| format!("next deadline {at:?}, entry {index}");
        let done = Class::Done;
        let said = words(machine);
        let mut failure = self.differs(Oracle::Deadline, sent, done, said, &Answer::Done);
        failure.expected = if self.behind { "a backlog".to_owned() } else { words(model) };
        Err(failure)
    }

    /// Looks at the shelves of both sides.
    ///
    /// # Errors
    /// They differ, an invariant is violated, or units are reserved although no order awaits
    /// payment.
    pub(crate) fn audit(&mut self, clock: u64, server: &Sequencer) -> Verdict {
        let nothing_awaits = self.model.awaiting().next().is_none();
        self.model.pass(self.time_of(clock, Call::Tick));
        let stock: Vec<_> = self.model.stock().collect();
        let look = |state: &LomsState| {
            if let Err(violation) = state.check_invariants() {
                return Some((Oracle::Invariant, violation.to_string(), String::new()));
            }
            for (record, expected) in state.stock().zip(&stock) {
                let actual = (record.opening.sku.get(), record.total, record.reserved);
                if actual != *expected {
                    return Some((Oracle::Stock, format!("{actual:?}"), format!("{expected:?}")));
                }
                if nothing_awaits && record.reserved != record.opening.reserved {
                    let text = format!("SKU {}: {} reserved", actual.0, actual.2);
                    return Some((Oracle::Liveness, text, "as at the start".to_owned()));
                }
            }
            None
        };
        let Ok(present) = server.present() else {
            let (actual, expected) = ("behind".to_owned(), "caught up".to_owned());
            return Err(self.at_the_end(Oracle::Liveness, actual, expected));
        };
        match look(present.state()) {
            None => Ok(()),
            Some((oracle, actual, expected)) => Err(self.at_the_end(oracle, actual, expected)),
        }
    }

    /// A failure that belongs to no call.
    #[must_use]
    pub(crate) fn at_the_end(
        &self,
        oracle: Oracle,
        actual: String,
        expected: String,
    ) -> Box<Failure> {
        let (done, commands) = (Class::Done, self.counts.commands);
        let signature = Signature { oracle, kind: None, actual: done, expected: done };
        Box::new(Failure { signature, number: 0, commands, actual, expected })
    }

    #[cold]
    fn differs(
        &self,
        oracle: Oracle,
        sent: SentCall<'_>,
        actual_class: Class,
        actual: String,
        expected: &Answer,
    ) -> Box<Failure> {
        Box::new(Failure {
            signature: Signature {
                oracle,
                kind: Some(kind_of(sent.call)),
                actual: actual_class,
                expected: Class::of(Some(expected)),
            },
            number: sent.number,
            commands: self.counts.commands + 1,
            actual,
            expected: expected.to_string(),
        })
    }
}
