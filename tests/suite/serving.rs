//! The server apart from the API: health, reflection, limits, shutdown.

use std::time::Duration;

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    OrderCreateRequest, OrderCreateResponse, OrderInfoRequest, StocksInfoRequest,
};
use loms::grpc::service::{COMMAND_INDEX, FailedCreate, ServiceOptions};
use loms::server::{DRAIN, Drained};
use loms::state_machine::Rejection;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::foreign::{GOAWAY, PING, WINDOW_UPDATE, Wire, frame, int, pong, request};
use crate::script::{Shop, create_request, render};

async fn open() -> Shop {
    Shop::open("1=10/0", ServiceOptions::default()).await
}

#[tokio::test]
async fn health_is_serving_until_shutdown() {
    let shop = open().await;
    let mut health = HealthClient::new(shop.channel.clone());
    for service in ["", "loms.LOMS"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let mut watches = Vec::new();
    for service in ["", "loms.LOMS"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    shop.stop.send(()).unwrap();
    for watch in watches {
        let rest = watch.map(|answer| answer.unwrap().status()).collect::<Vec<_>>();
        let rest = tokio::time::timeout(DRAIN, rest).await.expect("the server ends the watch");
        assert_eq!(rest, [ServingStatus::NotServing]);
    }
    assert_eq!(shop.served.await.unwrap().unwrap(), Drained::Fully);
}

/// The names that reflection lists, in the messages of this version of its service.
macro_rules! reflected {
    ($channel:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let mut reflection = ServerReflectionClient::new($channel);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let request = tokio_stream::once(request);
        let mut answers = reflection.server_reflection_info(request).await.unwrap().into_inner();
        let answer = answers.next().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("no list of services");
        };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        names
    }};
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let shop = open().await;
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "loms.LOMS",
    ];
    assert_eq!(reflected!(shop.channel.clone(), v1), expected);
    assert_eq!(reflected!(shop.channel.clone(), v1alpha), expected);
}

