//! The client for a Rust cart. The client commands of `loms` use it too.
//!
//! Every call has a deadline. The client retries a call while the server is unreachable or answers
//! UNAVAILABLE, because a retry is safe: a read changes nothing, a second pay or cancel changes
//! nothing, and a create carries an idempotency key.
//!
//! The server remembers that key for `orders.idempotency_window` (24 h by default). **A retry
//! within this window never places a second order.** If the window is 0 or shorter than
//! [`Options::deadline`], a retry after a lost answer can place a second order. With such a server,
//! set [`Options::attempts`] to 1.
//!
//! The pause before a retry is random, and its upper limit doubles with each attempt. If the server
//! sends a RetryInfo, as it does while it expires a backlog of orders, the client waits that long
//! in addition to the random pause.
//!
//! [`Client::connect_with`] takes [`Credentials`]: the authorities of an `https` server, a client
//! certificate, a token.
//!
//! ```no_run
//! use loms::client::{Client, Item, Options};
//!
//! # async fn cart() -> Result<(), loms::client::ClientError> {
//! let loms = Client::connect("http://localhost:50051", Options::default()).await?;
//! let placed = loms.create(7, &[Item { sku: 1002, count: 2 }], None).await?;
//! if placed.shortages.is_empty() {
//!     loms.pay(placed.order_id).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod credentials;
mod refusal;

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::GrpcService;
use tonic::codegen::{Body, Bytes, StdError};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

pub use answer::{Item, Order, OrderPlaced, OrderStatus, Reason, Shortage};
pub use credentials::{CredentialFiles, Credentials};
pub use refusal::{ClientError, Refusal, Violation, code_name};
pub use tonic::Code;

use crate::grpc::proto;
use crate::grpc::proto::loms_client::LomsClient;
use refusal::{Failure, classify, error_chain};

/// The details of a refusal are one HTTP/2 header. This version of the server stays below the
/// transport's default limit of 16 KiB; another version, or a proxy, may send more.
const MAX_HEADER_LIST_BYTES: u32 = 1024 * 1024;

/// The longest deadline. It keeps the arithmetic on `Instant` far from overflow.
const MAX_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The deadline and the retries of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The time limit of a call, including all attempts and pauses. Each attempt sends the
    /// remaining time to the server. 5 s by default. The maximum is one year.
    pub deadline: Duration,
    /// The maximum number of attempts, including the first. 5 by default. 1 means no retries.
    pub attempts: NonZeroU32,
    /// The upper limit of the pause after the first attempt. It doubles after each further attempt.
    /// 50 ms by default. The pause is random between 0 and the limit, so that carts that lost the
    /// server at the same moment do not all retry at the same moment.
    pub first_pause: Duration,
    /// The highest upper limit of a pause. 1 s by default. A RetryInfo from the server is added to
    /// the pause and is not limited by this value.
    pub longest_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            attempts: NonZeroU32::MIN.saturating_add(4),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// A random pause after this attempt. The first attempt is 1.
    fn random_pause(&self, attempt: u32) -> Duration {
        let factor = 2_u32.checked_pow(attempt - 1).unwrap_or(u32::MAX);
        let limit = self.first_pause.checked_mul(factor).unwrap_or(self.longest_pause);
        rand::random_range(Duration::ZERO..=limit.min(self.longest_pause))
    }
}

/// A new random key for [`Client::create`]: 128 random bits as 32 hex digits.
#[must_use]
pub fn idempotency_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Calls LOMS. Clones share the connection, and calls may run concurrently.
#[derive(Clone, Debug)]
pub struct Client<T = Channel> {
    rpc: LomsClient<T>,
    options: Options,
    /// The `authorization` metadata of every call.
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `http://HOST:PORT` or `HOST:PORT`, in one attempt. A broken connection is
    /// replaced later.
    ///
    /// # Errors
    /// [`ClientError::Address`]; [`ClientError::Unreachable`] or
    /// [`ClientError::DeadlineExceeded`] if the attempt fails.
    pub async fn connect(address: &str, options: Options) -> Result<Self, ClientError> {
        Self::connect_with(address, options, &Credentials::default()).await
    }

