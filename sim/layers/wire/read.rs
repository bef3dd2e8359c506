//! Reads replies strictly by the contract, and prints them.

use std::fmt::{self, Display};

use super::{ErrorInfo, ErrorStatus, OrderReply, Received, Reply, expected};
use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal, Status};
use crate::model::refusal::{Facts, RefusalKind};
use crate::words::counted;

impl Received {
    /// The answer, if every detail follows the contract.
    ///
    /// # Errors
    /// A description of what does not follow it.
    pub(crate) fn answer(&self, call: Call<'_>) -> Result<Answer, String> {
        self.reply.answer(call)
    }
}

impl Received {
    /// The delay after which to send the call again, in nanoseconds, if this is the refusal of a
    /// server with a backlog: UNAVAILABLE, CATCHING_UP, with a RetryInfo. With `any`, its other
    /// details and texts may be wrong: an injected fault.
    pub(crate) fn catching_up(&self, any: bool) -> Option<u64> {
        let Reply::Refused(status) = &self.reply else { return None };
        let reason = &status.info.as_ref()?.reason;
        // Nearly all refusals have another reason.
        (reason == "CATCHING_UP" && (any || *self == expected::catching_up()))
            .then_some(status.retry_after)?
    }
}

impl Reply {
    /// The answer, if every detail follows the contract.
    ///
    /// # Errors
    /// A description of what does not follow it.
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
            Self::Refused(no) => match &no.created {
                Some(created @ Self::Created { .. }) => created.answer(call),
                Some(_) | None => no.refusal(call).map(Answer::Refused),
            },
            Self::Nothing(error) => Err(format!("no answer: {error}")),
        }
    }
}

impl OrderReply {
    fn answer(&self) -> Result<Answer, String> {
        let reason = Reason::ALL.into_iter().find(|reason| reason.name() == self.reason);
        let reason =
            reason.ok_or_else(|| format!("unknown reason of an order: {:?}", self.reason))?;
        Ok(Answer::Order(OrderInfo {
            status: parse_status(&self.status)?,
            user: self.user,
            items: self.items.clone(),
            created_at: self.created_at.ok_or("no valid createdAt")?,
            updated_at: self.updated_at.ok_or("no valid updatedAt")?,
            reason,
            shortages: self.shortages.clone(),
        }))
    }
}

/// Parses a status.
fn parse_status(text: &str) -> Result<Status, String> {
    Status::ALL
        .into_iter()
        .find(|status| status.name() == text)
        .ok_or_else(|| format!("unknown status of an order: {text:?}"))
}

impl ErrorStatus {
    /// The refusal, if reason, facts, field and code follow the contract.
    fn refusal(&self, call: Call<'_>) -> Result<Refusal, String> {
        let unexpected = || format!("not a refusal of the contract: {self}");
        let info =
            self.info.as_ref().filter(|info| info.domain == "loms").ok_or_else(unexpected)?;
        let refusal = self.by_reason(info).ok_or_else(unexpected)?;
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
        if refusal.code() != self.code || !facts_fit || self.message.is_empty() {
            return Err(unexpected());
        }
        Ok(refusal)
    }

    fn by_reason(&self, info: &ErrorInfo) -> Option<Refusal> {
        let violation = match self.violations.as_slice() {
            [] => None,
            [(field, description)] if info.facts.get("field") == Some(field) => {
                Some((field, description))
            }
            [..] => return None,
        };
        let status = info.facts.get("status").and_then(|text| parse_status(text).ok());
        let line = violation
            .and_then(|(field, _)| field.strip_prefix("items[")?.split(']').next()?.parse().ok());
        // Only the description names the SKU.
        let sku = violation.and_then(|(_, description)| {
            description.split("SKU ").nth(1)?.split(' ').next()?.parse().ok()
        });
        let facts = Facts { line, sku, status, order: info.fact("order_id") };
        let field = violation.map(|(field, _)| field.clone());
        let refusal = RefusalKind::ALL
            .iter()
            .filter(|kind| kind.reason() == info.reason)
            .filter_map(|kind| kind.with_facts(facts))
            .find(|refusal| refusal.field() == field)?;
        let expired = refusal == Refusal::OrderExpired;
        (!expired || status == Some(Status::Cancelled)).then_some(refusal)
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
                write!(f, "order {order} {status}, {} short", counted(shortages.len(), "line"))
            }
            Self::Order(order) => {
                write!(f, "{}, user {},", order.status, order.user)?;
                order.items.iter().try_for_each(|(sku, count)| write!(f, " {sku}x{count}"))?;
                let separator = if order.reason.is_empty() { "" } else { ", " };
                let short = counted(order.shortages.len(), "line");
                write!(f, "{separator}{}, {short} short", order.reason)
            }
            Self::Done => f.write_str("ok"),
            Self::Stock(units) => write!(f, "{units} available"),
            Self::Refused(no) => no.fmt(f),
            Self::Nothing(error) => write!(f, "no answer: {error}"),
        }
    }
}
