//! Creates while orders expire as fast as they come, compared with creates while none expires.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use crate::Flags;
use crate::measure::{Pace, SHARED, Turn, median, ratio, turn};
use crate::server::{Role, Runtime, What, write_stock};

/// With the short payment timeout of [`What::LomsExpiring`] the steady state begins after 0.3 s, so
/// that a turn of a few seconds consists mostly of it.
const PACE: Pace = Pace::Closed { connections: 8, streams: 32 };

/// Measures both servers in turn, `rounds` times, and prints the medians and their ratio.
pub(crate) fn expiry(flags: &Flags) -> Result<(), String> {
    write_stock()?;
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let role = |what| Role { what, runtime: Runtime::Each, threads };
    let (mut none, mut all) = (Vec::new(), Vec::new());
    for round in 1..=flags.rounds {
        none.push(turn(role(What::Loms), "create=1", PACE, SHARED, flags.seconds)?);
        all.push(turn(role(What::LomsExpiring), "create=1", PACE, SHARED, flags.seconds)?);
        let quotient = ratio(&all[round - 1..], &none[round - 1..], Turn::calls_per_second);
        println!("round {round}: {quotient:.3}");
    }
    println!(
        "creates/s, 8 connections x 32 streams: {:.0} while none expires, {:.0} while all expire; \
         ratio {:.3}, p99 {:.0} and {:.0} µs",
        median(&none, Turn::calls_per_second),
        median(&all, Turn::calls_per_second),
        ratio(&all, &none, Turn::calls_per_second),
        median(&none, Turn::p99),
        median(&all, Turn::p99),
    );
    Ok(())
}
