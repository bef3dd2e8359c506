//! A `loms serve` process under attack: its memory, its log and its end.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use crate::clock::Stopwatch;

/// The SKUs in stock are from 1 to this. There are enough units for any run.
pub(crate) const SKUS: u32 = 100;

/// How long the process may take to start.
const START: Duration = Duration::from_secs(10);

/// How long the process may take to stop: longer than its drain.
const STOP: Duration = Duration::from_secs(15);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    log: Option<JoinHandle<Log>>,
    /// `HOST:PORT`
    pub(crate) address: String,
}

/// What the server has logged.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) lines: u64,
    /// The first errors and panics.
    pub(crate) errors: Vec<String>,
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Server {
    /// Starts this binary on a free port of loopback.
    pub(crate) fn start(binary: &Path) -> Result<Self, String> {
        let cannot = |error| format!("cannot run {}: {error}", binary.display());
        let mut child = Command::new(binary)
            .args("serve --listen 127.0.0.1:0 --log-format json --stock /dev/stdin".split(' '))
            .env_clear()
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let (Some(mut stdin), Some(stderr)) = (stdin, stderr) else {
            unreachable!("both are pipes");
        };
        // If the process has ended, the log says why.
        let _ = stdin.write_all(stock().as_bytes());
        drop(stdin);
        let (address, started) = mpsc::channel();
        let log = Some(thread::spawn(move || read_log(stderr, &address)));
        let pid = Pid::from_child(&child);
        let mut server = Self { child, pid, log, address: String::new() };
        server.address = match started.recv_timeout(START) {
            Ok(line) => address_in(&line).ok_or_else(|| format!("no address: {line}"))?,
            Err(_) => return Err(format!("{} does not start", binary.display())),
        };
        Ok(server)
    }

    /// Whether the process runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Result<Memory, String> {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let bytes = |name| kibibytes(&status, name).ok_or_else(|| format!("{path}: no {name}"));
        Ok(Memory { now: bytes("VmRSS:")? << 10, peak: bytes("VmHWM:")? << 10 })
    }

    /// Stops the process. Returns its log, how long it took, and what went wrong.
    pub(crate) async fn stop(mut self) -> (Log, Duration, Vec<String>) {
        let mut broken = Vec::new();
        let timer = Stopwatch::start();
        match self.end().await {
            Some(status) if status.success() => {}
            Some(status) => broken.push(format!("the server ended with {status}")),
            None => broken.push(format!("the server does not stop within {STOP:?}")),
        }
        let took = timer.elapsed();
        let _ = self.child.kill();
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        broken.extend(log.errors.iter().map(|error| format!("log: {error}")));
        (log, took, broken)
    }

    async fn end(&mut self) -> Option<ExitStatus> {
        // This fails if the process has ended; then its status says so.
        let _ = kill_process(self.pid, Signal::TERM);
        let ended = async {
            loop {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(STOP, ended).await.ok()
    }
}

/// Ends the server of a run that failed.
impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if the process has ended, which is the normal case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stock() -> String {
    let mut stock = "[".to_owned();
    for sku in 1..=SKUS {
        let comma = if sku == 1 { "" } else { "," };
        let _ =
            write!(stock, r#"{comma}{{"sku":{sku},"total_count":{},"reserved":0}}"#, 1_u64 << 50);
    }
    stock + "]"
}

/// Reads the log to its end. Sends the first line.
fn read_log(stderr: ChildStderr, first: &mpsc::Sender<String>) -> Log {
    let mut log = Log::default();
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        log.lines += 1;
        if log.lines == 1 {
            // Nobody waits for it if the start took too long.
            let _ = first.send(line.to_string());
        }
        let wrong = line.contains("panic") || line.contains(r#""level":"ERROR""#);
        if wrong && log.errors.len() < 3 {
            log.errors.push(line.into_owned());
        }
    }
    log
}

fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(r#""address":""#)?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
