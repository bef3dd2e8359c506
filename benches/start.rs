//! How long a machine takes to open with a million SKUs, from the stock file to the first command.
//!
//! `cargo bench --bench start` writes such a file into a temporary folder and reads it several
//! times; the medians are told.
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "shop/mod.rs"]
mod shop;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
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
        let state = LomsState::new(Rules::default(), &stock);
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
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}
