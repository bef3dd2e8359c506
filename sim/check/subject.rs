//! The subject: the real state machine, called as the service calls it. A request first passes the
//! service's own validation (`loms::grpc::convert`) and then goes to [`LomsState::apply`].
//!
//! [`Subject::difference`] compares an answer without copying it; [`Subject::answer_of`] builds the
//! full answer for pages and failures.

use loms::grpc::convert::{self, InvalidRequest};
use loms::state_machine::{
    Cause, Command, Entry, Event, LomsState, OpeningStock, OrderId, OrderStatus, OrderView,
    Outcome, Rejection, Rules, Shipped, Sizes, Sku, Span, StockRecord, Timestamp,
};

use crate::check::compared::Compared;
use crate::model::contract::{Answer, Call, Limits, OrderInfo, Reason, Refusal, Shortage, Status};
use crate::model::{Model, OrderFields, World};

/// The secret of every state machine under test. No answer depends on it.
pub(crate) const KEY_HASH_SECRET: u64 = 0x5eed;

/// The rules of these durations, in nanoseconds, and of these limits.
#[must_use]
pub(crate) fn rules(timeout: u64, window: u64, limits: Limits) -> Rules {
    let Limits { keep, keep_failed, retry_failed, max_bytes, open_orders } = limits;
    Rules {
        payment_timeout: Span::from_nanos(timeout),
        idempotency_window: Span::from_nanos(window),
        keep: Span::from_nanos(keep),
        keep_failed: Span::from_nanos(keep_failed),
        retry_failed,
        max_bytes,
        open_orders,
    }
}

/// The state machine behind the validation of the service.
#[derive(Clone, Debug)]
pub(crate) struct Subject<S: Sizes = Shipped> {
    /// The state, to read.
    pub(crate) state: LomsState<S>,
    /// The events of the last call.
    pub(crate) events: Vec<Event>,
    /// The shortages that the last create returned.
    shortages: Vec<loms::state_machine::Shortage>,
    max_lines: u16,
}

/// An answer that refers to an order instead of copying it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubjectReply {
    /// OrderCreate: this order, with its status after the create.
    Created(OrderId, Status),
    /// OrderInfo: this order.
    Order(OrderId),
    /// An empty response.
    Done,
    /// StocksInfo.
    Stock(u64),
    /// A refusal of the contract.
    Refused(Refusal),
    /// A rejection that no plan can cause: time went backwards, or the state is full.
    Impossible(Rejection),
}

impl<S: Sizes> Subject<S> {
    /// A subject that starts with this world.
    #[must_use]
    pub(crate) fn open(world: &World) -> Self {
        let records = world
            .stock
            .iter()
            .map(|&(sku, total, reserved)| StockRecord {
                sku: Sku::new(sku).expect("a world has no SKU 0"),
                total,
                reserved,
            })
            .collect();
        let opening = OpeningStock::new(records).expect("a world's stock is valid");
        let rules = rules(world.payment_timeout, world.idempotency_window, world.limits);
        Self {
            state: LomsState::with_sizes(rules, &opening, KEY_HASH_SECRET),
            events: Vec::new(),
            shortages: Vec::new(),
            max_lines: u16::try_from(world.max_lines).unwrap_or(u16::MAX),
        }
    }

    /// Makes a call at this time, in nanoseconds since 1970.
    pub(crate) fn call(&mut self, at: u64, call: Call<'_>) -> SubjectReply {
        self.events.clear();
        // The service does not pass invalid requests to the state machine, so not even time moves.
        self.checked_call(Timestamp::from_nanos(at), call)
            .unwrap_or_else(|invalid| SubjectReply::Refused(invalid_refusal(invalid)))
    }

    fn checked_call(
        &mut self,
        at: Timestamp,
        call: Call<'_>,
    ) -> Result<SubjectReply, InvalidRequest> {
        match call {
            Call::Create { user, items, key } => {
                let items = items.iter().map(|&(sku, count)| (sku.into(), count.into()));
                let (key, metadata) = (key.to_owned(), []);
                let command = convert::order_create(user, items, key, metadata, self.max_lines)?;
                Ok(self.submit(at, command))
            }
            Call::Pay(order) => Ok(self.submit(at, Command::PayOrder(convert::order_id(order)?))),
            Call::Cancel(order) => {
                Ok(self.submit(at, Command::CancelOrder(convert::order_id(order)?)))
            }
            Call::Info(order) => {
                let order = convert::order_id(order)?;
                self.expire_until(at);
                Ok(match self.state.order_at(order, at) {
                    Some(_) => SubjectReply::Order(order),
                    None => SubjectReply::Refused(Refusal::OrderNotFound),
                })
            }
            Call::Stock(sku) => {
                let sku = convert::sku(sku.into())?;
                self.expire_until(at);
                let available = self.state.available(sku);
                Ok(available
                    .map_or(SubjectReply::Refused(Refusal::SkuNotFound), SubjectReply::Stock))
            }
            Call::Tick => Ok(self.submit(at, Command::Tick)),
            Call::ChangeRules { timeout, window, limits } => {
                Ok(self.submit(at, Command::ChangeRules(rules(timeout, window, limits))))
            }
        }
    }

