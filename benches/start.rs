//! How long it takes to start: the machine with a million SKUs, from the stock file to the first
//! command, and the process with the shipped file, from its start to where it takes connections.
//!
//! `cargo bench --bench start` writes a large stock file into a temporary folder and reads it
//! several times, and starts `loms serve` as often; the medians are told.
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

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
    let (mut loading, mut opening) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let began = now();
        let stock = opening_stock::load(&path).expect("it was just written");
        loading.push(began.elapsed());
        let began = now();
        let state = LomsState::new(Rules::default(), &stock, 0);
        opening.push(began.elapsed());
        assert!(state.available(shop::sku(SKUS - 1)).is_some(), "the last SKU has its shelf");
    }
    let (loading, opening) = (median(loading), median(opening));
    println!(
        "{SKUS} SKUs, {} MiB of JSON: loaded in {} ms, opened in {} ms",
        path.metadata()?.len() >> 20,
        loading.as_millis(),
        opening.as_millis(),
    );
    let ready = (0..RUNS).map(|_| ready()).collect::<io::Result<_>>()?;
    println!("loms serve, with the shipped stock: ready in {:.1?}", median(ready));
    Ok(())
}

/// From the start of the process until it says that it serves, by when it listens.
fn ready() -> io::Result<Duration> {
    let began = now();
    let mut process = Command::new(env!("CARGO_BIN_EXE_loms"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(process.stderr.take().expect("it was asked for")).read_line(&mut line)?;
    let ready = began.elapsed();
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
