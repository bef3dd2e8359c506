//! The comparisons of servers, printed as tables.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::Flags;
use crate::measure::{Cores, Pace, SHARED, Turn, instructions as count, median, ratio, turn};
use crate::server::{Role, Runtime, What, write_stock};

const MIXES: [(&str, &str); 4] = [
    ("StocksInfo", "stock=1"),
    ("OrderInfo", "info=1"),
    ("OrderCreate", "create=1"),
    ("life", "life=1"),
];

const SHAPES: [(u32, u32); 3] = [(8, 32), (1, 64), (8, 1)];

/// The mix of a cart: of ten calls six read stock, two read an order, one creates and one pays.
const CART: &str = "create=1,info=2,pay=1,stock=6";

/// LOMS compared with the no-op, both with one thread per core.
pub(crate) fn thin(flags: &Flags) -> Result<(), String> {
    write_stock()?;
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let roles = [What::Noop, What::BareNoop, What::Loms].map(|what| Role {
        what,
        runtime: Runtime::Each,
        threads,
    });
    println!(
        "{:<12} {:>6}  {:>8} {:>8} {:>8}  {:>14} {:>14}  p99 {:>6} {:>6}",
        "", "", "no-op/s", "bare/s", "LOMS/s", "of no-op", "of bare", "no-op", "LOMS"
    );
    let mut rows = Vec::new();
    for (name, mix) in MIXES {
        for (connections, streams) in SHAPES {
            let pace = Pace::Closed { connections, streams };
            let [noop, bare, loms] =
                in_turn(flags, roles, |role| turn(role, mix, pace, SHARED, flags.seconds))?;
            let shape = format!("{connections}x{streams}");
            let quotients = |to: &[Turn]| {
                [Turn::calls_per_second, Turn::p99, Turn::processor]
                    .map(|figure| ratio(&loms, to, figure))
            };
            let (of_noop, of_bare) = (quotients(&noop), quotients(&bare));
            print!("{name:<12} {shape:>6} ");
            for turns in [&noop, &bare, &loms] {
                print!(" {:>8.0}", median(turns, Turn::calls_per_second));
            }
            for [calls_per_second, _, processor] in [of_noop, of_bare] {
                print!("  {calls_per_second:>6.3} (cpu {processor:.2})");
            }
            for turns in [&noop, &loms] {
                print!(" {:>6.0}", median(turns, Turn::p99));
            }
            println!(" µs");
            let named = |[calls_per_second, p99, processor]: [f64; 3]| {
                json!({
                    "calls_per_second": calls_per_second, "p99": p99, "processor": processor,
                })
            };
            rows.push(json!({
                "calls": name, "connections": connections, "streams": streams,
                "noop": figures(&noop), "bare_noop": figures(&bare), "loms": figures(&loms),
                "of_noop": named(of_noop), "of_bare_noop": named(of_bare),
            }));
        }
    }
    save(flags, "thin", rows)
}

/// Instructions per call: not affected by other load on the machine.
pub(crate) fn instructions() -> Result<(), String> {
    write_stock()?;
    println!("{:<12} {:>8} {:>8} {:>8}", "", "no-op", "bare", "LOMS");
    for (name, mix) in MIXES {
        print!("{name:<12}");
        for what in [What::Noop, What::BareNoop, What::Loms] {
            let role = Role { what, runtime: Runtime::Each, threads: NonZeroUsize::MIN };
            print!(" {:>8.0}", count(role, mix)?);
            // Each figure takes some seconds, so show it at once.
            io::stdout().flush().map_err(|error| error.to_string())?;
        }
        println!();
    }
    Ok(())
}

