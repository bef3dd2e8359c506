//! Replies read strictly, and the answers as the wire has them.

use std::fmt::{self, Display};

use tonic::Code;

use super::{ErrorInfo, ErrorStatus, OrderReply, Received, Reply};
use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal, Status};
use crate::report::words::status_name;

impl Received {
    /// The answer that this is, if it is one that the contract knows, in every detail.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn answer(&self, call: Call<'_>) -> Result<Answer, String> {
        self.reply.answer(call)
    }
}

impl Received {
    /// The delay after which to send the call again, in nanoseconds, if this is the refusal of a
    /// server that is working a backlog off: UNAVAILABLE, CATCHING_UP, with a RetryInfo.
    pub(crate) fn catching_up(&self) -> Option<u64> {
        let Reply::Refused(status) = &self.reply else { return None };
        let info = status.info.as_ref()?;
        let fits = status.code == Code::Unavailable
            && (info.domain.as_str(), info.reason.as_str()) == ("loms", "CATCHING_UP")
            && !status.message.is_empty()
            && self.index.is_none();
        status.retry_after.filter(|&delay| fits && delay > 0)
    }
}

impl Reply {
    /// The answer that this is, if it is one that the contract knows, in every detail.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn answer(&self, call: Call<'_>) -> Result<Answer, String> {
        match self {
            Self::Created { order, status, shortages } => Ok(Answer::Created {
                order: *order,
                status: parse_status(status)?,
                shortages: shortages.clone(),
            }),
            Self::Order(order) => order.answer(),
            Self::Done => Ok(Answer::Done),
            Self::Stock(units) => Ok(Answer::Stock(*units)),
            Self::Refused(no) => no.refusal(call).map(Answer::Refused),
            Self::Nothing(trouble) => Err(format!("no answer: {trouble}")),
        }
    }
}

impl OrderReply {
    fn answer(&self) -> Result<Answer, String> {
        let reason = match self.reason.as_str() {
            "" => Reason::None,
            "OUT_OF_STOCK" => Reason::OutOfStock,
            "CANCELLED_BY_CLIENT" => Reason::CancelledByClient,
            "PAYMENT_TIMEOUT" => Reason::PaymentTimeout,
            other => return Err(format!("no reason of an order: {other:?}")),
        };
        Ok(Answer::Order(OrderInfo {
            status: parse_status(&self.status)?,
            user: self.user,
            items: self.items.clone(),
            created_at: self.created_at.ok_or("no createdAt, or none that is a moment")?,
            updated_at: self.updated_at.ok_or("no updatedAt, or none that is a moment")?,
            reason,
            shortages: self.shortages.clone(),
        }))
    }
}

/// A status as the wire spells it.
fn parse_status(text: &str) -> Result<Status, String> {
    [Status::AwaitingPayment, Status::Failed, Status::Paid, Status::Cancelled]
        .into_iter()
        .find(|&status| status_name(status) == text)
        .ok_or_else(|| format!("no status of an order: {text:?}"))
}

/// The gRPC code that goes with a refusal.
#[must_use]
pub(crate) const fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::InvalidUser
        | Refusal::NoItems
        | Refusal::TooManyItems
        | Refusal::InvalidItemSku(_)
        | Refusal::InvalidItemCount(_)
        | Refusal::CountOverflow(_)
        | Refusal::KeyTooLong
        | Refusal::InvalidOrderId
        | Refusal::InvalidSku => Code::InvalidArgument,
        Refusal::OrderNotFound | Refusal::SkuNotFound => Code::NotFound,
        Refusal::OrderNotAwaitingPayment(_) | Refusal::OrderExpired => Code::FailedPrecondition,
        Refusal::IdempotencyKeyReused(_) => Code::AlreadyExists,
    }
}

/// The ErrorInfo reason that goes with a refusal.
#[must_use]
pub(crate) const fn reason_of(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidUser => "INVALID_USER",
        Refusal::NoItems => "NO_ITEMS",
        Refusal::TooManyItems => "TOO_MANY_ITEMS",
        Refusal::InvalidItemSku(_) | Refusal::InvalidSku => "INVALID_SKU",
        Refusal::InvalidItemCount(_) => "INVALID_COUNT",
        Refusal::CountOverflow(_) => "COUNT_OVERFLOW",
        Refusal::KeyTooLong => "IDEMPOTENCY_KEY_TOO_LONG",
        Refusal::InvalidOrderId => "INVALID_ORDER_ID",
        Refusal::OrderNotFound => "ORDER_NOT_FOUND",
        Refusal::SkuNotFound => "SKU_NOT_FOUND",
        Refusal::OrderNotAwaitingPayment(_) => "ORDER_NOT_AWAITING_PAYMENT",
        Refusal::OrderExpired => "ORDER_EXPIRED",
        Refusal::IdempotencyKeyReused(_) => "IDEMPOTENCY_KEY_REUSED",
    }
}