    /// Like [`connect`], also to `https://HOST:PORT`.
    ///
    /// # Errors
    /// See [`connect`].
    ///
    /// [`connect`]: Self::connect
    pub async fn connect_with(
        address: &str,
        options: Options,
        credentials: &Credentials,
    ) -> Result<Self, ClientError> {
        let connecting = endpoint(address, options, credentials)?;
        let deadline = options.deadline.min(MAX_DEADLINE);
        match tokio::time::timeout(deadline, connecting.connect()).await {
            Ok(Ok(channel)) => Ok(Self::over(channel, options).authorized_by(credentials)),
            Ok(Err(error)) => {
                Err(ClientError::Unreachable { attempts: 1, cause: error_chain(&error) })
            }
            Err(_elapsed) => Err(ClientError::DeadlineExceeded { deadline, last_cause: None }),
        }
    }

    /// A client for `http://HOST:PORT` or `HOST:PORT` that connects when the first call is made.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn lazy(address: &str, options: Options) -> Result<Self, ClientError> {
        Self::lazy_with(address, options, &Credentials::default())
    }

    /// Like [`lazy`], also for `https://HOST:PORT`.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// [`lazy`]: Self::lazy
    pub fn lazy_with(
        address: &str,
        options: Options,
        credentials: &Credentials,
    ) -> Result<Self, ClientError> {
        let channel = lazy_channel(address, options, credentials)?;
        Ok(Self::over(channel, options).authorized_by(credentials))
    }
}

impl<T> Client<T>
where
    T: GrpcService<tonic::body::Body> + Clone,
    T::Error: Into<StdError>,
    T::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    /// A client over any transport, for example a server in the same process.
    pub fn over(transport: T, options: Options) -> Self {
        Self { rpc: LomsClient::new(transport), options, authorization: None }
    }

    /// Sends the token of these credentials with every call, if they have one.
    #[must_use]
    pub fn authorized_by(mut self, credentials: &Credentials) -> Self {
        self.authorization = credentials.authorization().cloned();
        self
    }

    /// Places an order. If one line is short of stock, the whole order fails. By default this is an
    /// answer with the status [`OrderStatus::Failed`]. A server with `orders.failed_create:
    /// failed_precondition` answers with a refusal instead; [`Refusal::placed`] is then the order.
    ///
    /// The key (1 to 255 bytes) identifies this create of this user: the server places one order
    /// for all creates with this key within its `orders.idempotency_window`. Without a key, or with
    /// an empty one, the client makes a random key, which covers the retries of this call. To
    /// repeat a create after [`ClientError::Unreachable`] or [`ClientError::DeadlineExceeded`],
    /// pass a key of your own in both calls: see [`idempotency_key`].
    ///
    /// # Errors
    /// Any [`ClientError`] except [`ClientError::Address`].
    pub async fn create(
        &self,
        user: i64,
        items: &[Item],
        key: Option<&str>,
    ) -> Result<OrderPlaced, ClientError> {
        let idempotency_key = match key {
            Some(key) if !key.is_empty() => key.to_owned(),
            Some(_) | None => idempotency_key(),
        };
        let items = items.iter().map(|item| item.to_wire()).collect();
        let request = proto::OrderCreateRequest { user, items, idempotency_key };
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_create(request).await };
        self.call(request, send).await.map(OrderPlaced::from_wire)
    }

    /// Reads an order.
    ///
    /// # Errors
    /// Any [`ClientError`] except [`ClientError::Address`].
    pub async fn order(&self, order_id: i64) -> Result<Order, ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_info(request).await };
        self.call(proto::OrderInfoRequest { order_id }, send).await.map(Order::from_wire)
    }

    /// Marks an order as paid. A second pay changes nothing.
    ///
    /// # Errors
    /// Any [`ClientError`] except [`ClientError::Address`].
    pub async fn pay(&self, order_id: i64) -> Result<(), ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_pay(request).await };
        self.call(proto::OrderPayRequest { order_id }, send).await.map(|_nothing| ())
    }

    /// Cancels an order. A second cancel changes nothing.
    ///
    /// # Errors
    /// Any [`ClientError`] except [`ClientError::Address`].
    pub async fn cancel(&self, order_id: i64) -> Result<(), ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_cancel(request).await };
        self.call(proto::OrderCancelRequest { order_id }, send).await.map(|_nothing| ())
    }

    /// Reads how many units of a SKU are available: the total minus the reserved units.
    ///
    /// # Errors
    /// Any [`ClientError`] except [`ClientError::Address`].
    pub async fn stock(&self, sku: u32) -> Result<u64, ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.stocks_info(request).await };
        self.call(proto::StocksInfoRequest { sku }, send).await.map(|answer| answer.count)
    }

    /// One call with its retries. Ends with an answer, a refusal, the last attempt or the
    /// deadline.
    async fn call<M, A, F>(
        &self,
        message: M,
        send: impl Fn(LomsClient<T>, Request<M>) -> F,
    ) -> Result<A, ClientError>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let time_limit = self.options.deadline.min(MAX_DEADLINE);
        let deadline = Instant::now() + time_limit;
        let mut last_cause = None;
        let mut attempt = 1;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            if let Some(authorization) = &self.authorization {
                request.metadata_mut().insert("authorization", authorization.clone());
            }
            let failure = match timeout_at(deadline, send(self.rpc.clone(), request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => classify(&status),
                Err(_elapsed) => Failure::DeadlineExceeded,
            };
            let (cause, retry_delay) = match failure {
                Failure::Retryable { cause, retry_delay } => (cause, retry_delay),
                Failure::Refused(refusal) => return Err(ClientError::Refused(refusal)),
                Failure::DeadlineExceeded => {
                    let deadline = time_limit;
                    return Err(ClientError::DeadlineExceeded { deadline, last_cause });
                }
            };
            // Each is limited to a year, so the sum does not overflow.
            let pause = retry_delay.min(MAX_DEADLINE)
                + self.options.random_pause(attempt).min(MAX_DEADLINE);
            let no_time_left = deadline.saturating_duration_since(Instant::now()) <= pause;
            if attempt >= self.options.attempts.get() || no_time_left {
                return Err(ClientError::Unreachable { attempts: attempt, cause });
            }
            sleep(pause).await;
            last_cause = Some(cause);
            attempt += 1;
        }
    }
}

