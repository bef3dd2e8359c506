//! Refusals as gRPC statuses. Each carries google.rpc details: an ErrorInfo of domain `loms` with
//! a stable reason and the facts, so that a client does not have to parse the message.

use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use super::convert::InvalidRequest;
use super::{ORDER_CREATE_RESPONSE, proto};
use crate::state_machine::{OrderStatus, Rejection, Sku};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "loms";

impl From<InvalidRequest> for Status {
    fn from(invalid: InvalidRequest) -> Self {
        let reason = match invalid {
            InvalidRequest::User(_) => "INVALID_USER",
            InvalidRequest::NoItems => "NO_ITEMS",
            InvalidRequest::TooManyItems { .. } => "TOO_MANY_ITEMS",
            InvalidRequest::ItemSku(..) | InvalidRequest::Sku(_) => "INVALID_SKU",
            InvalidRequest::ItemCount(..) => "INVALID_COUNT",
            InvalidRequest::CountOverflow(_) => "COUNT_OVERFLOW",
            InvalidRequest::KeyMetadata => "INVALID_IDEMPOTENCY_KEY",
            InvalidRequest::KeysDiffer => "IDEMPOTENCY_KEYS_DIFFER",
            InvalidRequest::KeyTooLong(_) => "IDEMPOTENCY_KEY_TOO_LONG",
            InvalidRequest::OrderId(_) => "INVALID_ORDER_ID",
        };
        let mut details = ErrorDetails::new();
        details
            .set_error_info(reason, DOMAIN, [("field".to_owned(), invalid.field())])
            .add_bad_request_violation(invalid.field(), invalid.to_string());
        Self::with_error_details(Code::InvalidArgument, invalid.to_string(), details)
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let (code, reason) = match rejection {
            Rejection::ClockWentBack { .. } => (Code::Internal, "CLOCK_WENT_BACK"),
            Rejection::KeyReused { .. } => (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"),
            Rejection::TooManyOpenOrders => (Code::ResourceExhausted, "TOO_MANY_OPEN_ORDERS"),
            Rejection::Full | Rejection::NoRoom => (Code::ResourceExhausted, "NO_ROOM"),
            Rejection::UnknownOrder(_) => (Code::NotFound, "ORDER_NOT_FOUND"),
            Rejection::OrderExpired(_) => (Code::FailedPrecondition, "ORDER_EXPIRED"),
            Rejection::NotAwaitingPayment { .. } => {
                (Code::FailedPrecondition, "ORDER_NOT_AWAITING_PAYMENT")
            }
        };
        let message = rejection.to_string();
        match rejection {
            Rejection::ClockWentBack { .. } | Rejection::Full => refuse(code, reason, message, []),
            Rejection::NoRoom => {
                let message = format!("{message} (orders.max_bytes)");
                refuse(code, reason, message, [("limit", "orders.max_bytes".to_owned())])
            }
            Rejection::TooManyOpenOrders => {
                let message = format!("{message} (limits.open_orders)");
                let facts = [("limit", "limits.open_orders".to_owned())];
                refuse_for(OPEN_ORDERS_DELAY, code, reason, message, facts)
            }
            Rejection::KeyReused { order } | Rejection::UnknownOrder(order) => {
                refuse(code, reason, message, [("order_id", order.to_string())])
            }
            Rejection::OrderExpired(order) => {
                let status = OrderStatus::Cancelled.to_string();
                let facts = [("order_id", order.to_string()), ("status", status)];
                refuse(code, reason, message, facts)
            }
            Rejection::NotAwaitingPayment { order, status } => {
                let facts = [("order_id", order.to_string()), ("status", status.to_string())];
                refuse(code, reason, message, facts)
            }
        }
    }
}

/// StocksInfo of a SKU without a stock record.
pub(super) fn sku_not_found(sku: Sku) -> Status {
    let message = format!("there is no stock record of SKU {sku}");
    refuse(Code::NotFound, "SKU_NOT_FOUND", message, [("sku", sku.to_string())])
}

/// The deadline of the client has passed before the call was executed. Nothing was done.
pub(super) fn deadline_passed() -> Status {
    let message = "the deadline passed before the call was executed".to_owned();
    refuse(Code::DeadlineExceeded, "DEADLINE_PASSED", message, [])
}

/// The delay in the RetryInfo. A million orders expire in less time.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The delay in the RetryInfo of a user with too many open orders. Orders end when people pay or
/// cancel, so an earlier retry is of little use.
const OPEN_ORDERS_DELAY: Duration = Duration::from_secs(10);

/// A backlog of orders is still expiring. Nothing was done; the client can retry soon.
pub(super) fn behind() -> Status {
    let message = "orders that are due are still being expired; try again".to_owned();
    refuse_for(RETRY_DELAY, Code::Unavailable, "CATCHING_UP", message, [])
}

/// A request of more than this many bytes. It was not read to its end.
#[must_use]
pub fn request_too_large(limit: usize) -> Status {
    let message = format!(
        "the request is larger than {limit} bytes, which follows from orders.max_lines; \
         send fewer lines"
    );
    let facts = [("bytes", limit.to_string())];
    refuse(Code::ResourceExhausted, "REQUEST_TOO_LARGE", message, facts)
}

/// The requests that have arrived in part take all the memory that they may. Requests that arrive
/// at once, as most do, are not refused.
#[must_use]
pub fn too_many_partial_requests() -> Status {
    let message = "the server holds too many requests that have arrived in part; try again";
    let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The server has roles, and the call has neither a token nor a certificate.
#[must_use]
pub fn no_credentials() -> Status {
    let message = "the call needs a token (authorization: Bearer TOKEN) or a client certificate";
    refuse(Code::Unauthenticated, "NO_CREDENTIALS", message.to_owned(), [])
}

/// The token or the certificate of the call is not in the file of `auth.tokens`.
#[must_use]
pub fn unknown_credentials() -> Status {
    let message = "the token or the certificate of the call is unknown (auth.tokens)";
    refuse(Code::Unauthenticated, "UNKNOWN_CREDENTIALS", message.to_owned(), [])
}

/// The role of the caller does not include this call.
#[must_use]
pub fn role_not_allowed(caller: &str, role: &str, call: &str) -> Status {
    let message = format!("{caller} has the role {role} (auth.tokens), which may not call {call}");
    let facts = [("caller", caller.to_owned()), ("role", role.to_owned())];
    refuse(Code::PermissionDenied, "ROLE_NOT_ALLOWED", message, facts)
}

/// The caller has made as many calls as the limit of this key allows. It can retry after `wait`.
#[must_use]
pub fn rate_limited(caller: &str, key: &str, limit: u32, wait: Duration) -> Status {
    let message = format!("{caller} makes more calls than {key} allows, which is {limit}");
    let facts = [("caller", caller.to_owned()), ("limit", key.to_owned())];
    refuse_for(wait, Code::ResourceExhausted, "RATE_LIMITED", message, facts)
}

/// Maximum number of shortages in a refusal. Details are sent in the trailers, and many clients
/// (gRPC's C core and Java) reject trailers over 8 KiB with an error of their own. OrderInfo
/// returns all shortages.
pub const MOST_SHORTAGES: usize = 150;

/// A failed create, if `orders.failed_create` is `failed_precondition`. The details contain the
/// OrderCreateResponse.
pub(super) fn out_of_stock(mut failed: proto::OrderCreateResponse) -> Status {
    let short = failed.shortages.len();
    failed.shortages.truncate(MOST_SHORTAGES);
    let lines_are = if short == 1 { "line is" } else { "lines are" };
    let message = format!("order {} failed: {short} {lines_are} short", failed.order_id);
    let facts = [
        ("order_id", failed.order_id.to_string()),
        ("status", failed.status.clone()),
        ("shortages", short.to_string()),
    ];
    let refusal = refuse(Code::FailedPrecondition, "OUT_OF_STOCK", message, facts);
    let mut details =
        pb::Status::decode(refusal.details()).expect("what was just encoded can be decoded");
    details
        .details
        .push(Any { type_url: ORDER_CREATE_RESPONSE.to_owned(), value: failed.encode_to_vec() });
    let details = details.encode_to_vec().into();
    Status::with_details(refusal.code(), refusal.message(), details)
}

fn refuse<const N: usize>(
    code: Code,
    reason: &str,
    message: String,
    facts: [(&str, String); N],
) -> Status {
    Status::with_error_details(code, message, details(reason, facts))
}

/// A refusal that the client can retry after `wait`.
fn refuse_for<const N: usize>(
    wait: Duration,
    code: Code,
    reason: &str,
    message: String,
    facts: [(&str, String); N],
) -> Status {
    let mut details = details(reason, facts);
    details.set_retry_info(Some(wait));
    Status::with_error_details(code, message, details)
}

fn details<const N: usize>(reason: &str, facts: [(&str, String); N]) -> ErrorDetails {
    let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
    ErrorDetails::with_error_info(reason, DOMAIN, facts)
}
