//! The client that a Rust cart uses; the `loms` client commands are built on it.
//!
//! Every call has a deadline, and is tried again while the server cannot be reached: reads change
//! nothing, paying and cancelling twice is the same as once, and a create carries a key by which
//! the server knows it again. So a lost answer never makes a second order.
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
mod refusal;

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::GrpcService;
use tonic::codegen::{Body, Bytes, StdError};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

pub use answer::{Item, Order, OrderPlaced, OrderStatus, Reason, Shortage};
pub use refusal::{ClientError, Refusal, Violation, code_name};
pub use tonic::Code;

use crate::grpc::proto;
use crate::grpc::proto::loms_client::LomsClient;
use refusal::{Verdict, judge, trouble};

/// The transport's own limit of 16 KiB would hold what this version of the server tells in the
/// details of a refusal, which travel as one header; another version, or a proxy, may tell more.
const MAX_HEADER_LIST_BYTES: u32 = 1024 * 1024;

/// The longest deadline; as good as none, and far from where clocks overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a call may take, and how it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bounds each call with all its attempts and pauses; each attempt tells the server what is
    /// left of it. 5 s by default; more than a year counts as a year.
    pub deadline: Duration,
    /// The most attempts, the first included. 5 by default; 1 means no retries.
    pub attempts: NonZeroU32,
    /// The longest pause after the first attempt; it doubles after each further one. 50 ms by
    /// default. The pause itself is drawn evenly between nothing and that, so that carts which
    /// lost their server together do not come back together.
    pub first_pause: Duration,
    /// Where the doubling ends. 1 s by default.
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
    /// Draws the pause after this attempt, from 1.
    fn draw_pause(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let most = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        rand::random_range(Duration::ZERO..=most)
    }
}

/// A fresh key for [`Client::create`]: 128 random bits as 32 hex digits.
#[must_use]
pub fn idempotency_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Calls LOMS. A clone shares the connection, and calls may run at once.
#[derive(Clone, Debug)]
pub struct Client<T = Channel> {
    rpc: LomsClient<T>,
    options: Options,
}

impl Client {
    /// Connects to `http://HOST:PORT`. The connection is made anew whenever it breaks.
    ///
    /// # Errors
    /// [`ClientError::Address`]; [`ClientError::Unreachable`] or
    /// [`ClientError::DeadlineExceeded`] where the one attempt to connect fails.
    pub async fn connect(address: &str, options: Options) -> Result<Self, ClientError> {
        let connecting = endpoint(address, options)?;
        let deadline = options.deadline.min(LONGEST);
        match tokio::time::timeout(deadline, connecting.connect()).await {
            Ok(Ok(channel)) => Ok(Self::over(channel, options)),
            Ok(Err(error)) => {
                Err(ClientError::Unreachable { attempts: 1, trouble: trouble(&error) })
            }
            Err(_elapsed) => Err(ClientError::DeadlineExceeded { deadline, trouble: None }),
        }
    }

    /// A client of `http://HOST:PORT` that connects with its first call, which may then fail for
    /// want of a server.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn lazy(address: &str, options: Options) -> Result<Self, ClientError> {
        Ok(Self::over(endpoint(address, options)?.connect_lazy(), options))
    }
}

impl<T> Client<T>
where
    T: GrpcService<tonic::body::Body> + Clone,
    T::Error: Into<StdError>,
    T::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    /// A client over any transport; a server within the process will do.
    pub fn over(transport: T, options: Options) -> Self {
        Self { rpc: LomsClient::new(transport), options }
    }

    /// Places an order. A line that cannot be reserved fails the whole order, which is an answer
    /// and no error, unless the server is set to refuse it: then the refusal holds the order.
    ///
    /// The key (1 to 64 bytes) makes the same create from the same user safe to send again.
    /// Without one, or with an empty one, a fresh key covers the retries of this call. A caller
    /// who means to go on after [`ClientError::Unreachable`] or
    /// [`ClientError::DeadlineExceeded`] gives one of its own: see [`idempotency_key`].
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Address`].
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

    /// Tells how an order stands.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Address`].
    pub async fn order(&self, order_id: i64) -> Result<Order, ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_info(request).await };
        self.call(proto::OrderInfoRequest { order_id }, send).await.map(Order::from_wire)
    }

    /// Marks an order as paid. Paying it again changes nothing.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Address`].
    pub async fn pay(&self, order_id: i64) -> Result<(), ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_pay(request).await };
        self.call(proto::OrderPayRequest { order_id }, send).await.map(|_nothing| ())
    }

    /// Cancels an order. Cancelling it again changes nothing.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Address`].
    pub async fn cancel(&self, order_id: i64) -> Result<(), ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.order_cancel(request).await };
        self.call(proto::OrderCancelRequest { order_id }, send).await.map(|_nothing| ())
    }

    /// Tells how many units of a SKU can still be promised.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Address`].
    pub async fn stock(&self, sku: u32) -> Result<u64, ClientError> {
        let send = |mut rpc: LomsClient<T>, request| async move { rpc.stocks_info(request).await };
        self.call(proto::StocksInfoRequest { sku }, send).await.map(|answer| answer.count)
    }

    /// One call: attempts and pauses until there is an answer, a refusal, or no time left.
    async fn call<M, A, F>(
        &self,
        message: M,
        send: impl Fn(LomsClient<T>, Request<M>) -> F,
    ) -> Result<A, ClientError>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let span = self.options.deadline.min(LONGEST);
        let deadline = Instant::now() + span;
        let mut last_trouble = None;
        let mut attempt = 1;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let verdict = match timeout_at(deadline, send(self.rpc.clone(), request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => judge(&status),
                Err(_elapsed) => Verdict::Late,
            };
            let trouble = match verdict {
                Verdict::Retry(trouble) => trouble,
                Verdict::Refused(refusal) => return Err(ClientError::Refused(refusal)),
                Verdict::Late => {
                    let (deadline, trouble) = (span, last_trouble);
                    return Err(ClientError::DeadlineExceeded { deadline, trouble });
                }
            };
            let pause = self.options.draw_pause(attempt);
            // No use in waiting for an attempt that has no time left.
            let in_vain = deadline.saturating_duration_since(Instant::now()) <= pause;
            if attempt >= self.options.attempts.get() || in_vain {
                return Err(ClientError::Unreachable { attempts: attempt, trouble });
            }
            sleep(pause).await;
            last_trouble = Some(trouble);
            attempt += 1;
        }
    }
}

fn endpoint(address: &str, options: Options) -> Result<Endpoint, ClientError> {
    let refuse = |problem: &str| ClientError::Address {
        address: address.to_owned(),
        problem: problem.to_owned(),
    };
    let uri: Uri = address.parse().map_err(|_invalid| refuse("write http://HOST:PORT"))?;
    if uri.scheme_str() == Some("https") {
        return Err(refuse("LOMS is called without TLS; write http://HOST:PORT"));
    }
    if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
        return Err(refuse("write http://HOST:PORT"));
    }
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        // A connect that hangs must not outlive the call it was made for, and block the next.
        .connect_timeout(options.deadline.min(LONGEST))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES);
    Ok(endpoint)
}
