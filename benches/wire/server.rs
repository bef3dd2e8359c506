//! The servers that are compared, each in its own process, and measurements of their cost.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use loms::grpc::proto::loms_server::LomsServer;
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::server::limits::Limits;
use loms::server::{Access, CallKind, ServerOptions, Serving, Stop, serve, serve_on};
use loms::state_machine::{LomsState, Rules, Span};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tonic::service::Routes;

use crate::callgrind;
use crate::noop::Noop;

/// A server and how it serves.
#[derive(Args, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) what: What,
    pub(crate) runtime: Runtime,
    /// Number of serving threads.
    pub(crate) threads: NonZeroUsize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The no-op with tonic's router.
    Noop,
    /// The no-op without tonic's router, as in LOMS.
    BareNoop,
    /// LOMS.
    Loms,
    /// LOMS with a payment timeout of 0.3 s.
    LomsExpiring,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// One single-threaded runtime per thread, each with its own connections.
    Each,
    /// One runtime for all threads.
    Shared,
}

/// Runs this server with the default log settings, until stdin ends.
pub(crate) fn be(Role { what, runtime, threads }: Role) -> Result<(), String> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let stock = opening_stock::load(Path::new(STOCK)).map_err(|error| error.to_string())?;
    let (mut builder, threads) = match runtime {
        Runtime::Each => (Builder::new_current_thread(), threads),
        Runtime::Shared => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.get());
            (builder, NonZeroUsize::MIN)
        }
    };
    let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
    let stdin_ends = async {
        // A separate thread reads. Nothing is ever written.
        let _ = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0])).await;
    };
    let serving = async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        match what {
            What::Noop => {
                let routes = Routes::new(LomsServer::new(Noop)).prepare();
                serve_on(listener, noop(threads, routes), Stop::default(), stdin_ends).await
            }
            What::BareNoop => {
                let bare = LomsServer::new(Noop);
                serve_on(listener, noop(threads, bare), Stop::default(), stdin_ends).await
            }
            What::Loms | What::LomsExpiring => {
                let mut rules = Rules::default();
                if what == What::LomsExpiring {
                    rules.payment_timeout = Span::from_nanos(300_000_000);
                }
                let state = LomsState::new(rules, &stock, 0);
                let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
                serve(listener, sequencer, ServerOptions::on(threads), stdin_ends).await
            }
        }
    };
    // Spawned, because in a shared runtime this thread is not a worker.
    let served = runtime.block_on(async { tokio::spawn(serving).await });
    served.map_err(|error| error.to_string())?.map_err(|error| error.to_string()).map(drop)
}

/// The service of the no-op, as the server serves any service.
fn noop<S>(threads: NonZeroUsize, service: S) -> Serving<S> {
    let limits = Limits::default();
    let access = Access::default();
    Serving { threads, service, kind_of: |_| CallKind::Stream, limits, access }
}

/// The stock file of LOMS: 1,000 SKUs with more units than any run orders.
pub(crate) const STOCK: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/wire-stock.json");

/// Writes [`STOCK`].
pub(crate) fn write_stock() -> Result<(), String> {
    let records = (1..=1_000).map(
        |sku| serde_json::json!({ "sku": sku * 1_009, "total_count": 1_u64 << 40, "reserved": 0 }),
    );
    let text = serde_json::Value::from_iter(records).to_string();
    fs::write(STOCK, text).map_err(|error| format!("{STOCK}: {error}"))
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    /// `http://HOST:PORT`
    pub(crate) address: String,
}

impl Server {
    /// Starts a server, on these cores if any are given.
    pub(crate) fn start(role: Role, cores: Option<&str>) -> Result<Self, String> {
        let mut command = pinned(&own_program()?, cores);
        command.stderr(Stdio::null());
        Self::spawn(command, role)
    }

    /// Starts a server under callgrind.
    pub(crate) fn start_counted(role: Role) -> Result<Self, String> {
        let mut command = callgrind::counted(&own_program()?);
        command.stderr(Stdio::piped());
        Self::spawn(command, role)
    }

    fn spawn(mut command: Command, role: Role) -> Result<Self, String> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let mut process = command
            .arg("serve")
            .arg(name(role.what.to_possible_value()))
            .arg(name(role.runtime.to_possible_value()))
            .arg(role.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let mut address = String::new();
        let stdout = process.stdout.take().ok_or("the server has no stdout")?;
        BufReader::new(stdout).read_line(&mut address).map_err(|error| error.to_string())?;
        Ok(Self { process, address: format!("http://{}", address.trim()) })
    }

    /// Stops a server that was started under callgrind. Returns the number of its instructions.
    pub(crate) fn instructions(mut self) -> Result<u64, String> {
        drop(self.process.stdin.take());
        let mut output = String::new();
        let stderr = self.process.stderr.as_mut().ok_or("the server has no stderr")?;
        stderr.read_to_string(&mut output).map_err(|error| error.to_string())?;
        callgrind::collected(&output).ok_or_else(|| format!("valgrind failed:\n{output}"))
    }

    /// Processor time so far, in seconds.
    pub(crate) fn processor_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name is in parentheses and can contain any character. proc(5) lists the fields.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum();
        Ok(ticks / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closes stdin and waits for the process, so that it does not slow down the next server.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

/// A command that runs on these cores (with `taskset`), or on any core.
pub(crate) fn pinned(program: &Path, cores: Option<&str>) -> Command {
    match cores {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", cores]).arg(program);
            command
        }
        None => Command::new(program),
    }
}
