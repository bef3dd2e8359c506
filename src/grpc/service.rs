//! The service `loms.LOMS`: validate and convert a request, submit it to the sequencer, convert the
//! answer.
//!
//! A call whose client has given up has no effect, as far as the server can know: its deadline has
//! passed, or its stream was reset. Both are checked after the whole request has arrived, last
//! before the lock.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tonic::server::NamedService;

use super::proto::loms_server::SERVICE_NAME;
use super::proto::{OrderCancelResponse, OrderPayResponse, StocksInfoResponse};
use super::unary::{self, decode};
use super::{convert, protocol, requests, status};
use crate::sequencer::{Present, Sequenced, Sequencer};
use crate::state_machine::{Command, OrderId, OrderStatus, Rejection, Sku, Span, Timestamp};

/// Response metadata of answers, and of refusals by the state machine: the index of the last entry
/// that the answer depends on, or 0 if there is none. A command that changes something has its own
/// index. Reads, refusals and repeated creates change nothing; they have the index of the last
/// entry before them. An answer shows the effects of exactly the entries up to its index.
pub const COMMAND_INDEX: &str = "loms-command-index";

/// Request metadata: the idempotency key of an OrderCreate whose field is empty.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How long a call waits while a backlog expires. The target is that no call waits longer than
/// 5 ms. Timers are late while the cores are busy with the backlog, so this is shorter.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// How an OrderCreate is answered that fails for lack of stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCreate {
    /// OK, with the status `failed`.
    #[default]
    Ok,
    /// FAILED_PRECONDITION, with the response among the details.
    FailedPrecondition,
}

/// The settings of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The most lines that an OrderCreate may have, counted before merging.
    pub max_lines: u16,
    /// How a failed create is answered.
    pub failed_create: FailedCreate,
}

impl ServiceOptions {
    /// The largest message of a request, in bytes. A line has at most 24 bytes, mostly 10.
    #[must_use]
    pub fn max_request_bytes(&self) -> usize {
        (usize::from(self.max_lines) * 64).max(64 << 10)
    }
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { max_lines: 1_000, failed_create: FailedCreate::Ok }
    }
}

/// The service `loms.LOMS`.
#[derive(Clone, Debug)]
pub struct LomsService {
    sequencer: Arc<Sequencer>,
    options: ServiceOptions,
    partial: unary::PartialRequests,
}

