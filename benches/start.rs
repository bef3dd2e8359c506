//! Start time: of the state machine with a million SKUs, from the stock file to the first command;
//! and of `loms serve` with the default stock, until it accepts connections.
//!
//! `cargo bench --bench start` writes a large stock file into a temporary folder, reads it several
//! times, starts `loms serve` as many times, and prints the medians.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "shop/mod.rs"]
mod shop;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use loms::opening_stock;
use loms::state_machine::{LomsState, Rules};

const SKUS: u64 = 1_000_000;
const RUNS: usize = 7;

fn main() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("stock.json");
    let mut file = BufWriter::new(File::create(&path)?);
    for place in 0..SKUS {
        let (before, sku) = (if place == 0 { "[" } else { ",\n" }, shop::sku(place));
        write!(file, "{before}{{\"sku\": {sku}, \"total_count\": 1000, \"reserved\": 10}}")?;
    }
    writeln!(file, "]")?;
    file.flush()?;
    let (mut read, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = now();
        let stock = opening_stock::load(&path).expect("the file is valid");
        read.push(start.elapsed());
        let start = now();
        let state = LomsState::new(Rules::default(), &stock, 0);
        loaded.push(start.elapsed());
        assert!(state.available(shop::sku(SKUS - 1)).is_some(), "the last SKU has a stock record");
    }
    let (read, loaded) = (median(read), median(loaded));
    println!(
        "{SKUS} SKUs, {} MiB of JSON: read in {} ms, loaded into the state in {} ms",
        path.metadata()?.len() >> 20,
        read.as_millis(),
        loaded.as_millis(),
    );
    let ready = (0..RUNS).map(|_| ready()).collect::<io::Result<_>>()?;
    println!("loms serve with the default stock: ready after {:.1?}", median(ready));
    Ok(())
}

/// Time from the start of the process to its log line "serving"; it listens by then.
fn ready() -> io::Result<Duration> {
    let start = now();
    let mut process = Command::new(env!("CARGO_BIN_EXE_loms"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(process.stderr.take().expect("stderr is piped")).read_line(&mut line)?;
    let ready = start.elapsed();
    assert!(line.contains("serving"), "{line}");
    process.kill()?;
    process.wait()?;
    Ok(ready)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}
