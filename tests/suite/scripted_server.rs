//! A LOMS server that answers as a test prescribes, for tests of clients.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use loms::grpc::proto::loms_server::{Loms, LomsServer};
use loms::grpc::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What the server does with one call. After the last step it answers every call.
pub(crate) enum Step {
    /// Sends the fixed answer of this method.
    Answer,
    /// Sends this status.
    Refuse(Status),
    /// Does this step after this time.
    After(Duration, Box<Step>),
    /// Never answers.
    NoAnswer,
}

/// The server. A clone shares its script and its records.
#[derive(Clone, Default)]
pub(crate) struct ScriptedServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    calls: Vec<String>,
    arrivals: Vec<Instant>,
    timeouts: Vec<String>,
    created: OrderCreateResponse,
    info: OrderInfoResponse,
}

impl ScriptedServer {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let server = Self::default();
        server.then(steps);
        server.set_created(OrderCreateResponse {
            order_id: 1,
            status: "awaiting payment".to_owned(),
            shortages: Vec::new(),
        });
        server
    }

    /// Adds steps to the script.
    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().steps.extend(steps);
    }

    /// Sets the answer to OrderCreate.
    pub(crate) fn set_created(&self, answer: OrderCreateResponse) {
        self.state().created = answer;
    }

    /// Sets the answer to OrderInfo.
    pub(crate) fn set_info(&self, answer: OrderInfoResponse) {
        self.state().info = answer;
    }

    /// The `Debug` text of every request so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// When each call arrived.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.state().arrivals.clone()
    }

    /// The `grpc-timeout` of every call so far.
    pub(crate) fn timeouts(&self) -> Vec<String> {
        self.state().timeouts.clone()
    }

    /// A transport for a client in the same process.
    pub(crate) fn in_process(&self) -> LomsServer<Self> {
        LomsServer::new(self.clone())
    }

    /// Serves on a loopback port until the runtime ends.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        self.serve(listener);
        address
    }

    /// Serves this listener until the runtime ends.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let server = tonic::transport::Server::builder().add_service(self.in_process());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn next_step<M: std::fmt::Debug, A>(
        &self,
        request: Request<M>,
        answer: impl FnOnce(&State, &M) -> A,
    ) -> Result<Response<A>, Status> {
        let mut step = {
            let mut state = self.state();
            let timeout = request.metadata().get("grpc-timeout");
            let timeout = timeout.map(|timeout| timeout.to_str().unwrap().to_owned());
            state.timeouts.extend(timeout);
            state.calls.push(format!("{:?}", request.get_ref()));
            state.arrivals.push(Instant::now());
            state.steps.pop_front().unwrap_or(Step::Answer)
        };
        while let Step::After(time, next) = step {
            sleep(time).await;
            step = *next;
        }
        match step {
            Step::After(..) => unreachable!("the loop above ends with another step"),
            Step::Answer => Ok(Response::new(answer(&self.state(), request.get_ref()))),
            Step::Refuse(status) => Err(status),
            Step::NoAnswer => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl Loms for ScriptedServer {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        self.next_step(request, |state, _| state.created.clone()).await
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        self.next_step(request, |state, _| state.info.clone()).await
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        self.next_step(request, |_, _| OrderPayResponse {}).await
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        self.next_step(request, |_, _| OrderCancelResponse {}).await
    }

    /// The number of available units is always 100 times the SKU.
    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let count = |asked: &StocksInfoRequest| u64::from(asked.sku) * 100;
        self.next_step(request, |_, asked| StocksInfoResponse { count: count(asked) }).await
    }
}

/// The refusal of LOMS for an order that does not exist.
pub(crate) fn order_not_found() -> Status {
    use tonic_types::{ErrorDetails, StatusExt};
    let facts = [("order_id".to_owned(), "7".to_owned())];
    Status::with_error_details(
        tonic::Code::NotFound,
        "there is no order 7",
        ErrorDetails::with_error_info("ORDER_NOT_FOUND", "loms", facts),
    )
}

/// The refusal of a failed create, from a server with `orders.failed_create: failed_precondition`.
pub(crate) fn refused_create(answer: &OrderCreateResponse) -> Status {
    use prost::Message;
    let order_id = answer.order_id.to_string();
    let facts = [("order_id", order_id.as_str()), ("status", "failed")];
    let info = tonic_types::pb::ErrorInfo {
        reason: "OUT_OF_STOCK".to_owned(),
        domain: "loms".to_owned(),
        metadata: facts.map(|(key, fact)| (key.to_owned(), fact.to_owned())).into(),
    };
    let pack = |name: &str, value: Vec<u8>| prost_types::Any {
        type_url: format!("type.googleapis.com/{name}"),
        value,
    };
    let details = vec![
        pack("google.rpc.ErrorInfo", info.encode_to_vec()),
        pack("loms.OrderCreateResponse", answer.encode_to_vec()),
    ];
    let code = tonic::Code::FailedPrecondition;
    let message = format!("order {order_id} failed: out of stock");
    let status = tonic_types::Status { code: code.into(), message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}