impl NamedService for LomsService {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for LomsService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Here the headers have just arrived. The future may run later, and the body may be slow.
        let deadline = self.deadline(request.headers());
        let service = self.clone();
        Box::pin(async move {
            let answer = service.answer(request, deadline).await;
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

/// When the client gives up; `None` for never.
type Deadline = Option<Timestamp>;

impl LomsService {
    /// The service of this sequencer.
    #[must_use]
    pub fn new(sequencer: Arc<Sequencer>, options: ServiceOptions) -> Self {
        Self { sequencer, options, partial: unary::PartialRequests::default() }
    }

    /// The deadline of a call that arrives now.
    fn deadline(&self, headers: &HeaderMap) -> Result<Deadline, Status> {
        let timeout = protocol::timeout(headers)?;
        // A deadline after the last representable time counts as never.
        let timeout = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        Ok(timeout.and_then(|nanos| self.sequencer.now().checked_add(Span::from_nanos(nanos))))
    }

    async fn answer(
        self,
        request: Request<Body>,
        deadline: Result<Deadline, Status>,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let method = Method::of(parts.uri.path())?;
        let deadline = deadline?;
        let limit = self.options.max_request_bytes();
        let message = unary::read(body, &parts.headers, limit, &self.partial).await?;
        let call = Call::new(method, message, &parts.headers, self.options)?;
        let present = self.present(deadline).await?;
        Ok(self.execute(present, call))
    }

    /// The state at the present time, for a call with this deadline. While a backlog expires, the
    /// call waits up to [`MAX_WAIT`] and is then refused.
    async fn present(&self, deadline: Deadline) -> Result<Present<'_>, Status> {
        if let Ok(present) = self.sequencer.present() {
            return in_time(present, deadline);
        }
        let later = self.sequencer.present_after_backlog(sleep(MAX_WAIT));
        in_time(later.await.ok_or_else(status::behind)?, deadline)
    }

    fn execute(&self, present: Present<'_>, call: Call) -> Response<Body> {
        match call {
            Call::Create(command) => respond(present.submit(command).map(|result| {
                let created = convert::order_created(result?);
                let failed = created.status == OrderStatus::Failed.as_str();
                match self.options.failed_create {
                    FailedCreate::FailedPrecondition if failed => {
                        Err(status::out_of_stock(created))
                    }
                    FailedCreate::Ok | FailedCreate::FailedPrecondition => Ok(created),
                }
            })),
            Call::Info(id) => respond(present.order(id).map(|order| {
                let order = order.ok_or(Rejection::UnknownOrder(id))?;
                Ok(convert::order_info(order))
            })),
            Call::Pay(id) => respond(present.submit(Command::PayOrder(id)).map(|result| {
                result?;
                Ok(OrderPayResponse {})
            })),
            Call::Cancel(id) => respond(present.submit(Command::CancelOrder(id)).map(|result| {
                result?;
                Ok(OrderCancelResponse {})
            })),
            Call::Stock(sku) => respond(present.available(sku).map(|available| match available {
                Some(count) => Ok(StocksInfoResponse { count }),
                None => Err(status::sku_not_found(sku)),
            })),
        }
    }
}

/// Refuses a call whose deadline has passed.
fn in_time(present: Present<'_>, deadline: Deadline) -> Result<Present<'_>, Status> {
    match deadline {
        Some(deadline) if deadline <= present.called() => {
            present.leave();
            Err(status::deadline_passed())
        }
        Some(_) | None => Ok(present),
    }
}

/// The methods of the service.
#[derive(Clone, Copy)]
enum Method {
    OrderCreate,
    OrderInfo,
    OrderPay,
    OrderCancel,
    StocksInfo,
}

impl Method {
    fn of(path: &str) -> Result<Self, Status> {
        Ok(match path {
            "/loms.LOMS/OrderCreate" => Self::OrderCreate,
            "/loms.LOMS/OrderInfo" => Self::OrderInfo,
            "/loms.LOMS/OrderPay" => Self::OrderPay,
            "/loms.LOMS/OrderCancel" => Self::OrderCancel,
            "/loms.LOMS/StocksInfo" => Self::StocksInfo,
            _ => return Err(Status::unimplemented(format!("there is no call {path}"))),
        })
    }
}

/// A validated call.
enum Call {
    Create(Command),
    Info(OrderId),
    Pay(OrderId),
    Cancel(OrderId),
    Stock(Sku),
}

impl Call {
    fn new(
        method: Method,
        message: Bytes,
        headers: &HeaderMap,
        options: ServiceOptions,
    ) -> Result<Self, Status> {
        let order_id = |message| {
            let requests::OrderId { order_id } = decode(message)?;
            Ok::<_, Status>(convert::order_id(order_id)?)
        };
        Ok(match method {
            Method::OrderCreate => {
                let requests::OrderCreate { user, items, idempotency_key } = decode(message)?;
                let items = items.iter().map(|item| (item.sku, item.count));
                let keys = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
                let max_lines = options.max_lines;
                Self::Create(convert::order_create(user, items, idempotency_key, keys, max_lines)?)
            }
            Method::OrderInfo => Self::Info(order_id(message)?),
            Method::OrderPay => Self::Pay(order_id(message)?),
            Method::OrderCancel => Self::Cancel(order_id(message)?),
            Method::StocksInfo => {
                let requests::Sku { sku } = decode(message)?;
                Self::Stock(convert::sku(sku)?)
            }
        })
    }
}

/// A response, or a refusal, with the command index in its metadata.
fn respond(answer: Sequenced<Result<impl Message, Status>>) -> Response<Body> {
    let mut index = HeaderValue::from(answer.index);
    // Most answers have an index of their own, so HTTP/2's header compression would gain nothing
    // from keeping it in its tables. A sensitive header is not kept.
    index.set_sensitive(true);
    let mut response = match answer.value {
        Ok(message) => unary::answer(&message),
        Err(refusal) => refusal.into_http(),
    };
    response.headers_mut().insert(COMMAND_INDEX, index);
    response
}
