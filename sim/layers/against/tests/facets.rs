//! Each facet is compared: a reply with one wrong field differs in the facet of this field alone.

use std::collections::BTreeSet;

use loms::grpc::service::ServiceOptions;

use super::super::compare::{Facet, differences};
use crate::layers::wire::corruption::Corruption;
use crate::layers::wire::{Received, expected};
use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal, Shortage, Status};

/// The facet of a field; `None` for a field that another server need not have, and for the times,
/// which are compared with a clock.
const fn facet_of(corruption: Corruption) -> Option<Facet> {
    Some(match corruption {
        Corruption::Code => Facet::Outcome,
        Corruption::Domain | Corruption::Reason | Corruption::Facts => Facet::Why,
        Corruption::Field => Facet::Field,
        Corruption::Order => Facet::Id,
        Corruption::CreateStatus => Facet::CreateStatus,
        Corruption::CreateShortage => Facet::CreateShortages,
        Corruption::Status => Facet::Status,
        Corruption::User => Facet::User,
        Corruption::Line => Facet::Items,
        Corruption::OrderReason => Facet::Reason,
        Corruption::Shortage => Facet::Shortages,
        Corruption::Units => Facet::Units,
        Corruption::Index
        | Corruption::NoIndex
        | Corruption::Message
        | Corruption::OneMoreFact
        | Corruption::Description
        | Corruption::RetryDelay
        | Corruption::OneMoreDetail
        | Corruption::RepeatedStatus
        | Corruption::CreatedInDetails
        | Corruption::CreatedAt
        | Corruption::UpdatedAt => return None,
    })
}

#[test]
fn a_wrong_field_differs_in_its_facet_alone() {
    let shortages = vec![Shortage { sku: 1, requested: 2, available: 1 }];
    let (status, reason) = (Status::Failed, Reason::OutOfStock);
    let info = OrderInfo {
        status,
        user: 7,
        items: vec![(1, 2)],
        created_at: 5,
        updated_at: 5,
        reason,
        shortages: shortages.clone(),
    };
    let create = Call::Create { user: 0, items: &[(1, 2)], key: "" };
    let cases = [
        (create, Answer::Created { order: 3, status, shortages }),
        (create, Answer::Refused(Refusal::InvalidUser)),
        (create, Answer::Refused(Refusal::IdempotencyKeyReused(2))),
        (Call::Info(3), Answer::Order(info)),
        (Call::Info(4), Answer::Refused(Refusal::OrderNotFound)),
        (Call::Pay(3), Answer::Refused(Refusal::OrderNotAwaitingPayment(Status::Paid))),
        (Call::Stock(1), Answer::Stock(5)),
    ];
    let mut seen = BTreeSet::new();
    for &corruption in Corruption::ALL {
        let mut facets = BTreeSet::new();
        for (call, answer) in &cases {
            let reply = expected::reply(*call, answer, ServiceOptions::default());
            assert_eq!(differences(&reply, answer), BTreeSet::new());
            let mut received = Received { index: Some(1), reply };
            corruption.apply(&mut received);
            facets.extend(differences(&received.reply, answer));
        }
        assert_eq!(facets, facet_of(corruption).into_iter().collect(), "{corruption:?}");
        seen.extend(facets);
    }
    // All but the times.
    assert_eq!(seen.len(), 12, "{seen:?}");
}