    /// Executes a command as the sequencer does: due orders expire first, in their own log entry.
    fn submit(&mut self, at: Timestamp, command: Command) -> SubjectReply {
        self.expire_until(at);
        match self.apply(at, command) {
            Ok(Outcome::Reserved(order)) => {
                self.shortages.clear();
                SubjectReply::Created(order, Status::AwaitingPayment)
            }
            Ok(Outcome::OutOfStock { order, shortages }) => {
                self.shortages = shortages;
                SubjectReply::Created(order, Status::Failed)
            }
            Ok(Outcome::Repeated { order, answered, shortages }) => {
                self.shortages = shortages;
                SubjectReply::Created(order, status_of(answered).unwrap_or(Status::Cancelled))
            }
            Ok(
                Outcome::Paid
                | Outcome::AlreadyPaid
                | Outcome::Cancelled
                | Outcome::AlreadyCancelled
                | Outcome::Ticked
                | Outcome::RulesChanged
                | Outcome::RulesUnchanged,
            ) => SubjectReply::Done,
            Err(Rejection::KeyReused { order }) => {
                SubjectReply::Refused(Refusal::IdempotencyKeyReused(order.get()))
            }
            Err(Rejection::TooManyOpenOrders) => SubjectReply::Refused(Refusal::TooManyOpenOrders),
            Err(Rejection::NoRoom) => SubjectReply::Refused(Refusal::NoRoom),
            Err(Rejection::UnknownOrder(_)) => SubjectReply::Refused(Refusal::OrderNotFound),
            Err(Rejection::OrderExpired(_)) => SubjectReply::Refused(Refusal::OrderExpired),
            Err(rejection @ Rejection::NotAwaitingPayment { status, .. }) => status_of(status)
                .map_or(SubjectReply::Impossible(rejection), |status| {
                    SubjectReply::Refused(Refusal::OrderNotAwaitingPayment(status))
                }),
            Err(rejection @ (Rejection::ClockWentBack { .. } | Rejection::Full)) => {
                SubjectReply::Impossible(rejection)
            }
        }
    }

    fn expire_until(&mut self, at: Timestamp) {
        if self.state.next_deadline().is_some_and(|deadline| deadline <= at) {
            let ticked = self.apply(at, Command::Tick);
            ticked.expect("a plan's times do not go back");
        }
    }

    fn apply(&mut self, at: Timestamp, command: Command) -> Result<Outcome, Rejection> {
        let entry = Entry { index: self.state.index() + 1, at, command };
        self.state.apply(&entry, &mut self.events)
    }

    /// The first part in which a reply differs from this answer.
    #[must_use]
    pub(crate) fn difference(&self, reply: SubjectReply, answer: &Answer) -> Option<Compared> {
        let (part, equal) = match (reply, answer) {
            (
                SubjectReply::Created(id, status),
                Answer::Created { order, status: expected, shortages },
            ) => {
                let found = self.shortages.iter().copied().map(shortage);
                if id.get() != *order {
                    (Compared::CreatedOrder, false)
                } else if status != *expected {
                    (Compared::CreatedStatus, false)
                } else {
                    (Compared::CreatedShortages, found.eq(shortages.iter().copied()))
                }
            }
            (SubjectReply::Order(id), Answer::Order(info)) => {
                let Some(view) = self.state.order(id) else { return Some(Compared::AnswerKind) };
                return order_difference(&view, fields_of(info));
            }
            (SubjectReply::Done, Answer::Done) => return None,
            (SubjectReply::Stock(units), Answer::Stock(expected)) => {
                (Compared::Units, units == *expected)
            }
            (SubjectReply::Refused(refusal), Answer::Refused(expected)) => {
                (Compared::Refusal, refusal == *expected)
            }
            (
                SubjectReply::Created(..)
                | SubjectReply::Order(_)
                | SubjectReply::Done
                | SubjectReply::Stock(_)
                | SubjectReply::Refused(_)
                | SubjectReply::Impossible(_),
                _,
            ) => (Compared::AnswerKind, false),
        };
        (!equal).then_some(part)
    }

    /// The full answer; `None` for a reply that no client can receive.
    #[must_use]
    pub(crate) fn answer_of(&self, reply: SubjectReply) -> Option<Answer> {
        Some(match reply {
            SubjectReply::Created(order, status) => Answer::Created {
                order: order.get(),
                status,
                shortages: self.shortages.iter().copied().map(shortage).collect(),
            },
            SubjectReply::Order(order) => Answer::Order(order_info(&self.state.order(order)?)?),
            SubjectReply::Done => Answer::Done,
            SubjectReply::Stock(units) => Answer::Stock(units),
            SubjectReply::Refused(refusal) => Answer::Refused(refusal),
            SubjectReply::Impossible(_) => return None,
        })
    }

    /// The order as OrderInfo returns it, if there is one.
    #[must_use]
    pub(crate) fn order(&self, id: i64) -> Option<OrderInfo> {
        order_info(&self.state.order(OrderId::new(id)?)?)
    }

