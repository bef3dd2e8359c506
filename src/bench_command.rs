//! `loms bench`: puts a LOMS under load, shows how long its answers take, and checks at the end
//! that every order is as it should be. Start at [`run`].

mod check;
mod draw;
mod ledger;
mod link;
mod load;
mod mix;
mod report;
mod run;
mod schedule;
mod shopper;
mod tally;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use loms::opening_stock;

use crate::client_commands::positive;
use crate::{complain, usage};
use ledger::Assortment;
use load::Loop;
use mix::Mix;

/// What `loms bench --help` tells at its end; the field names are a promise to scripts.
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
pub(crate) struct BenchFlags {
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
    #[arg(long, default_value = "30s", value_parser = positive)]
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
    /// Do not read the orders back at the end
    #[arg(long)]
    no_check: bool,
    /// What SKUs and orders are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// How long calls in flight at the end still have, unless `--timeout` says otherwise; also what
/// connecting may take.
const GRACE: Duration = Duration::from_secs(5);

/// Puts the LOMS at this address under load.
pub(crate) fn run(
    flags: BenchFlags,
    json: bool,
    timeout: Option<Duration>,
    address: &str,
) -> ExitCode {
    let assortment = match assortment(&flags) {
        Ok(assortment) => assortment,
        Err(problem) => return failure(&problem),
    };
    if assortment.lines > assortment.skus.len() {
        let (lines, skus) = (assortment.lines, assortment.skus.len());
        usage(&format!("--lines {lines} is more than the {skus} SKUs in stock"));
    }
    let pace = match (flags.rate.and_then(NonZeroU64::new), flags.concurrency) {
        (Some(rate), _) => Loop::Open { rate },
        (None, concurrency) => Loop::Closed { concurrency: concurrency.unwrap_or(64) },
    };
    let connections = match pace {
        Loop::Closed { concurrency } => flags.connections.min(concurrency),
        Loop::Open { .. } => flags.connections,
    };
    let plan = run::Plan {
        address: address.to_owned(),
        pace,
        connections,
        threads: flags.threads.min(connections),
        warm_up: flags.warm_up,
        duration: flags.duration,
        grace: timeout.unwrap_or(GRACE),
        mix: flags.mix,
        check: !flags.no_check,
        assortment: Arc::new(assortment),
    };
    let report = match run::run(&plan) {
        Ok(report) => report,
        Err(problem) => return failure(&problem),
    };
    let text = if json { report.json() } else { report.table() };
    // That nobody reads it, as with `head`, says nothing of the orders.
    let _ = std::io::stdout().write_all(text.as_bytes());
    for complaint in report.complaints() {
        complain(&complaint);
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failure(problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

fn assortment(flags: &BenchFlags) -> Result<Assortment, String> {
    let stock = match &flags.stock {
        Some(file) => opening_stock::load(file).map_err(|error| error.to_string())?,
        None => opening_stock::embedded(),
    };
    let skus: Vec<u32> = stock.records().iter().map(|record| record.sku.get()).collect();
    if skus.is_empty() {
        return Err("a stock file without SKUs leaves nothing to call for".to_owned());
    }
    Ok(Assortment { skus, lines: flags.lines.into(), seed: flags.seed, keys: flags.keys })
}
