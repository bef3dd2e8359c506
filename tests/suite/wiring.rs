//! Every key of the configuration has its effect on the running binary, from every source, and a
//! stronger source wins. A key without a probe fails the test.

use std::fs;
use std::process::Command;
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use loms::config::keys::{KEYS, Key};
use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    OrderCreateResponse, OrderInfoRequest, OrderPayRequest, StocksInfoRequest,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::config::yaml;
use crate::foreign::Foreign;
use crate::process::{Process, isolate};
use crate::script::create_request;
use crate::wiring_access::{self, AccessFiles};

/// A source of the configuration, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `config/config.yaml` in the working directory.
    DefaultFile,
    /// The file that `LOMS_CONFIG` names.
    FileOfVariable,
    /// The file that `--config` names.
    FileOfFlag,
    Variable,
    /// A flag before `serve`.
    FlagBefore,
    /// A flag after `serve`.
    FlagAfter,
}

use Source::{DefaultFile, FileOfFlag, FileOfVariable, FlagAfter, FlagBefore, Variable};

/// What a client observes of a key.
struct Probe {
    /// The default, as a text that every source can give.
    default: String,
    /// Another value.
    other: String,
    /// What is observed with the default, and with the other value.
    observed: [String; 2],
}

/// The probe of a key. A stock file and a server are in place for those that name one.
fn probe(key: &Key, place: &Place) -> Probe {
    let default =
        key.default.unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/data/stock-data.json"));
    let cores = thread::available_parallelism().unwrap().get();
    let another_count = cores % 255 + 1;
    let access = wiring_access::probe(key.name, &place.access);
    let (other, observed): (String, [String; 2]) = match key.name {
        _ if access.is_some() => access.unwrap(),
        "grpc.listen" => {
            ("127.0.0.1:0".into(), ["0.0.0.0:50051".into(), "a free port of 127.0.0.1".into()])
        }
        "grpc.threads" => (
            another_count.to_string(),
            [cores, another_count].map(|count| format!("{count} threads")),
        ),
        "grpc.max_connections" => ("2".into(), ["4 of 4".into(), "2 of 4".into()]),
        "grpc.max_concurrent_streams" => ("2".into(), ["256 calls".into(), "2 calls".into()]),
        "grpc.max_connection_idle" | "grpc.max_connection_age" => {
            ("1ms".into(), ["stays open".into(), "closed".into()])
        }
        "grpc.max_connection_age_grace" => ("0".into(), ["stays open".into(), "closed".into()]),
        "grpc.stop_delay" => ("1h".into(), ["stopping".into(), "NotServing, 180 of 1002".into()]),
        "loms.address" => (
            place.server.address.clone(),
            ["http://localhost:50051".into(), place.server.address.clone()],
        ),
        "stock.file" => {
            (place.stock(), ["180 of 1002, none of 7".into(), "none of 1002, 40 of 7".into()])
        }
        "orders.max_lines" => ("2".into(), ["2, 3, 1000 lines".into(), "2 lines".into()]),
        "orders.payment_timeout" => {
            ("1ns".into(), ["awaiting payment".into(), "cancelled PAYMENT_TIMEOUT".into()])
        }
        "orders.idempotency_window" => ("0".into(), ["one order".into(), "two orders".into()]),
        "orders.keep" => ("1ns".into(), ["paid".into(), "NotFound".into()]),
        "orders.keep_failed" => ("1ns".into(), ["failed".into(), "NotFound".into()]),
        "orders.retry_failed" => ("retry".into(), ["one order".into(), "two orders".into()]),
        "orders.max_bytes" => ("60".into(), ["two orders".into(), "ResourceExhausted".into()]),
        "limits.open_orders" => ("1".into(), ["two orders".into(), "ResourceExhausted".into()]),
        "orders.failed_create" => {
            ("failed_precondition".into(), ["Ok failed".into(), "FailedPrecondition".into()])
        }
        "log.level" => ("info,loms::sequencer=debug".into(), ["INFO".into(), "DEBUG, INFO".into()]),
        "log.format" => ("json".into(), ["text".into(), "JSON".into()]),
        name => panic!("{name}: add what a client observes of it"),
    };
    Probe { default: default.to_owned(), other, observed }
}

