//! [`Rules`]: the settings that decide answers. They change only by a command, so that a replay of
//! the entries gives the same answers.

use std::fmt;

use super::ids::{Span, Timestamp};
use super::lifecycle::OrderStatus;

/// The settings that decide answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long an order may await payment before it expires. Zero: without limit.
    pub payment_timeout: Span,
    /// How long an idempotency key is remembered after its order was created, but never longer than
    /// its order can be kept. Zero: not at all.
    pub idempotency_window: Span,
    /// How long a paid or cancelled order is kept after it was paid or cancelled. Then it is
    /// forgotten, as if it had never existed. Zero: without limit.
    pub keep: Span,
    /// How long an order is kept that failed for lack of stock. Zero: without limit.
    pub keep_failed: Span,
    /// Whether the key of a failed order is not remembered, so that a repeated create tries again.
    pub retry_failed: bool,
    /// The most that orders and keys may count for, in bytes. Zero: without limit. An order counts
    /// 48 bytes and 8 for each line, a failed order 48 and 12; a remembered key 48 and its length.
    pub max_bytes: u64,
    /// How many orders of a user may await payment at the same time. Zero: without limit.
    pub open_orders: u32,
}

impl Default for Rules {
    /// Ten minutes to pay; keys are remembered for a day; failed orders are kept for an hour, other
    /// finished orders for 30 days; no other limits.
    fn default() -> Self {
        Self {
            payment_timeout: Span::from_secs(600),
            idempotency_window: Span::from_secs(86_400),
            keep: Span::from_secs(30 * 86_400),
            keep_failed: Span::from_secs(3_600),
            retry_failed: false,
            max_bytes: 0,
            open_orders: 0,
        }
    }
}

impl Rules {
    /// The deadline of an order that was created at this time. These rules apply since `since`.
    /// `None` for no deadline, and if that time cannot be represented.
    ///
    /// An order that was created before the rules changed does not expire before the change, so
    /// the deadlines of orders are in the order of their ids.
    pub(super) fn deadline(&self, created: Timestamp, since: Timestamp) -> Option<Timestamp> {
        if self.payment_timeout == Span::default() {
            return None;
        }
        created.checked_add(self.payment_timeout).map(|deadline| deadline.max(since))
    }

    /// When an order is forgotten that has this status since then; `None` for never, and while it
    /// awaits payment.
    #[inline(always)]
    pub(super) fn kept_until(&self, status: OrderStatus, since: Timestamp) -> Option<Timestamp> {
        let keep = match status {
            OrderStatus::New | OrderStatus::AwaitingPayment => return None,
            OrderStatus::Failed => self.keep_failed,
            OrderStatus::Paid | OrderStatus::Cancelled => self.keep,
        };
        if keep == Span::default() { None } else { since.checked_add(keep) }
    }

    /// Whether an order is not forgotten at this time that has this status since then.
    #[inline(always)]
    pub(super) fn keeps(&self, status: OrderStatus, since: Timestamp, at: Timestamp) -> bool {
        self.kept_until(status, since).is_none_or(|end| end > at)
    }

    /// How long the key of an order is remembered that did not fail.
    pub(super) fn key_window(&self) -> Span {
        self.at_most(self.keep)
    }

    /// How long the key of a failed order is remembered.
    pub(super) fn failed_key_window(&self) -> Span {
        if self.retry_failed { Span::default() } else { self.at_most(self.keep_failed) }
    }

    /// The window, but not longer than `keep`: a key never outlives its order.
    fn at_most(&self, keep: Span) -> Span {
        if keep == Span::default() {
            return self.idempotency_window;
        }
        self.idempotency_window.min(keep)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            payment_timeout,
            idempotency_window,
            keep,
            keep_failed,
            retry_failed,
            max_bytes,
            open_orders,
        } = self;
        write!(f, "payment_timeout={}ns ", payment_timeout.as_nanos())?;
        write!(f, "idempotency_window={}ns", idempotency_window.as_nanos())?;
        // The others only where they differ from no limit.
        for (name, span) in [("keep", keep), ("keep_failed", keep_failed)] {
            if *span != Span::default() {
                write!(f, " {name}={}ns", span.as_nanos())?;
            }
        }
        if *retry_failed {
            write!(f, " retry_failed=true")?;
        }
        for (name, most) in [("max_bytes", *max_bytes), ("open_orders", (*open_orders).into())] {
            if most > 0 {
                write!(f, " {name}={most}")?;
            }
        }
        Ok(())
    }
}
