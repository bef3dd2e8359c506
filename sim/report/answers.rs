//! The text of answers: the full text for pages and failures ([`Display`]), and a [`Class`] for
//! counts and for the signature of a failure.

use std::fmt::{self, Display};

use crate::model::contract::{Answer, OrderInfo, Reason, Refusal, Shortage, Status};
use crate::model::refusal::RefusalKind;
use crate::plan::text::Nanos;

/// The kind of an answer, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A create that reserved the units.
    Reserved,
    /// A create that failed for lack of stock.
    OutOfStock,
    /// OrderInfo of an order with this status.
    Order(Status),
    /// An empty answer.
    Done,
    /// StocksInfo: one unit or more.
    Units,
    /// StocksInfo: no units.
    NoUnits,
    /// A refusal.
    Refused(RefusalKind),
    /// The refusal ORDER_NOT_AWAITING_PAYMENT of an order with this status.
    NotAwaitingPayment(Status),
    /// Something that no client can receive.
    Impossible,
}

impl Class {
    /// Classes that are not refusals, and [`Class::Impossible`].
    const OTHERS: [Self; 10] = [
        Self::Reserved,
        Self::OutOfStock,
        Self::Order(Status::AwaitingPayment),
        Self::Order(Status::Failed),
        Self::Order(Status::Paid),
        Self::Order(Status::Cancelled),
        Self::Done,
        Self::Units,
        Self::NoUnits,
        Self::Impossible,
    ];

    /// How many there are.
    pub(crate) const COUNT: usize = Self::OTHERS.len() + RefusalKind::ALL.len() + Status::ALL.len();

    /// Every class, in the order of the pages.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let refused = RefusalKind::ALL.iter().map(|&kind| Self::Refused(kind));
        let not_awaiting = Status::ALL.into_iter().map(Self::NotAwaitingPayment);
        Self::OTHERS.into_iter().chain(refused).chain(not_awaiting)
    }

    /// Its index in [`Class::all`].
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        let refused = Self::OTHERS.len();
        match self {
            Self::Reserved => 0,
            Self::OutOfStock => 1,
            Self::Order(status) => 2 + status as usize,
            Self::Done => 6,
            Self::Units => 7,
            Self::NoUnits => 8,
            Self::Impossible => 9,
            Self::Refused(kind) => refused + kind as usize,
            Self::NotAwaitingPayment(status) => refused + RefusalKind::ALL.len() + status as usize,
        }
    }

    /// The class of an answer; [`Class::Impossible`] for none.
    #[must_use]
    pub(crate) const fn of(answer: Option<&Answer>) -> Self {
        match answer {
            None => Self::Impossible,
            Some(Answer::Created { status: Status::AwaitingPayment, .. }) => Self::Reserved,
            Some(Answer::Created { .. }) => Self::OutOfStock,
            Some(Answer::Order(OrderInfo { status, .. })) => Self::Order(*status),
            Some(Answer::Done) => Self::Done,
            Some(Answer::Stock(0)) => Self::NoUnits,
            Some(Answer::Stock(_)) => Self::Units,
            Some(Answer::Refused(Refusal::OrderNotAwaitingPayment(status))) => {
                Self::NotAwaitingPayment(*status)
            }
            Some(Answer::Refused(refusal)) => Self::Refused(refusal.kind()),
        }
    }

    /// Whether the call was refused.
    #[must_use]
    pub(crate) const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused(_) | Self::NotAwaitingPayment(_))
    }

    /// The name on pages.
    #[must_use]
    pub(crate) fn name(self) -> String {
        match self {
            Self::Reserved => "reserved".to_owned(),
            Self::OutOfStock => "out of stock".to_owned(),
            Self::Order(status) => status.name().to_owned(),
            Self::Done => "ok".to_owned(),
            Self::Units => "units".to_owned(),
            Self::NoUnits => "no units".to_owned(),
            Self::Refused(kind) => kind.label(),
            Self::NotAwaitingPayment(status) => format!("NOT_AWAITING_PAYMENT ({})", status.name()),
            Self::Impossible => "impossible".to_owned(),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { order, status, shortages } => {
                write!(f, "order {order} {}", status.name())?;
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
        write!(f, "{}, user {},", self.status.name(), self.user)?;
        for (sku, count) in &self.items {
            write!(f, " {sku}x{count}")?;
        }
        write!(f, ", {}..{}", Nanos(self.created_at), Nanos(self.updated_at))?;
        if self.reason != Reason::None {
            write!(f, ", {}", self.reason.name())?;
        }
        write_shortages(f, &self.shortages)
    }
}

fn write_shortages(f: &mut fmt::Formatter<'_>, shortages: &[Shortage]) -> fmt::Result {
    for (place, Shortage { sku, requested, available }) in shortages.iter().enumerate() {
        let before = if place == 0 { ": " } else { "; " };
        write!(f, "{before}SKU {sku} short, {requested} requested, {available} available")?;
    }
    Ok(())
}
