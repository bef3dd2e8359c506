//! SIGTERM, SIGINT and SIGQUIT: what each of them, and each pair, does at every stage of the
//! server. The exit code and the log agree. And the signals that do not stop it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{OrderCreateRequest, OrderCreateResponse, StocksInfoRequest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::process::{Process, isolate};
use crate::script::create_request;
use crate::serving::begin_create;

/// The names of the signals that stop the server, with their numbers.
const SIGNALS: [(&str, i32); 3] = [("TERM", 15), ("INT", 2), ("QUIT", 3)];

const STOPPING: &str = "stopping: calls in flight have 10 s to finish";

fn pairs() -> impl Iterator<Item = [(&'static str, i32); 2]> {
    SIGNALS.into_iter().flat_map(|first| SIGNALS.map(|second| [first, second]))
}

/// The messages of the rest of the log, and the exit code. The server must not be killed by a
/// signal.
fn end(process: &mut Process) -> (Vec<String>, i32) {
    let (log, code) = process.end();
    let message = |event: &serde_json::Value| {
        let message = event["message"].as_str().unwrap().to_owned();
        let drained = event.get("drained").map(|drained| format!(" {drained}"));
        message + &drained.unwrap_or_default()
    };
    (log.iter().map(message).collect(), code.expect("killed by a signal"))
}

fn stopped() -> String {
    "stopped \"Fully\"".to_owned()
}

async fn connect(process: &Process) -> Channel {
    Channel::from_shared(process.address.clone()).unwrap().connect().await.unwrap()
}

/// A server with a call that has begun, and ends when its message is sent.
struct OpenCall {
    process: Process,
    message: mpsc::Sender<OrderCreateRequest>,
    call: JoinHandle<Result<Response<OrderCreateResponse>, Status>>,
}

impl OpenCall {
    async fn start() -> Self {
        let process = Process::start(&[]);
        let (message, call) = begin_create(&connect(&process).await).await;
        Self { process, message, call }
    }
}

#[test]
fn signal_before_the_server_listens_kills_it() {
    for (name, number) in SIGNALS {
        let folder = tempfile::tempdir().unwrap();
        let stock = folder.path().join("stock");
        assert!(Command::new("mkfifo").arg(&stock).status().unwrap().success());
        // The job of a shell that runs in the background ignores SIGINT and SIGQUIT, and so do its
        // children.
        let mut command = Command::new("/usr/bin/env");
        let child = isolate(&mut command)
            .args(["--default-signal=INT,QUIT", env!("CARGO_BIN_EXE_loms")])
            .args(["--listen", "127.0.0.1:0", "--stock"])
            .arg(&stock)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Opened once the server reads it, which it does before it listens.
        let writer = File::options().write(true).open(&stock).unwrap();
        let kill = ["-s".to_owned(), name.to_owned(), child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.signal(), output.stderr), (Some(number), vec![]), "{name}");
        drop(writer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_signal_without_a_call_ends_the_server_at_once() {
    for (name, _) in SIGNALS {
        let mut process = Process::start(&[]);
        // One connection is idle after a call. The other one has never sent anything. The server
        // has accepted it: it accepts in order.
        let silent = TcpStream::connect(process.address.strip_prefix("http://").unwrap()).unwrap();
        let idle = connect(&process).await;
        assert!(process.call("stock 1002").status.success());
        process.signal(name);
        assert_eq!(end(&mut process), (vec![STOPPING.to_owned(), stopped()], 0), "{name}");
        drop((silent, idle));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_signal_lets_a_call_finish() {
    for (name, _) in SIGNALS {
        let OpenCall { mut process, message, call } = OpenCall::start().await;
        process.signal(name);
        assert_eq!(process.next_event()["message"], STOPPING);
        message.send(create_request(&["user=7", "1002:2"])).await.unwrap();
        drop(message);
        assert_eq!(call.await.unwrap().unwrap().get_ref().order_id, 1);
        assert_eq!(end(&mut process), (vec![stopped()], 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_ends_the_drain_with_its_number() {
    for [first, second] in pairs() {
        let OpenCall { mut process, message, call } = OpenCall::start().await;
        process.signal(first.0);
        assert_eq!(process.next_event()["message"], STOPPING);
        process.signal(second.0);
        assert_eq!(end(&mut process), (vec![], 128 + second.1), "{first:?} {second:?}");
        assert!(call.await.unwrap().is_err());
        drop(message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_signals_at_once_end_the_server_with_one_of_their_numbers() {
    let OpenCall { mut process, message, call } = OpenCall::start().await;
    // A process that does not run gets both when it continues.
    for signal in ["STOP", "TERM", "INT", "CONT"] {
        process.signal(signal);
    }
    let (log, code) = end(&mut process);
    assert!(code == 130 || code == 143, "exit code {code}");
    assert_eq!(log, [STOPPING]);
    assert!(call.await.unwrap().is_err());
    drop(message);
}

/// The server may have stopped before the second signal arrives.
#[test]
fn second_signal_without_a_call_leaves_log_and_exit_code_in_agreement() {
    for [first, second] in pairs() {
        let mut process = Process::start(&[]);
        process.signal(first.0);
        process.signal(second.0);
        let (log, code) = end(&mut process);
        if code == 0 {
            assert_eq!(log, [STOPPING.to_owned(), stopped()], "{first:?} {second:?}");
        } else {
            assert!([first.1, second.1].contains(&(code - 128)), "exit code {code}");
            assert_eq!(log, [STOPPING], "{first:?} {second:?}");
        }
    }
}

#[test]
fn other_signals_do_not_end_the_server() {
    let mut process = Process::start(&[]);
    for signal in ["USR1", "USR2", "PIPE"] {
        process.signal(signal);
    }
    assert!(process.call("stock 1002").status.success());
    process.signal("TERM");
    assert_eq!(end(&mut process), (vec![STOPPING.to_owned(), stopped()], 0));
}

#[test]
fn hang_up_reloads_the_log_level() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let set = |text: &str| fs::write(&config, text).unwrap();
    set("log: {level: info}");
    let mut process = Process::start(&["--config", config.to_str().unwrap()]);
    process.call("stock 1002");
    set("log: {level: 'info,loms=debug'}");
    process.signal("HUP");
    assert_eq!(process.next_event()["message"], "log level reloaded");
    process.call("stock 1002");
    assert_eq!(process.next_event()["level"], "DEBUG");
    set("log: {level: loud}");
    process.signal("HUP");
    let refused = loop {
        let event = process.next_event();
        if event["level"] == "WARN" {
            break event["message"].as_str().unwrap().to_owned();
        }
    };
    assert!(
        refused.starts_with("the log level is not reloaded: ") && refused.contains("loud"),
        "{refused}"
    );
    process.signal("TERM");
}

/// A reader of the log that does not read: a pager, or a full log driver.
#[tokio::test(flavor = "multi_thread")]
async fn log_that_is_not_read_stops_neither_calls_nor_signals() {
    for read in [false, true] {
        let mut process = Process::start(&["--log-level", "trace"]);
        let mut client = LomsClient::new(connect(&process).await);
        // A call logs hundreds of lines at this level.
        for _ in 0..500 {
            client.stocks_info(StocksInfoRequest { sku: 1002 }).await.unwrap();
        }
        while read
            && process.next_event()["message"]
                != "log lines were dropped: stderr is read too slowly"
        {}
        process.signal("TERM");
        drop(client);
        assert_eq!(process.wait(), Some(0));
    }
}
