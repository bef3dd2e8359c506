//! `sim load`: puts a server under load, measures its latencies, and reads back every order at the
//! end to check it. Start at [`run()`].
//!
//! | module | holds |
//! |---|---|
//! | `run` | a whole run: threads, progress bar, signals |
//! | `loops` | one thread: its closed or open loop |
//! | `client_worker` | one user: the calls of an operation |
//! | `mix`, `schedule`, `random` | what to call, when, and the random numbers |
//! | `connection`, `tls` | one HTTP/2 connection, with or without TLS |
//! | `order_log`, `check` | what is known about each order, and the check at the end |
//! | `call_stats`, `report` | counts and latencies, and how they are printed |

pub(crate) mod call_stats;
pub(crate) mod check;
mod client_worker;
pub(crate) mod connection;
pub(crate) mod loops;
pub(crate) mod mix;
pub(crate) mod order_log;
pub(crate) mod random;
mod report;
mod run;
pub(crate) mod schedule;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt::Display;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use std::{panic, process};

use clap::error::ErrorKind;
use clap::{Args, Command};
use loms::client::{CredentialFiles, Credentials};
use loms::config::{Loms, Sources};
use loms::opening_stock;

use crate::credentials::CredentialFlags;
use crate::exit::Exit;
use loops::LoopMode;
use mix::Mix;
use order_log::OrderGenerator;
use run::LoadConfig;

/// The end of `sim load --help`. Scripts depend on the field names.
const LONG_HELP: &str = r#"Closed loop (--concurrency): each of N workers makes its next call when
it has the answer to the previous one. Open loop (--rate): calls are due at fixed times, independent
of the server. Latency counts from the time at which the call was due, so a server that stops
answering for a while is visible in the percentiles. The report says how late calls were sent. If
that is much, the machine that sends the load is too slow.

The mix gives each operation a weight: create, info, pay, cancel, stock and life. A life is a
create, an info and a pay of the same order, one after another; in an open loop it counts as three
calls. Pay and cancel use an order of this run that awaits payment, info uses any order of this run.
If there is none, the worker makes a create instead, and the report counts it as a create. No call
is retried.

At the end, the run reads back every order that it placed and compares user, lines and status with
the requests and answers. An order that expired is correct. SIGINT or SIGTERM ends the run early,
with report and check; a second signal ends it at once.

With --json, stdout has one object on one line. Times are in nanoseconds, except "seconds":
  {"address", "loop": "closed" or "open", "concurrency" or "rate", "connections", "threads",
   "seconds",            measured time
   "stopped",            true if a signal ended the run early
   "calls", "calls_per_second", "latency_ns": {"p50", "p90", "p99", "p999", "max", "mean"},
   "codes": {"OK", …},   calls by gRPC code
   "kinds": {"create": {"calls", "calls_per_second", "latency_ns", "codes"}, …},
   "late_ns",            open loop: how late calls were sent; same fields as latency_ns
   "failed_orders",      creates that failed for lack of stock
   "saturated",          calls longer than an hour, counted as one hour
   "unfinished",         calls without an answer at the end of the run
   "unsent",             open loop: calls that were due but not sent
   "refused",            valid calls that the server refused, warm-up included
   "check": {"made", "read_back", "missing", "unread", "wrong", "unanswered_creates"},
                         null with --no-check
   "complaints",         the problems, as text
   "ok"}                 true if there are no problems

Exit codes:
  0  all orders are correct
  1  an order is wrong or missing, a valid call was refused, no call was measured, or the server is
     unreachable: lines on stderr say which
  2  wrong arguments"#;

