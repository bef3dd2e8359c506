//! What the sequencer logs. Values are collected under the lock, and formatted and written outside
//! it. Nothing is collected that the log level would discard.

use std::fmt;

use tracing::{Level, debug, enabled, info};

use crate::state_machine::{
    Cause, Command, Event, Fact, OrderId, Outcome, Rejection, Sku, Transition,
};

/// What `log.level` filters by.
pub(super) const TARGET: &str = "loms::sequencer";

/// A call that reads, by name and argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    /// One order.
    Order(OrderId),
    /// What is available of one SKU.
    Stock(Sku),
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => write!(f, "order {order}"),
            Self::Stock(sku) => write!(f, "stock {sku}"),
        }
    }
}

/// The orders that expired in one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expired {
    count: usize,
    first: OrderId,
    last: OrderId,
}

impl Expired {
    /// The expiries among these events; `None` if there are none.
    pub(super) fn among(events: &[Event]) -> Option<Self> {
        let mut expired = None;
        for event in events {
            let Fact::Order(Transition { order, cause: Cause::PaymentTimeout, .. }) = event.fact
            else {
                continue;
            };
            let Self { count, last, .. } =
                expired.get_or_insert(Self { count: 0, first: order, last: order });
            (*count, *last) = (*count + 1, order);
        }
        expired
    }

    /// These and later ones.
    pub(super) fn and(self, later: Option<Self>) -> Self {
        match later {
            None => self,
            Some(Self { count, last, .. }) => {
                Self { count: self.count + count, first: self.first, last }
            }
        }
    }

    /// Logs them at info.
    pub(super) fn log(self) {
        let Self { count, first, last } = self;
        if count == 1 {
            info!(target: TARGET, order = first.get(), "order expired");
        } else {
            let (first, last) = (first.get(), last.get());
            info!(target: TARGET, count, first, last, "orders expired");
        }
    }
}

/// Whether calls are logged.
pub(super) fn logs_calls() -> bool {
    enabled!(target: TARGET, Level::DEBUG)
}

/// Logs a command at debug.
pub(super) fn command(
    index: u64,
    command: &Command,
    result: &Result<Outcome, Rejection>,
    events: &[Event],
    took_ns: u64,
) {
    let outcome = match result {
        Ok(outcome) => outcome.to_string(),
        Err(rejection) => format!("refused: {rejection}"),
    };
    let events = events.iter().map(Event::to_string).collect::<Vec<_>>().join("; ");
    debug!(target: TARGET, index, %command, outcome, events, took_ns, "command");
}

/// Logs a read at debug.
pub(super) fn read(index: u64, read: Read, took_ns: u64) {
    debug!(target: TARGET, index, %read, took_ns, "read");
}