/// What a client observes when `loms` runs with these values of the key.
fn observe(key: &Key, given: &[(Source, &str)], place: &Place) -> String {
    if key.name == "loms.address" {
        return place.called_server(key, given);
    }
    if wiring_access::probe(key.name, &place.access).is_some() {
        let (mut command, _folder) = loms(key, given, wiring_access::command(key.name));
        return wiring_access::observe(key.name, &mut command, &place.access);
    }
    let mut server = Server::start(key, given);
    match key.name {
        "grpc.listen" => {
            let address = server.process.address.trim_start_matches("http://");
            match address.strip_prefix("127.0.0.1:") {
                Some(port) if port != "0" => "a free port of 127.0.0.1".to_owned(),
                Some(_) | None => address.to_owned(),
            }
        }
        "grpc.threads" => {
            // All threads have started when one answers.
            server.stock(1002);
            format!("{} threads", server.process.threads())
        }
        "grpc.max_connections" => format!("{} of 4", server.answered_connections(4)),
        "grpc.max_concurrent_streams" => format!("{} calls", server.concurrent_streams()),
        "grpc.max_connection_idle" | "grpc.max_connection_age" => server.fate(false),
        "grpc.max_connection_age_grace" => server.fate(true),
        "grpc.stop_delay" => server.state_after_a_signal(),
        "stock.file" => [1002, 7].map(|sku| format!("{} of {sku}", server.stock(sku))).join(", "),
        "orders.max_lines" => {
            let accepts = |lines: &&str| server.create(&[&format!("1002:1*{lines}")]).is_ok();
            let accepted: Vec<_> =
                ["2", "3", "1000", "1001"].iter().copied().filter(|l| accepts(l)).collect();
            format!("{} lines", accepted.join(", "))
        }
        "orders.payment_timeout" => server.status(server.create(&["1002:1"]).unwrap().order_id),
        "orders.idempotency_window" => {
            let [first, second] = [(); 2].map(|()| server.create(&["1002:1", "key=k"]).unwrap());
            if first == second { "one order" } else { "two orders" }.to_owned()
        }
        "orders.keep" => {
            let order_id = server.create(&["1002:1"]).unwrap().order_id;
            let paid = server.call(async |loms| loms.order_pay(OrderPayRequest { order_id }).await);
            paid.unwrap();
            server.status(order_id)
        }
        "orders.keep_failed" => {
            let order = server.create(&["1002:1000000"]).unwrap();
            server.status(order.order_id).replace(" OUT_OF_STOCK", "")
        }
        "orders.retry_failed" => {
            let words = ["1002:1000000", "key=k"];
            let [first, second] = [(); 2].map(|()| server.create(&words).unwrap().order_id);
            if first == second { "one order" } else { "two orders" }.to_owned()
        }
        "orders.max_bytes" | "limits.open_orders" => {
            server.create(&["1002:1"]).unwrap();
            match server.create(&["1002:1"]) {
                Ok(_) => "two orders".to_owned(),
                Err(refusal) => format!("{:?}", refusal.code()),
            }
        }
        "orders.failed_create" => match server.create(&["1002:1000000"]) {
            Ok(created) => format!("Ok {}", created.status),
            Err(refusal) => format!("{:?}", refusal.code()),
        },
        "log.level" => server.logged_levels(),
        "log.format" => {
            let is_json = server.process.start.starts_with('{');
            if is_json { "JSON" } else { "text" }.to_owned()
        }
        name => panic!("{name}: observe it"),
    }
}

/// `loms` with these values of a key. The last source of a list of flags counts.
fn loms(key: &Key, given: &[(Source, &str)], words: &[&str]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, yaml(key, &format!("'{text}'"))).unwrap();
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    isolate(&mut command).current_dir(folder.path());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (source, text) in given {
        let flag = || [key.flag.unwrap().to_owned(), (*text).to_owned()];
        match source {
            DefaultFile => write("config/config.yaml", text),
            FileOfVariable => {
                write("variable.yaml", text);
                command.env("LOMS_CONFIG", "variable.yaml");
            }
            FileOfFlag => {
                write("flag.yaml", text);
                before.extend(["--config".to_owned(), "flag.yaml".to_owned()]);
            }
            Variable => drop(command.env(key.variable, text)),
            FlagBefore => before.extend(flag()),
            FlagAfter => after.extend(flag()),
        }
    }
    command.args(before).args(words).args(after);
    (command, folder)
}

/// A running server and a client of it.
struct Server {
    process: Process,
    runtime: Runtime,
}

