//! The Rust client: what it tries again, what it does not, and what it makes of answers. Where
//! time matters the server is in the process and the clock is paused, so that time passes only
//! when nothing else can happen.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use loms::client::{
    Client, ClientError, Code, Item, Options, Order, OrderPlaced, OrderStatus, Reason, Refusal,
    Shortage, Violation,
};
use loms::grpc::proto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tonic::Status;
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

/// The key of a create as the server saw it.
fn key(call: &str) -> &str {
    let (_, key) = call.split_once("idempotency_key: \"").unwrap();
    key.split_once('"').unwrap().0
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_server_is_asked_again_under_the_same_key() {
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
async fn every_call_is_asked_again() {
    let server = ScriptedServer::new([]);
    let client = Client::over(server.in_process(), Options::default());
    let script = |steps: [Step; 1]| server.then(steps);

    script([unavailable()]);
    client.pay(1).await.unwrap();
    script([unavailable()]);
    client.cancel(1).await.unwrap();
    script([unavailable()]);
    client.order(1).await.unwrap();
    script([unavailable()]);
    assert_eq!(client.stock(3).await, Ok(300));
    assert_eq!(server.calls().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_asked_again() {
    let server = ScriptedServer::new([Step::Refuse(order_not_found())]);
    let client = Client::over(server.in_process(), Options::default());
    let start = Instant::now();

    assert_eq!(refusal(client.pay(7).await.unwrap_err()).code, Code::NotFound);
    assert_eq!((server.calls().len(), start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_bounds_the_call_with_its_retries() {
    let server = ScriptedServer::new([unavailable(), unavailable(), Step::Silence]);
    let client = Client::over(server.in_process(), Options::default());
    let start = Instant::now();

    let error = client.stock(1002).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 5s (before that: restarting)");
    assert!(start.elapsed().abs_diff(Duration::from_secs(5)) <= Duration::from_millis(1));

    // Each attempt tells what is left.
    let left: Vec<u64> = server
        .timeouts()
        .iter()
        .map(|timeout| timeout.strip_suffix('u').unwrap().parse().unwrap())
        .collect();
    assert_eq!((left.len(), left[0]), (3, 5_000_000));
    assert!(left[0] > left[1] && left[1] > left[2] && left[2] > 4_800_000, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_server_is_given_up_in_the_end() {
    let server = ScriptedServer::new((0..20).map(|_| unavailable()));
    let client = Client::over(server.in_process(), Options::default());
    let start = Instant::now();

    let error = client.stock(1002).await.unwrap_err();
    assert_eq!(error.to_string(), "unreachable after 5 attempts: restarting");
    // 50 + 100 + 200 + 400 ms at the most, each rounded up to the timer's millisecond.
    assert!(start.elapsed() <= Duration::from_millis(754), "{:?}", start.elapsed());

    let once = Options { attempts: NonZeroU32::MIN, ..Options::default() };
    let error = Client::over(server.in_process(), once).stock(1002).await.unwrap_err();
    assert_eq!(error.to_string(), "unreachable after 1 attempt: restarting");
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn no_pause_outlasts_the_deadline() {
    let server = ScriptedServer::new((0..20).map(|_| unavailable()));
    let options = Options {
        deadline: Duration::from_micros(1),
        first_pause: Duration::from_secs(3600),
        longest_pause: Duration::from_secs(3600),
        ..Options::default()
    };
    let client = Client::over(server.in_process(), options);
    let start = Instant::now();

    let error = client.stock(1002).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { attempts: 1, .. }), "{error:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_timer_ran_out_is_not_asked_again() {
    let late = [Status::deadline_exceeded(""), Status::cancelled("Timeout expired")];
    let server = ScriptedServer::new(late.map(Step::Refuse));
    let client = Client::over(server.in_process(), Options::default());

    for _ in 0..2 {
        let error = client.stock(1002).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 5s");
    }
    assert_eq!(server.calls().len(), 2);
}

/// A client over a loopback connection.
async fn connected(server: &ScriptedServer) -> Client {
    let address = server.listen().await;
    Client::connect(&format!("http://{address}"), Options::default()).await.unwrap()
}

#[tokio::test]
async fn a_refusal_tells_its_reason_and_facts() {
    let server = ScriptedServer::new([Step::Refuse(order_not_found())]);
    let error = connected(&server).await.order(7).await.unwrap_err();

    assert_eq!(error.to_string(), "order 7 is not there (NOT_FOUND, ORDER_NOT_FOUND)");
    let expected = Refusal {
        code: Code::NotFound,
        reason: "ORDER_NOT_FOUND".to_owned(),
        facts: BTreeMap::from([("order_id".to_owned(), "7".to_owned())]),
        violations: vec![],
        message: "order 7 is not there".to_owned(),
        placed: None,
    };
    assert_eq!(refusal(error), expected);
}

#[tokio::test]
async fn a_refusal_names_the_fields_that_broke_a_rule() {
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
async fn a_refusal_from_elsewhere_has_no_reason_of_ours() {
    let details = ErrorDetails::with_error_info("ORDER_NOT_FOUND", "proxy.example", []);
    let status = Status::with_error_details(tonic::Code::NotFound, "no route", details);
    let server = ScriptedServer::new([Step::Refuse(status)]);
    let error = connected(&server).await.order(7).await.unwrap_err();

    assert_eq!(error.to_string(), "no route (NOT_FOUND)");
    assert_eq!(refusal(error).reason, "");
}

#[tokio::test]
async fn a_refused_create_brings_its_order_with_a_thousand_shortages() {
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
async fn an_order_is_told_in_full_even_by_a_newer_server() {
    let moment = prost_types::Timestamp { seconds: 1_000, nanos: 5 };
    let server = ScriptedServer::new([]);
    server.shows(proto::OrderInfoResponse {
        status: "on its way".to_owned(),
        user: 7,
        items: vec![proto::Item { sku: 1002, count: 2 }],
        created_at: Some(moment),
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
async fn every_status_and_reason_of_the_contract_is_known() {
    let server = ScriptedServer::new([]);
    let client = Client::over(server.in_process(), Options::default());
    let told = async |status: &str, reason: &str| {
        let (status, reason) = (status.to_owned(), reason.to_owned());
        server.shows(proto::OrderInfoResponse { status, reason, ..Default::default() });
        let order = client.order(1).await.unwrap();
        (order.status, order.reason)
    };

    assert_eq!(told("new", "").await, (OrderStatus::New, None));
    assert_eq!(told("awaiting payment", "").await, (OrderStatus::AwaitingPayment, None));
    assert_eq!(told("paid", "").await, (OrderStatus::Paid, None));
    let failed = (OrderStatus::Failed, Some(Reason::OutOfStock));
    assert_eq!(told("failed", "OUT_OF_STOCK").await, failed);
    let cancelled = |reason| (OrderStatus::Cancelled, Some(reason));
    assert_eq!(
        told("cancelled", "CANCELLED_BY_CLIENT").await,
        cancelled(Reason::CancelledByClient)
    );
    assert_eq!(told("cancelled", "PAYMENT_TIMEOUT").await, cancelled(Reason::PaymentTimeout));
}

/// Here three timers race, the call's, the channel's and the server's; each has a word of its own
/// for it, and the caller hears one.
#[tokio::test]
async fn the_deadline_is_told_as_one_over_a_connection_too() {
    let server = ScriptedServer::new((0..20).map(|_| Step::Silence));
    let address = format!("http://{}", server.listen().await);
    let options = Options { deadline: Duration::from_millis(5), ..Options::default() };
    let client = Client::lazy(&address, options).unwrap();

    for _ in 0..20 {
        let error = client.stock(1002).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 5ms");
    }
}

#[tokio::test]
async fn a_broken_connection_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::lazy(&address, Options::default()).unwrap();
    let server = ScriptedServer::new([]);

    // The server hangs up on the first caller and serves the next.
    let hang_up = async {
        drop(listener.accept().await.unwrap());
        server.serve(listener);
    };
    let (answer, ()) = tokio::join!(client.stock(3), hang_up);
    assert_eq!(answer, Ok(300));
}

#[tokio::test]
async fn where_nobody_listens_the_server_is_unreachable() {
    // Bound, so that nobody else gets the port; not listening, so that callers are turned away.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let quick = Options {
        attempts: NonZeroU32::MIN.saturating_add(1),
        first_pause: Duration::from_millis(1),
        ..Options::default()
    };

    let error = Client::connect(&address, quick).await.unwrap_err().to_string();
    assert!(error.starts_with("unreachable after 1 attempt: "), "{error}");
    assert!(error.contains("refused"), "{error}");
    let client = Client::lazy(&address, quick).unwrap();
    let error = client.stock(1002).await.unwrap_err().to_string();
    assert!(error.starts_with("unreachable after 2 attempts: "), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_address_that_cannot_be_called_is_refused_by_name() {
    for bad in ["", "localhost", "localhost:50051", "ftp://a:1", "http://a:1/path", "http://a b"] {
        let error = Client::lazy(bad, Options::default()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot call {bad:?}: write http://HOST:PORT"));
    }
    let error = Client::lazy("https://a:1", Options::default()).unwrap_err().to_string();
    assert!(error.contains("without TLS"), "{error}");
    Client::lazy("http://localhost:50051/", Options::default()).unwrap();
}
