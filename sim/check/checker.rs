//! The checker: sends each command to the subject and to the model, and compares them after each
//! one.
//!
//! | when | what must agree |
//! |---|---|
//! | every command | the full answer, every changed order, the stock, the next deadline |
//! | | the transitions: numbered without gaps, and consistent with the statuses of the orders |
//! | steps 64, 1,024, 16,384 | the digest: it changes if and only if there is an event |
//! | the same steps, the end, and around | every order, the whole stock; the invariants of both |
//! | 1,024, 2,048 ... orders | sides; a restored state is the same; an earlier entry is refused |
//! | the end | every order reaches a final status, and only the opening reservation is left |
//!
//! The stock is compared as a whole, unless there are many SKUs: see [`state`].

mod drain;
mod state;

use loms::state_machine::{Cause, Event, Fact, OrderId, OrderStatus, Sizes, Timestamp, Transition};

use crate::check::compared::Compared;
use crate::check::expiries::Expiries;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::panic::CaughtPanic;
use crate::check::subject::{Subject, SubjectReply, status_of};
use crate::coverage::counts::Counts;
use crate::coverage::marker::{Marker, Observation};
use crate::coverage::marks::OrderState;
use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal};
use crate::model::{Model, World};
use crate::mutation::altered;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::{CreatedOrders, KeyText, Kind, Step};
use crate::progress;
use crate::report::answers::Class;

/// Whether the whole state is compared after this step: 64, 1,024 and so on. It depends on the step
/// number, which does not change while a plan shrinks, and it does not slow down short plans.
const fn is_probe(number: u32) -> bool {
    number >= 64 && number.is_power_of_two() && number.trailing_zeros() % 4 == 2
}

/// Whether the whole state is compared when there are this many orders: containers change at powers
/// of two. Around the higher powers once, after the change: an audit reads all orders, and a run
/// would take twice as long with three of them.
fn is_probe_size(orders: usize) -> bool {
    let after = orders >= 1_025 && (orders - 1).is_power_of_two();
    after || (1_023..=4_096).contains(&orders) && (orders..=orders + 1).any(usize::is_power_of_two)
}

/// The result of a check. The failure is boxed to keep the success path small.
pub(crate) type Verdict = Result<(), Box<Failure>>;

/// A run that is being checked.
#[derive(Clone, Debug)]
pub(crate) struct Checker<S: Sizes> {
    /// The state machine under test.
    pub(crate) subject: Subject<S>,
    /// Counts of the run so far.
    pub(crate) counts: Counts,
    /// The steps that the drain added.
    pub(crate) drained: Vec<Step>,
    world: World,
    start: u64,
    injected: InjectedFaults,
    model: Model,
    created: CreatedOrders,
    /// Every order, as the transitions describe it.
    orders: Vec<FoldedOrder>,
    sequence: u64,
    marker: Marker,
    /// The SKUs that a call can have changed; a scratch buffer.
    touched: Vec<u32>,
    last_at: u64,
    last_number: u32,
    last_kind: Option<Kind>,
}

/// An order, as the transitions describe it.
#[derive(Clone, Copy, Debug)]
struct FoldedOrder {
    status: OrderStatus,
    expired: bool,
    /// The step that created it.
    created_by: u32,
}

impl FoldedOrder {
    fn order_state(self) -> OrderState {
        match self.status {
            OrderStatus::New | OrderStatus::AwaitingPayment => OrderState::Awaiting,
            OrderStatus::Failed => OrderState::Failed,
            OrderStatus::Paid => OrderState::Paid,
            OrderStatus::Cancelled if self.expired => OrderState::Expired,
            OrderStatus::Cancelled => OrderState::Cancelled,
        }
    }
}

/// A call and both answers, for a failure report.
#[derive(Clone, Copy, Debug)]
struct Comparison<'a> {
    step: &'a Step,
    at: u64,
    reply: SubjectReply,
    answer: &'a Answer,
}

impl<S: Sizes> Checker<S> {
    /// Starts a run in this world, with its first step at `start`.
    #[must_use]
    pub(crate) fn open(world: &World, start: u64, injected: InjectedFaults) -> Self {
        Self {
            subject: Subject::open(world),
            counts: Counts::default(),
            drained: Vec::new(),
            world: world.clone(),
            start,
            injected,
            model: Model::new(world, injected.bug),
            created: CreatedOrders::default(),
            orders: Vec::new(),
            sequence: 0,
            marker: Marker::default(),
            touched: Vec::new(),
            last_at: 0,
            last_number: 0,
            last_kind: None,
        }
    }

