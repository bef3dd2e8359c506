//! Wrong answers, each with one wrong part: what a comparison of answers must detect.

use crate::check::compared::Compared;
use crate::model::contract::{Answer, OrderInfo, Reason, Refusal, Shortage, Status};

/// The answer with this part changed, if the answer has it.
#[must_use]
pub(crate) fn answer(mut answer: Answer, part: Compared) -> Answer {
    match (part, &mut answer) {
        (Compared::AnswerKind, Answer::Done) => return Answer::Stock(0),
        (Compared::AnswerKind, _) => return Answer::Done,
        (Compared::CreatedOrder, Answer::Created { order, .. }) => *order ^= 1,
        (Compared::CreatedStatus, Answer::Created { status, .. }) => {
            *status = other_status(*status)
        }
        (Compared::CreatedShortages, Answer::Created { shortages, .. }) => one_more(shortages),
        (_, Answer::Order(info)) => order(info, part),
        (Compared::Units, Answer::Stock(units)) => *units ^= 1,
        (Compared::Refusal, Answer::Refused(refusal)) => {
            let is_sku = *refusal == Refusal::InvalidSku;
            *refusal = if is_sku { Refusal::SkuNotFound } else { Refusal::InvalidSku };
        }
        _ => {}
    }
    answer
}

fn order(info: &mut OrderInfo, part: Compared) {
    let OrderInfo { status, user, items, created_at, updated_at, reason, shortages } = info;
    match (part, *reason) {
        (Compared::OrderStatus, _) => *status = other_status(*status),
        (Compared::OrderUser, _) => *user ^= 1,
        (Compared::OrderLines, _) => drop(items.pop()),
        (Compared::OrderCreatedAt, _) => *created_at ^= 1,
        (Compared::OrderUpdatedAt, _) => *updated_at ^= 1,
        (Compared::OrderReason, Reason::None) => *reason = Reason::OutOfStock,
        (Compared::OrderReason, _) => *reason = Reason::None,
        (Compared::OrderShortages, _) => one_more(shortages),
        _ => {}
    }
}

fn other_status(status: Status) -> Status {
    if status == Status::Failed { Status::Paid } else { Status::Failed }
}

fn one_more(shortages: &mut Vec<Shortage>) {
    shortages.push(Shortage { sku: 1, requested: 1, available: 0 });
}