impl Server {
    /// A server with these values of a key. It serves on a free port and logs JSON, unless the key
    /// is about that.
    fn start(key: &Key, given: &[(Source, &str)]) -> Self {
        let (mut command, folder) = loms(key, given, &["serve"]);
        if key.name != "grpc.listen" {
            command.env("LOMS_GRPC_LISTEN", "127.0.0.1:0");
        }
        if key.name == "grpc.max_connection_age_grace" {
            command.env("LOMS_GRPC_MAX_CONNECTION_AGE", "300ms");
        }
        if key.name != "log.format" {
            command.env("LOMS_LOG_FORMAT", "json");
        }
        let process = Process::run(&mut command);
        drop(folder);
        Self { process, runtime: Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn call<T>(&self, call: impl AsyncFnOnce(&mut LomsClient<Channel>) -> T) -> T {
        self.runtime.block_on(async {
            let mut client = LomsClient::connect(self.process.address.clone()).await.unwrap();
            call(&mut client).await
        })
    }

    fn create(&self, words: &[&str]) -> Result<OrderCreateResponse, Status> {
        let request = create_request(&[&["user=7"], words].concat());
        self.call(async |loms| loms.order_create(request).await.map(tonic::Response::into_inner))
    }

    /// The status of an order and its reason, or the code of the refusal.
    fn status(&self, order_id: i64) -> String {
        match self.call(async |loms| loms.order_info(OrderInfoRequest { order_id }).await) {
            Ok(info) => {
                let info = info.into_inner();
                format!("{} {}", info.status, info.reason).trim().to_owned()
            }
            Err(refusal) => format!("{:?}", refusal.code()),
        }
    }

    /// How many of this many connections are answered while all of them are open.
    fn answered_connections(&self, connections: usize) -> usize {
        self.runtime.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..connections {
                let mut client = LomsClient::connect(self.process.address.clone()).await.unwrap();
                let answer = client.stocks_info(StocksInfoRequest { sku: 1002 }).await;
                clients.push((client, answer));
            }
            clients.iter().filter(|(_, answer)| answer.is_ok()).count()
        })
    }

    /// An HTTP/2 connection, and its end.
    async fn connect(&self) -> (SendRequest<Bytes>, JoinHandle<()>) {
        let address = self.process.address.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        (client, tokio::spawn(async { drop(connection.await) }))
    }

    /// How many calls in flight the server allows a connection.
    fn concurrent_streams(&self) -> usize {
        self.runtime.block_on(async {
            let (client, _connection) = self.connect().await;
            let mut client = client.ready().await.unwrap();
            // An answer comes after the settings.
            let (answer, _) =
                client.send_request(Foreign::post("/").body(()).unwrap(), true).unwrap();
            drop(answer.await);
            client.current_max_send_streams()
        })
    }

    /// What becomes of a connection, with an open call or without, during many calls of others.
    fn fate(&self, with_call: bool) -> String {
        self.runtime.block_on(async {
            let (client, closed) = self.connect().await;
            let mut client = client.ready().await.unwrap();
            let request = Foreign::post("/loms.LOMS/StocksInfo").body(()).unwrap();
            let call = with_call.then(|| client.send_request(request, false).unwrap());
            let others = async {
                // The connection with the call has reached its age when two without a call have.
                for _ in 0..if with_call { 2 } else { 0 } {
                    let (_client, closed) = self.connect().await;
                    let _ = closed.await;
                }
                let mut other = LomsClient::connect(self.process.address.clone()).await.unwrap();
                for _ in 0..2_000 {
                    // With a short age, this connection is closed as well.
                    drop(other.stocks_info(StocksInfoRequest { sku: 1002 }).await);
                }
            };
            let fate = tokio::select! {
                _ = closed => "closed",
                () = others => "stays open",
            };
            drop(call);
            fate.to_owned()
        })
    }

    /// What the server does after SIGTERM.
    fn state_after_a_signal(&mut self) -> String {
        self.process.signal("TERM");
        let message = self.process.next_event()["message"].clone();
        if message == "stopping: calls in flight have 10 s to finish" {
            return "stopping".to_owned();
        }
        let state = format!("{}, {} of 1002", self.health(), self.stock(1002));
        self.process.signal("TERM");
        state
    }

