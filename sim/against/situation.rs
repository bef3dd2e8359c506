//! What sort of call a call is, as the model stands. A rule that is broken is broken for a sort of
//! calls, and programs that look for more leave these out.

use super::session::Situation;
use crate::contract::{Answer, Call, Refusal, Status};
use crate::model::Model;
use crate::plan::Kind;
use crate::service::kind_of;
use crate::wire::is_invalid;

/// The sort of a call.
#[must_use]
pub(crate) fn of(model: &Model, call: Call<'_>) -> Situation {
    let sort = match call {
        Call::Create { items, .. } => create(model, call, items),
        Call::Info(order) | Call::Pay(order) | Call::Cancel(order) => match model.order(order) {
            None if order <= 0 => "of no order id",
            None => "of an unknown order",
            Some(info) => match info.status {
                Status::AwaitingPayment => "of an awaiting order",
                Status::Failed => "of a failed order",
                Status::Paid => "of a paid order",
                Status::Cancelled => "of a cancelled order",
            },
        },
        Call::Stock(0) => "of SKU 0",
        Call::Stock(sku) if model.stock().any(|shelf| shelf.0 == sku) => "of a SKU",
        Call::Stock(_) => "of an unknown SKU",
        Call::Tick => "",
    };
    (kind_of(call), sort)
}

fn create(model: &Model, call: Call<'_>, items: &[(u32, u32)]) -> &'static str {
    let mut after = model.clone();
    let answer = after.answer(0, call);
    let is_new = after.orders() > model.orders();
    let known = |sku: u32| model.stock().any(|shelf| shelf.0 == sku);
    let fits_exactly =
        || after.stock().zip(model.stock()).any(|(now, then)| now.1 == now.2 && now != then);
    if let Answer::Refused(refusal) = answer {
        if is_invalid(refusal) { invalid(refusal) } else { "of a used key and other lines" }
    } else if !is_new {
        "of a used key"
    } else if items.iter().any(|item| !known(item.0)) {
        "of an unknown SKU"
    } else if has_twins(items) {
        "with duplicate lines"
    } else if matches!(answer, Answer::Created { status: Status::Failed, .. }) {
        "that is short"
    } else if fits_exactly() {
        "that fits exactly"
    } else if !items.is_sorted() {
        "out of order"
    } else if items.len() > 1 {
        "of several lines"
    } else {
        "of one line"
    }
}

const fn invalid(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidUser => "of no user",
        Refusal::NoItems => "of no items",
        Refusal::TooManyItems => "of too many items",
        Refusal::InvalidItemSku(_) => "with SKU 0",
        Refusal::InvalidItemCount(_) => "with count 0",
        Refusal::CountOverflow(_) => "with a sum over u32",
        Refusal::KeyTooLong
        | Refusal::InvalidOrderId
        | Refusal::InvalidSku
        | Refusal::OrderNotFound
        | Refusal::SkuNotFound
        | Refusal::OrderNotAwaitingPayment(_)
        | Refusal::OrderExpired
        | Refusal::IdempotencyKeyReused(_) => "with a key too long",
    }
}

fn has_twins(items: &[(u32, u32)]) -> bool {
    let mut skus: Vec<u32> = items.iter().map(|item| item.0).collect();
    skus.sort_unstable();
    skus.windows(2).any(|pair| pair[0] == pair[1])
}

/// As pages spell it.
#[must_use]
pub(crate) fn words((kind, sort): Situation) -> String {
    let kind = match kind {
        Kind::Create => "a create",
        Kind::Info => "OrderInfo",
        Kind::Pay => "a pay",
        Kind::Cancel => "a cancel",
        Kind::Stock => "StocksInfo",
        Kind::Tick => "a tick",
    };
    format!("{kind} {sort}")
}
