//! Answers in words: in full for pages and failures ([`Display`]), and in short ([`Class`]) for
//! counts and for the signature of a failure.

use std::fmt::{self, Display};

use crate::model::contract::{Answer, OrderInfo, Reason, Refusal, Shortage, Status};
use crate::plan::text::Nanos;

/// What sort of answer it is, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A create that reserved.
    Reserved,
    /// A create that was short.
    OutOfStock,
    /// An order that awaits payment.
    Awaiting,
    /// An order that failed.
    Failed,
    /// An order that is paid.
    Paid,
    /// An order that is cancelled.
    Cancelled,
    /// Nothing to tell.
    Done,
    /// So many units.
    Units,
    /// No units.
    NoUnits,
    /// The user is refused.
    InvalidUser,
    /// No lines.
    NoItems,
    /// Too many lines.
    TooManyItems,
    /// SKU 0 in a line.
    InvalidItemSku,
    /// Count 0 in a line.
    InvalidItemCount,
    /// Counts that add up to too much.
    CountOverflow,
    /// The key is too long.
    KeyTooLong,
    /// The order id is refused.
    InvalidOrderId,
    /// SKU 0.
    InvalidSku,
    /// No such order.
    OrderNotFound,
    /// No such stock record.
    SkuNotFound,
    /// The order is not where it must be: it awaits payment, which no answer may say.
    NotAwaitingAwaiting,
    /// The order is not where it must be: it failed.
    NotAwaitingFailed,
    /// The order is not where it must be: it is paid.
    NotAwaitingPaid,
    /// The order is not where it must be: it is cancelled.
    NotAwaitingCancelled,
    /// The order was not paid in time.
    Expired,
    /// The key stands for other lines.
    KeyReused,
    /// What no client can be answered.
    Impossible,
}

impl Class {
    /// Every class.
    pub(crate) const ALL: [Self; 27] = [
        Self::Reserved,
        Self::OutOfStock,
        Self::Awaiting,
        Self::Failed,
        Self::Paid,
        Self::Cancelled,
        Self::Done,
        Self::Units,
        Self::NoUnits,
        Self::InvalidUser,
        Self::NoItems,
        Self::TooManyItems,
        Self::InvalidItemSku,
        Self::InvalidItemCount,
        Self::CountOverflow,
        Self::KeyTooLong,
        Self::InvalidOrderId,
        Self::InvalidSku,
        Self::OrderNotFound,
        Self::SkuNotFound,
        Self::NotAwaitingAwaiting,
        Self::NotAwaitingFailed,
        Self::NotAwaitingPaid,
        Self::NotAwaitingCancelled,
        Self::Expired,
        Self::KeyReused,
        Self::Impossible,
    ];

    /// The class of an answer; [`Class::Impossible`] for none.
    #[must_use]
    pub(crate) const fn of(answer: Option<&Answer>) -> Self {
        match answer {
            None => Self::Impossible,
            Some(Answer::Created { status: Status::AwaitingPayment, .. }) => Self::Reserved,
            Some(Answer::Created { .. }) => Self::OutOfStock,
            Some(Answer::Order(OrderInfo { status, .. })) => match status {
                Status::AwaitingPayment => Self::Awaiting,
                Status::Failed => Self::Failed,
                Status::Paid => Self::Paid,
                Status::Cancelled => Self::Cancelled,
            },
            Some(Answer::Done) => Self::Done,
            Some(Answer::Stock(0)) => Self::NoUnits,
            Some(Answer::Stock(_)) => Self::Units,
            Some(Answer::Refused(refusal)) => Self::of_refusal(*refusal),
        }
    }

