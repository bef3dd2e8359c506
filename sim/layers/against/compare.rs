//! Compares a reply with the model's answer, one facet at a time: another server may be wrong in
//! one facet and right in all others.

use std::collections::BTreeSet;

use crate::layers::wire::{ErrorStatus, Reply};
use crate::model::contract::{Answer, OrderInfo, Refusal};

/// One aspect of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Facet {
    /// Success, or the error code.
    Outcome,
    /// The ErrorInfo of a refusal.
    Why,
    /// The field violation of a refusal.
    Field,
    /// The order id of a create.
    Id,
    /// The status of a create.
    CreateStatus,
    /// The shortages of a create.
    CreateShortages,
    /// OrderInfo: the status.
    Status,
    /// OrderInfo: the user.
    User,
    /// OrderInfo: the lines.
    Items,
    /// OrderInfo: the reason.
    Reason,
    /// OrderInfo: the shortages.
    Shortages,
    /// OrderInfo: createdAt and updatedAt.
    Times,
    /// StocksInfo.
    Units,
}

impl Facet {
    /// Whether a difference means that the server's state differs, and not only its texts.
    #[must_use]
    pub(crate) const fn is_hard(self) -> bool {
        matches!(self, Self::Outcome | Self::Id | Self::Status | Self::Units)
    }
}

/// The facets in which a reply differs from the model's answer, which must have the server's ids
/// and users.
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
            Answer::Created { order: id, status: text, shortages: short },
        ) => {
            note(Facet::Id, order != id);
            note(Facet::CreateStatus, status != text.name());
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
        (Reply::Stock(units), Answer::Stock(text)) => note(Facet::Units, units != text),
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
    matches!(no.violations.as_slice(), [(text, _)] if *text == field)
}
