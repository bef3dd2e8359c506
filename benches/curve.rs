//! What one command costs against how many orders are on record: it should hardly rise.
//!
//! `cargo bench --bench curve` prints a table; with `-- --save` it writes
//! `benches/figures/curve.json` too: an array of rows with `skus`, `orders`, `reach` ("recent" or
//! "any") and `ns`, nanoseconds a command.
//!
//! Each figure is taken while a shop that has nine tenths of the orders goes on to have all of
//! them, the growth of the storage included. It is the median of several days: of more days where
//! there are few orders, whose time is short.
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "shop/mod.rs"]
mod shop;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use shop::{Day, Reach, Supply, World};

/// Orders on record.
const ORDERS: [u64; 7] = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];

/// Days up to the most orders, and days for each of the smaller numbers.
const LONG_DAYS: usize = 3;
const SHORT_DAYS: usize = 15;

/// Up to this many orders a day is short.
const FEW_ORDERS: u64 = 300_000;

fn main() -> io::Result<()> {
    println!("{:>9} {:>10} {:>8} {:>12}", "SKUs", "orders", "reach", "ns a command");
    let mut rows = Vec::new();
    for skus in [1_000, 100_000] {
        for reach in [Reach::Recent, Reach::Any] {
            // Orders expire soon enough for that to be part of every figure.
            let world = World { timeout: 10_000, ..World::new(skus, reach) };
            for (orders, ns) in curve(&Supply::new(world)) {
                let reach = reach.name();
                println!("{skus:>9} {orders:>10} {reach:>8} {ns:>12.1}");
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

/// Nanoseconds a command at each number of orders.
fn curve(supply: &Supply) -> Vec<(u64, f64)> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ORDERS.len()];
    for day in 0..SHORT_DAYS {
        let most = if day < LONG_DAYS { u64::MAX } else { FEW_ORDERS };
        let mut day = Day::new(supply);
        for (orders, times) in ORDERS.iter().zip(&mut times).filter(|(orders, _)| **orders <= most)
        {
            day.play_to(orders / 10 * 9);
            let turn = day.turn;
            let began = now();
            day.play_to(*orders);
            let seconds = began.elapsed().as_secs_f64();
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
