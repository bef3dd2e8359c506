//! What the machine answers: an [`Outcome`] or a [`Rejection`], and the [`Transition`]s that
//! came of it.

use std::fmt;

use super::ids::{Count, OrderId, Sku, Timestamp};
use super::order::OrderStatus;

/// The answer to a command that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The order is on record and every line is reserved.
    Reserved(OrderId),
    /// The order is on record as failed, and nothing is reserved. Its shortages say why.
    OutOfStock(OrderId),
    /// The key was used before for the same lines: the first create's answer again. Nothing
    /// changed.
    Repeated {
        /// The order that the first create made.
        order: OrderId,
        /// The status that the first create answered, whatever has become of the order since.
        answered: OrderStatus,
    },
    /// The order is paid and its stock has left.
    Paid,
    /// The order was paid before. Nothing changed.
    AlreadyPaid,
    /// The order is cancelled and its stock can be promised again.
    Cancelled,
    /// The order was cancelled before, by a client or for want of payment. Nothing changed.
    AlreadyCancelled,
    /// Time has passed.
    Ticked,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(order) => write!(f, "order {order} reserved"),
            Self::OutOfStock(order) => write!(f, "order {order} out of stock"),
            Self::Repeated { order, answered } => write!(f, "order {order} again, {answered}"),
            Self::Paid => write!(f, "paid"),
            Self::AlreadyPaid => write!(f, "paid before"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::AlreadyCancelled => write!(f, "cancelled before"),
            Self::Ticked => write!(f, "ticked"),
        }
    }
}

/// A refusal: but for what was due to expire by the command's time, the state is exactly as
/// before.
///
/// Where several would apply the first wins: [`Rejection::ClockWentBack`], then for a create
/// [`Rejection::KeyReused`], [`Rejection::Full`]; for a payment or a cancellation
/// [`Rejection::UnknownOrder`], [`Rejection::OrderExpired`], [`Rejection::NotAwaitingPayment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The command's time lies before the machine's. Not even what is due expires.
    ClockWentBack {
        /// The machine's time.
        now: Timestamp,
        /// The command's time.
        at: Timestamp,
    },
    /// The user has used this key for other lines.
    KeyReused {
        /// The order that the key made.
        order: OrderId,
    },
    /// The machine has no room for another order: 2³² − 1 orders, or 2³² − 1 lines, are on
    /// record.
    Full,
    /// No order has this id.
    UnknownOrder(OrderId),
    /// The order was not paid in time and has been cancelled for that.
    OrderExpired(OrderId),
    /// The order is at the end of its life, and not where the command would lead.
    NotAwaitingPayment {
        /// The order.
        order: OrderId,
        /// Where it is.
        status: OrderStatus,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockWentBack { now, at } => {
                write!(f, "the command's time {at} lies before the machine's {now}")
            }
            Self::KeyReused { order } => {
                write!(f, "the idempotency key made order {order}, which has other lines")
            }
            Self::Full => write!(f, "there is no room for another order"),
            Self::UnknownOrder(order) => write!(f, "there is no order {order}"),
            Self::OrderExpired(order) => {
                write!(f, "order {order} was not paid in time and is cancelled")
            }
            Self::NotAwaitingPayment { order, status } => {
                write!(f, "order {order} is {status}, not awaiting payment")
            }
        }
    }
}

/// A line that could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What was short.
    pub sku: Sku,
    /// Units asked for.
    pub requested: Count,
    /// Units that could have been promised; 0 for a SKU without a stock record.
    pub available: u64,
}

/// A fact: an order went from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// 1 for the machine's first transition, and one more for each after it, without a gap.
    pub sequence: u64,
    /// The order.
    pub order: OrderId,
    /// Where it was; `None` for an order that did not exist.
    pub from: Option<OrderStatus>,
    /// Where it is now.
    pub to: OrderStatus,
    /// Why.
    pub cause: Cause,
    /// When. An order that expires does so at its deadline, whenever the machine is told.
    pub time: Timestamp,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, order, from, to, cause, time } = self;
        write!(f, "#{sequence} order {order}: ")?;
        if let Some(from) = from {
            write!(f, "{from} → ")?;
        }
        write!(f, "{to} ({cause}) at {time}")
    }
}

/// Why an order changed its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A client placed the order.
    Placement,
    /// Every line was reserved.
    Reservation,
    /// A line was short.
    OutOfStock,
    /// A client paid.
    Payment,
    /// A client cancelled.
    CancelledByClient,
    /// Nobody paid in time.
    PaymentTimeout,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placement => "placement",
            Self::Reservation => "reservation",
            Self::OutOfStock => "out of stock",
            Self::Payment => "payment",
            Self::CancelledByClient => "cancelled by client",
            Self::PaymentTimeout => "payment timeout",
        })
    }
}