    /// The health of the server.
    fn health(&self) -> String {
        self.runtime.block_on(async {
            let channel = Channel::from_shared(self.process.address.clone()).unwrap();
            let mut health = HealthClient::new(channel.connect().await.unwrap());
            let answer = health.check(HealthCheckRequest::default()).await.unwrap();
            format!("{:?}", answer.get_ref().status())
        })
    }

    /// The levels of what the server logs until it ends.
    fn logged_levels(self) -> String {
        self.create(&["1002:1"]).unwrap();
        let Self { mut process, runtime } = self;
        // Closes the connection, so that the server ends at once.
        drop(runtime);
        process.signal("TERM");
        let (log, _) = process.end();
        let mut levels: Vec<_> = log.iter().map(|line| line["level"].as_str().unwrap()).collect();
        levels.sort_unstable();
        levels.dedup();
        levels.join(", ")
    }

    /// What is available of a SKU.
    fn stock(&self, sku: u32) -> String {
        match self.call(async |loms| loms.stocks_info(StocksInfoRequest { sku }).await) {
            Ok(stock) => stock.into_inner().count.to_string(),
            Err(_) => "none".to_owned(),
        }
    }
}

/// What the values of the keys name.
struct Place {
    folder: TempDir,
    /// A server whose stock no other one has.
    server: Process,
    access: AccessFiles,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stock.json");
        fs::write(&path, r#"[{"sku": 7, "total_count": 42, "reserved": 2}]"#).unwrap();
        let server = Process::start(&["--stock", path.to_str().unwrap()]);
        Self { folder, server, access: AccessFiles::new() }
    }

    /// The path of the stock file.
    fn stock(&self) -> String {
        self.folder.path().join("stock.json").to_str().unwrap().to_owned()
    }

    /// The address of the server that a command calls.
    fn called_server(&self, key: &Key, given: &[(Source, &str)]) -> String {
        let (mut command, _folder) = loms(key, given, &["stock", "7"]);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if output.stdout == b"7  40 available\n" {
            self.server.address.clone()
        } else if let Some((address, _)) = stderr.split_once(": unreachable") {
            address.trim_start_matches("loms: ").to_owned()
        } else {
            // Another server, which this test has not started, is on the default port.
            "http://localhost:50051".to_owned()
        }
    }
}

/// Pairs of sources of a key: the stronger one is second.
fn contests(key: &Key) -> Vec<[Source; 2]> {
    let sources = [DefaultFile, FileOfVariable, FileOfFlag, Variable, FlagBefore, FlagAfter];
    let has = |source: &Source| key.flag.is_some() || !matches!(source, FlagBefore | FlagAfter);
    let sources: Vec<_> = sources.into_iter().filter(has).collect();
    sources.windows(2).map(|pair| [pair[0], pair[1]]).collect()
}

#[test]
fn key_has_its_effect_from_every_source_and_the_stronger_one_wins() {
    let place = Place::new();
    let check = |key: &Key| {
        let Probe { default, other, observed: [by_default, by_other] } = probe(key, &place);
        let see = |given: &[(Source, &str)], expected: &str| {
            assert_eq!(observe(key, given, &place), expected, "{}: {given:?}", key.name);
        };
        assert_ne!(by_default, by_other, "{}", key.name);
        see(&[], &by_default);
        for [weaker, stronger] in contests(key) {
            // The weaker source alone has an effect, too: it is the stronger one of another pair.
            see(&[(weaker, &default), (stronger, &other)], &by_other);
            see(&[(weaker, &other), (stronger, &default)], &by_default);
        }
        see(&[(DefaultFile, &other)], &by_other);
    };
    // A thread for each key: most of the time is waiting for processes.
    thread::scope(|scope| {
        for key in &KEYS {
            scope.spawn(move || check(key));
        }
    });
}

#[test]
fn flag_of_the_command_line_is_one_of_a_key_or_known() {
    let output = loms(&KEYS[0], &[], &["--help"]).0.output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let is_flag = |word: &&str| word.starts_with("--") && word.len() > 2;
    let mut flags: Vec<_> = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .filter_map(|line| line.split_whitespace().find(is_flag))
        .collect();
    let others = ["--config", "--json", "--timeout", "--help", "--version"];
    let mut known: Vec<_> = KEYS.iter().filter_map(|key| key.flag).chain(others).collect();
    flags.sort_unstable();
    known.sort_unstable();
    assert_eq!(flags, known, "a flag that is no key has a test of its own");
}
