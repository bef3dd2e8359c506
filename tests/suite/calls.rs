//! What a call says, and what the server makes of it: deadlines, resets, values that do not fit,
//! keys in the metadata, requests that are not gRPC, compression.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use h2::Reason;
use http::Method;
use loms::grpc::proto::{OrderCreateResponse, StocksInfoRequest, StocksInfoResponse};
use loms::grpc::service::ServiceOptions;
use prost::Message;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;

use crate::foreign::{Foreign, Wire, int, nested, prefixed, request, reset};
use crate::process::Process;
use crate::script::{Shop, create_request};

const CREATE: &str = "/loms.LOMS/OrderCreate";
const STOCK: &str = "/loms.LOMS/StocksInfo";
/// The refusal of a message that is too large. A line may have 64 bytes; 64 KiB are always allowed.
const TOO_LARGE: &str = "200 ResourceExhausted REQUEST_TOO_LARGE: the request is larger than 65536 \
                         bytes, which follows from orders.max_lines; send fewer lines";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

async fn open() -> (Shop, Foreign) {
    let shop = Shop::open("1=10/0", ServiceOptions::default()).await;
    let foreign = Foreign::connect(&shop.address).await;
    (shop, foreign)
}

/// A create of one unit of SKU 1 by user 7.
fn one_unit() -> Vec<u8> {
    create(7, &[(1, 1)])
}

fn create(user: u64, items: &[(u64, u64)]) -> Vec<u8> {
    let item = |&(sku, count)| nested(2, &[int(1, sku), int(2, count)].concat());
    [int(1, user), items.iter().flat_map(item).collect()].concat()
}

/// The number of units of SKU 1 that orders have reserved.
async fn reserved(shop: &mut Shop) -> u64 {
    let stock = shop.client.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap();
    10 - stock.into_inner().count
}

#[tokio::test]
async fn value_that_does_not_fit_its_field_is_refused() {
    const OVER: u64 = 1 << 32;
    let (mut shop, foreign) = open().await;
    let calls = [
        ("OrderCreate", create(7, &[(OVER + 1, 1)])),
        ("OrderCreate", create(7, &[(1, 1), (1, OVER + 3)])),
        ("OrderCreate", create(7, &[(1, 1), (u64::MAX, OVER)])),
        ("OrderCreate", create(7, &[(u64::MAX - 2, 1)])),
        ("OrderCreate", create(1 << 63, &[(OVER, 1)])),
        ("StocksInfo", int(1, OVER + 1)),
        ("StocksInfo", int(1, u64::MAX)),
        ("OrderInfo", int(1, u64::MAX)),
        ("OrderPay", int(1, 1 << 63)),
        ("OrderCancel", int(1, u64::MAX)),
        // The last value of a field counts.
        ("StocksInfo", [int(1, 1), int(1, OVER + 1)].concat()),
        ("StocksInfo", [int(1, OVER + 1), int(1, 1)].concat()),
    ];
    let mut replies = Vec::new();
    for (call, message) in calls {
        let path = format!("/loms.LOMS/{call}");
        let reply = foreign.call(Foreign::post(&path), &[prefixed(0, &message)]).await;
        replies.push(reply.to_string());
    }
    let expected = [
        "200 InvalidArgument INVALID_SKU: items[0].sku must be at most 4294967295, not 4294967297",
        "200 InvalidArgument INVALID_COUNT: items[1].count must be at most 4294967295, \
         not 4294967299",
        "200 InvalidArgument INVALID_SKU: items[1].sku must be at most 4294967295, \
         not 18446744073709551615",
        "200 InvalidArgument INVALID_SKU: items[0].sku must be at most 4294967295, \
         not 18446744073709551613",
        "200 InvalidArgument INVALID_USER: user must be above 0, not -9223372036854775808",
        "200 InvalidArgument INVALID_SKU: sku must be at most 4294967295, not 4294967297",
        "200 InvalidArgument INVALID_SKU: sku must be at most 4294967295, \
         not 18446744073709551615",
        "200 InvalidArgument INVALID_ORDER_ID: orderID must be above 0, not -1",
        "200 InvalidArgument INVALID_ORDER_ID: orderID must be above 0, not -9223372036854775808",
        "200 InvalidArgument INVALID_ORDER_ID: orderID must be above 0, not -1",
        "200 InvalidArgument INVALID_SKU: sku must be at most 4294967295, not 4294967297",
        "200 Ok",
    ];
    assert_eq!(replies, expected);
    assert_eq!(reserved(&mut shop).await, 0);
}

