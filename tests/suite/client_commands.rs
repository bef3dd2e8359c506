//! `loms stock`, `create`, `info`, `pay` and `cancel`: their output and their exit codes.

use std::process::{Command, Output, Stdio};

use loms::grpc::proto;
use tokio::net::TcpSocket;
use tokio::task::spawn_blocking;
use tonic::Status;

use crate::scripted_server::{ScriptedServer, Step, order_not_found, refused_create};

/// Runs `loms` with these arguments. Returns the exit code, stdout and stderr.
pub(crate) async fn loms(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    command.args(arguments).env_clear();
    let Output { status, stdout, stderr } =
        spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Runs `loms` against this server, with arguments that are separated by spaces.
async fn call(server: &ScriptedServer, arguments: &str) -> (i32, String, String) {
    let address = format!("http://{}", server.listen().await);
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.extend(["--address", &address]);
    loms(&arguments).await
}

fn done(stdout: &str) -> (i32, String, String) {
    (0, stdout.to_owned(), String::new())
}

fn failed_order() -> proto::OrderCreateResponse {
    let shortages = vec![
        proto::Shortage { sku: 7, requested: 1, available: 0 },
        proto::Shortage { sku: 1002, requested: 200_000, available: 180 },
    ];
    proto::OrderCreateResponse { order_id: 2, status: "failed".to_owned(), shortages }
}

const FAILED_ORDER: &str = "order 2: failed
  SHORT SKU  REQUESTED  AVAILABLE
          7          1          0
       1002     200000        180
";

#[tokio::test]
async fn stock_prints_each_sku() {
    let server = ScriptedServer::new([]);
    let expected = "1002       100200 available\n773297411  77329741100 available\n";
    assert_eq!(call(&server, "stock 1002 773297411").await, done(expected));
    let expected = "{\"count\":\"300\",\"sku\":3}\n{\"count\":\"400\",\"sku\":4}\n";
    assert_eq!(call(&server, "stock 3 4 --json").await, done(expected));

    // The flags may also be before the command; those after it count.
    let address = format!("http://{}", server.listen().await);
    let before = ["--json", "--address", "http://localhost:1", "stock", "3", "4"];
    let arguments = [&before[..], &["--address", &address]].concat();
    assert_eq!(loms(&arguments).await, done(expected));
}

#[tokio::test]
async fn stock_continues_after_a_refused_sku() {
    let refused = Step::Refuse(Status::not_found("SKU 3 is not there"));
    let server = ScriptedServer::new([refused]);
    let (code, stdout, stderr) = call(&server, "stock 3 4").await;
    assert_eq!((code, &*stdout), (1, "4  400 available\n"));
    assert_eq!(stderr, "loms: SKU 3 is not there (NOT_FOUND)\n");
}

#[tokio::test]
async fn create_prints_the_order() {
    let server = ScriptedServer::new([]);
    let answer = call(&server, "create --user 7 1002:2 1003:1 --key cart-9").await;
    assert_eq!(answer, done("order 1: awaiting payment\n"));
    let request = proto::OrderCreateRequest {
        user: 7,
        items: vec![proto::Item { sku: 1002, count: 2 }, proto::Item { sku: 1003, count: 1 }],
        idempotency_key: "cart-9".to_owned(),
    };
    assert_eq!(server.calls(), [format!("{request:?}")]);

    let answer = call(&server, "create --user 7 1002:2 --key cart-9 --json").await;
    let expected = concat!(
        r#"{"idempotencyKey":"cart-9","orderID":"1","shortages":[],"status":"awaiting payment"}"#,
        "\n"
    );
    assert_eq!(answer, done(expected));
}

#[tokio::test]
async fn failed_create_is_printed_and_exits_with_1() {
    let server = ScriptedServer::new([]);
    server.set_created(failed_order());
    let expected = (1, FAILED_ORDER.to_owned(), String::new());
    assert_eq!(call(&server, "create --user 7 7:1 1002:200000").await, expected);

    // The same order from a server with `orders.failed_create: failed_precondition`.
    let server = ScriptedServer::new([Step::Refuse(refused_create(&failed_order()))]);
    assert_eq!(call(&server, "create --user 7 7:1 1002:200000").await, expected);
}

#[tokio::test]
async fn create_without_an_answer_prints_the_key_for_a_retry() {
    let server = ScriptedServer::new([Step::NoAnswer]);
    let (code, stdout, stderr) = call(&server, "create --user 7 1002:2 --timeout 100ms").await;
    assert_eq!((code, &*stdout), (1, ""));
    let middle = ": no answer within 100ms; the order may exist, so retry with --key ";
    let (address, rest) = stderr.split_once(middle).unwrap();
    assert!(address.starts_with("loms: http://127.0.0.1:"), "{stderr}");
    let (key, advice) = rest.split_once(';').unwrap();
    assert_eq!(advice, " --timeout sets a longer limit\n");
    assert_eq!(key.len(), 32);
    let calls = server.calls();
    assert!(calls.is_empty() || calls[0].contains(key), "{calls:?}");
}

#[tokio::test]
async fn info_prints_the_order() {
    let server = ScriptedServer::new([]);
    server.set_info(proto::OrderInfoResponse {
        status: "failed".to_owned(),
        user: 7,
        items: vec![proto::Item { sku: 7, count: 1 }, proto::Item { sku: 1002, count: 200_000 }],
        created_at: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
        updated_at: Some(prost_types::Timestamp { seconds: 1, nanos: 5 }),
        reason: "OUT_OF_STOCK".to_owned(),
        shortages: vec![proto::Shortage { sku: 7, requested: 1, available: 0 }],
    });
    let expected = "order 2: failed (OUT_OF_STOCK)
  user     7
  created  1970-01-01T00:00:00Z
  updated  1970-01-01T00:00:01.000000005Z
   SKU   COUNT
     7       1
  1002  200000
  SHORT SKU  REQUESTED  AVAILABLE
          7          1          0
";
    assert_eq!(call(&server, "info 2").await, done(expected));
    let expected = concat!(
        r#"{"createdAt":"1970-01-01T00:00:00Z","items":[{"count":1,"sku":7},"#,
        r#"{"count":200000,"sku":1002}],"orderID":"2","reason":"OUT_OF_STOCK","#,
        r#""shortages":[{"available":"0","requested":"1","sku":7}],"status":"failed","#,
        r#""updatedAt":"1970-01-01T00:00:01.000000005Z","user":"7"}"#,
        "\n"
    );
    assert_eq!(call(&server, "info 2 --json").await, done(expected));
}

#[tokio::test]
async fn pay_and_cancel_print_the_new_status() {
    let server = ScriptedServer::new([]);
    assert_eq!(call(&server, "pay 3").await, done("order 3: paid\n"));
    assert_eq!(call(&server, "cancel 3").await, done("order 3: cancelled\n"));
    let expected = "{\"orderID\":\"3\",\"status\":\"paid\"}\n";
    assert_eq!(call(&server, "pay 3 --json").await, done(expected));
    let expected = [
        format!("{:?}", proto::OrderPayRequest { order_id: 3 }),
        format!("{:?}", proto::OrderCancelRequest { order_id: 3 }),
        format!("{:?}", proto::OrderPayRequest { order_id: 3 }),
    ];
    assert_eq!(server.calls(), expected);
}

#[tokio::test]
async fn refusal_is_one_line_on_stderr() {
    for arguments in ["info 7", "pay 7", "cancel 7 --json", "info -7"] {
        let server = ScriptedServer::new([Step::Refuse(order_not_found())]);
        let (code, stdout, stderr) = call(&server, arguments).await;
        assert_eq!((code, &*stdout), (1, ""));
        assert_eq!(stderr, "loms: there is no order 7 (NOT_FOUND, ORDER_NOT_FOUND)\n");
    }
}

#[tokio::test]
async fn unreachable_server_is_named() {
    // Bound, so that no other process gets the port. Not listening, so that it refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let (code, stdout, stderr) = loms(&["stock", "1", "2", "--address", &address]).await;
    assert_eq!((code, &*stdout, stderr.lines().count()), (1, "", 1));
    let start = format!("loms: {address}: unreachable after 5 attempts: ");
    assert!(stderr.starts_with(&start), "{stderr}");
}

#[tokio::test]
async fn closed_stdout_is_no_error() {
    let server = ScriptedServer::new([]);
    let address = format!("http://{}", server.listen().await);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    command.args(["stock", "3", "4", "--address", &address]);
    command.stdout(writer).stderr(Stdio::piped());
    let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn wrong_arguments_exit_with_2() {
    let lines = [
        "stock",
        "stock many",
        "stock -1",
        "create 1002:2",
        "create --user 7",
        "create --user 7 1002",
        "create --user 7 1002:-2",
        "create --user 7 1002:4294967296",
        "pay",
        "pay one",
        "pay 1 --timeout soon",
        "--listen 127.0.0.1:0 pay 1",
        "--json",
        "health now",
        "serve --address http://localhost:1",
        "deliver 1",
    ];
    for line in lines {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (code, stdout, stderr) = loms(&arguments).await;
        assert_eq!((code, &*stdout), (2, ""), "loms {line}");
        assert!(stderr.starts_with("error: "), "loms {line}: {stderr}");
    }
}

#[tokio::test]
async fn wrong_number_is_refused_with_its_range() {
    for (line, message) in [
        ("stock many", "'many' for '<SKU>...': SKU must be a whole number from 0 to 4294967295"),
        ("create --user 7 1:x", "'1:x' for '<SKU:COUNT>...': COUNT must be a whole number from 0"),
        ("create --user x 1:1", "'x' for '--user <USER>': must be a whole number up to "),
        ("pay one", "'one' for '<ID>': must be a whole number up to 9223372036854775807"),
        ("pay 1 --timeout soon", "expected number at 0; use a duration such as 500ms or 5s"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (code, _, stderr) = loms(&arguments).await;
        assert!(code == 2 && stderr.contains(message), "loms {line}: {stderr}");
    }
}

#[tokio::test]
async fn help_of_serve_has_no_flags_for_calling() {
    let (code, stdout, _) = loms(&["serve", "--help"]).await;
    assert!(code == 0 && stdout.contains("--listen"), "{stdout}");
    assert!(!stdout.contains("--address") && !stdout.contains("--json"), "{stdout}");
    let (_, stdout, _) = loms(&["pay", "--help"]).await;
    assert!(stdout.contains("--address") && !stdout.contains("--listen"), "{stdout}");
}
