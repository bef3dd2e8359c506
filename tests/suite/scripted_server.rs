//! A LOMS that answers by a script: for tests of whoever calls it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use loms::grpc::proto::loms_server::{Loms, LomsServer};
use loms::grpc::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What the server does with one call. Without a step left it answers.
pub(crate) enum Step {
    /// Gives the call's answer, which is always the same.
    Answer,
    /// Says no.
    Refuse(Status),
    /// Never says anything.
    Silence,
}

/// The server and, by its clones, the eye on it.
#[derive(Clone, Default)]
pub(crate) struct ScriptedServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    calls: Vec<String>,
    timeouts: Vec<String>,
    created: OrderCreateResponse,
    shown: OrderInfoResponse,
}

impl ScriptedServer {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let server = Self::default();
        server.then(steps);
        server.creates(OrderCreateResponse {
            order_id: 1,
            status: "awaiting payment".to_owned(),
            shortages: Vec::new(),
        });
        server
    }

    /// Adds to the script.
    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().steps.extend(steps);
    }

    /// From now on OrderCreate is answered so.
    pub(crate) fn creates(&self, answer: OrderCreateResponse) {
        self.state().created = answer;
    }

    /// From now on OrderInfo is answered so.
    pub(crate) fn shows(&self, answer: OrderInfoResponse) {
        self.state().shown = answer;
    }

    /// Every call so far, as the request's `Debug` has it.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// What each call so far had in `grpc-timeout`.
    pub(crate) fn timeouts(&self) -> Vec<String> {
        self.state().timeouts.clone()
    }

    /// The transport of a client in this process.
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

    /// Serves whoever still comes to this listener, until the runtime ends.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let server = tonic::transport::Server::builder().add_service(self.in_process());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn play<M: std::fmt::Debug, A>(
        &self,
        request: Request<M>,
        answer: impl FnOnce(&State, &M) -> A,
    ) -> Result<Response<A>, Status> {
        let step = {
            let mut state = self.state();
            let timeout = request.metadata().get("grpc-timeout");
            let timeout = timeout.map(|timeout| timeout.to_str().unwrap().to_owned());
            state.timeouts.extend(timeout);
            state.calls.push(format!("{:?}", request.get_ref()));
            state.steps.pop_front().unwrap_or(Step::Answer)
        };
        match step {
            Step::Answer => Ok(Response::new(answer(&self.state(), request.get_ref()))),
            Step::Refuse(status) => Err(status),
            Step::Silence => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl Loms for ScriptedServer {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        self.play(request, |state, _| state.created.clone()).await
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        self.play(request, |state, _| state.shown.clone()).await
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        self.play(request, |_, _| OrderPayResponse {}).await
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        self.play(request, |_, _| OrderCancelResponse {}).await
    }

    /// There are always a hundred times as many units as the SKU says.
    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let count = |asked: &StocksInfoRequest| u64::from(asked.sku) * 100;
        self.play(request, |_, asked| StocksInfoResponse { count: count(asked) }).await
    }
}

/// A refusal as LOMS words it.
pub(crate) fn order_not_found() -> Status {
    use tonic_types::{ErrorDetails, StatusExt};
    let facts = [("order_id".to_owned(), "7".to_owned())];
    Status::with_error_details(
        tonic::Code::NotFound,
        "order 7 is not there",
        ErrorDetails::with_error_info("ORDER_NOT_FOUND", "loms", facts),
    )
}

/// A create refused because the server is set to refuse failed orders.
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
