//! Calls over the generated client. A [`Received`] keeps every field of the response as received;
//! [`Reply::answer`] reads it strictly by the contract.
//!
//! | module | what it does |
//! |---|---|
//! | `read` | reads replies, and prints them |
//! | `expected` | the right reply to a call, with every text and detail |
//! | `corruption` | changes one field of a reply, to test the comparisons |

pub(crate) mod corruption;
pub(crate) mod expected;
mod read;

use std::collections::BTreeMap;
use std::error::Error;

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCreateRequest, OrderCreateResponse, OrderInfoRequest,
    OrderInfoResponse, OrderPayRequest, Shortage as WireShortage, StocksInfoRequest,
};
use loms::grpc::service::COMMAND_INDEX;
use prost::Message;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::model::contract::{Call, Shortage};

/// The response to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The command index, if the server sends one.
    pub(crate) index: Option<u64>,
    /// Everything else.
    pub(crate) reply: Reply,
}

/// A response or an error, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// OrderCreate.
    Created {
        /// The order id.
        order: i64,
        /// The status text; empty if the server does not send it.
        status: String,
        /// The shortages as received.
        shortages: Vec<Shortage>,
    },
    /// OrderInfo.
    Order(OrderReply),
    /// OrderPay, OrderCancel.
    Done,
    /// StocksInfo.
    Stock(u64),
    /// An error status.
    Refused(Box<ErrorStatus>),
    /// No response: the transport error.
    Nothing(String),
}

/// OrderInfoResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderReply {
    /// The text as received.
    pub(crate) status: String,
    /// The user.
    pub(crate) user: i64,
    /// SKU and count, as received.
    pub(crate) items: Vec<(u32, u32)>,
    /// Nanoseconds since 1970, if the server sends it.
    pub(crate) created_at: Option<u64>,
    /// Nanoseconds since 1970, if the server sends it.
    pub(crate) updated_at: Option<u64>,
    /// The text as received.
    pub(crate) reason: String,
    /// The shortages as received.
    pub(crate) shortages: Vec<Shortage>,
}

/// A status that is not OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorStatus {
    /// The code.
    pub(crate) code: Code,
    /// The message.
    pub(crate) message: String,
    /// The ErrorInfo, if there is one.
    pub(crate) info: Option<ErrorInfo>,
    /// The field violations of a BadRequest: field and description.
    pub(crate) violations: Vec<(String, String)>,
    /// The delay of a RetryInfo in nanoseconds, if there is one.
    pub(crate) retry_after: Option<u64>,
    /// The [`Reply::Created`] of a failed create, if there is one.
    pub(crate) created: Option<Reply>,
    /// How many details of each type there are.
    pub(crate) details: DetailCounts,
    /// Whether the code and the message among the details are those of the status.
    pub(crate) repeats_status: bool,
}

/// How many details of each type a status has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DetailCounts {
    /// google.rpc.ErrorInfo.
    pub(crate) error_info: usize,
    /// google.rpc.BadRequest.
    pub(crate) bad_request: usize,
    /// google.rpc.RetryInfo.
    pub(crate) retry_info: usize,
    /// loms.OrderCreateResponse.
    pub(crate) created: usize,
    /// Any other type.
    pub(crate) other: usize,
}

impl ErrorStatus {
    /// A status without details.
    #[must_use]
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            info: None,
            violations: Vec::new(),
            retry_after: None,
            created: None,
            details: DetailCounts::default(),
            repeats_status: false,
        }
    }
}

/// An ErrorInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorInfo {
    /// The domain.
    pub(crate) domain: String,
    /// The reason.
    pub(crate) reason: String,
    /// The metadata.
    pub(crate) facts: BTreeMap<String, String>,
}

/// Makes a call and waits for the response.
///
/// # Panics
/// If the call is a tick, which is not a request.
pub(crate) async fn call<T>(client: &mut LomsClient<T>, call: Call<'_>) -> Received
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    match call {
        Call::Create { user, items, key } => {
            let items = items.iter().map(|&(sku, count)| Item { sku, count }).collect();
            let request = OrderCreateRequest { user, items, idempotency_key: key.to_owned() };
            received(client.order_create(request).await, created)
        }
        Call::Info(order_id) => {
            received(client.order_info(OrderInfoRequest { order_id }).await, |order| {
                Reply::Order(order_reply(order))
            })
        }
        Call::Pay(order_id) => {
            received(client.order_pay(OrderPayRequest { order_id }).await, |_| Reply::Done)
        }
        Call::Cancel(order_id) => {
            received(client.order_cancel(OrderCancelRequest { order_id }).await, |_| Reply::Done)
        }
        Call::Stock(sku) => {
            received(client.stocks_info(StocksInfoRequest { sku }).await, |stock| {
                Reply::Stock(stock.count)
            })
        }
        Call::Tick | Call::ChangeRules { .. } => {
            unreachable!("ticks and rule changes are not requests")
        }
    }
}