    /// Makes room for this many steps, so that long runs do not copy their lists as they grow.
    pub(crate) fn reserve(&mut self, steps: u32) {
        let steps = usize::try_from(steps).expect("usize has at least 32 bits");
        self.model.reserve(steps);
        self.orders.reserve(steps);
        self.created.reserve(steps);
    }

    /// Sends a step to both sides and compares them.
    ///
    /// # Errors
    /// They differ, or one of them contradicts itself.
    pub(crate) fn step(&mut self, step: &Step) -> Verdict {
        progress::step(step.number);
        self.injected.hang_at(step.number);
        let at = self.start.saturating_add(step.at);
        (self.last_at, self.last_number) = (step.at, step.number);
        self.last_kind = Some(step.op.kind());
        let mut buffer = KeyText::default();
        let call = step.call(&self.created, &mut buffer);
        let about = match call {
            Call::Info(order) | Call::Pay(order) | Call::Cancel(order) => Some(order),
            Call::Create { .. } | Call::Stock(_) | Call::Tick | Call::ChangeRules { .. } => None,
        };
        let mut before = about.map_or(OrderState::Missing, |order| self.order_state(order, at));
        let mut expiries = Expiries::default();
        let probe = is_probe(step.number);
        let digest = if probe {
            // This tick expires the orders that the call would expire, so the digest changes only
            // by the call itself.
            let reply = self.subject.call(at, Call::Tick);
            let answer = self.model.answer(at, Call::Tick);
            self.fold(Comparison { step, at, reply, answer: &answer }, &mut expiries)?;
            Some(self.subject.state.digest())
        } else {
            None
        };
        let orders_before = self.orders.len();
        let reply = self.subject.call(at, call);
        let mut answer = self.model.answer(at, call);
        if self.injected.wrong_answers == Some(step.op.kind()) {
            answer = Answer::Refused(Refusal::InvalidSku);
        }
        let comparison = Comparison { step, at, reply, answer: &answer };
        let skipped = matches!(call, Call::Info(_)) && self.injected.has(SimulatorFault::SkipsInfo);
        if !skipped && let Some(part) = self.difference(reply, &answer) {
            return self.answers_differ(part, comparison);
        }
        if let Answer::Created { order, .. } = answer {
            self.created.note(step.number, order);
            before = self.order_state(order, at);
        }
        self.fold(comparison, &mut expiries)?;
        let new_order = self.orders.len() > orders_before;
        if let (Answer::Created { order, .. }, false) = (&answer, new_order) {
            self.compare_order(Compared::RepeatedOrder, comparison, *order)?;
        } else if let (Some(order), false) = (about, matches!(call, Call::Info(_))) {
            self.compare_order(Compared::OrderOfCall, comparison, order)?;
        }
        self.compare_stock(comparison, call)?;
        self.compare_deadlines(comparison)?;
        if let Some(digest) = digest {
            self.compare_digests(comparison, digest)?;
        }
        self.counts.note(step.op.kind(), &answer);
        self.observe(call, comparison, before, new_order, &expiries);
        if probe {
            self.audit(Compared::OrdersAtStep)?;
        }
        if new_order && is_probe_size(self.orders.len()) {
            self.audit(Compared::OrdersAtSize)?;
        }
        Ok(())
    }

    /// The first part in which the subject's reply differs from the model's answer.
    fn difference(&self, reply: SubjectReply, answer: &Answer) -> Option<Compared> {
        match self.injected.altered {
            None => self.subject.difference(reply, answer),
            Some(part) => self.subject.difference(reply, &altered::answer(answer.clone(), part)),
        }
    }

    /// Number of orders.
    #[must_use]
    pub(crate) const fn orders(&self) -> usize {
        self.orders.len()
    }

    fn order_state(&self, order: i64, at: u64) -> OrderState {
        let Some(id) = OrderId::new(order) else { return OrderState::Invalid };
        let found = usize::try_from(order - 1).ok().and_then(|place| self.orders.get(place));
        let is_kept = || self.subject.state.order_at(id, Timestamp::from_nanos(at)).is_some();
        match found {
            None => OrderState::Missing,
            Some(_) if !is_kept() => OrderState::Forgotten,
            Some(found) => found.order_state(),
        }
    }

