//! The situation of a call: its kind and the state of the model. A rule is often broken only in
//! some situations. Random programs avoid these.

use crate::layers::service::kind_of;
use crate::model::Model;
use crate::model::contract::{Answer, Call, Status};
use crate::model::refusal::RefusalKind;
use crate::plan::Kind;

/// The kind of a call, and the situation it is made in.
pub(crate) type Situation = (Kind, &'static str);

/// The situations of a call; the first is the most specific.
#[must_use]
pub(crate) fn of(model: &Model, call: Call<'_>) -> Vec<Situation> {
    let sorts = match call {
        Call::Create { items, .. } => create(model, call, items),
        Call::Info(order) | Call::Pay(order) | Call::Cancel(order) => vec![about(model, order)],
        Call::Stock(0) => vec!["of SKU 0"],
        Call::Stock(sku) if model.stock().any(|record| record.0 == sku) => vec!["of a SKU"],
        Call::Stock(_) => vec!["of an unknown SKU"],
        Call::Tick | Call::ChangeRules { .. } => vec![""],
    };
    sorts.into_iter().map(|sort| (kind_of(call), sort)).collect()
}

fn about(model: &Model, order: i64) -> &'static str {
    match model.order(order).map(|info| info.status) {
        None if order <= 0 => "of no order id",
        None => "of an unknown order",
        Some(Status::AwaitingPayment) => "of an awaiting order",
        Some(Status::Failed) => "of a failed order",
        Some(Status::Paid) => "of a paid order",
        Some(Status::Cancelled) => "of a cancelled order",
    }
}

fn create(model: &Model, call: Call<'_>, items: &[(u32, u32)]) -> Vec<&'static str> {
    let mut after = model.clone();
    let answer = after.answer(0, call);
    if let Answer::Refused(refusal) = answer {
        let reused = "of a used key and other lines";
        return vec![if refusal.is_invalid() { refusal.reason() } else { reused }];
    }
    if after.orders() == model.orders() {
        return vec!["of a used key"];
    }
    let known = |sku: u32| model.stock().any(|record| record.0 == sku);
    let fails = matches!(answer, Answer::Created { status: Status::Failed, .. });
    let fits = after.stock().zip(model.stock()).any(|(now, then)| now.1 == now.2 && now != then);
    [
        (items.iter().any(|item| !known(item.0)), "of an unknown SKU"),
        (has_twins(items), "with duplicate lines"),
        (fails, "that is short"),
        (fits, "that fits exactly"),
        (!items.is_sorted(), "out of order"),
        (items.len() > 1, "of several lines"),
        (true, "of lines"),
    ]
    .into_iter()
    .filter_map(|(is, sort)| is.then_some(sort))
    .collect()
}

fn has_twins(items: &[(u32, u32)]) -> bool {
    let mut skus: Vec<u32> = items.iter().map(|item| item.0).collect();
    skus.sort_unstable();
    skus.windows(2).any(|pair| pair[0] == pair[1])
}

/// The text on pages.
#[must_use]
pub(crate) fn describe((kind, sort): Situation) -> String {
    let kind = match kind {
        Kind::Create => "a create",
        Kind::Info => "OrderInfo",
        Kind::Pay => "a pay",
        Kind::Cancel => "a cancel",
        Kind::Stock => "StocksInfo",
        Kind::Tick => "a tick",
        Kind::Rules => "a change of the rules",
    };
    if RefusalKind::ALL.iter().any(|refusal| refusal.reason() == sort) {
        return format!("{kind} refused with {sort}");
    }
    format!("{kind} {sort}")
}