/// Whether a refusal is that of the checks at the edge, before the machine hears of the call.
#[must_use]
pub(crate) const fn is_invalid(refusal: Refusal) -> bool {
    matches!(code_of(refusal), Code::InvalidArgument)
}

impl ErrorStatus {
    /// The refusal that this is: reason, facts, field and code all fit.
    fn refusal(&self, call: Call<'_>) -> Result<Refusal, String> {
        let strange = || format!("no refusal of the contract: {self}");
        let info = self.info.as_ref().filter(|info| info.domain == "loms").ok_or_else(strange)?;
        let refusal = self.by_reason(info).ok_or_else(strange)?;
        let facts_fit = match (refusal, call) {
            (
                Refusal::OrderNotFound
                | Refusal::OrderExpired
                | Refusal::OrderNotAwaitingPayment(_),
                Call::Info(order) | Call::Pay(order) | Call::Cancel(order),
            ) => info.fact("order_id") == Some(order),
            (Refusal::SkuNotFound, Call::Stock(sku)) => info.fact("sku") == Some(sku),
            _ => true,
        };
        if code_of(refusal) != self.code || !facts_fit || self.message.is_empty() {
            return Err(strange());
        }
        Ok(refusal)
    }

    fn by_reason(&self, info: &ErrorInfo) -> Option<Refusal> {
        if let [(field, description)] = self.violations.as_slice() {
            if info.facts.get("field") != Some(field) {
                return None;
            }
            return invalid(&info.reason, field, description);
        }
        if !self.violations.is_empty() {
            return None;
        }
        Some(match info.reason.as_str() {
            "ORDER_NOT_FOUND" => Refusal::OrderNotFound,
            "SKU_NOT_FOUND" => Refusal::SkuNotFound,
            "ORDER_NOT_AWAITING_PAYMENT" => {
                Refusal::OrderNotAwaitingPayment(parse_status(info.facts.get("status")?).ok()?)
            }
            "ORDER_EXPIRED" if info.facts.get("status")? == "cancelled" => Refusal::OrderExpired,
            "IDEMPOTENCY_KEY_REUSED" => Refusal::IdempotencyKeyReused(info.fact("order_id")?),
            _ => return None,
        })
    }
}

/// A refusal of the edge, by its reason and the field that it names.
fn invalid(reason: &str, field: &str, description: &str) -> Option<Refusal> {
    let line = |name: &str| {
        let place = field.strip_prefix("items[")?.strip_suffix(name)?.strip_suffix("].")?;
        place.parse::<u32>().ok()
    };
    match (reason, field) {
        ("INVALID_USER", "user") => Some(Refusal::InvalidUser),
        ("NO_ITEMS", "items") => Some(Refusal::NoItems),
        ("TOO_MANY_ITEMS", "items") => Some(Refusal::TooManyItems),
        ("INVALID_SKU", "sku") => Some(Refusal::InvalidSku),
        ("INVALID_SKU", _) => line("sku").map(Refusal::InvalidItemSku),
        ("INVALID_COUNT", _) => line("count").map(Refusal::InvalidItemCount),
        // Which SKU it is stands in the sentence alone.
        ("COUNT_OVERFLOW", "items") => {
            let sku = description.split("SKU ").nth(1)?.split(' ').next()?;
            sku.parse().ok().map(Refusal::CountOverflow)
        }
        ("IDEMPOTENCY_KEY_TOO_LONG", "idempotencyKey") => Some(Refusal::KeyTooLong),
        ("INVALID_ORDER_ID", "orderID") => Some(Refusal::InvalidOrderId),
        _ => None,
    }
}

impl ErrorInfo {
    fn fact<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.facts.get(name)?.parse().ok()
    }
}

impl Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        match &self.info {
            Some(info) => {
                write!(f, " {}", info.reason)?;
                info.facts.iter().try_for_each(|(name, fact)| write!(f, " {name}={fact}"))?;
            }
            None => f.write_str(" without ErrorInfo")?,
        }
        write!(f, ": {}", self.message)
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { order, status, shortages } => {
                write!(f, "order {order} {status}, {} lines short", shortages.len())
            }
            Self::Order(order) => {
                write!(f, "{}, user {},", order.status, order.user)?;
                order.items.iter().try_for_each(|(sku, count)| write!(f, " {sku}x{count}"))?;
                let said = if order.reason.is_empty() { "" } else { ", " };
                write!(f, "{said}{}, {} lines short", order.reason, order.shortages.len())
            }
            Self::Done => f.write_str("ok"),
            Self::Stock(units) => write!(f, "{units} available"),
            Self::Refused(no) => no.fmt(f),
            Self::Nothing(trouble) => write!(f, "no answer: {trouble}"),
        }
    }
}
