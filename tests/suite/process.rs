//! The `loms` binary as a process: start, calls, signals, refused starts.

use std::fmt::Write;
use std::fs;
use std::io::{self, BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use loms::client::{Client, Item, Options};

use crate::story::snapshot;

fn loms() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    isolate(&mut command).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Clears the environment, which must not affect a test.
pub(crate) fn isolate(command: &mut Command) -> &mut Command {
    command.env_clear().stdin(Stdio::null())
}

/// A `loms` process and its log.
pub(crate) struct Process {
    child: Child,
    /// Closed if it is `None`.
    log: Option<Lines<BufReader<ChildStderr>>>,
    pub(crate) address: String,
    /// The first line of the log.
    pub(crate) start: String,
}

impl Process {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(Path::new(env!("CARGO_MANIFEST_DIR")), flags)
    }

    fn start_in(folder: &Path, flags: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_loms")), folder, flags)
    }

    fn start_by(mut command: Command, folder: &Path, flags: &[&str]) -> Self {
        isolate(&mut command).current_dir(folder);
        let process = Self::run(
            command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]).args(flags),
        );
        let start = event(&process.start);
        assert_eq!((&start["message"], &start["level"]), (&"serving".into(), &"INFO".into()));
        process
    }

    /// Starts a server. Its log begins with a line that names the address to serve on, in any form.
    pub(crate) fn run(command: &mut Command) -> Self {
        Self::try_run(command).unwrap_or_else(|start| panic!("no address: {start}"))
    }

    /// Like `run`, but returns the first line if it names no address.
    pub(crate) fn try_run(command: &mut Command) -> Result<Self, String> {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Some(BufReader::new(child.stderr.take().unwrap()).lines());
        // From here on the process ends with the test, even if its first line is unexpected.
        let mut process = Self { child, log, address: String::new(), start: String::new() };
        let start = process.log.as_mut().unwrap().next().unwrap().unwrap();
        let marks = ["address=", "\"address\":\"", "listen on "];
        let rest = marks.iter().find_map(|mark| Some(start.split_once(mark)?.1));
        let Some(rest) = rest else { return Err(start) };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap();
        process.address = format!("http://{}", rest[..end].trim_end_matches(':'));
        process.start = start;
        Ok(process)
    }

    /// The facts of the first event.
    pub(crate) fn started_with<const N: usize>(&self, facts: [&str; N]) -> [String; N] {
        let start = event(&self.start);
        facts.map(|fact| start[fact].to_string())
    }

    /// The number of threads that serve (Linux). All of them exist once a call is answered.
    pub(crate) fn threads(&self) -> usize {
        assert!(self.call("stock 1002").status.code().is_some());
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let name = |task: io::Result<fs::DirEntry>| {
            fs::read_to_string(task.unwrap().path().join("comm")).unwrap()
        };
        // Another thread writes the log.
        tasks.map(name).filter(|name| name.starts_with("loms")).count()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn call(&self, arguments: &str) -> Output {
        loms().args(arguments.split(' ')).args(["--address", &self.address]).output().unwrap()
    }

    /// Waits for the next event of the log.
    pub(crate) fn next_event(&mut self) -> serde_json::Value {
        event(&self.log.as_mut().unwrap().next().unwrap().unwrap())
    }

    /// Waits until the process ends. Returns the rest of the log and the exit code.
    pub(crate) fn end(&mut self) -> (Vec<serde_json::Value>, Option<i32>) {
        let (lines, code) = self.end_with_lines();
        (lines.iter().map(|line| event(line)).collect(), code)
    }

    /// Waits for the end without reading the log.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn end_with_lines(&mut self) -> (Vec<String>, Option<i32>) {
        let lines = self.log.take().unwrap().map(Result::unwrap).collect();
        (lines, self.child.wait().unwrap().code())
    }
}

/// Ends the server of a failed test.
impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has ended already, which is the normal case.
        let _ = self.child.kill();
    }
}

pub(crate) fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn start_logs_the_stock() {
    let mut process = Process::start(&["serve", "--stock", "data/stock-data.json"]);
    let logged = process.started_with(["stock", "skus", "units"]);
    assert_eq!(logged, ["\"data/stock-data.json\"", "5", "1250"]);
    process.signal("TERM");
    process.end();
}

