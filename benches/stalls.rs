//! Whether any single call of the machine takes long, and how long a large backlog takes.
//!
//! `cargo bench --bench stalls` plays the same day twice, to ten million orders, and takes the
//! time of every command: a histogram, and the slowest commands of each day. A command that is
//! slow by its own doing (a table copied whole, for instance) is slow on both days. What is slow on
//! one day only is noise: the time that a command took is the smaller of the two.
//!
//! Then a million orders are due at once, and expire in steps as in the sequencer. Last, one unpaid
//! order comes before a hundred million paid ones: cancelling it has to find the next order that
//! awaits payment.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "shop/mod.rs"]
mod shop;

use std::time::Instant;

use shop::{Day, Kind, Reach, Supply, World};

const ORDERS: u64 = 10_000_000;

/// Commands of the day.
const COMMANDS: usize = 25_000_000;

/// Number of slowest commands that are printed.
const SLOWEST: usize = 5;

/// Orders that are due at once, and how many of them expire in a step, as in the sequencer.
const DUE: u64 = 1_000_000;
const EXPIRIES_A_STEP: usize = 4_096;

fn main() {
    slowest_commands();
    backlog(1_000);
    backlog(100_000);
    sparse();
}

fn slowest_commands() {
    let supply = Supply::new(World::new(100_000, Reach::Any));
    let days = [times(&supply), times(&supply)];
    let smaller: Vec<u32> =
        days[0].iter().zip(&days[1]).map(|(one, other)| *one.min(other)).collect();
    let [first, second] = days;
    println!("single commands on the way to {ORDERS} orders, 100,000 SKUs, any, ns:");
    for (name, times) in [("first day", first), ("second day", second), ("both days", smaller)] {
        print_times(name, &times);
    }
}

/// Nanoseconds of every command of a day.
fn times(supply: &Supply) -> Vec<u32> {
    let mut day = Day::new(supply);
    // Written once beforehand, so that no page of it is missing while the day is measured.
    let mut times = vec![1; COMMANDS];
    for time in &mut times {
        let began = now();
        day.step();
        *time = u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX);
    }
    assert_eq!(day.orders, ORDERS, "of ten commands four are creates");
    times
}

fn print_times(name: &str, times: &[u32]) {
    print!("  {name:10}");
    for limit in [1_000, 10_000, 100_000, 1_000_000] {
        let over = times.iter().filter(|time| **time > limit).count();
        print!("  over {limit}: {over}");
    }
    let mut slowest: Vec<(u32, usize)> = times.iter().copied().zip(1..).collect();
    slowest.sort_unstable_by(|one, other| other.cmp(one));
    let slowest = slowest.iter().take(SLOWEST).map(|(time, place)| format!("{time} (#{place})"));
    println!("\n    slowest: {}", slowest.collect::<Vec<_>>().join(", "));
}

fn backlog(skus: u32) {
    let world = World { timeout: 10 * DUE, ..World::new(skus, Reach::Recent) };
    let supply = Supply::new(world);
    let mut day = Day::new(&supply);
    (0..DUE).for_each(|_| day.act(Kind::Create));
    day.wait(20 * DUE);
    let (mut total, mut longest, mut steps) = (0, 0, 0_u32);
    loop {
        let began = now();
        let expired = day.expire(EXPIRIES_A_STEP);
        let took = began.elapsed().as_nanos();
        if expired == 0 {
            break;
        }
        (total, longest, steps) = (total + took, longest.max(took), steps + 1);
    }
    day.state.check_invariants().expect("all of them expired");
    println!(
        "{DUE} orders due at once, {skus} SKUs: {} ms in {steps} steps, {} ns an order; the \
         longest step {} us",
        total / 1_000_000,
        total / u128::from(DUE),
        longest / 1_000,
    );
}

/// Orders between the two that await payment.
const PAID: u64 = 100_000_000;

/// Cancels the only two orders that await payment, the first and the last of very many.
fn sparse() {
    let supply = Supply::new(World { timeout: 0, ..World::new(1_000, Reach::InTurn) });
    let mut day = Day::new(&supply);
    day.act(Kind::Create);
    for _ in 0..PAID {
        day.act(Kind::Create);
        day.pay_newest();
    }
    day.act(Kind::Create);
    let began = now();
    day.cancel(1);
    let took = began.elapsed();
    println!("one awaiting order before {PAID} paid ones: cancelled in {} ns", took.as_nanos());
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}
