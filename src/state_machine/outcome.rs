//! The answers of the state machine: an [`Outcome`] or a [`Rejection`].

use std::fmt;

use super::ids::{Count, OrderId, Sku, Timestamp};
use super::lifecycle::OrderStatus;

/// The answer to a command that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The order is stored, and every line is reserved.
    Reserved(OrderId),
    /// The order is stored as failed, and nothing is reserved.
    OutOfStock {
        /// The order.
        order: OrderId,
        /// The lines that were short, by ascending SKU.
        shortages: Vec<Shortage>,
    },
    /// The key was used before, for the same lines: this is the first create's answer again.
    /// Nothing changed.
    Repeated {
        /// The order that the first create made.
        order: OrderId,
        /// The status that the first create answered. The order may have changed since.
        answered: OrderStatus,
        /// The lines that were short at the first create, by ascending SKU.
        shortages: Vec<Shortage>,
    },
    /// The order is paid, and its stock has left the warehouse.
    Paid,
    /// The order was paid before. Nothing changed.
    AlreadyPaid,
    /// The order is cancelled, and its stock is available again.
    Cancelled,
    /// The order was cancelled before, by a client or by the payment timeout. Nothing changed.
    AlreadyCancelled,
    /// Every order that was due has expired.
    Ticked,
    /// The new rules hold.
    RulesChanged,
    /// The same rules held before. Nothing changed.
    RulesUnchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(order) => write!(f, "order {order} reserved"),
            Self::OutOfStock { order, .. } => write!(f, "order {order} failed: out of stock"),
            Self::Repeated { order, answered, .. } => {
                write!(f, "repeated: order {order}, {answered}")
            }
            Self::Paid => write!(f, "paid"),
            Self::AlreadyPaid => write!(f, "already paid"),
            Self::Cancelled => write!(f, "cancelled"),
            Self::AlreadyCancelled => write!(f, "already cancelled"),
            Self::Ticked => write!(f, "ticked"),
            Self::RulesChanged => write!(f, "rules changed"),
            Self::RulesUnchanged => write!(f, "rules unchanged"),
        }
    }
}

/// A refusal. The command changed nothing; only orders that were due by its time have expired.
///
/// If several refusals apply, the first in this list is returned: [`Rejection::ClockWentBack`];
/// then for a create [`Rejection::KeyReused`], [`Rejection::TooManyOpenOrders`],
/// [`Rejection::Full`], [`Rejection::NoRoom`]; for a payment or a cancellation
/// [`Rejection::UnknownOrder`], [`Rejection::OrderExpired`], [`Rejection::NotAwaitingPayment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The command's time is before that of the last command. No order expires either.
    ClockWentBack {
        /// The time of the last command.
        now: Timestamp,
        /// The command's time.
        at: Timestamp,
    },
    /// The user has used this key for other lines.
    KeyReused {
        /// The order that the key made.
        order: OrderId,
    },
    /// As many orders of the user await payment as the rules allow.
    TooManyOpenOrders,
    /// There is no id for another order: 2³² − 1 orders were placed.
    Full,
    /// Orders and keys take as much room as the rules allow.
    NoRoom,
    /// No order has this id.
    UnknownOrder(OrderId),
    /// The order was not paid in time and has been cancelled for that.
    OrderExpired(OrderId),
    /// The order has a final status, and not the one that the command asks for.
    NotAwaitingPayment {
        /// The order.
        order: OrderId,
        /// Its status.
        status: OrderStatus,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockWentBack { now, at } => {
                write!(f, "the command's time {at} is before the machine's time {now}")
            }
            Self::KeyReused { order } => {
                write!(f, "the idempotency key made order {order}, which has other lines")
            }
            Self::TooManyOpenOrders => {
                write!(f, "as many orders of the user await payment as are allowed")
            }
            Self::Full => write!(f, "there is no id for another order"),
            Self::NoRoom => write!(f, "orders and keys take all the room that they may take"),
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
    /// The SKU that was short.
    pub sku: Sku,
    /// Units that the order asked for.
    pub requested: Count,
    /// Units that were available; 0 for a SKU without a stock record.
    pub available: u64,
}
