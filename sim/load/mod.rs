//! `sim load`: puts a LOMS under load, shows how long its answers take, and checks at the end
//! that every order is as it should be. Start at [`run`].

mod call_stats;
mod check;
mod client_worker;
mod connection;
mod loops;
mod mix;
mod order_log;
mod random;
mod report;
mod run;
mod schedule;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{panic, process};

use clap::Args;
use loms::config::{Config, Sources};
use loms::opening_stock;

use crate::cli;
use crate::exit::Exit;
use loops::LoopMode;
use mix::Mix;
use order_log::OrderGenerator;
use run::LoadConfig;

/// What `sim load --help` tells at its end; the field names are a promise to scripts.
const LONG_HELP: &str = r#"Closed loop (--concurrency): so many workers, each of which makes its
next call when it has the answer. Open loop (--rate): calls are due at fixed times, whatever the
server does, and latency counts from when a call was due, so that a stall of the server is not
hidden. The table says how late calls were sent: where that is much, the machine that calls is
what is slow.

The mix gives each call a weight: create, info, pay, cancel, stock, and life, which is a create,
an info and a pay of one order, one after another; in an open loop it takes the room of three
calls. Pay and cancel go to an order of this run that awaits payment, info to any order of this
run; where there is none yet an order is placed instead. Each call is counted as what was really
called. No call is repeated.

At the end every order of the run is read back, and compared with what was asked for and answered:
user, lines and status. An order that LOMS cancelled for not being paid in time is as it should
be. SIGINT or SIGTERM ends the run early, with table and check; a second one at once.

With --json stdout has one object on one line; times are whole nanoseconds:
  {"address", "loop": "closed" or "open", "concurrency" or "rate", "connections", "threads",
   "seconds",            how long was measured
   "stopped",            whether a signal ended it early
   "calls", "calls_per_second", "latency_ns": {"p50", "p90", "p99", "p999", "max", "mean"},
   "codes": {"OK", …},   calls by gRPC code
   "kinds": {"create": {"calls", "calls_per_second", "latency_ns", "codes"}, …},
   "late_ns",            open loop: how late calls were sent, as latency_ns
   "failed_orders",      creates that were short of stock
   "saturated",          calls of over an hour, which count as an hour
   "unfinished",         calls that were given up without an answer
   "unsent",             open loop: calls that were due and not sent
   "refused",            calls that were right and were refused, in the warm-up too
   "check": {"made", "read_back", "missing", "unread", "wrong", "unanswered_creates"},
                         null with --no-check
   "complaints",         what is not as it should be, in words
   "ok"}                 whether all is

Exit codes:
  0  every order is as it should be
  1  one is not, or is missing, or a call that was right was refused, or none was measured:
     lines on stderr say which; or the server cannot be reached
  2  the command line makes no sense"#;

/// What to call, how often and for how long.
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct LoadFlags {
    /// Closed loop: calls always in flight [default: 64]
    #[arg(long, value_name = "C", conflicts_with = "rate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: Option<u32>,
    /// Open loop: calls due each second
    #[arg(long, value_name = "R")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Connections; never more than the concurrency
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Threads that call, each with connections of its own; never more than those
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// How long to measure
    #[arg(long, default_value = "30s", value_parser = positive_duration)]
    duration: Duration,
    /// How long to call before that, unmeasured
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    #[arg(value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// What to call, each with its weight
    #[arg(long, default_value = "create=1,info=2,pay=1,stock=6")]
    mix: Mix,
    /// Lines of an order, each of another SKU
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    lines: u16,
    /// Give each create an idempotency key of its own
    #[arg(long)]
    keys: bool,
    /// The stock file of the server [default: built in]
    #[arg(long, value_name = "FILE")]
    stock: Option<PathBuf>,
    /// Address of the server [default: loms.address of the configuration, http://localhost:50051]
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The configuration file [default: config/config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Time limit for connecting, and for the calls in flight at the end [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    timeout: Option<Duration>,
    /// Print the report as JSON, one object on one line
    #[arg(long)]
    json: bool,
    /// Do not read the orders back at the end
    #[arg(long)]
    no_check: bool,
    /// What SKUs and orders are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The default of `--timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends load to the server and checks its orders. Problems go to stderr.
pub(crate) fn run(flags: LoadFlags) -> (String, Exit) {
    abort_on_panic();
    match config(flags).and_then(|(config, json)| Ok((run::run(&config)?, json))) {
        Ok((report, json)) => {
            let problems = report.problems();
            for problem in &problems {
                complain(problem);
            }
            let exit = if problems.is_empty() { Exit::Ok } else { Exit::Oracle };
            (if json { report.json() } else { report.table() }, exit)
        }
        Err(problem) => {
            complain(&problem);
            (String::new(), Exit::Oracle)
        }
    }
}

/// A panic of a task or a thread ends the process: the other threads would wait for it forever.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::abort();
    }));
}

/// One line on stderr. A closed stderr is no reason to fail.
fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "sim load: {problem}");
}

/// The checked configuration, and whether the report is JSON.
fn config(flags: LoadFlags) -> Result<(LoadConfig, bool), String> {
    let address = address(&flags)?;
    let generator = order_generator(&flags)?;
    if generator.lines > generator.skus.len() {
        let (lines, skus) = (generator.lines, generator.skus.len());
        cli::usage(&format!("--lines {lines} is more than the {skus} SKUs in the stock file"));
    }
    let mode = match (flags.rate.and_then(NonZeroU64::new), flags.concurrency) {
        (Some(rate), _) => LoopMode::Open { rate },
        (None, concurrency) => LoopMode::Closed { concurrency: concurrency.unwrap_or(64) },
    };
    let connections = match mode {
        LoopMode::Closed { concurrency } => flags.connections.min(concurrency),
        LoopMode::Open { .. } => flags.connections,
    };
    let config = LoadConfig {
        address,
        mode,
        connections,
        threads: flags.threads.min(connections),
        warm_up: flags.warm_up,
        duration: flags.duration,
        timeout: flags.timeout.unwrap_or(DEFAULT_TIMEOUT),
        mix: flags.mix,
        check: !flags.no_check,
        generator: Arc::new(generator),
    };
    Ok((config, flags.json))
}

/// The address of the server, from the flag, the environment or the configuration file.
fn address(flags: &LoadFlags) -> Result<String, String> {
    let overrides = flags.address.clone().map(|address| ("loms.address", address));
    #[expect(clippy::disallowed_methods, reason = "the one place of sim that reads it")]
    let environment = std::env::vars_os();
    let sources = Sources {
        directory: Path::new(""),
        file: flags.config.as_deref(),
        environment,
        flags: overrides.as_slice(),
    };
    let config = Config::load(sources).map_err(|error| error.to_string())?;
    Ok(config.loms.address)
}

fn order_generator(flags: &LoadFlags) -> Result<OrderGenerator, String> {
    let stock = match &flags.stock {
        Some(file) => opening_stock::load(file).map_err(|error| error.to_string())?,
        None => opening_stock::embedded(),
    };
    let skus: Vec<u32> = stock.records().iter().map(|record| record.sku.get()).collect();
    if skus.is_empty() {
        return Err("the stock file has no SKUs, so there is nothing to order".to_owned());
    }
    Ok(OrderGenerator { skus, lines: flags.lines.into(), seed: flags.seed, keys: flags.keys })
}

/// A duration above 0.
fn positive_duration(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("must be above 0".to_owned()) } else { Ok(span) }
}
