//! [`Event`]s: what has happened. Events and answers are the only output of the state machine.

use std::fmt;

use super::ids::{OrderId, Timestamp};
use super::lifecycle::{Cause, OrderStatus};
use super::rules::Rules;

/// A fact. An entry that changes the state has at least one event, and an entry without an event
/// has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// 1 for the first event, and one more for each event after it, without a gap.
    pub sequence: u64,
    /// When it happened. An order expires at its deadline, even if the tick comes later; all
    /// other events happen at the time of their entry.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An order changed its status.
    Order(Transition),
    /// From now on these rules hold.
    Rules(Rules),
}

/// A change of an order's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The order.
    pub order: OrderId,
    /// The status before; `None` for an order that did not exist.
    pub from: Option<OrderStatus>,
    /// The status after.
    pub to: OrderStatus,
    /// Why it changed.
    pub cause: Cause,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, at, fact } = self;
        write!(f, "#{sequence} {fact} at {at}")
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(transition) => transition.fmt(f),
            Self::Rules(rules) => write!(f, "rules: {rules}"),
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, from, to, cause } = self;
        write!(f, "order {order}: ")?;
        if let Some(from) = from {
            write!(f, "{from} → ")?;
        }
        write!(f, "{to} ({cause})")
    }
}