    /// Whether this order equals the model's order `expected`, which has the same id, or both sides
    /// have no such order.
    #[must_use]
    pub(crate) fn agrees_on_order(&self, id: i64, model: &Model, expected: i64) -> bool {
        let view = OrderId::new(id).and_then(|id| self.state.order(id));
        let same = model.with_order(expected, |fields| {
            view.is_some_and(|view| order_difference(&view, fields).is_none())
        });
        same.unwrap_or(view.is_none())
    }
}

/// The status in the API; `None` for `new`, which clients never see.
#[must_use]
pub(crate) const fn status_of(status: OrderStatus) -> Option<Status> {
    match status {
        OrderStatus::New => None,
        OrderStatus::AwaitingPayment => Some(Status::AwaitingPayment),
        OrderStatus::Failed => Some(Status::Failed),
        OrderStatus::Paid => Some(Status::Paid),
        OrderStatus::Cancelled => Some(Status::Cancelled),
    }
}

const fn reason_of(cause: Cause) -> Reason {
    match cause {
        Cause::Placement | Cause::Reservation | Cause::Payment => Reason::None,
        Cause::OutOfStock => Reason::OutOfStock,
        Cause::CancelledByClient => Reason::CancelledByClient,
        Cause::PaymentTimeout => Reason::PaymentTimeout,
    }
}

fn shortage(short: loms::state_machine::Shortage) -> Shortage {
    Shortage {
        sku: short.sku.get(),
        requested: u64::from(short.requested.get()),
        available: short.available,
    }
}

fn same_shortages<S: Sizes>(view: &OrderView<'_, S>, expected: &[Shortage]) -> bool {
    // Only a failed order has shortages, for the state machine too: the others skip the search.
    if view.status() != OrderStatus::Failed {
        return expected.is_empty();
    }
    view.shortages().map(shortage).eq(expected.iter().copied())
}

fn same_lines<S: Sizes>(view: &OrderView<'_, S>, expected: &[(u32, u32)]) -> bool {
    let lines = view.lines();
    let mut same = lines.len() == expected.len();
    let mut expected = expected.iter();
    // `for_each` reads the first lines without a lookup.
    lines.for_each(|line| same &= expected.next() == Some(&(line.sku.get(), line.count.get())));
    same
}

fn fields_of(info: &OrderInfo) -> OrderFields<'_> {
    let OrderInfo { status, user, created_at, updated_at, reason, .. } = *info;
    let (items, shortages) = (&info.items, &info.shortages);
    OrderFields { status, user, items, created_at, updated_at, reason, shortages }
}

/// The first part in which an order differs.
fn order_difference<S: Sizes>(
    view: &OrderView<'_, S>,
    expected: OrderFields<'_>,
) -> Option<Compared> {
    let OrderFields { status, user, items, created_at, updated_at, reason, shortages } = expected;
    if status_of(view.status()) != Some(status) {
        Some(Compared::OrderStatus)
    } else if reason_of(view.cause()) != reason {
        Some(Compared::OrderReason)
    } else if view.user().get() != user {
        Some(Compared::OrderUser)
    } else if view.created().as_nanos() != created_at {
        Some(Compared::OrderCreatedAt)
    } else if view.updated().as_nanos() != updated_at {
        Some(Compared::OrderUpdatedAt)
    } else if !same_lines(view, items) {
        Some(Compared::OrderLines)
    } else if !same_shortages(view, shortages) {
        Some(Compared::OrderShortages)
    } else {
        None
    }
}

fn order_info<S: Sizes>(view: &OrderView<'_, S>) -> Option<OrderInfo> {
    Some(OrderInfo {
        status: status_of(view.status())?,
        user: view.user().get(),
        items: view.lines().map(|line| (line.sku.get(), line.count.get())).collect(),
        created_at: view.created().as_nanos(),
        updated_at: view.updated().as_nanos(),
        reason: reason_of(view.cause()),
        shortages: view.shortages().map(shortage).collect(),
    })
}

fn invalid_refusal(invalid: InvalidRequest) -> Refusal {
    let place = |line| u32::try_from(line).expect("a call has few lines");
    match invalid {
        InvalidRequest::User(_) => Refusal::InvalidUser,
        InvalidRequest::NoItems => Refusal::NoItems,
        InvalidRequest::TooManyItems { .. } => Refusal::TooManyItems,
        InvalidRequest::ItemSku(line, _) => Refusal::InvalidItemSku(place(line)),
        InvalidRequest::ItemCount(line, _) => Refusal::InvalidItemCount(place(line)),
        InvalidRequest::CountOverflow(sku) => Refusal::CountOverflow(sku.get()),
        InvalidRequest::KeyTooLong(_) => Refusal::KeyTooLong,
        InvalidRequest::KeyMetadata | InvalidRequest::KeysDiffer => {
            unreachable!("a plan has no key in the metadata")
        }
        InvalidRequest::OrderId(_) => Refusal::InvalidOrderId,
        InvalidRequest::Sku(_) => Refusal::InvalidSku,
    }
}
