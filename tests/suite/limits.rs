//! What one client can take from the server: each limit, and a client that it must not hurt.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, SendStream};
use http::{Request, Response};
use loms::grpc::proto::{OrderCreateResponse, StocksInfoRequest, StocksInfoResponse};
use loms::grpc::service::ServiceOptions;
use loms::server::limits::{
    CALL_TIMEOUT, CANCELLED_CALLS, FIRST_CALL_TIMEOUT, PREFACE_TIMEOUT, SETTINGS, WATCHES,
};
use loms::server::{Drained, LINGER};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::foreign::{
    self, DATA, END_HEADERS, END_STREAM, Foreign, GOAWAY, HEADERS, PING, RST_STREAM, Wire, int,
};
use crate::script::{Shop, create_request, opening};

/// A server on one thread, so that everything happens on the clock of the test.
async fn open() -> Shop {
    let stock = opening("1=100000/0");
    Shop::open_on(NonZeroUsize::MIN, &stock, ServiceOptions::default()).await
}

async fn socket(shop: &Shop) -> TcpStream {
    TcpStream::connect(shop.address.trim_start_matches("http://")).await.unwrap()
}

/// An HTTP/2 connection and its end.
async fn connect(shop: &Shop) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (client, connection) = h2::client::handshake(socket(shop).await).await.unwrap();
    (client.ready().await.unwrap(), tokio::spawn(connection))
}

fn post(method: &str) -> Request<()> {
    Foreign::post(&format!("/loms.LOMS/{method}")).body(()).unwrap()
}

/// A message with its prefix.
fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

/// Begins a create and sends all of it but its end.
fn begin(client: &mut SendRequest<Bytes>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let (answer, mut body) = client.send_request(post("OrderCreate"), false).unwrap();
    body.send_data(frame(&create_request(&["user=1", "1:1"])), false).unwrap();
    (answer, body)
}

/// The start of HTTP/2: the preface and empty settings.
const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The type of a frame.
const SETTINGS_FRAME: u8 = 4;

/// The number of orders that were created so far.
async fn orders(shop: &mut Shop) -> i64 {
    let created = shop.client.order_create(create_request(&["user=9", "1:1"])).await.unwrap();
    let OrderCreateResponse { order_id, .. } = created.into_inner();
    order_id - 1
}