    /// Records the marks that this call reaches.
    fn observe(
        &mut self,
        call: Call<'_>,
        comparison: Comparison<'_>,
        before: OrderState,
        new_order: bool,
        expiries: &Expiries,
    ) {
        let order = match (call, comparison.answer) {
            (Call::Info(order) | Call::Pay(order) | Call::Cancel(order), _) => order,
            (Call::Create { .. }, Answer::Created { order, .. }) => *order,
            (Call::Create { .. } | Call::Stock(_) | Call::Tick | Call::ChangeRules { .. }, _) => 0,
        };
        let due = before == OrderState::Awaiting && expiries.orders.contains(&order);
        self.marker.observe(&Observation {
            world: &self.world,
            at: comparison.at,
            call,
            answer: comparison.answer,
            before: if due { OrderState::Due } else { before },
            new_order,
            expired: expiries.orders.len(),
            expired_at_different_times: expiries.at_different_times,
            widest_expiry_gap: expiries.widest_gap,
            subject: &self.subject,
        });
        self.counts.marks = self.marker.reached;
    }

    /// Applies the call's transitions to the known orders, and compares each of these orders.
    fn fold(&mut self, comparison: Comparison<'_>, expiries: &mut Expiries) -> Verdict {
        let mut last = None;
        for place in 0..self.subject.events.len() {
            let Event { sequence, at, fact } = self.subject.events[place];
            let number = self.injected.alter(Compared::EventNumber, sequence, |number| number + 1);
            if number != self.sequence + 1 {
                let (actual, model) =
                    (format!("#{number}"), format!("#{} before it", self.sequence));
                return self.fail(Compared::EventNumber, Some(comparison), actual, model);
            }
            self.sequence = sequence;
            let Fact::Order(transition) = fact else {
                continue;
            };
            let Transition { order, to, cause, .. } = transition;
            let order = order.get();
            let index = usize::try_from(order - 1).expect("order ids start at 1");
            let from = self.orders.get(index).map(|found| found.status);
            if let Some(wrong) = self.wrong_transition(transition, from, index) {
                let expected = format!("order {order} at {from:?}, after #{}", self.sequence);
                return self.fail(wrong, Some(comparison), transition.to_string(), expected);
            }
            let expired = cause == Cause::PaymentTimeout;
            match self.orders.get_mut(index) {
                Some(found) => (found.status, found.expired) = (to, expired),
                None => self.orders.push(FoldedOrder {
                    status: to,
                    expired: false,
                    created_by: comparison.step.number,
                }),
            }
            match cause {
                Cause::PaymentTimeout => {
                    self.counts.expired += 1;
                    expiries.note(order, at.as_nanos());
                }
                Cause::Payment => self.counts.paid += 1,
                Cause::CancelledByClient => self.counts.cancelled += 1,
                Cause::Placement => self.counts.orders += 1,
                Cause::Reservation | Cause::OutOfStock => {}
            }
            if last != Some(order) {
                if let Some(last) = last {
                    self.compare_order(Compared::OrderBeforeOthers, comparison, last)?;
                }
                last = Some(order);
            }
        }
        let compare = |last| self.compare_order(Compared::LastChangedOrder, comparison, last);
        last.map_or(Ok(()), compare)
    }

    /// What is wrong with a transition of the order at this place, whose status was `from`.
    fn wrong_transition(
        &self,
        transition: Transition,
        from: Option<OrderStatus>,
        place: usize,
    ) -> Option<Compared> {
        let Transition { from: claimed, to, cause, .. } = transition;
        let alter = &self.injected;
        let claimed = alter.alter(Compared::TransitionFrom, claimed, |_| Some(OrderStatus::Failed));
        let to = alter.alter(Compared::TransitionAllowed, to, |_| OrderStatus::New);
        let place = alter.alter(Compared::NewOrderId, place, |place| place + 1);
        if claimed != from {
            Some(Compared::TransitionFrom)
        } else if !OrderStatus::may_change(from, to, cause) {
            Some(Compared::TransitionAllowed)
        } else if from.is_none() && place != self.orders.len() {
            Some(Compared::NewOrderId)
        } else {
            None
        }
    }

    /// This order as the subject and as the model describe it.
    fn both_orders(&self, order: i64) -> (String, String) {
        let describe = |info: Option<OrderInfo>| {
            info.map_or_else(
                || format!("order {order} does not exist"),
                |info| format!("order {order}: {info}"),
            )
        };
        (describe(self.subject.order(order)), describe(self.model.order(order)))
    }