/// The flags of `sim load`.
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct LoadFlags {
    /// Closed loop: number of calls in flight [default: 64]
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    #[arg(value_parser = |text: &str| number(text, 1, 100_000_u32))]
    concurrency: Option<u32>,
    /// Open loop: calls per second
    #[arg(long, value_name = "N", value_parser = |text: &str| number(text, 1, 10_000_000_u64))]
    rate: Option<u64>,
    /// Number of connections, at most the concurrency
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = |text: &str| number(text, 1, 10_000_u32))]
    connections: u32,
    /// Number of threads, at most the number of connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = |text: &str| number(text, 1, 256_u32))]
    threads: u32,
    /// Time to measure
    #[arg(long, default_value = "30s", value_parser = positive_duration)]
    duration: Duration,
    /// Time to call before the measurement
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = any_duration)]
    warm_up: Duration,
    /// Operations with their weights
    #[arg(long, default_value = "create=1,info=2,pay=1,stock=6")]
    mix: Mix,
    /// Lines per order, each with a different SKU
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = |text: &str| number(text, 1, u16::MAX))]
    lines: u16,
    /// Send an idempotency key with each create
    #[arg(long)]
    keys: bool,
    /// The stock file that the server uses [default: built in]
    #[arg(long, value_name = "FILE")]
    stock: Option<PathBuf>,
    /// Address of the server [default: loms.address of the configuration, http://localhost:50051]
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    #[command(flatten)]
    credentials: CredentialFlags,
    /// The configuration file [default: config/config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Time limit for connecting, and for calls still in flight at the end [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    timeout: Option<Duration>,
    /// Print the report as JSON, one object on one line
    #[arg(long)]
    json: bool,
    /// Do not read the orders back at the end
    #[arg(long)]
    no_check: bool,
    /// Seed of the random numbers that select SKUs and orders
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = |text: &str| number(text, 0, u64::MAX))]
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
                print_error(problem);
            }
            let exit = if problems.is_empty() { Exit::Ok } else { Exit::Oracle };
            (if json { report.json() } else { report.table() }, exit)
        }
        Err(problem) => {
            print_error(&problem);
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
fn print_error(problem: &str) {
    let _ = writeln!(std::io::stderr(), "sim load: {problem}");
}

/// Ends the process as clap does for wrong arguments.
fn wrong_arguments(problem: &str) -> ! {
    let mut command = LoadFlags::augment_args(Command::new("sim load"));
    command.error(ErrorKind::ArgumentConflict, problem).exit()
}

/// The checked configuration, and whether the report is JSON.
fn config(flags: LoadFlags) -> Result<(LoadConfig, bool), String> {
    let (address, credentials) = server(&flags)?;
    let generator = order_generator(&flags)?;
    if generator.lines > generator.skus.len() {
        let (lines, skus) = (generator.lines, generator.skus.len());
        wrong_arguments(&format!("--lines {lines} is more than the {skus} SKUs in the stock file"));
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
        credentials,
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

/// The address of the server and the credentials for it, from the flags, the environment or the
/// configuration file.
fn server(flags: &LoadFlags) -> Result<(String, Credentials), String> {
    let CredentialFlags { ca, cert, cert_key, token_file } = flags.credentials.clone();
    let overrides = [
        ("loms.address", flags.address.clone()),
        ("loms.ca", ca),
        ("loms.cert", cert),
        ("loms.cert_key", cert_key),
        ("loms.token_file", token_file),
    ];
    let overrides: Vec<_> =
        overrides.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place in sim that reads the environment"
    )]
    let environment = std::env::vars_os();
    let sources = Sources {
        directory: Path::new(""),
        file: flags.config.as_deref(),
        environment,
        flags: &overrides,
    };
    let loms = Loms::load(sources).map_err(|error| error.to_string())?;
    let Loms { address, ca, cert, cert_key, token_file: token, .. } = loms;
    Ok((address, Credentials::read(&CredentialFiles { ca, cert, cert_key, token })?))
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

/// A whole number in this range.
fn number<T>(text: &str, min: T, max: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let parsed = text.parse().ok().filter(|number| (&min..=&max).contains(&number));
    parsed.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

fn any_duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|error| format!("{error}; use a duration such as 500ms or 5s"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration.is_zero() { Err("must be above 0".to_owned()) } else { Ok(duration) }
}
