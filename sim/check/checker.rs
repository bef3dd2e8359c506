//! The checker: sends each command to the subject and to the model, and compares them after each
//! one.
//!
//! | when | what must agree |
//! |---|---|
//! | every command | the full answer, every changed order, the whole stock, the next deadline |
//! | | the transitions: numbered without gaps, and consistent with the statuses of the orders |
//! | steps 64, 1,024, 16,384 | the digest: it changes if and only if there is an event |
//! | the same steps, the end, and around | every order; the invariants of both sides |
//! | 1,024, 2,048 ... orders | |
//! | the end | every order reaches a final status, and only the opening reservation is left |

use loms::state_machine::{Cause, Event, Fact, OrderStatus, Sizes, StockView, Transition};

use crate::check::expiries::Expiries;
use crate::check::failure::{Failure, Oracle, Signature};
use crate::check::panic::CaughtPanic;
use crate::check::subject::{Subject, SubjectReply};
use crate::coverage::counts::Counts;
use crate::coverage::marker::{Marker, Observation};
use crate::coverage::marks::OrderState;
use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal};
use crate::model::{Model, World};
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::{CreatedOrders, KeyText, Kind, Op, Step, Target};
use crate::report::answers::Class;

/// Whether the whole state is compared after this step: 64, 1,024 and so on. It depends on the step
/// number, which does not change while a plan shrinks, and it does not slow down short plans.
const fn is_probe(number: u32) -> bool {
    number >= 64 && number.is_power_of_two() && number.trailing_zeros() % 4 == 2
}