#[tokio::test(start_paused = true)]
async fn connection_without_http2_is_closed() {
    let shop = open().await;
    for bytes in ["", "PRI * HTTP/2.0"] {
        let start = Instant::now();
        let mut socket = socket(&shop).await;
        socket.write_all(bytes.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), PREFACE_TIMEOUT.as_secs(), "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_without_a_call_is_closed() {
    let shop = open().await;
    let start = Instant::now();
    let (_client, closed) = connect(&shop).await;
    closed.await.unwrap().expect("closed by GOAWAY with NO_ERROR");
    assert_eq!(start.elapsed().as_secs(), FIRST_CALL_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn request_that_does_not_arrive_is_reset_without_effect() {
    let mut shop = open().await;
    let (mut client, _connection) = connect(&shop).await;
    let start = Instant::now();
    let (answer, body) = begin(&mut client);
    let reset = answer.await.unwrap_err();
    assert_eq!(reset.reason(), Some(Reason::CANCEL));
    assert_eq!(start.elapsed().as_secs(), CALL_TIMEOUT.as_secs());
    drop(body);
    assert_eq!(orders(&mut shop).await, 0);
}

#[tokio::test]
async fn requests_that_arrive_in_part_have_a_common_limit() {
    let mut shop = open().await;
    let part = || Bytes::from([&[0, 0, 0, 250, 0][..], &[0; 60_000]].concat());
    // 60 MB of requests without an end.
    let mut connections = Vec::new();
    let mut answers = JoinSet::new();
    for _ in 0..5 {
        let (mut client, connection) = connect(&shop).await;
        for _ in 0..200 {
            client = client.ready().await.unwrap();
            let (answer, mut body) = client.send_request(post("OrderCreate"), false).unwrap();
            body.send_data(part(), false).unwrap();
            answers.spawn(async move { (answer.await, body) });
        }
        connections.push((client, connection));
    }
    let (refusal, _body) = answers.join_next().await.unwrap().unwrap();
    assert_eq!(code(&refusal.unwrap()), Code::ResourceExhausted);
    // A request that arrives at once is not refused.
    assert_eq!(orders(&mut shop).await, 0);
    // The memory is free again when the connections have closed.
    drop((answers, connections));
    let whole = create_request(&["user=1", "1:1*1000"]);
    let (client, _connection) = connect(&shop).await;
    loop {
        let mut client = client.clone().ready().await.unwrap();
        let (answer, mut body) = client.send_request(post("OrderCreate"), false).unwrap();
        let mut bytes = frame(&whole);
        body.send_data(bytes.split_to(100), false).unwrap();
        body.send_data(bytes, true).unwrap();
        let code = code(&answer.await.unwrap());
        if code != Code::ResourceExhausted {
            assert_eq!(code, Code::Ok);
            break;
        }
    }
}

/// The code of an answer without a message; OK for one with a message.
fn code<B>(answer: &Response<B>) -> Code {
    tonic::Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn announced_message_over_the_limit_is_refused_before_it_arrives() {
    let shop = open().await;
    let (mut client, _connection) = connect(&shop).await;
    let (answer, mut body) = client.send_request(post("OrderCreate"), false).unwrap();
    body.send_data(Bytes::from_static(&[0, 0, 64, 0, 0]), false).unwrap();
    let answer = answer.await.unwrap();
    let code = i32::from(Code::ResourceExhausted).to_string();
    assert_eq!(answer.headers()["grpc-status"], code);
}

/// A create whose cancellation arrives together with it, and so before it is executed.
#[tokio::test]
async fn call_that_is_cancelled_at_once_has_no_effect() {
    let mut shop = open().await;
    let path = b"/loms.LOMS/OrderCreate";
    let mut headers = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    headers.extend(path);
    headers.extend([0x0f, 0x10, 16]);
    headers.extend(b"application/grpc");
    for cancelled in [false, true] {
        let mut frames = START.to_vec();
        let message = frame(&create_request(&["user=1", "1:1"]));
        for stream in (1..40_u32).step_by(2) {
            frames.extend(foreign::frame(HEADERS, END_HEADERS, stream, &headers));
            frames.extend(foreign::frame(DATA, END_STREAM, stream, &message));
            if cancelled {
                frames.extend(foreign::frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
        }
        frames.extend(foreign::frame(PING, 0, 0, b"the last"));
        let before = orders(&mut shop).await;
        let mut socket = socket(&shop).await;
        socket.write_all(&frames).await.unwrap();
        let mut answers = Vec::new();
        while !frame_types(&answers).any(|kind| kind == PING) {
            socket.read_buf(&mut answers).await.unwrap();
        }
        let created = orders(&mut shop).await - before - 1;
        assert_eq!(created, if cancelled { 0 } else { 20 });
    }
}

/// The calls of a cart are cancelled when shoppers leave. Other calls of the same connection must
/// not fail.
#[tokio::test]
async fn cancelled_calls_do_not_hurt_others_of_the_connection() {
    let shop = open().await;
    let (mut client, connection) = connect(&shop).await;
    for _ in 0..20 {
        let mut cancelled = Vec::new();
        for _ in 0..200 {
            client = client.ready().await.unwrap();
            cancelled.push(begin(&mut client));
        }
        for (_answer, body) in &mut cancelled {
            body.send_reset(Reason::CANCEL);
        }
        drop(cancelled);
        for _ in 0..200 {
            client = client.ready().await.unwrap();
            let (answer, mut body) = client.send_request(post("StocksInfo"), false).unwrap();
            body.send_data(frame(&StocksInfoRequest { sku: 1 }), true).unwrap();
            let mut answer = answer.await.unwrap().into_body();
            let data = answer.data().await.unwrap().unwrap();
            assert_eq!(StocksInfoResponse::decode(&data[5..]).unwrap().count, 100_000);
        }
    }
    assert!(!connection.is_finished());
}

/// Rapid reset: CVE-2023-44487.
#[tokio::test]
async fn client_that_only_cancels_is_disconnected() {
    let mut shop = open().await;
    let (mut client, connection) = connect(&shop).await;
    let mut calls = 0;
    while let Ok(ready) = client.clone().ready().await {
        client = ready;
        let (_answer, mut body) = begin(&mut client);
        body.send_reset(Reason::CANCEL);
        calls += 1;
        assert!(calls < 20 * CANCELLED_CALLS, "still connected after {calls} calls");
        // Lets the connection write.
        tokio::task::yield_now().await;
    }
    let _ = connection.await.unwrap();
    assert_eq!(orders(&mut shop).await, 0);
}

/// Streams that the server itself resets, because their headers are malformed: RUSTSEC-2024-0003.
#[tokio::test]
async fn client_that_makes_the_server_reset_streams_is_disconnected() {
    let shop = open().await;
    let mut socket = socket(&shop).await;
    let mut frames = START.to_vec();
    for stream in (1..20_000_u32).step_by(2) {
        // POST, http, /, and a field that HTTP/2 forbids.
        let headers = [&[0x83, 0x86, 0x84, 0, 10], &b"connection"[..], &[5], b"close"].concat();
        frames.extend(foreign::frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers));
    }
    let (mut read, mut write) = socket.split();
    let mut answer = Vec::new();
    let (_, _) = tokio::join!(write.write_all(&frames), read.read_to_end(&mut answer));
    let resets = frame_types(&answer).filter(|kind| *kind == RST_STREAM).count();
    let go_aways = frame_types(&answer).filter(|kind| *kind == GOAWAY).count();
    assert!(resets <= 1_024 && go_aways == 1, "{resets} resets, {go_aways} GOAWAYs");
}

#[tokio::test]
async fn client_that_sends_settings_without_end_is_disconnected() {
    let shop = open().await;
    let mut wire = Wire::connect(&shop.address).await;
    let settings = foreign::frame(SETTINGS_FRAME, 0, 0, &[]);
    let allowed = usize::try_from(SETTINGS).unwrap();
    // The connection has begun with one.
    wire.send(&settings.repeat(allowed - 1)).await;
    wire.send(&foreign::request(1, "/loms.LOMS/StocksInfo", &int(1, 1), true)).await;
    wire.end_of(1).await;
    wire.send(&settings).await;
    wire.send(&foreign::request(3, "/loms.LOMS/StocksInfo", &int(1, 1), true)).await;
    wire.end_of(3).await;
    wire.send(&settings.repeat(2)).await;
    while wire.next().await.is_some() {}
}

/// The types of these HTTP/2 frames.
fn frame_types(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        bytes = rest.split_at_checked(usize::try_from(length).unwrap())?.1;
        Some(head[3])
    })
}

#[tokio::test]
async fn watches_are_limited() {
    let shop = open().await;
    let mut watches = Vec::new();
    // More than one connection may have.
    while watches.len() < WATCHES {
        let channel = tonic::transport::Channel::from_shared(shop.address.clone()).unwrap();
        let mut health = HealthClient::new(channel.connect().await.unwrap());
        for _ in 0..200 {
            watches.push(health.watch(HealthCheckRequest::default()).await.unwrap());
        }
    }
    let mut health = HealthClient::new(shop.channel.clone());
    let refused = health.watch(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // The end of one gives room for another.
    watches.pop();
    poll_until_ok(async || health.clone().watch(HealthCheckRequest::default()).await).await;
}

/// Repeats a call until it succeeds.
async fn poll_until_ok<T>(call: impl AsyncFn() -> Result<T, tonic::Status>) {
    while call().await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A client that reads nothing, and so does not see GOAWAY, and one that has begun a request.
#[tokio::test(start_paused = true)]
async fn client_without_a_call_does_not_delay_the_stop() {
    let shop = open().await;
    let (mut client, connection) = connect(&shop).await;
    let (_answer, _body) = begin(&mut client);
    // The request is on its way once the connection has nothing to do.
    poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    connection.abort();
    let deaf = socket(&shop).await;
    let start = Instant::now();
    shop.stop.send(()).unwrap();
    assert_eq!(shop.served.await.unwrap().unwrap(), Drained::Fully);
    assert!(start.elapsed() <= 2 * LINGER, "{:?}", start.elapsed());
    drop(deaf);
}
