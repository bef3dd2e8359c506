//! The lifecycle of an order: its statuses, the causes of a change, and the one table that says
//! which changes are legal.
//!
//! ```text
//!          Placement        Reservation                 Payment
//!  (none) ──────────► New ─────────────► AwaitingPayment ──────► Paid
//!                      │                        │
//!                      │ OutOfStock             │ CancelledByClient, PaymentTimeout
//!                      ▼                        ▼
//!                    Failed                 Cancelled
//! ```

use std::fmt;

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Placed; nothing is reserved yet. No caller ever sees it, because the command that places an
    /// order also reserves its lines or fails it.
    New,
    /// Every line is reserved. The only status from which a client can change an order.
    AwaitingPayment,
    /// A line was short, and nothing is reserved. Final.
    Failed,
    /// Paid; its stock has left the warehouse. Final.
    Paid,
    /// Cancelled; its stock is available again. Final.
    Cancelled,
}

impl OrderStatus {
    /// The table: whether an order may change from one status (`None`: it does not exist yet) to
    /// another for this cause.
    #[must_use]
    #[inline]
    pub const fn may_change(from: Option<Self>, to: Self, cause: Cause) -> bool {
        matches!(
            (from, to, cause),
            (None, Self::New, Cause::Placement)
                | (Some(Self::New), Self::AwaitingPayment, Cause::Reservation)
                | (Some(Self::New), Self::Failed, Cause::OutOfStock)
                | (Some(Self::AwaitingPayment), Self::Paid, Cause::Payment)
                | (
                    Some(Self::AwaitingPayment),
                    Self::Cancelled,
                    Cause::CancelledByClient | Cause::PaymentTimeout
                )
        )
    }

    /// The status as it is sent on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::AwaitingPayment => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an order changed its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A client placed the order.
    Placement,
    /// Every line was reserved.
    Reservation,
    /// At least one line was short.
    OutOfStock,
    /// A client paid.
    Payment,
    /// A client cancelled.
    CancelledByClient,
    /// The order was not paid before its deadline.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_changes_of_the_diagram_are_legal() {
        use {Cause as C, OrderStatus as O};
        let statuses = [O::New, O::AwaitingPayment, O::Failed, O::Paid, O::Cancelled];
        let mut legal = Vec::new();
        for from in [None].into_iter().chain(statuses.map(Some)) {
            for to in statuses {
                for cause in [
                    C::Placement,
                    C::Reservation,
                    C::OutOfStock,
                    C::Payment,
                    C::CancelledByClient,
                    C::PaymentTimeout,
                ] {
                    if O::may_change(from, to, cause) {
                        let from = from.map_or("(none)", O::as_str);
                        legal.push(format!("{from} → {to}: {cause}"));
                    }
                }
            }
        }
        let diagram = [
            "(none) → new: placement",
            "new → awaiting payment: reservation",
            "new → failed: out of stock",
            "awaiting payment → paid: payment",
            "awaiting payment → cancelled: cancelled by client",
            "awaiting payment → cancelled: payment timeout",
        ];
        assert_eq!(legal, diagram);
    }
}