#[tokio::test]
async fn call_after_its_deadline_has_no_effect() {
    let (mut shop, foreign) = open().await;
    let in_time = Foreign::post(CREATE).header("grpc-timeout", "99999999H");
    let reply = foreign.call(in_time, &[prefixed(0, &one_unit())]).await;
    assert_eq!(reply.to_string(), "200 Ok");
    let late = "200 DeadlineExceeded DEADLINE_PASSED: the deadline passed before the call was \
                executed";
    for (call, message) in [
        ("OrderCreate", one_unit()),
        ("OrderPay", int(1, 1)),
        ("OrderCancel", int(1, 1)),
        ("OrderInfo", int(1, 1)),
        ("StocksInfo", int(1, 1)),
    ] {
        let request = Foreign::post(&format!("/loms.LOMS/{call}")).header("grpc-timeout", "0n");
        let reply = foreign.call(request, &[prefixed(0, &message)]).await;
        assert_eq!(reply.to_string(), late, "{call}");
    }
    for (elapsed, expected) in [(999, "200 Ok"), (1_000, late)] {
        let slow = Foreign::post(CREATE).header("grpc-timeout", "1S");
        let (answer, mut body) = foreign.begin(slow).await;
        // Once a later call on this connection is answered, the headers have arrived.
        foreign.call(Foreign::post(STOCK), &[prefixed(0, &int(1, 1))]).await;
        shop.clock.advance(Duration::from_millis(elapsed));
        body.send_data(prefixed(0, &one_unit()).into(), true).unwrap();
        assert_eq!(Foreign::reply(answer).await.to_string(), expected);
    }
    assert_eq!(reserved(&mut shop).await, 2);
    assert!(shop.run("info 1").await.contains("awaiting payment"));

    let malformed = Foreign::post(CREATE).header("grpc-timeout", "soon");
    let reply = foreign.call(malformed, &[prefixed(0, &one_unit())]).await;
    assert_eq!(reply.to_string(), "200 Internal: malformed grpc-timeout");
    assert_eq!(reserved(&mut shop).await, 2);
}

#[tokio::test]
async fn deadline_of_a_nanosecond_has_passed() {
    let process = Process::start(&[]);
    let foreign = Foreign::connect(&process.address).await;
    let request = || Foreign::post("/loms.LOMS/OrderInfo").header("grpc-timeout", "1n");
    let reply = foreign.call(request(), &[prefixed(0, &int(1, 1))]).await;
    assert_eq!(reply.status.code(), Code::DeadlineExceeded);
}

