//! The checker of the service layer: the model, taken along in the order in which the server took
//! its commands.

use loms::sequencer::Sequencer;

use crate::check::checker::Verdict;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::coverage::counts::Counts;
use crate::layers::wire::Received;
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::Kind;
use crate::report::words::Class;

/// Why the server always answers at the present time.
const NEVER_BEHIND: &str = "no plan places as many orders as one step expires";

/// The model beside one server, from the server's start.
#[derive(Debug)]
pub(crate) struct ServiceChecker {
    /// What came of the run so far.
    pub(crate) counts: Counts,
    /// The model, as the server should be.
    pub(crate) model: Model,
    world: World,
    injected: InjectedFaults,
    /// Commands that the server has taken since it started.
    index: u64,
    /// The machine's time: that of its last command.
    now: u64,
}

/// A call as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentCall<'a> {
    /// The step of the plan.
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
    }
}

impl ServiceChecker {
    /// Beside a server that opens with this world.
    #[must_use]
    pub(crate) fn open(world: &World, injected: InjectedFaults) -> Self {
        Self {
            counts: Counts::default(),
            model: Model::new(world, injected.bug),
            world: world.clone(),
            injected,
            index: 0,
            now: 0,
        }
    }

    /// The server is started anew, and has forgotten everything.
    pub(crate) fn restart(&mut self) {
        self.model = Model::new(&self.world, self.injected.bug);
        (self.index, self.now) = (0, 0);
    }

    /// The server has answered a call, its clock at `clock`, whether or not anybody hears of it.
    /// Gives the answer.
    ///
    /// # Errors
    /// It is not the answer of the model, or not in its place.
    pub(crate) fn answered(
        &mut self,
        clock: u64,
        sent: SentCall<'_>,
        received: &Received,
    ) -> Result<Answer, Box<Failure>> {
        // What the machine stamps the command with, if it gets that far.
        let stamp = clock.max(self.now.saturating_add(1));
        let expected = self.model.answer(stamp, sent.call);
        let invalid = matches!(expected, Answer::Refused(refusal) if refusal.is_invalid());
        if !invalid {
            (self.index, self.now) = (self.index + 1, stamp);
        }
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
            Err(strange) => {
                return Err(self.differs(
                    Oracle::Answer,
                    sent,
                    Class::Impossible,
                    strange,
                    &expected,
                ));
            }
        }
        let place = (!invalid).then_some(self.index);
        if received.index != place {
            let words = |index: Option<u64>| index.map_or("no index".into(), |i| format!("#{i}"));
            let mut failure =
                self.differs(Oracle::Index, sent, Class::Done, words(received.index), &expected);
            failure.expected = words(place);
            return Err(failure);
        }
        self.counts.note(kind_of(sent.call), &expected);
        Ok(expected)
    }

    /// Time passes on both sides, with the server's clock at `clock`.
    ///
    /// # Errors
    /// They want to be woken at different times.
    pub(crate) fn tick(&mut self, clock: u64, number: u32, server: &Sequencer) -> Verdict {
        let told = server.read(|state| state.next_deadline().map(|time| time.as_nanos()));
        let told = told.expect(NEVER_BEHIND);
        self.now = clock.max(self.now.saturating_add(1));
        self.index += 1;
        let answer = self.model.answer(self.now, Call::Tick);
        let sent = SentCall { number, call: Call::Tick };
        if told.value != self.model.next_deadline() || told.index != self.index {
            let words = |at: Option<u64>, index| format!("next deadline {at:?}, command #{index}");
            let said = words(told.value, told.index);
            let mut failure = self.differs(Oracle::Deadline, sent, Class::Done, said, &answer);
            failure.expected = words(self.model.next_deadline(), self.index);
            return Err(failure);
        }
        self.counts.note(Kind::Tick, &answer);
        Ok(())
    }

    /// Looks at the shelves of both sides.
    ///
    /// # Errors
    /// They differ, or the machine contradicts itself; or something is reserved although nothing
    /// awaits payment.
    pub(crate) fn audit(&mut self, clock: u64, server: &Sequencer) -> Verdict {
        let nothing_awaits = self.model.awaiting().next().is_none();
        self.now = clock.max(self.now.saturating_add(1));
        self.index += 1;
        let _ = self.model.answer(self.now, Call::Tick);
        let shelves: Vec<_> = self.model.stock().collect();
        let wrong = server.read(|state| {
            if let Err(violation) = state.check_invariants() {
                return Some((Oracle::Invariant, violation.to_string(), String::new()));
            }
            for (shelf, told) in state.stock().zip(&shelves) {
                let machine = (shelf.opening.sku.get(), shelf.total, shelf.reserved);
                if machine != *told {
                    return Some((Oracle::Stock, format!("{machine:?}"), format!("{told:?}")));
                }
                if nothing_awaits && shelf.reserved != shelf.opening.reserved {
                    let words = format!("SKU {}: {} reserved", machine.0, machine.2);
                    return Some((Oracle::Liveness, words, "as it opened".to_owned()));
                }
            }
            None
        });
        match wrong.expect(NEVER_BEHIND).value {
            None => Ok(()),
            Some((oracle, actual, expected)) => Err(self.at_the_end(oracle, actual, expected)),
        }
    }

    /// A failure that is of no call.
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