#[tokio::test]
async fn watch_of_an_unknown_service_stays_open() {
    let shop = open().await;
    let mut health = HealthClient::new(shop.channel.clone());
    let request = HealthCheckRequest { service: "another".to_owned() };
    assert_eq!(health.check(request.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    shop.stop.send(()).unwrap();
    assert!(watch.next().await.is_none());
    assert_eq!(shop.served.await.unwrap().unwrap(), Drained::Fully);
}

#[tokio::test]
async fn answer_has_the_index_of_the_last_change_it_depends_on() {
    let mut shop = open().await;
    let create = create_request(&["user=1", "1:4"]);
    let first = shop.client.order_create(create.clone()).await.unwrap();
    let read = shop.client.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap();
    let refused = shop.client.stocks_info(StocksInfoRequest { sku: 2 }).await.unwrap_err();
    let second = shop.client.order_create(create).await.unwrap();
    let index = |metadata: &tonic::metadata::MetadataMap| -> u64 {
        metadata.get(COMMAND_INDEX).unwrap().to_str().unwrap().parse().unwrap()
    };
    let answers = [first.metadata(), read.metadata(), refused.metadata(), second.metadata()];
    let indexes = answers.map(index);
    assert!(indexes.is_sorted(), "{indexes:?}");
    assert!(indexes[0] < indexes[3], "each create has its own: {indexes:?}");
}

#[tokio::test]
async fn times_have_nanoseconds() {
    let mut shop = open().await;
    shop.clock.advance(Duration::from_nanos(123_456_789));
    shop.run("create user=1 1:1").await;
    shop.clock.advance(Duration::from_nanos(1_000_000_000));
    shop.run("pay 1").await;
    let order = shop.client.order_info(OrderInfoRequest { order_id: 1 }).await.unwrap();
    let (created, updated) = (order.get_ref().created_at, order.get_ref().updated_at);
    let (created, updated) = (created.unwrap(), updated.unwrap());
    assert_eq!((created.nanos, updated.nanos), (123_456_789, 123_456_789));
    assert_eq!(updated.seconds - created.seconds, 1);
}

#[tokio::test]
async fn request_over_the_size_limit_is_refused() {
    let mut shop = open().await;
    let mut request = create_request(&["user=1", "1:1"]);
    request.idempotency_key = "k".repeat(ServiceOptions::default().max_request_bytes());
    let refused = shop.client.order_create(request).await.unwrap_err();
    assert_eq!(
        render(&refused),
        "ResourceExhausted REQUEST_TOO_LARGE [bytes=65536]: the request is larger than 65536 \
         bytes, which follows from orders.max_lines; send fewer lines"
    );
    assert_eq!(shop.run("stock 1").await, "> stock 1\nOK 10\n");
}

/// Many clients reject trailers over 8 KiB. OrderInfo returns all shortages.
#[tokio::test]
async fn refusal_of_a_failed_create_stays_small() {
    let options =
        ServiceOptions { failed_create: FailedCreate::FailedPrecondition, ..Default::default() };
    let mut shop = Shop::open("1=10/0", options).await;
    // The maximum number of short lines, with the largest numbers.
    let lines = (0..1_000).map(|line| format!("{}:4294967295", u32::MAX - line));
    let create = format!("user=9223372036854775807 {}", lines.collect::<Vec<_>>().join(" "));
    let request = create_request(&create.split(' ').collect::<Vec<_>>());
    let refused = shop.client.order_create(request).await.unwrap_err();
    let trailers = refused.details().len() * 4 / 3 + refused.message().len();
    assert!(trailers < 6 << 10, "{trailers} bytes");
    let shown = render(&refused);
    assert_eq!(shown.matches("4294967295 requested, 0 available").count(), 150);
    assert!(shown.contains("shortages=1000"), "{shown}");
    assert_eq!(
        shop.run("info 1").await.matches("4294967295 requested, 0 available").count(),
        1_000
    );
}

/// Calls alone would take too long to cause this refusal.
#[test]
fn state_without_free_ids_is_refused_with_no_room() {
    let shown = render(&Status::from(Rejection::Full));
    assert_eq!(shown, "ResourceExhausted NO_ROOM []: there is no id for another order");
}

/// Starts a create without its message, which the caller sends.
pub(crate) async fn begin_create(
    channel: &Channel,
) -> (mpsc::Sender<OrderCreateRequest>, JoinHandle<Result<Response<OrderCreateResponse>, Status>>) {
    let (message, messages) = mpsc::channel(1);
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let call = tokio::spawn(async move {
        let path = PathAndQuery::from_static("/loms.LOMS/OrderCreate");
        let request = tonic::Request::new(ReceiverStream::new(messages));
        grpc.client_streaming(request, path, tonic_prost::ProstCodec::default()).await
    });
    // Streams of a connection start in order: once a later call is answered, this one has started.
    tokio::task::yield_now().await;
    let later = StocksInfoRequest { sku: 1 };
    let _ = LomsClient::new(channel.clone()).stocks_info(later).await;
    (message, call)
}

#[tokio::test]
async fn call_in_flight_finishes_after_shutdown_began() {
    let mut shop = open().await;
    let (message, call) = begin_create(&shop.channel).await;
    shop.stop.send(()).unwrap();
    message.send(create_request(&["user=1", "1:1"])).await.unwrap();
    drop(message);
    assert_eq!(call.await.unwrap().unwrap().into_inner().order_id, 1);
    assert_eq!(shop.served.await.unwrap().unwrap(), Drained::Fully);
    let refused = shop.client.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "no new calls");
}

/// A client cannot know that the server has made the last GOAWAY while it begins a call.
#[tokio::test]
async fn call_that_begins_while_the_server_stops_does_not_break_the_others() {
    const STOCK: &str = "/loms.LOMS/StocksInfo";
    let shop = Shop::open("1=10/0", ServiceOptions::default()).await;
    let mut wire = Wire::connect(&shop.address).await;
    // The end of this call is sent last.
    wire.send(&request(1, STOCK, &int(1, 1), false)).await;
    wire.send(&request(3, STOCK, &int(1, 1), true)).await;
    wire.end_of(3).await;
    shop.stop.send(()).unwrap();
    let ping = wire.next_of(PING).await;
    let late = [
        pong(&ping.payload),
        request(5, STOCK, &int(1, 1), false),
        frame(WINDOW_UPDATE, 0, 5, &1_000_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 1, &1_000_u32.to_be_bytes()),
        frame(0, 1, 1, &[]),
    ];
    wire.send(&late.concat()).await;
    let (mut last, mut answered) = (Vec::new(), false);
    while let Some(received) = wire.next().await {
        answered |= received.stream == 1 && received.flags & 1 > 0;
        if received.kind == GOAWAY {
            last = received.payload;
        }
    }
    assert_eq!(last, [0, 0, 0, 3, 0, 0, 0, 0], "the last call that began, and NO_ERROR");
    assert!(answered);
    assert_eq!(shop.served.await.unwrap().unwrap(), Drained::Fully);
}