/// hyper reads all frames that have arrived before it starts the calls.
#[tokio::test]
async fn call_that_was_reset_before_it_ran_has_no_effect() {
    let (mut shop, foreign) = open().await;
    foreign.call(Foreign::post(CREATE), &[prefixed(0, &one_unit())]).await;
    let mut stream = 1;
    let mut wire = Wire::connect(&shop.address).await;
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        for ends in [true, false] {
            for (path, message) in [
                (CREATE, one_unit()),
                ("/loms.LOMS/OrderPay", int(1, 1)),
                ("/loms.LOMS/OrderCancel", int(1, 1)),
            ] {
                let call = request(stream, path, &message, ends);
                // Streams run in order: once the last one is answered, the first has run.
                let last = request(stream + 2, STOCK, &int(1, 1), true);
                wire.send(&[call, reset(stream, reason), last].concat()).await;
                wire.end_of(stream + 2).await;
                stream += 4;
            }
        }
    }
    assert_eq!(reserved(&mut shop).await, 1);
    assert!(shop.run("info 1").await.contains("awaiting payment"));
    assert!(shop.run("info 2").await.contains("ORDER_NOT_FOUND"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_that_clients_gave_up_while_the_process_stood_still_have_no_effect() {
    let process = Process::start(&[]);
    let mut wire = Wire::connect(&process.address).await;
    wire.send(&request(1, STOCK, &int(1, 1002), true)).await;
    wire.end_of(1).await;
    process.signal("STOP");
    for stream in [3, 5, 7] {
        wire.send(&request(stream, CREATE, &create(7, &[(1002, 1)]), true)).await;
    }
    for stream in [3, 5, 7] {
        wire.send(&reset(stream, Reason::CANCEL)).await;
    }
    process.signal("CONT");
    wire.send(&request(9, STOCK, &int(1, 1002), true)).await;
    wire.end_of(9).await;
    let info = process.call("info 1");
    assert!(String::from_utf8_lossy(&info.stderr).contains("ORDER_NOT_FOUND"));
}

#[tokio::test]
async fn request_that_is_not_grpc_is_refused_with_an_http_status() {
    let (mut shop, foreign) = open().await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (path, message) in [(CREATE, one_unit()), (HEALTH, vec![]), (reflection, vec![])] {
        for content_type in ["text/plain", "application/json", "application/grpc-web"] {
            let uri = format!("http://loms{path}");
            let request = http::Request::post(uri).header("content-type", content_type);
            let reply = foreign.call(request, &[prefixed(0, &message)]).await;
            let expected = "415 InvalidArgument: the content type must be application/grpc or \
                            application/grpc+proto";
            assert_eq!(reply.to_string(), expected, "{path}");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let request = Foreign::post(path).method(&method);
            let reply = foreign.call(request, &[prefixed(0, &message)]).await;
            let expected = format!("405 Internal: the method must be POST, not {method}");
            assert_eq!(reply.to_string(), expected, "{path}");
            assert_eq!(reply.headers["allow"], "POST");
        }
    }
    let reply = foreign.call(Foreign::post("/loms.LOMS/OrderDelete"), &[]).await;
    assert_eq!(reply.to_string(), "200 Unimplemented: there is no call /loms.LOMS/OrderDelete");
    assert_eq!(reserved(&mut shop).await, 0);
}

#[tokio::test]
async fn request_has_exactly_one_message() {
    let (mut shop, foreign) = open().await;
    let one = prefixed(0, &one_unit());
    let cases = [
        (vec![], "200 Unimplemented: no messages in a request that must have one"),
        (
            vec![one.clone(), one.clone()],
            "200 Unimplemented: several messages in a request that must have one",
        ),
        (
            vec![[one.clone(), one.clone()].concat()],
            "200 Unimplemented: several messages in a request that must have one",
        ),
        (
            vec![one.clone(), vec![0]],
            "200 Unimplemented: several messages in a request that must have one",
        ),
        (vec![one[..3].to_vec()], "200 Internal: the request ends within a message"),
        (vec![one[..9].to_vec()], "200 Internal: the request ends within a message"),
        (vec![prefixed(2, &one_unit())], "200 Internal: invalid compression flag: 2"),
        (
            // Nothing is reserved for the announced 64 MiB, and nothing more is awaited.
            vec![vec![0, 4, 0, 0, 0]],
            TOO_LARGE,
        ),
    ];
    for (pieces, expected) in cases {
        let reply = foreign.call(Foreign::post(CREATE), &pieces).await;
        assert_eq!(reply.to_string(), expected, "{pieces:?}");
    }
    assert_eq!(reserved(&mut shop).await, 0);
    let bytes: Vec<_> = one.iter().map(|&byte| vec![byte]).collect();
    let reply = foreign.call(Foreign::post(CREATE), &bytes).await;
    assert_eq!(OrderCreateResponse::decode(reply.message).unwrap().order_id, 1);
    let empty_pieces = [vec![], one[..5].to_vec(), vec![], one[5..].to_vec(), vec![]];
    let reply = foreign.call(Foreign::post(CREATE), &empty_pieces).await;
    assert_eq!(OrderCreateResponse::decode(reply.message).unwrap().order_id, 2);
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_request_is_served_within_the_size_limit() {
    let (shop, foreign) = open().await;
    let mut client = shop.client.clone().send_compressed(CompressionEncoding::Gzip);
    let created = client.order_create(create_request(&["user=7", "1:1"])).await.unwrap();
    assert_eq!(created.into_inner().order_id, 1);
    let gzipped = || Foreign::post(STOCK).header("grpc-encoding", "gzip");

    // The answer is not compressed, though the client would accept that.
    let accepting = gzipped().header("grpc-accept-encoding", "gzip");
    let reply = foreign.call(accepting, &[prefixed(1, &gzip(&int(1, 1)))]).await;
    assert_eq!(StocksInfoResponse::decode(reply.message).unwrap().count, 9);
    assert!(!reply.headers.contains_key("grpc-encoding"));
    let reply = foreign.call(gzipped(), &[prefixed(0, &int(1, 1))]).await;
    assert_eq!(reply.to_string(), "200 Ok", "one message may be sent without compression");

    let health = HealthCheckRequest::default().encode_to_vec();
    let health = [prefixed(1, &gzip(&health))];
    let check = Foreign::post(HEALTH).header("grpc-encoding", "gzip");
    assert_eq!(foreign.call(check, &health).await.to_string(), "200 Ok");

    // 60 KiB that decompress to 60 MiB.
    let bomb = gzip(&vec![0; 60 << 20]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(foreign.call(gzipped(), &[prefixed(1, &bomb)]).await.to_string(), TOO_LARGE);
    let reply = foreign.call(gzipped(), &[prefixed(1, b"not gzip")]).await;
    assert_eq!(reply.status.code(), Code::Internal);

    let deflated = Foreign::post(STOCK).header("grpc-encoding", "deflate");
    let reply = foreign.call(deflated, &[prefixed(1, b"...")]).await;
    let expected = "200 Unimplemented: the grpc-encoding must be gzip or identity";
    assert_eq!(reply.to_string(), expected);
    assert_eq!(reply.headers["grpc-accept-encoding"], "gzip,identity");
    let reply = foreign.call(Foreign::post(STOCK), &[prefixed(1, &gzip(&int(1, 1)))]).await;
    assert_eq!(reply.to_string(), "200 Internal: compressed message without a grpc-encoding");
}

#[tokio::test]
async fn key_in_the_metadata_is_the_key_of_a_create() {
    let (_shop, foreign) = open().await;
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    let differ = "200 InvalidArgument IDEMPOTENCY_KEYS_DIFFER: idempotencyKey and the metadata \
                  idempotency-key must be the same";
    let cases: [(&str, &[&str], &str); 12] = [
        ("", &["one"], "order 1"),
        ("", &["one"], "order 1"),
        ("one", &[], "order 1"),
        ("one", &["one"], "order 1"),
        ("one", &["one", "one", ""], "order 1"),
        ("one", &[""], "order 1"),
        ("one", &["two"], differ),
        ("", &["one", "two"], differ),
        ("", &[&longest], "order 2"),
        (&longest, &[], "order 2"),
        (
            "",
            &[&too_long],
            "200 InvalidArgument IDEMPOTENCY_KEY_TOO_LONG: idempotencyKey must have at most 255 \
             bytes, not 256",
        ),
        (
            "",
            &["clé"],
            "200 InvalidArgument INVALID_IDEMPOTENCY_KEY: the metadata idempotency-key must be \
             printable ASCII",
        ),
    ];
    for (field, metadata, expected) in cases {
        let message = [one_unit(), nested(3, field.as_bytes())].concat();
        let mut request = Foreign::post(CREATE);
        for value in metadata {
            request = request.header("idempotency-key", value.as_bytes());
        }
        let reply = foreign.call(request, &[prefixed(0, &message)]).await;
        let shown = if reply.status.code() == Code::Ok {
            let created = OrderCreateResponse::decode(reply.message).unwrap();
            format!("order {}", created.order_id)
        } else {
            reply.to_string()
        };
        assert_eq!(shown, expected, "{field:?} {metadata:?}");
    }
}
