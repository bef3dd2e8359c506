//! The right reply to a call, with every text and detail that the contract promises. The texts are
//! written here a second time: a change of the server's texts is a difference.

use std::collections::BTreeMap;

use loms::grpc::service::{FailedCreate, ServiceOptions};
use tonic::Code;

use super::{DetailCounts, ErrorInfo, ErrorStatus, OrderReply, Received, Reply};
use crate::model::contract::{Answer, Call, OrderInfo, Refusal, Shortage, Status};
use crate::words::counted;

/// The most shortages among the details of a refusal.
pub(crate) const MOST_SHORTAGES: usize = 150;

/// The delay of the RetryInfo of a user with too many open orders, in nanoseconds.
const OPEN_ORDERS_DELAY: u64 = 10_000_000_000;

/// The delay of the RetryInfo of a server with a backlog, in nanoseconds.
const RETRY_DELAY: u64 = 50_000_000;

/// How a server with these options replies to a call for which the model gives this answer.
#[must_use]
pub(crate) fn reply(call: Call<'_>, answer: &Answer, options: ServiceOptions) -> Reply {
    match answer {
        Answer::Created { order, status: Status::Failed, shortages }
            if options.failed_create == FailedCreate::FailedPrecondition =>
        {
            Reply::Refused(Box::new(out_of_stock(*order, shortages)))
        }
        Answer::Created { order, status, shortages } => created(*order, *status, shortages),
        Answer::Order(info) => {
            let OrderInfo { status, user, created_at, updated_at, reason, .. } = *info;
            Reply::Order(OrderReply {
                status: status.name().to_owned(),
                user,
                items: info.items.clone(),
                created_at: Some(created_at),
                updated_at: Some(updated_at),
                reason: reason.name().to_owned(),
                shortages: info.shortages.clone(),
            })
        }
        Answer::Done => Reply::Done,
        Answer::Stock(units) => Reply::Stock(*units),
        Answer::Refused(refusal) => Reply::Refused(Box::new(refused(call, *refusal, options))),
    }
}

/// The refusal of a call that has waited for the end of a backlog for too long.
#[must_use]
pub(crate) fn catching_up() -> Received {
    let message = "orders that are due are still being expired; try again";
    let mut status = with_info(Code::Unavailable, message.to_owned(), "CATCHING_UP", []);
    status.retry_after = Some(RETRY_DELAY);
    status.details.retry_info = 1;
    Received { index: None, reply: Reply::Refused(Box::new(status)) }
}

fn created(order: i64, status: Status, shortages: &[Shortage]) -> Reply {
    Reply::Created { order, status: status.name().to_owned(), shortages: shortages.to_vec() }
}

fn out_of_stock(order: i64, shortages: &[Shortage]) -> ErrorStatus {
    let lines = shortages.len();
    let (short, verb) = (counted(lines, "line"), if lines == 1 { "is" } else { "are" });
    let message = format!("order {order} failed: {short} {verb} short");
    let facts = [
        ("order_id", order.to_string()),
        ("status", "failed".to_owned()),
        ("shortages", lines.to_string()),
    ];
    let mut status = with_info(Code::FailedPrecondition, message, "OUT_OF_STOCK", facts);
    let first = &shortages[..lines.min(MOST_SHORTAGES)];
    status.created = Some(created(order, Status::Failed, first));
    status.details.created = 1;
    status
}