fn received<M>(
    result: Result<tonic::Response<M>, Status>,
    reply: impl FnOnce(M) -> Reply,
) -> Received {
    match result {
        Ok(response) => {
            let index = index(response.metadata());
            Received { index, reply: reply(response.into_inner()) }
        }
        // A status with a source was created by the client, for a broken connection.
        Err(status) => match status.source() {
            Some(error) => Received { index: None, reply: Reply::Nothing(error.to_string()) },
            None => Received {
                index: index(status.metadata()),
                reply: Reply::Refused(Box::new(no(&status))),
            },
        },
    }
}

/// The command index, if there is exactly one, as a plain decimal number.
fn index(metadata: &MetadataMap) -> Option<u64> {
    let mut values = metadata.get_all(COMMAND_INDEX).iter();
    let text = values.next()?.to_str().ok()?;
    let index = text.parse().ok()?;
    let plain = text == "0" || !text.starts_with(['0', '+']);
    (plain && values.next().is_none()).then_some(index)
}

fn created(created: OrderCreateResponse) -> Reply {
    Reply::Created {
        order: created.order_id,
        status: created.status,
        shortages: shortages(&created.shortages),
    }
}

fn shortages(wire: &[WireShortage]) -> Vec<Shortage> {
    wire.iter()
        .map(|&WireShortage { sku, requested, available }| Shortage { sku, requested, available })
        .collect()
}

fn order_reply(order: OrderInfoResponse) -> OrderReply {
    OrderReply {
        status: order.status,
        user: order.user,
        items: order.items.iter().map(|item| (item.sku, item.count)).collect(),
        created_at: order.created_at.and_then(nanos),
        updated_at: order.updated_at.and_then(nanos),
        reason: order.reason,
        shortages: shortages(&order.shortages),
    }
}

/// A valid timestamp as nanoseconds since 1970.
fn nanos(stamp: prost_types::Timestamp) -> Option<u64> {
    let seconds = u64::try_from(stamp.seconds).ok()?.checked_mul(1_000_000_000)?;
    let nanos = u64::try_from(stamp.nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    seconds.checked_add(nanos)
}

fn no(status: &Status) -> ErrorStatus {
    let mut no = ErrorStatus::new(status.code(), status.message());
    let Ok(details) = pb::Status::decode(status.details()) else { return no };
    no.repeats_status =
        details.code == i32::from(status.code()) && details.message == status.message();
    for detail in details.details {
        let value = detail.value.as_slice();
        let counts = &mut no.details;
        match detail.type_url.as_str() {
            "type.googleapis.com/google.rpc.ErrorInfo" => {
                counts.error_info += 1;
                no.info = pb::ErrorInfo::decode(value).ok().map(|info| ErrorInfo {
                    domain: info.domain,
                    reason: info.reason,
                    facts: info.metadata.into_iter().collect(),
                });
            }
            "type.googleapis.com/google.rpc.BadRequest" => {
                counts.bad_request += 1;
                let request = pb::BadRequest::decode(value).unwrap_or_default();
                let violations = request.field_violations.into_iter();
                no.violations.extend(violations.map(|one| (one.field, one.description)));
            }
            "type.googleapis.com/google.rpc.RetryInfo" => {
                counts.retry_info += 1;
                let delay = pb::RetryInfo::decode(value).unwrap_or_default().retry_delay;
                no.retry_after = delay.and_then(|delay| {
                    nanos(prost_types::Timestamp { seconds: delay.seconds, nanos: delay.nanos })
                });
            }
            "type.googleapis.com/loms.OrderCreateResponse" => {
                counts.created += 1;
                no.created = OrderCreateResponse::decode(value).ok().map(created);
            }
            _ => counts.other += 1,
        }
    }
    no
}