#[test]
fn server_starts_with_warnings_and_a_client_ignores_what_it_does_not_use() {
    let folder = tempfile::tempdir().unwrap();
    let stock = "\u{feff}[{\"sku\": 7, \"total_count\": 1e2, \"reserved\": 101.0}]";
    fs::write(folder.path().join("stock.json"), stock).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    isolate(&mut command).current_dir(folder.path());
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--stock", "stock.json"]);
    command.envs([("LOMS_GRPC_LISTN", "x"), ("LOMS_ADDRESS", "bad"), ("LOMS_LOG_LEVEL", "")]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || event(&log.next().unwrap().unwrap());
    let (variable, stock, start) = (next(), next(), next());
    assert_eq!(
        (&variable["level"], &variable["message"]),
        (
            &"WARN".into(),
            &"LOMS_GRPC_LISTN: unknown environment variable, ignored; did you mean \
              LOMS_GRPC_LISTEN?"
                .into()
        )
    );
    assert_eq!(
        (&stock["level"], &stock["skus"], &stock["records"]),
        (&"WARN".into(), &1.into(), &"7 (101 of 100)".into())
    );
    let address = start["address"].as_str().unwrap();

    let mut client = loms();
    client.args(["stock", "7"]).envs([
        ("LOMS_ADDRESS", address),
        ("LOMS_GRPC_LISTEN", "bad"),
        ("LOMS_GRPC_LISTN", "x"),
        ("LOMS_ADDRES", "x"),
    ]);
    let Output { stdout, stderr, .. } = client.output().unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "7  0 available\n");
    assert_eq!(
        String::from_utf8(stderr).unwrap(),
        "loms: LOMS_ADDRES: unknown environment variable, ignored; did you mean LOMS_ADDRESS?\n"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn binary_serves_without_any_file() {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut process = Process::start_in(elsewhere.path(), &[]);
    let cores = std::thread::available_parallelism().unwrap().get();
    let logged = process.started_with(["threads", "stock", "skus", "units"]);
    assert_eq!(logged, [&cores.to_string(), "\"built in\"", "5", "1250"]);
    assert_eq!(process.threads(), cores);
    process.signal("TERM");
    process.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn server_keeps_to_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let stock = r#"[{ "sku": 7, "total_count": 9, "reserved": 2 }]"#;
    fs::write(folder.path().join("stock.json"), stock).unwrap();
    let config = "stock: {file: stock.json}\ngrpc: {threads: 3}\n\
        orders: {max_lines: 1, idempotency_window: 1ns, failed_create: failed_precondition}\n";
    fs::write(folder.path().join("config.yaml"), config).unwrap();
    let mut process = Process::start_in(folder.path(), &["--config", "config.yaml"]);
    assert_eq!(process.threads(), 3);
    let client = Client::connect(&process.address, Options::default()).await.unwrap();
    assert_eq!(client.stock(7).await, Ok(7));
    let create = async |lines: &[(u32, u32)], key| {
        let items: Vec<_> = lines.iter().map(|&(sku, count)| Item { sku, count }).collect();
        match client.create(1, &items, Some(key)).await {
            Ok(placed) => Ok(placed.order_id),
            Err(error) => Err(error.to_string()),
        }
    };
    let refused = create(&[(7, 1), (8, 1)], "a").await.unwrap_err();
    assert!(refused.contains("INVALID_ARGUMENT"), "{refused}");
    assert_eq!(create(&[(7, 1)], "b").await, Ok(1));
    assert_eq!(create(&[(7, 1)], "b").await, Ok(2), "the key is forgotten after 1 ns");
    let refused = create(&[(7, 8)], "c").await.unwrap_err();
    assert!(refused.contains("FAILED_PRECONDITION"), "{refused}");
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}

#[test]
fn server_with_a_closed_log_continues() {
    let mut process = Process::start(&["--log-level", "debug"]);
    // The server's next line has no reader.
    process.log = None;
    assert!(process.call("stock 1002").status.success());
    process.signal("TERM");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

#[test]
fn client_commands_work_with_a_real_server() {
    let mut process = Process::start(&[]);
    let mut page = String::new();
    for arguments in [
        "stock 1002 773297411",
        "create --user 7 1002:2 773297411:1 1002:1",
        "stock 1002 99",
        "health",
        "health --json --wait",
        "pay 1",
        "pay 1 --json",
        "cancel 1",
        "create --user 7 1002:178 --key again",
        "create --user 7 1002:178 --key again --json",
        "info 2 --json",
        "create --user 0 1002:1",
    ] {
        let Output { status, stdout, stderr } = process.call(arguments);
        writeln!(page, "$ loms {arguments}").unwrap();
        page += &String::from_utf8(stdout).unwrap();
        page += &String::from_utf8(stderr).unwrap();
        if !status.success() {
            writeln!(page, "[exit {}]", status.code().unwrap()).unwrap();
        }
    }
    process.signal("INT");
    assert_eq!(process.end().1, Some(0));
    snapshot("command_line", &without_times(&page));
}

/// Replaces the times, which differ between runs.
fn without_times(page: &str) -> String {
    let lines = page.lines().map(|line| match serde_json::from_str::<serde_json::Value>(line) {
        Ok(mut order) if order.get("createdAt").is_some() => {
            order["createdAt"] = "…".into();
            order["updatedAt"] = "…".into();
            format!("{order}\n")
        }
        Ok(_) | Err(_) => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn debug_logs_every_command_of_a_module() {
    let mut process = Process::start(&["--log-level", "info,loms::sequencer=debug"]);
    process.call("create --user 7 1002:2 --key k");
    process.call("pay 9");
    process.signal("TERM");
    let (log, _) = process.end();
    let logged: Vec<_> = log
        .iter()
        .filter(|event| event["message"] == "command" && event["command"] != "tick")
        .map(|event| {
            assert_eq!(
                (&event["target"], &event["level"]),
                (&"loms::sequencer".into(), &"DEBUG".into())
            );
            assert!(event["took_ns"].is_u64());
            (event["command"].as_str().unwrap(), event["outcome"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        logged,
        [
            ("create user=7 1002:2 key=k", "order 1 reserved"),
            ("pay 9", "refused: there is no order 9"),
        ]
    );
}

#[test]
fn expiry_is_logged_on_time_without_calls() {
    let mut process = Process::start(&["--payment-timeout", "1ms"]);
    process.call("create --user 7 1002:2");
    let expired = process.next_event();
    assert_eq!(
        (&expired["message"], &expired["level"], &expired["order"]),
        (&"order expired".into(), &"INFO".into(), &1.into())
    );
    process.signal("TERM");
    process.end();
}

/// A server that may open 30 files.
fn start_with_few_files(flags: &[&str]) -> Process {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 30; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_loms")]);
    Process::start_by(shell, Path::new(env!("CARGO_MANIFEST_DIR")), flags)
}

#[test]
fn server_that_fails_exits_with_1() {
    let mut process = start_with_few_files(&["--threads", "64"]);
    let limited = process.next_event();
    assert_eq!(
        (&limited["max_connections"], &limited["level"]),
        (&1.into(), &"WARN".into()),
        "{limited}"
    );
    let (lines, code) = process.end_with_lines();
    let address = process.address.strip_prefix("http://").unwrap();
    let failed = format!("loms: serving on {address} failed: Too many open files (os error 24)");
    assert_eq!((lines, code), (vec![failed], Some(1)));
}

#[tokio::test]
async fn server_with_few_file_descriptors_refuses_connections_and_continues() {
    let mut process = start_with_few_files(&["--threads", "1"]);
    assert_eq!(process.next_event()["max_connections"], 14);
    let address = process.address.strip_prefix("http://").unwrap();
    let connect = |_| std::net::TcpStream::connect(address).unwrap();
    let connections: Vec<_> = (0..40).map(connect).collect();
    let failed = process.next_event();
    assert_eq!(
        (&failed["message"], &failed["level"]),
        (&"a connection is refused: there are too many".into(), &"WARN".into())
    );
    drop(connections);
    assert!(process.call("stock 1002").status.success());
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}

#[test]
fn refused_start_prints_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let listen = format!("--listen 127.0.0.1:{port}");
    let mut page = String::new();
    for arguments in [
        "--listen nonsense",
        "--payment-timeout soon",
        "--config config/missing.yaml",
        "--config Cargo.toml",
        "--stock data/missing.json",
        "--stock Cargo.toml",
        "--log-level loud",
        &listen,
        "serve --unknown",
        "--json",
    ] {
        let Output { status, stdout, stderr } = loms().args(arguments.split(' ')).output().unwrap();
        assert!(stdout.is_empty());
        let stderr = String::from_utf8(stderr).unwrap();
        let code = status.code().unwrap();
        writeln!(page, "$ loms {arguments}\n{stderr}[exit {code}]").unwrap();
        assert!(code == 2 || stderr.lines().count() == 1, "{stderr}");
    }
    snapshot("refused_starts", &page.replace(&port, "PORT"));

    // An address that no machine has.
    let Output { status, stderr, .. } = loms().args(["--listen", "192.0.2.1:1"]).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.ends_with("; choose an address of this machine with --listen\n"), "{stderr}");
    assert_eq!(status.code(), Some(1));
}
