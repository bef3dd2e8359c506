//! The cost of a command by the number of stored orders. It should hardly rise.
//!
//! `cargo bench --bench curve` prints a table. With `-- --save` it also writes
//! `benches/figures/curve.json`: an array of rows with `skus`, `orders`, `reach` ("recent" or
//! "any") and `ns`, nanoseconds per command.
//!
//! Each figure is measured from nine tenths of the orders to all of them, and includes the growth
//! of the storage. It is the median of several runs. Small numbers of orders take little time, so
//! they are measured in more runs.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "shop/mod.rs"]
mod shop;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use shop::{Day, Reach, Supply, World};

/// Numbers of stored orders.
const ORDERS: [u64; 7] = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

/// Number of runs up to the largest number of orders, and number of all runs. The other runs stop
/// at [`FEW_ORDERS`].
const LONG_RUNS: usize = 3;
const RUNS: usize = 15;

/// The number of orders at which a short run stops.
const FEW_ORDERS: u64 = 300_000;

fn main() -> io::Result<()> {
    println!("{:>9} {:>10} {:>8} {:>14}", "SKUs", "orders", "reach", "ns per command");
    let mut rows = Vec::new();
    for skus in [1_000, 100_000] {
        for reach in [Reach::Recent, Reach::Any] {
            // A short timeout, so that every figure includes expiry.
            let world = World { timeout: 10_000, ..World::new(skus, reach) };
            for (orders, ns) in curve(&Supply::new(world)) {
                let reach = reach.name();
                println!("{skus:>9} {orders:>10} {reach:>8} {ns:>14.1}");
                rows.push(format!(
                    "  {{\"skus\": {skus}, \"orders\": {orders}, \"reach\": \"{reach}\", \
                     \"ns\": {ns:.1}}}"
                ));
            }
        }
    }
    if env::args().any(|argument| argument == "--save") {
        let figures = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures");
        fs::create_dir_all(&figures)?;
        let mut json = String::new();
        let _ = writeln!(json, "[\n{}\n]", rows.join(",\n"));
        fs::write(figures.join("curve.json"), json)?;
    }
    Ok(())
}

/// Nanoseconds per command at each number of orders.
fn curve(supply: &Supply) -> Vec<(u64, f64)> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ORDERS.len()];
    for run in 0..RUNS {
        let most = if run < LONG_RUNS { u64::MAX } else { FEW_ORDERS };
        let mut day = Day::new(supply);
        for (orders, times) in ORDERS.iter().zip(&mut times).filter(|(orders, _)| **orders <= most)
        {
            day.run_to(orders / 10 * 9);
            let turn = day.turn;
            let start = now();
            day.run_to(*orders);
            let seconds = start.elapsed().as_secs_f64();
            let commands = u32::try_from(day.turn - turn).expect("below 2³²");
            times.push(seconds * 1e9 / f64::from(commands));
        }
    }
    ORDERS.into_iter().zip(times.into_iter().map(median)).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}
