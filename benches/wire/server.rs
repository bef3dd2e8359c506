//! The servers that are compared, each in a process of its own, and what they cost.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use loms::grpc::proto::loms_server::LomsServer;
use loms::grpc::service::ServiceOptions;
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::server::{serve, serve_on};
use loms::state_machine::{LomsState, Rules, Span};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tonic::service::Routes;

use crate::callgrind;
use crate::noop::Noop;

/// A server.
#[derive(Args, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) what: What,
    pub(crate) runtime: Runtime,
    /// Threads that serve.
    pub(crate) threads: NonZeroUsize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The no-op as tonic serves it: `Server::builder().add_service(…)`.
    Noop,
    /// The no-op past tonic's router, as LOMS serves itself.
    BareNoop,
    /// LOMS.
    Loms,
    /// LOMS with a payment timeout of 0.3 s.
    LomsExpiring,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// A single-threaded runtime for each thread, with connections of its own.
    Each,
    /// One runtime that shares its work among the threads.
    Shared,
}

/// Serves, with the log as it is by default, until stdin ends.
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
        // A thread of its own reads, and nothing is ever written.
        let _ = tokio::task::spawn_blocking(|| io::stdin().read(&mut [0])).await;
    };
    let serving = async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        match what {
            What::Noop => {
                let routes = Routes::new(LomsServer::new(Noop)).prepare();
                serve_on(listener, threads, routes, stdin_ends).await
            }
            What::BareNoop => serve_on(listener, threads, LomsServer::new(Noop), stdin_ends).await,
            What::Loms | What::LomsExpiring => {
                let mut rules = Rules::default();
                if what == What::LomsExpiring {
                    rules.payment_timeout = Span::from_nanos(300_000_000);
                }
                let state = LomsState::new(rules, &stock, 0);
                let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
                serve(listener, threads, sequencer, ServiceOptions::default(), stdin_ends).await
            }
        }
    };
    // On a worker, as whatever it accepts: the caller's thread is none in a shared runtime.
    let served = runtime.block_on(async { tokio::spawn(serving).await });
    served.map_err(|error| error.to_string())?.map_err(|error| error.to_string()).map(drop)
}

/// What LOMS opens with: 1,000 SKUs of which there is enough for ever.
pub(crate) const STOCK: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/wire-stock.json");

/// Writes [`STOCK`].
pub(crate) fn write_stock() -> Result<(), String> {
    let records = (1..=1_000).map(
        |sku| serde_json::json!({ "sku": sku * 1_009, "total_count": 1_u64 << 40, "reserved": 0 }),
    );
    let text = serde_json::Value::from_iter(records).to_string();
    fs::write(STOCK, text).map_err(|error| format!("{STOCK}: {error}"))
}

/// A server that runs.
pub(crate) struct Server {
    process: Child,
    /// `http://HOST:PORT`
    pub(crate) address: String,
}

impl Server {
    /// Starts it, on these cores where some are given.
    pub(crate) fn start(role: Role, cores: Option<&str>) -> Result<Self, String> {
        let mut command = pinned(&own()?, cores);
        command.stderr(Stdio::null());
        Self::start_by(command, role)
    }

    /// Starts it under callgrind.
    pub(crate) fn start_counted(role: Role) -> Result<Self, String> {
        let mut command = callgrind::counted(&own()?);
        command.stderr(Stdio::piped());
        Self::start_by(command, role)
    }

    fn start_by(mut command: Command, role: Role) -> Result<Self, String> {
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

    /// Ends a server that was started under callgrind, and tells all its instructions.
    pub(crate) fn instructions(mut self) -> Result<u64, String> {
        drop(self.process.stdin.take());
        let mut told = String::new();
        let stderr = self.process.stderr.as_mut().ok_or("the server has no stderr")?;
        stderr.read_to_string(&mut told).map_err(|error| error.to_string())?;
        callgrind::collected(&told).ok_or_else(|| format!("valgrind failed:\n{told}"))
    }

    /// Processor time used so far, in seconds.
    pub(crate) fn processor_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name comes in brackets and may hold anything; proc(5) has the rest.
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
        // Its stdin ends here; it is waited for, so that it is no load on the next.
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn own() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

/// A command on these cores (`taskset`), or on any.
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
