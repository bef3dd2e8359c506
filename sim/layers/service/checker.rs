//! The checker of the service layer: the model gets the same calls in the order in which the server
//! executes them.

use loms::sequencer::Sequencer;
use loms::state_machine::{Command, LomsState};

use crate::check::checker::Verdict;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::subject::rules;
use crate::coverage::counts::Counts;
use crate::layers::wire::Received;
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::Kind;
use crate::report::answers::Class;

/// Why the server always answers at the present time.
const NEVER_BEHIND: &str = "no plan places as many orders as one step expires";

/// A server's model, from the start of the server.
#[derive(Debug)]
pub(crate) struct ServiceChecker {
    /// Counts of the run so far.
    pub(crate) counts: Counts,
    /// The model.
    pub(crate) model: Model,
    world: World,
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

impl ServiceChecker {
    /// The checker of a server that starts with this world.
    #[must_use]
    pub(crate) fn open(world: &World, injected: InjectedFaults) -> Self {
        Self {
            counts: Counts::default(),
            model: Model::new(world, injected.bug),
            world: world.clone(),
            injected,
        }
    }

    /// The server is restarted and has lost its state.
    pub(crate) fn restart(&mut self) {
        self.model = Model::new(&self.world, self.injected.bug);
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

    /// Time passes on both sides, with the server's clock at `clock`.
    ///
    /// # Errors
    /// They have different deadlines, or different entries.
    pub(crate) fn tick(&mut self, clock: u64, number: u32, server: &Sequencer) -> Verdict {
        self.model.pass(self.time_of(clock, Call::Tick));
        self.compare_deadlines(SentCall { number, call: Call::Tick }, server)?;
        self.counts.note(Kind::Tick, &Answer::Done);
        Ok(())
    }

    /// The operator changes the rules on both sides, with the server's clock at `clock`.
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
        let present = server.present().expect(NEVER_BEHIND);
        let changed = present.submit(Command::ChangeRules(rules(timeout, window)));
        changed.value.expect("a change of the rules is never refused");
        let answer = self.model.answer(self.time_of(clock, call), call);
        self.compare_deadlines(SentCall { number, call }, server)?;
        self.counts.note(Kind::Rules, &answer);
        Ok(())
    }

    fn compare_deadlines(&self, sent: SentCall<'_>, server: &Sequencer) -> Verdict {
        let present = server.present().expect(NEVER_BEHIND);
        let state = present.state();
        let deadline = state.next_deadline().map(|time| time.as_nanos());
        let machine = (deadline, state.index());
        let model = (self.model.next_deadline(), self.model.entries());
        if machine == model {
            return Ok(());
        }
        let words =
            |(at, index): (Option<u64>, u64)| format!("next deadline {at:?}, entry {index}");
        let done = Class::Done;
        let said = words(machine);
        let mut failure = self.differs(Oracle::Deadline, sent, done, said, &Answer::Done);
        failure.expected = words(model);
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
        let present = server.present().expect(NEVER_BEHIND);
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
