//! One turn: a server under the load of `sim load`, and what came of it.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::server::{Role, STOCK, Server, pinned};

/// How calls come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many connections with so many calls in flight on each.
    Closed { connections: u32, streams: u32 },
    /// So many calls a second, on 8 connections.
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

/// What came of a turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    calls_per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    processor: f64,
}

/// The figures, to be asked of many turns.
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

/// Starts the server afresh and has it called.
pub(crate) fn turn(
    role: Role,
    mix: &str,
    pace: Pace,
    cores: Cores,
    seconds: u32,
) -> Result<Turn, String> {
    let server = Server::start(role, cores.server)?;
    let before = server.processor_seconds()?;
    let told = load(&server, mix, pace, cores.load, seconds)?;
    let spent = server.processor_seconds()? - before;
    Ok(Turn {
        calls_per_second: number(&told, "/calls_per_second")?,
        p50: number(&told, "/latency_ns/p50")? / 1e3,
        p99: number(&told, "/latency_ns/p99")? / 1e3,
        p999: number(&told, "/latency_ns/p999")? / 1e3,
        processor: spent * 1e6 / number(&told, "/calls")?,
    })
}

/// Instructions that a call costs the server: what twice as many calls cost more, by the call.
/// They come one at a time, so that none shares a wake-up with another.
pub(crate) fn instructions(role: Role, mix: &str) -> Result<f64, String> {
    let count = |seconds| {
        let server = Server::start_counted(role)?;
        let told = load(&server, mix, Pace::Open { rate: 300 }, None, seconds)?;
        Ok::<_, String>((number(&told, "/calls")?, server.instructions()?))
    };
    let ((few, once), (many, twice)) = (count(3)?, count(6)?);
    let more = u32::try_from(twice.saturating_sub(once)).map_err(|error| error.to_string())?;
    Ok(f64::from(more) / (many - few))
}

/// Has a server called, and gives what `sim load` tells.
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
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("sim load ended with {}: {error}", output.status))?;
    if told["codes"].as_object().is_none_or(|codes| codes.keys().ne(["OK"])) {
        return Err(format!("calls failed: {}", told["codes"]));
    }
    Ok(told)
}

fn number(told: &Value, path: &str) -> Result<f64, String> {
    told.pointer(path).and_then(Value::as_f64).ok_or(format!("sim load tells no {path}"))
}

/// The middle of what `figure` says of these.
pub(crate) fn median(turns: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    middle(turns.iter().map(figure).collect())
}

/// The middle of the quotients, turn by turn: the machine's mood cancels out.
pub(crate) fn ratio(turns: &[Turn], to: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    middle(turns.iter().zip(to).map(|(turn, to)| figure(turn) / figure(to)).collect())
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