fn refused(call: Call<'_>, refusal: Refusal, options: ServiceOptions) -> ErrorStatus {
    let message = message(call, refusal, options.max_lines);
    let (code, reason) = (refusal.code(), refusal.reason());
    let Some(field) = refusal.field() else {
        return match (refusal, call) {
            (Refusal::IdempotencyKeyReused(order), _) => {
                with_info(code, message, reason, [("order_id", order.to_string())])
            }
            (
                Refusal::OrderNotFound,
                Call::Info(order) | Call::Pay(order) | Call::Cancel(order),
            ) => with_info(code, message, reason, [("order_id", order.to_string())]),
            (_, Call::Pay(order) | Call::Cancel(order)) => {
                let status = if let Refusal::OrderNotAwaitingPayment(status) = refusal {
                    status
                } else {
                    // The order has expired.
                    Status::Cancelled
                };
                let status = status.name().to_owned();
                let facts = [("order_id", order.to_string()), ("status", status)];
                with_info(code, message, reason, facts)
            }
            (Refusal::NoRoom, _) => {
                with_info(code, message, reason, [("limit", "orders.max_bytes".to_owned())])
            }
            (Refusal::TooManyOpenOrders, _) => {
                let facts = [("limit", "limits.open_orders".to_owned())];
                let mut status = with_info(code, message, reason, facts);
                status.retry_after = Some(OPEN_ORDERS_DELAY);
                status.details.retry_info = 1;
                status
            }
            (_, Call::Stock(sku)) => with_info(code, message, reason, [("sku", sku.to_string())]),
            _ => with_info(code, message, reason, []),
        };
    };
    let mut status = with_info(code, message.clone(), reason, [("field", field.clone())]);
    status.violations.push((field, message));
    status.details.bad_request = 1;
    status
}

/// The message of a refusal, which for an invalid request is also the description of its field.
fn message(call: Call<'_>, refusal: Refusal, max_lines: u16) -> String {
    match (refusal, call) {
        (Refusal::InvalidUser, Call::Create { user, .. }) => {
            format!("user must be above 0, not {user}")
        }
        (Refusal::NoItems, _) => "items must hold at least one line".to_owned(),
        (Refusal::TooManyItems, Call::Create { items, .. }) => {
            let most = counted(usize::from(max_lines), "line");
            format!("items must hold at most {most}, not {}", items.len())
        }
        (Refusal::InvalidItemSku(line), _) => format!("items[{line}].sku must not be 0"),
        (Refusal::InvalidItemCount(line), _) => format!("items[{line}].count must not be 0"),
        (Refusal::CountOverflow(sku), _) => {
            format!("the counts of SKU {sku} must not add up to more than 4294967295")
        }
        (Refusal::KeyTooLong, Call::Create { key, .. }) => {
            format!("idempotencyKey must have at most 255 bytes, not {}", key.len())
        }
        (Refusal::InvalidOrderId, Call::Info(order) | Call::Pay(order) | Call::Cancel(order)) => {
            format!("orderID must be above 0, not {order}")
        }
        (Refusal::InvalidSku, _) => "sku must not be 0".to_owned(),
        (Refusal::OrderNotFound, Call::Info(order) | Call::Pay(order) | Call::Cancel(order)) => {
            format!("there is no order {order}")
        }
        (Refusal::SkuNotFound, Call::Stock(sku)) => {
            format!("there is no stock record of SKU {sku}")
        }
        (Refusal::OrderNotAwaitingPayment(status), Call::Pay(order) | Call::Cancel(order)) => {
            format!("order {order} is {}, not awaiting payment", status.name())
        }
        (Refusal::OrderExpired, Call::Pay(order)) => {
            format!("order {order} was not paid in time and is cancelled")
        }
        (Refusal::IdempotencyKeyReused(order), _) => {
            format!("the idempotency key made order {order}, which has other lines")
        }
        (Refusal::NoRoom, _) => {
            "orders and keys take all the room that they may take (orders.max_bytes)".to_owned()
        }
        (Refusal::TooManyOpenOrders, _) => {
            "as many orders of the user await payment as are allowed (limits.open_orders)"
                .to_owned()
        }
        // Only a planted bug refuses a call in a way that the contract does not know.
        _ => format!("no message: {refusal}"),
    }
}

fn with_info<const N: usize>(
    code: Code,
    message: String,
    reason: &str,
    facts: [(&str, String); N],
) -> ErrorStatus {
    let facts: BTreeMap<String, String> =
        facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
    let mut status = ErrorStatus::new(code, message);
    status.info = Some(ErrorInfo { domain: "loms".to_owned(), reason: reason.to_owned(), facts });
    status.details = DetailCounts { error_info: 1, ..DetailCounts::default() };
    status.repeats_status = true;
    status
}