/// The connection of [`Client::lazy_with`], to call other services of the same server. It does not
/// send the token.
///
/// # Errors
/// [`ClientError::Address`].
///
/// # Panics
/// Outside a tokio runtime.
pub fn lazy_channel(
    address: &str,
    options: Options,
    credentials: &Credentials,
) -> Result<Channel, ClientError> {
    Ok(endpoint(address, options, credentials)?.connect_lazy())
}

fn endpoint(
    address: &str,
    options: Options,
    credentials: &Credentials,
) -> Result<Endpoint, ClientError> {
    const ADVICE: &str = "use http://HOST:PORT or https://HOST:PORT";
    let refuse = |problem: &str| ClientError::Address {
        address: address.to_owned(),
        problem: problem.to_owned(),
    };
    let has_scheme = address.contains("://");
    let whole = if has_scheme { address.to_owned() } else { format!("http://{address}") };
    let uri: Uri = whole.parse().map_err(|_invalid| refuse(ADVICE))?;
    let has_known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_complete = has_scheme || uri.port().is_some();
    if !has_known_scheme || !matches!(uri.path(), "" | "/") || !is_complete {
        return Err(refuse(ADVICE));
    }
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        // Without a limit, a connect that hangs would also block the calls after this one.
        .connect_timeout(options.deadline.min(MAX_DEADLINE))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES);
    credentials.secure(endpoint).map_err(|problem| refuse(&problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing outside the transport can see this option.
    #[test]
    fn small_calls_are_sent_at_once() -> Result<(), ClientError> {
        let credentials = Credentials::default();
        let endpoint = endpoint("http://localhost:50051", Options::default(), &credentials)?;
        assert!(endpoint.get_tcp_nodelay());
        Ok(())
    }
}
