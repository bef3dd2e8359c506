//! What was heard beside the model's answer, one facet at a time, since a foreign server may well
//! be wrong in one and right in all others.

use std::collections::BTreeSet;

use crate::layers::wire::{ErrorStatus, Reply};
use crate::model::contract::{Answer, OrderInfo, Refusal};

/// A facet of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Facet {
    /// OK or refused, and with which code.
    Outcome,
    /// A refusal's ErrorInfo.
    Why,
    /// A refusal's field violation.
    Field,
    /// A create's order id.
    Id,
    /// The status in the answer to a create.
    CreateStatus,
    /// The short lines there.
    CreateShortages,
    /// OrderInfo: the status.
    Status,
    /// OrderInfo: whose it is.
    User,
    /// OrderInfo: the lines.
    Items,
    /// OrderInfo: the reason.
    Reason,
    /// OrderInfo: the short lines.
    Shortages,
    /// OrderInfo: createdAt and updatedAt.
    Times,
    /// StocksInfo.
    Units,
}

impl Facet {
    /// Whether the other side's state differs where this facet does; otherwise only its words do.
    #[must_use]
    pub(crate) const fn is_hard(self) -> bool {
        matches!(self, Self::Outcome | Self::Id | Self::Status | Self::Units)
    }
}

/// Where a reply differs from the model's answer, whose ids and users must be the server's.
#[must_use]
pub(crate) fn differences(reply: &Reply, expected: &Answer) -> BTreeSet<Facet> {
    let mut facets = BTreeSet::new();
    let mut note = |facet, differs: bool| {
        if differs {
            facets.insert(facet);
        }
    };
    match (reply, expected) {
        (
            Reply::Created { order, status, shortages },
            Answer::Created { order: id, status: told, shortages: short },
        ) => {
            note(Facet::Id, order != id);
            note(Facet::CreateStatus, status != told.name());
            note(Facet::CreateShortages, shortages != short);
        }
        (Reply::Order(order), Answer::Order(info)) => {
            let OrderInfo { status, user, items, reason, shortages, .. } = info;
            note(Facet::Status, order.status != status.name());
            note(Facet::User, order.user != *user);
            note(Facet::Items, order.items != *items);
            note(Facet::Reason, order.reason != reason.name());
            note(Facet::Shortages, order.shortages != *shortages);
        }
        (Reply::Done, Answer::Done) => {}
        (Reply::Stock(units), Answer::Stock(told)) => note(Facet::Units, units != told),
        (Reply::Refused(no), Answer::Refused(refusal)) => {
            note(Facet::Outcome, no.code != refusal.code());
            note(Facet::Why, !says_why(no, *refusal));
            note(Facet::Field, !names_field(no, *refusal));
        }
        _ => note(Facet::Outcome, true),
    }
    facets
}

fn says_why(no: &ErrorStatus, refusal: Refusal) -> bool {
    let Some(info) = &no.info else { return false };
    let fact = |name: &str| info.facts.get(name).map(String::as_str);
    let facts = if let Refusal::OrderNotAwaitingPayment(status) = refusal {
        fact("status") == Some(status.name())
    } else if let Refusal::IdempotencyKeyReused(order) = refusal {
        fact("order_id").and_then(|id| id.parse().ok()) == Some(order)
    } else {
        refusal != Refusal::OrderNotFound || fact("order_id").is_some()
    };
    info.domain == "loms" && info.reason == refusal.reason() && facts
}

fn names_field(no: &ErrorStatus, refusal: Refusal) -> bool {
    let Some(field) = refusal.field() else { return true };
    matches!(no.violations.as_slice(), [(told, _)] if *told == field)
}