/// LOMS with one runtime per thread compared with a shared runtime.
pub(crate) fn runtimes(flags: &Flags) -> Result<(), String> {
    write_stock()?;
    let role = |runtime, threads: usize| Role {
        what: What::Loms,
        runtime,
        threads: NonZeroUsize::MIN.saturating_add(threads - 1),
    };
    let roles = [
        role(Runtime::Each, 1),
        role(Runtime::Each, 2),
        role(Runtime::Shared, 1),
        role(Runtime::Shared, 2),
    ];
    let apart = Cores { server: Some("0"), load: Some("1") };
    let mut rows = Vec::new();
    println!(
        "{:<22} {:>8} {:>14} {:>14} {:>14} {:>14}",
        "", "", "each 1", "each 2", "shared 1", "shared 2"
    );
    for (cores_name, cores) in [("one core", apart), ("two, with the load", SHARED)] {
        for (connections, streams) in [(8, 32), (64, 4), (1, 64), (8, 1)] {
            let pace = Pace::Closed { connections, streams };
            let turns = in_turn(flags, roles, |role| turn(role, CART, pace, cores, flags.seconds))?;
            print!("{cores_name:<22} {:>8}", format!("{connections}x{streams}"));
            for turns in &turns {
                let rate = median(turns, Turn::calls_per_second);
                print!(" {rate:>7.0} {:>4.0} µs", median(turns, Turn::p99));
            }
            println!();
            let [each_1, each_2, shared_1, shared_2] = turns.each_ref().map(|turns| figures(turns));
            rows.push(json!({
                "cores": cores_name, "connections": connections, "streams": streams,
                "each_1": each_1, "each_2": each_2, "shared_1": shared_1, "shared_2": shared_2,
            }));
        }
    }
    save(flags, "runtimes", rows)
}

/// Latency by calls per second. The latency of a call starts when the call is due.
pub(crate) fn load(flags: &Flags) -> Result<(), String> {
    write_stock()?;
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let roles = [What::Noop, What::Loms].map(|what| Role { what, runtime: Runtime::Each, threads });
    let mut rows = Vec::new();
    println!(
        "{:>8}  {:>30}  {:>30}",
        "calls/s", "no-op p50, p99, p99.9 µs", "LOMS p50, p99, p99.9 µs"
    );
    for rate in [1, 2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160].map(|thousands| thousands * 1_000)
    {
        let pace = Pace::Open { rate };
        let turns = in_turn(flags, roles, |role| turn(role, CART, pace, SHARED, flags.seconds))?;
        print!("{rate:>8}");
        for turns in &turns {
            let [p50, p99, p999] =
                [median(turns, Turn::p50), median(turns, Turn::p99), median(turns, Turn::p999)];
            print!("  {p50:>10.0} {p99:>9.0} {p999:>9.0}");
        }
        println!();
        let [noop, loms] = turns.each_ref().map(|turns| figures(turns));
        rows.push(json!({ "rate": rate, "noop": noop, "loms": loms }));
    }
    save(flags, "load", rows)
}

/// Measures all servers in turn, round by round. Every second round runs in reverse order.
fn in_turn<const N: usize>(
    flags: &Flags,
    roles: [Role; N],
    mut measure: impl FnMut(Role) -> Result<Turn, String>,
) -> Result<[Vec<Turn>; N], String> {
    let mut turns = [const { Vec::new() }; N];
    for round in 0..flags.rounds {
        let mut order: Vec<usize> = (0..N).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for place in order {
            turns[place].push(measure(roles[place])?);
        }
    }
    Ok(turns)
}

fn figures(turns: &[Turn]) -> Value {
    json!({
        "calls_per_second": median(turns, Turn::calls_per_second).round(),
        "p50_us": median(turns, Turn::p50),
        "p99_us": median(turns, Turn::p99),
        "p999_us": median(turns, Turn::p999),
        "processor_us": median(turns, Turn::processor),
    })
}

/// Writes one row per line, so that a diff shows which rows changed.
fn save(flags: &Flags, name: &str, rows: Vec<Value>) -> Result<(), String> {
    if !flags.save {
        return Ok(());
    }
    let path = format!("{}/benches/figures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    fs::write(&path, format!("[\n{}\n]\n", rows.join(",\n")))
        .map_err(|error| format!("{path}: {error}"))
}
