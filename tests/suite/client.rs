//! The Rust client: idempotency keys, errors, and how it decodes answers. `client_retries.rs` has
//! its retries, `client_peers.rs` its connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use loms::client::{
    Client, ClientError, Code, Item, Options, Order, OrderPlaced, OrderStatus, Reason, Refusal,
    Shortage, Violation,
};
use loms::grpc::proto;
use loms::grpc::service::{LomsService, ServiceOptions};
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::state_machine::{LomsState, Rules, Span};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic_types::{ErrorDetails, StatusExt};

use crate::scripted_server::{ScriptedServer, Step, order_not_found, refused_create};

const ITEMS: [Item; 1] = [Item { sku: 1002, count: 2 }];

fn unavailable() -> Step {
    Step::Refuse(Status::unavailable("restarting"))
}

fn refusal(error: ClientError) -> Refusal {
    assert!(matches!(error, ClientError::Refused(_)), "not refused: {error:?}");
    let ClientError::Refused(refusal) = error else { unreachable!() };
    *refusal
}

/// The idempotency key in a create that the server received.
fn key(call: &str) -> &str {
    let (_, key) = call.split_once("idempotency_key: \"").unwrap();
    key.split_once('"').unwrap().0
}

#[tokio::test(start_paused = true)]
async fn create_is_retried_with_the_same_key() {
    let server = ScriptedServer::new([unavailable(), unavailable()]);
    let client = Client::over(server.in_process(), Options::default());

    let placed = client.create(7, &ITEMS, None).await.unwrap();
    assert_eq!(
        placed,
        OrderPlaced { order_id: 1, status: OrderStatus::AwaitingPayment, shortages: vec![] }
    );
    let calls = server.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call == &calls[0]), "the same request: {calls:?}");
    let first = key(&calls[0]).to_owned();
    assert!(first.len() == 32 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");

    client.create(7, &ITEMS, Some("")).await.unwrap();
    client.create(7, &ITEMS, Some("cart-9")).await.unwrap();
    let calls = server.calls();
    assert!(key(&calls[3]).len() == 32 && key(&calls[3]) != first, "another create, another key");
    assert_eq!(key(&calls[4]), "cart-9");
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_an_error_with_the_cause_of_the_retry() {
    let server = ScriptedServer::new([unavailable(), Step::NoAnswer]);
    let client = Client::over(server.in_process(), Options::default());
    let error = client.stock(1002).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 5s (earlier attempt: restarting)");
}

/// A LOMS whose first answer is lost: the call takes effect, and the client gets UNAVAILABLE.
#[derive(Clone)]
struct FirstAnswerLost {
    server: LomsService,
    lost: Arc<AtomicBool>,
}

impl Service<Request<Body>> for FirstAnswerLost {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.server.call(request);
        let lose = !self.lost.swap(true, Ordering::SeqCst);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(if lose { Status::unavailable("connection lost").into_http() } else { answer })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_places_a_second_order_only_if_the_server_forgets_the_key() {
    for (window, order_id) in [(10_000_000_000, 1), (0, 2)] {
        let rules = Rules { idempotency_window: Span::from_nanos(window), ..Rules::default() };
        let state = LomsState::new(rules, &opening_stock::embedded(), 1);
        let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
        let service = LomsService::new(sequencer, ServiceOptions::default());
        let transport = FirstAnswerLost { server: service, lost: Arc::default() };
        let client = Client::over(transport, Options::default());

        let placed = client.create(7, &ITEMS, None).await.unwrap();
        assert_eq!(placed.order_id, order_id, "window of {window} ns");
    }
}

/// A client over a loopback connection.
async fn connected(server: &ScriptedServer) -> Client {
    let address = server.listen().await;
    Client::connect(&format!("http://{address}"), Options::default()).await.unwrap()
}

#[tokio::test]
async fn refusal_has_reason_and_facts() {
    let server = ScriptedServer::new([Step::Refuse(order_not_found())]);
    let error = connected(&server).await.order(7).await.unwrap_err();

    assert_eq!(error.to_string(), "there is no order 7 (NOT_FOUND, ORDER_NOT_FOUND)");
    let expected = Refusal {
        code: Code::NotFound,
        reason: "ORDER_NOT_FOUND".to_owned(),
        facts: BTreeMap::from([("order_id".to_owned(), "7".to_owned())]),
        violations: vec![],
        message: "there is no order 7".to_owned(),
        placed: None,
    };
    assert_eq!(refusal(error), expected);
}

#[tokio::test]
async fn refusal_names_the_invalid_fields() {
    let mut details = ErrorDetails::with_error_info("INVALID_ITEM_COUNT", "loms", []);
    details.add_bad_request_violation("items[2].count", "must be above 0");
    let code = tonic::Code::InvalidArgument;
    let status = Status::with_error_details(code, "line 3 has\ncount 0", details);
    let server = ScriptedServer::new([Step::Refuse(status)]);
    let error = connected(&server).await.create(7, &ITEMS, None).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "line 3 has count 0 (INVALID_ARGUMENT, INVALID_ITEM_COUNT, items[2].count)"
    );
    let expected =
        Violation { field: "items[2].count".to_owned(), description: "must be above 0".to_owned() };
    assert_eq!(refusal(error).violations, [expected]);
}

#[tokio::test]
async fn reason_of_another_domain_is_ignored() {
    let details = ErrorDetails::with_error_info("ORDER_NOT_FOUND", "proxy.example", []);
    let status = Status::with_error_details(tonic::Code::NotFound, "no route", details);
    let server = ScriptedServer::new([Step::Refuse(status)]);
    let error = connected(&server).await.order(7).await.unwrap_err();

    assert_eq!(error.to_string(), "no route (NOT_FOUND)");
    assert_eq!(refusal(error).reason, "");
}

#[tokio::test]
async fn refused_create_returns_its_order_with_a_thousand_shortages() {
    let short = |sku| proto::Shortage { sku, requested: u64::from(u32::MAX), available: u64::MAX };
    let answer = proto::OrderCreateResponse {
        order_id: i64::MAX,
        status: "failed".to_owned(),
        shortages: (u32::MAX - 999..=u32::MAX).map(short).collect(),
    };
    let server = ScriptedServer::new([Step::Refuse(refused_create(&answer))]);
    let error = connected(&server).await.create(7, &ITEMS, None).await.unwrap_err();

    let refusal = refusal(error);
    assert_eq!((refusal.code, &*refusal.reason), (Code::FailedPrecondition, "OUT_OF_STOCK"));
    let placed = refusal.placed.unwrap();
    assert_eq!((placed.order_id, placed.status), (i64::MAX, OrderStatus::Failed));
    assert_eq!(placed.shortages.len(), 1000);
    let expected = Shortage { sku: u32::MAX, requested: u64::from(u32::MAX), available: u64::MAX };
    assert_eq!(placed.shortages[999], expected);
}

#[tokio::test]
async fn unknown_status_and_reason_are_kept_as_text() {
    let created_at = prost_types::Timestamp { seconds: 1_000, nanos: 5 };
    let server = ScriptedServer::new([]);
    server.set_info(proto::OrderInfoResponse {
        status: "on its way".to_owned(),
        user: 7,
        items: vec![proto::Item { sku: 1002, count: 2 }],
        created_at: Some(created_at),
        updated_at: None,
        reason: "LOST_IN_POST".to_owned(),
        shortages: vec![proto::Shortage { sku: 1002, requested: 2, available: 1 }],
    });

    let expected = Order {
        status: OrderStatus::Unknown("on its way".to_owned()),
        user: 7,
        items: ITEMS.to_vec(),
        created_at: Some(SystemTime::UNIX_EPOCH + Duration::new(1_000, 5)),
        updated_at: None,
        reason: Some(Reason::Unknown("LOST_IN_POST".to_owned())),
        shortages: vec![Shortage { sku: 1002, requested: 2, available: 1 }],
    };
    assert_eq!(connected(&server).await.order(1).await.unwrap(), expected);
}

#[tokio::test]
async fn every_status_and_reason_of_the_contract_is_decoded() {
    let server = ScriptedServer::new([]);
    let client = Client::over(server.in_process(), Options::default());
    let read = async |status: &str, reason: &str| {
        let (status, reason) = (status.to_owned(), reason.to_owned());
        server.set_info(proto::OrderInfoResponse { status, reason, ..Default::default() });
        let order = client.order(1).await.unwrap();
        (order.status, order.reason)
    };

    assert_eq!(read("new", "").await, (OrderStatus::New, None));
    assert_eq!(read("awaiting payment", "").await, (OrderStatus::AwaitingPayment, None));
    assert_eq!(read("paid", "").await, (OrderStatus::Paid, None));
    let failed = (OrderStatus::Failed, Some(Reason::OutOfStock));
    assert_eq!(read("failed", "OUT_OF_STOCK").await, failed);
    let cancelled = |reason| (OrderStatus::Cancelled, Some(reason));
    assert_eq!(
        read("cancelled", "CANCELLED_BY_CLIENT").await,
        cancelled(Reason::CancelledByClient)
    );
    assert_eq!(read("cancelled", "PAYMENT_TIMEOUT").await, cancelled(Reason::PaymentTimeout));
}

/// Three timers run here: those of the call, the channel and the server. Each ends the call with
/// another error, and the client returns the same one for all of them.
#[tokio::test]
async fn deadline_is_the_same_error_over_a_connection() {
    let server = ScriptedServer::new((0..20).map(|_| Step::NoAnswer));
    let address = format!("http://{}", server.listen().await);
    let options = Options { deadline: Duration::from_millis(5), ..Options::default() };
    let client = Client::lazy(&address, options).unwrap();

    for _ in 0..20 {
        let error = client.stock(1002).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 5ms");
    }
}

#[tokio::test]
async fn invalid_address_is_refused_by_name() {
    for bad in ["", "localhost", "a:1/path", "a:x", "ftp://a:1", "http://a:1/path", "http://a b"] {
        let error = Client::lazy(bad, Options::default()).unwrap_err().to_string();
        let advice = "use http://HOST:PORT or https://HOST:PORT";
        assert_eq!(error, format!("cannot call {bad:?}: {advice}"));
    }
    let error = Client::lazy("https://a:1", Options::default()).unwrap_err().to_string();
    assert!(error.contains("https needs the authorities of the server"), "{error}");
    for good in ["http://localhost:50051/", "http://localhost", "localhost:50051", "[::1]:50051"] {
        Client::lazy(good, Options::default()).unwrap();
    }
}