    const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidUser => Self::InvalidUser,
            Refusal::NoItems => Self::NoItems,
            Refusal::TooManyItems => Self::TooManyItems,
            Refusal::InvalidItemSku(_) => Self::InvalidItemSku,
            Refusal::InvalidItemCount(_) => Self::InvalidItemCount,
            Refusal::CountOverflow(_) => Self::CountOverflow,
            Refusal::KeyTooLong => Self::KeyTooLong,
            Refusal::InvalidOrderId => Self::InvalidOrderId,
            Refusal::InvalidSku => Self::InvalidSku,
            Refusal::OrderNotFound => Self::OrderNotFound,
            Refusal::SkuNotFound => Self::SkuNotFound,
            Refusal::OrderNotAwaitingPayment(status) => match status {
                Status::AwaitingPayment => Self::NotAwaitingAwaiting,
                Status::Failed => Self::NotAwaitingFailed,
                Status::Paid => Self::NotAwaitingPaid,
                Status::Cancelled => Self::NotAwaitingCancelled,
            },
            Refusal::OrderExpired => Self::Expired,
            Refusal::IdempotencyKeyReused(_) => Self::KeyReused,
        }
    }

    /// Whether the call was refused.
    #[must_use]
    pub(crate) const fn is_refusal(self) -> bool {
        !matches!(
            self,
            Self::Reserved
                | Self::OutOfStock
                | Self::Awaiting
                | Self::Failed
                | Self::Paid
                | Self::Cancelled
                | Self::Done
                | Self::Units
                | Self::NoUnits
        )
    }

    /// As pages spell it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::OutOfStock => "out of stock",
            Self::Awaiting => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Done => "ok",
            Self::Units => "units",
            Self::NoUnits => "no units",
            Self::InvalidUser => "INVALID user",
            Self::NoItems => "INVALID no items",
            Self::TooManyItems => "INVALID too many items",
            Self::InvalidItemSku => "INVALID item sku",
            Self::InvalidItemCount => "INVALID item count",
            Self::CountOverflow => "INVALID sum",
            Self::KeyTooLong => "INVALID key",
            Self::InvalidOrderId => "INVALID orderID",
            Self::InvalidSku => "INVALID sku",
            Self::OrderNotFound => "ORDER_NOT_FOUND",
            Self::SkuNotFound => "SKU_NOT_FOUND",
            Self::NotAwaitingAwaiting => "NOT_AWAITING (awaiting)",
            Self::NotAwaitingFailed => "NOT_AWAITING (failed)",
            Self::NotAwaitingPaid => "NOT_AWAITING (paid)",
            Self::NotAwaitingCancelled => "NOT_AWAITING (cancelled)",
            Self::Expired => "ORDER_EXPIRED",
            Self::KeyReused => "KEY_REUSED",
            Self::Impossible => "impossible",
        }
    }
}

/// A status as the wire tells it.
#[must_use]
pub(crate) const fn status_name(status: Status) -> &'static str {
    match status {
        Status::AwaitingPayment => "awaiting payment",
        Status::Failed => "failed",
        Status::Paid => "paid",
        Status::Cancelled => "cancelled",
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { order, status, shortages } => {
                write!(f, "order {order} {}", status_name(*status))?;
                write_shortages(f, shortages)
            }
            Self::Order(info) => info.fmt(f),
            Self::Done => f.write_str("ok"),
            Self::Stock(units) => write!(f, "{units} available"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl Display for OrderInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, user {},", status_name(self.status), self.user)?;
        for (sku, count) in &self.items {
            write!(f, " {sku}x{count}")?;
        }
        write!(f, ", {}..{}", Nanos(self.created_at), Nanos(self.updated_at))?;
        f.write_str(match self.reason {
            Reason::None => "",
            Reason::OutOfStock => ", OUT_OF_STOCK",
            Reason::CancelledByClient => ", CANCELLED_BY_CLIENT",
            Reason::PaymentTimeout => ", PAYMENT_TIMEOUT",
        })?;
        write_shortages(f, &self.shortages)
    }
}

fn write_shortages(f: &mut fmt::Formatter<'_>, shortages: &[Shortage]) -> fmt::Result {
    for (place, Shortage { sku, requested, available }) in shortages.iter().enumerate() {
        let before = if place == 0 { ": " } else { ", " };
        write!(f, "{before}{requested} of {sku} where {available} are left")?;
    }
    Ok(())
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUser => f.write_str("INVALID_ARGUMENT user"),
            Self::NoItems => f.write_str("INVALID_ARGUMENT no items"),
            Self::TooManyItems => f.write_str("INVALID_ARGUMENT too many items"),
            Self::InvalidItemSku(line) => write!(f, "INVALID_ARGUMENT items[{line}].sku"),
            Self::InvalidItemCount(line) => write!(f, "INVALID_ARGUMENT items[{line}].count"),
            Self::CountOverflow(sku) => write!(f, "INVALID_ARGUMENT sum of SKU {sku}"),
            Self::KeyTooLong => f.write_str("INVALID_ARGUMENT key"),
            Self::InvalidOrderId => f.write_str("INVALID_ARGUMENT orderID"),
            Self::InvalidSku => f.write_str("INVALID_ARGUMENT sku"),
            Self::OrderNotFound => f.write_str("ORDER_NOT_FOUND"),
            Self::SkuNotFound => f.write_str("SKU_NOT_FOUND"),
            Self::OrderNotAwaitingPayment(status) => {
                write!(f, "ORDER_NOT_AWAITING_PAYMENT ({})", status_name(*status))
            }
            Self::OrderExpired => f.write_str("ORDER_EXPIRED"),
            Self::IdempotencyKeyReused(order) => {
                write!(f, "IDEMPOTENCY_KEY_REUSED (order {order})")
            }
        }
    }
}