/// Whether the whole state is compared when there are this many orders: containers change at powers
/// of two.
fn is_probe_size(orders: usize) -> bool {
    orders >= 1_023 && (orders - 1..=orders + 1).any(usize::is_power_of_two)
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
    /// Available units of each SKU.
    available: Vec<u64>,
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
            available: world.stock.iter().map(|&(_, total, base)| total - base).collect(),
            last_at: 0,
            last_number: 0,
            last_kind: None,
        }
    }

    /// Sends a step to both sides and compares them.
    ///
    /// # Errors
    /// They differ, or one of them contradicts itself.
    pub(crate) fn step(&mut self, step: &Step) -> Verdict {
        let at = self.start.saturating_add(step.at);
        (self.last_at, self.last_number) = (step.at, step.number);
        self.last_kind = Some(step.op.kind());
        let mut buffer = KeyText::default();
        let call = step.call(&self.created, &mut buffer);
        let about = match call {
            Call::Info(order) | Call::Pay(order) | Call::Cancel(order) => Some(order),
            Call::Create { .. } | Call::Stock(_) | Call::Tick | Call::ChangeRules { .. } => None,
        };
        let mut before = about.map_or(OrderState::Missing, |order| self.order_state(order));
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
        if !skipped && !self.subject.gives(reply, &answer) {
            return self.answers_differ(comparison);
        }
        if let Answer::Created { order, .. } = answer {
            self.created.note(step.number, order);
            before = self.order_state(order);
        }
        self.fold(comparison, &mut expiries)?;
        let new_order = self.orders.len() > orders_before;
        if let (Answer::Created { order, .. }, false) = (&answer, new_order) {
            self.compare_order(comparison, *order)?;
        } else if let (Some(order), false) = (about, matches!(call, Call::Info(_))) {
            self.compare_order(comparison, order)?;
        }
        self.compare_stock(comparison)?;
        self.compare_deadlines(comparison)?;
        if let Some(digest) = digest {
            let changed = digest != self.subject.state.digest();
            let has_events = !self.subject.events.is_empty();
            if changed != has_events {
                let actual =
                    format!("the digest {}", if changed { "changed" } else { "is the same" });
                let expected = format!("there are events: {has_events}");
                return self.fail(Oracle::Digest, Some(comparison), actual, expected);
            }
        }
        self.counts.note(step.op.kind(), &answer);
        self.observe(call, comparison, before, new_order, &expiries);
        if probe || (new_order && is_probe_size(self.orders.len())) {
            self.audit()?;
        }
        Ok(())
    }

    /// Number of orders.
    #[must_use]
    pub(crate) const fn orders(&self) -> usize {
        self.orders.len()
    }

    fn order_state(&self, order: i64) -> OrderState {
        if order <= 0 {
            return OrderState::Invalid;
        }
        let found = usize::try_from(order - 1).ok().and_then(|place| self.orders.get(place));
        found.map_or(OrderState::Missing, |found| found.order_state())
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
            available: &self.available,
        });
        self.counts.marks = self.marker.reached;
    }

    /// Applies the call's transitions to the known orders, and compares each of these orders.
    fn fold(&mut self, comparison: Comparison<'_>, expiries: &mut Expiries) -> Verdict {
        let mut last = None;
        for place in 0..self.subject.events.len() {
            let Event { sequence, at, fact } = self.subject.events[place];
            if sequence != self.sequence + 1 {
                let model = format!("#{} before it", self.sequence);
                return self.fail(
                    Oracle::Transitions,
                    Some(comparison),
                    format!("#{sequence}"),
                    model,
                );
            }
            self.sequence = sequence;
            let Fact::Order(transition) = fact else {
                continue;
            };
            let Transition { order, from: claimed_from, to, cause } = transition;
            let order = order.get();
            let index = usize::try_from(order - 1).expect("order ids start at 1");
            let from = self.orders.get(index).map(|found| found.status);
            let is_valid = claimed_from == from
                && OrderStatus::may_change(from, to, cause)
                && (from.is_some() || index == self.orders.len());
            if !is_valid {
                let expected = format!("order {order} at {from:?}, after #{}", self.sequence);
                return self.fail(
                    Oracle::Transitions,
                    Some(comparison),
                    transition.to_string(),
                    expected,
                );
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
                    self.compare_order(comparison, last)?;
                }
                last = Some(order);
            }
        }
        last.map_or(Ok(()), |last| self.compare_order(comparison, last))
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

    fn compare_order(&self, comparison: Comparison<'_>, order: i64) -> Verdict {
        if !self.subject.agrees_on_order(order, &self.model) {
            let (actual, expected) = self.both_orders(order);
            return self.fail(Oracle::Order, Some(comparison), actual, expected);
        }
        let status = self
            .model
            .with_order(order, |fields| (fields.status, fields.reason == Reason::PaymentTimeout));
        let folded = usize::try_from(order.saturating_sub(1))
            .ok()
            .and_then(|place| self.orders.get(place))
            .map(|found| (crate::check::subject::status_of(found.status), found.expired));
        if status.map(|(status, expired)| (Some(status), expired)) != folded {
            let actual = format!("the transitions of order {order} give {folded:?}");
            let expected = format!("the status is {status:?}");
            return self.fail(Oracle::Transitions, Some(comparison), actual, expected);
        }
        Ok(())
    }

    fn compare_stock(&mut self, comparison: Comparison<'_>) -> Verdict {
        self.available.clear();
        let mut model = self.model.stock();
        let mut differing = None;
        for record in self.subject.state.stock() {
            let StockView { opening, total, reserved } = record;
            let found = model.next();
            let sound = reserved <= total && opening.reserved <= reserved;
            if found != Some((opening.sku.get(), total, reserved)) || !sound {
                differing = Some((record, found));
                break;
            }
            self.available.push(total - reserved);
        }
        match differing {
            None => Ok(()),
            Some((StockView { opening, total, reserved }, found)) => {
                let describe =
                    |sku, total, reserved| format!("SKU {sku}: total {total}, reserved {reserved}");
                let actual = describe(opening.sku.get(), total, reserved);
                let expected = found.map_or("no such SKU".to_owned(), |(sku, total, reserved)| {
                    describe(sku, total, reserved)
                });
                self.fail(Oracle::Stock, Some(comparison), actual, expected)
            }
        }
    }

    fn compare_deadlines(&self, comparison: Comparison<'_>) -> Verdict {
        let machine = self.subject.state.next_deadline().map(|time| time.as_nanos());
        let model = self.model.next_deadline();
        if machine != model {
            let describe = |deadline: Option<u64>| match deadline {
                Some(at) => format!("next deadline at {at}ns"),
                None => "no next deadline".to_owned(),
            };
            return self.fail(
                Oracle::Deadline,
                Some(comparison),
                describe(machine),
                describe(model),
            );
        }
        let (machine, model) = (self.subject.state.index(), self.model.entries());
        if machine != model {
            let (machine, model) = (format!("entry {machine}"), format!("entry {model}"));
            return self.fail(Oracle::Index, Some(comparison), machine, model);
        }
        let (machine, model) = (self.subject.state.events(), self.model.transitions());
        if machine != model || machine != self.sequence || self.orders.len() != self.model.orders()
        {
            let actual = format!("{machine} transitions, {} orders", self.orders.len());
            let expected = format!("{model} transitions, {} orders", self.model.orders());
            return self.fail(Oracle::Transitions, Some(comparison), actual, expected);
        }
        Ok(())
    }

    /// Compares everything on both sides.
    ///
    /// # Errors
    /// They differ, or one of them contradicts itself.
    pub(crate) fn audit(&mut self) -> Verdict {
        if let Err(violation) = self.subject.state.check_invariants() {
            return self.fail(Oracle::Invariant, None, violation.to_string(), String::new());
        }
        if let Err(violation) = self.model.audit() {
            return self.fail(Oracle::Invariant, None, String::new(), violation);
        }
        for order in (1..).take(self.orders.len()) {
            if !self.subject.agrees_on_order(order, &self.model) {
                let (actual, expected) = self.both_orders(order);
                return self.fail(Oracle::Whole, None, actual, expected);
            }
        }
        Ok(())
    }

    /// Drains the run: each order that awaits payment is paid, cancelled or expires.
    ///
    /// # Errors
    /// As for [`Checker::step`], or units stay reserved.
    pub(crate) fn drain(&mut self) -> Verdict {
        if self.injected.has(SimulatorFault::IncompleteDrain) {
            return self.check_nothing_reserved();
        }
        let awaiting: Vec<i64> = self.model.awaiting().collect();
        let expires = self.model.next_deadline().is_some();
        for (turn, order) in awaiting.into_iter().enumerate() {
            let place = usize::try_from(order - 1).expect("order ids start at 1");
            let target = self
                .orders
                .get(place)
                .map_or(Target::Id(order), |found| Target::CreatedBy(found.created_by));
            match (turn % 3, expires) {
                (0, _) => self.drain_step(Op::Pay(target), self.last_at)?,
                (1, _) | (_, false) => self.drain_step(Op::Cancel(target), self.last_at)?,
                (_, true) => {}
            }
        }
        while let Some(deadline) = self.model.next_deadline() {
            self.drain_step(Op::Tick, deadline.saturating_sub(self.start))?;
        }
        // Orders with a deadline past the end of time never expire; cancel them.
        let left: Vec<i64> = self.model.awaiting().collect();
        for order in left {
            self.drain_step(Op::Cancel(Target::Id(order)), self.last_at)?;
        }
        self.check_nothing_reserved()
    }

    /// Only the opening reservation is still reserved.
    fn check_nothing_reserved(&self) -> Verdict {
        for StockView { opening, reserved, .. } in self.subject.state.stock() {
            if reserved != opening.reserved {
                let actual = format!("SKU {}: {reserved} reserved at the end", opening.sku);
                let expected = format!("{} at the start", opening.reserved);
                return self.fail(Oracle::Liveness, None, actual, expected);
            }
        }
        Ok(())
    }

    fn drain_step(&mut self, op: Op, at: u64) -> Verdict {
        let number = self.last_number + 1;
        let step = Step { number, at, op, ..Step::default() };
        self.drained.push(step.clone());
        self.step(&step)
    }

    /// The failure for a panic of the subject.
    pub(crate) fn panicked(&self, caught: CaughtPanic) -> Box<Failure> {
        let commands = self.counts.commands + 1;
        Box::new(Failure::of_panic(caught, self.last_kind, self.last_number, commands))
    }

    #[cold]
    fn answers_differ(&self, comparison: Comparison<'_>) -> Verdict {
        let actual = self.subject.answer_of(comparison.reply).map_or_else(
            || format!("{:?}, which no client can receive", comparison.reply),
            |answer| answer.to_string(),
        );
        self.fail(Oracle::Answer, Some(comparison), actual, comparison.answer.to_string())
    }

    #[cold]
    fn fail(
        &self,
        oracle: Oracle,
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
            signature: Signature {
                oracle,
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