    fn compare_order(&self, at: Compared, comparison: Comparison<'_>, order: i64) -> Verdict {
        if !self.agrees_on_order(at, order) {
            let (actual, expected) = self.both_orders(order);
            return self.fail(at, Some(comparison), actual, expected);
        }
        let status = self
            .model
            .with_order(order, |fields| (fields.status, fields.reason == Reason::PaymentTimeout));
        let folded = usize::try_from(order.saturating_sub(1))
            .ok()
            .and_then(|place| self.orders.get(place))
            .map(|found| (status_of(found.status), found.expired));
        let folded = self.injected.alter(Compared::StatusByTransitions, folded, |_| None);
        let folded = self.injected.alter(Compared::ExpiryByTransitions, folded, |folded| {
            folded.map(|(status, expired)| (status, !expired))
        });
        let expected = status.map(|(status, expired)| (Some(status), expired));
        // A forgotten order has transitions and no status.
        if expected == folded || expected.is_none() {
            return Ok(());
        }
        let same_status = expected.map(|(status, _)| status) == folded.map(|(status, _)| status);
        let compared =
            if same_status { Compared::ExpiryByTransitions } else { Compared::StatusByTransitions };
        let actual = format!("the transitions of order {order} give {folded:?}");
        self.fail(compared, Some(comparison), actual, format!("the status is {status:?}"))
    }

    fn agrees_on_order(&self, at: Compared, order: i64) -> bool {
        let expected = self.injected.alter(at, order, |_| i64::MAX);
        self.subject.agrees_on_order(order, &self.model, expected)
    }

    /// Compares everything on both sides. `at` is the comparison of the orders.
    ///
    /// # Errors
    /// They differ, or one of them contradicts itself.
    pub(crate) fn audit(&mut self, at: Compared) -> Verdict {
        let violation = self.subject.state.check_invariants().err();
        let violation = violation.map(|violation| violation.to_string());
        let wrong = |_| Some("injected".to_owned());
        if let Some(violation) = self.injected.alter(Compared::Invariants, violation, wrong) {
            return self.fail(Compared::Invariants, None, violation, String::new());
        }
        let violation = self.model.audit().err();
        if let Some(violation) = self.injected.alter(Compared::ModelAudit, violation, wrong) {
            return self.fail(Compared::ModelAudit, None, String::new(), violation);
        }
        self.compare_earlier_entry()?;
        self.compare_restored()?;
        for order in (1..).take(self.orders.len()) {
            if !self.agrees_on_order(at, order) {
                let (actual, expected) = self.both_orders(order);
                return self.fail(at, None, actual, expected);
            }
        }
        self.compare_whole_stock(None)
    }

    /// The failure for a panic of the subject.
    pub(crate) fn panicked(&self, caught: CaughtPanic) -> Box<Failure> {
        let commands = self.counts.commands + 1;
        Box::new(Failure::of_panic(caught, self.last_kind, self.last_number, commands))
    }

    #[cold]
    fn answers_differ(&self, part: Compared, comparison: Comparison<'_>) -> Verdict {
        let actual = self.subject.answer_of(comparison.reply).map_or_else(
            || format!("{:?}, which no client can receive", comparison.reply),
            |answer| answer.to_string(),
        );
        self.fail(part, Some(comparison), actual, comparison.answer.to_string())
    }

    #[cold]
    fn fail(
        &self,
        compared: Compared,
        comparison: Option<Comparison<'_>>,
        actual: String,
        expected: String,
    ) -> Verdict {
        let classes = |comparison: Comparison<'_>| {
            let found = self.subject.answer_of(comparison.reply);
            (Class::of(found.as_ref()), Class::of(Some(comparison.answer)))
        };
        let (actual_class, expected_class) = comparison.map_or((Class::Done, Class::Done), classes);
        Err(Box::new(Failure {
            compared,
            signature: Signature {
                oracle: Oracle::of(compared),
                kind: comparison.map(|comparison| comparison.step.op.kind()),
                actual: actual_class,
                expected: expected_class,
            },
            number: comparison.map_or(0, |comparison| comparison.step.number),
            commands: self.counts.commands + u64::from(comparison.is_some()),
            actual,
            expected,
        }))
    }
}
