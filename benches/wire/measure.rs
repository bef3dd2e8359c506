//! One turn: a server under the load of `sim load`, and the figures of that turn.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::server::{Role, STOCK, Server, pinned};

/// How calls are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// This many connections with this many calls in flight on each.
    Closed { connections: u32, streams: u32 },
    /// This many calls per second, on 8 connections.
    Open { rate: u64 },
}

/// Which cores the server has, and which the load.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: Option<&'static str>,
    pub(crate) load: Option<&'static str>,
}

/// Both have all.
pub(crate) const SHARED: Cores = Cores { server: None, load: None };

/// The figures of a turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    calls_per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    processor: f64,
}

impl Turn {
    pub(crate) fn calls_per_second(&self) -> f64 {
        self.calls_per_second
    }

    /// In microseconds, as all latencies.
    pub(crate) fn p50(&self) -> f64 {
        self.p50
    }

    pub(crate) fn p99(&self) -> f64 {
        self.p99
    }

    pub(crate) fn p999(&self) -> f64 {
        self.p999
    }

    /// Processor time of the server for each call, in microseconds.
    pub(crate) fn processor(&self) -> f64 {
        self.processor
    }
}

/// Starts a new server and puts it under load.
pub(crate) fn turn(
    role: Role,
    mix: &str,
    pace: Pace,
    cores: Cores,
    seconds: u32,
) -> Result<Turn, String> {
    let server = Server::start(role, cores.server)?;
    let before = server.processor_seconds()?;
    let report = load(&server, mix, pace, cores.load, seconds)?;
    let spent = server.processor_seconds()? - before;
    Ok(Turn {
        calls_per_second: number(&report, "/calls_per_second")?,
        p50: number(&report, "/latency_ns/p50")? / 1e3,
        p99: number(&report, "/latency_ns/p99")? / 1e3,
        p999: number(&report, "/latency_ns/p999")? / 1e3,
        processor: spent * 1e6 / number(&report, "/calls")?,
    })
}

/// Instructions that a call costs the server: what twice as many calls cost more, by the call.
/// They come one at a time, so that none shares a wake-up with another.
pub(crate) fn instructions(role: Role, mix: &str) -> Result<f64, String> {
    let count = |seconds| {
        let server = Server::start_counted(role)?;
        let report = load(&server, mix, Pace::Open { rate: 300 }, None, seconds)?;
        Ok::<_, String>((number(&report, "/calls")?, server.instructions()?))
    };
    let ((few, once), (many, twice)) = (count(3)?, count(6)?);
    let more = u32::try_from(twice.saturating_sub(once)).map_err(|error| error.to_string())?;
    Ok(f64::from(more) / (many - few))
}

/// Puts a server under load. Returns the report of `sim load`.
fn load(
    server: &Server,
    mix: &str,
    pace: Pace,
    cores: Option<&str>,
    seconds: u32,
) -> Result<Value, String> {
    let mut load = pinned(Path::new(env!("CARGO_BIN_EXE_sim")), cores);
    load.args(["load", "--json", "--no-check", "--warm-up", "0s", "--mix", mix]);
    load.args(["--address", &server.address, "--stock", STOCK]);
    load.args(["--duration", &format!("{seconds}s")]);
    match pace {
        Pace::Closed { connections, streams } => {
            load.args(["--connections", &connections.to_string()]);
            load.args(["--concurrency", &(connections * streams).to_string()]);
        }
        Pace::Open { rate } => {
            load.args(["--connections", "8", "--rate", &rate.to_string()]);
        }
    }
    let output = load.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("sim load ended with {}: {error}", output.status))?;
    if report["codes"].as_object().is_none_or(|codes| codes.keys().ne(["OK"])) {
        return Err(format!("calls failed: {}", report["codes"]));
    }
    Ok(report)
}

fn number(report: &Value, path: &str) -> Result<f64, String> {
    report
        .pointer(path)
        .and_then(Value::as_f64)
        .ok_or(format!("the report of sim load has no {path}"))
}

/// The median of a figure.
pub(crate) fn median(turns: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    middle(turns.iter().map(figure).collect())
}

/// The median of the quotients, turn by turn, so that noise of the machine cancels out.
pub(crate) fn ratio(turns: &[Turn], to: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    middle(turns.iter().zip(to).map(|(turn, to)| figure(turn) / figure(to)).collect())
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
