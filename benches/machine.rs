//! What one command costs the machine, and what one order costs in memory.
//!
//! `cargo bench --bench machine` plays a shop's whole day, from no orders to a million on 1,000
//! SKUs and to ten million on 100,000; the mix is told in `benches/shop/mod.rs`. The figure is the
//! day's time by its commands, so that growing the storage is within it. "Recent" pays, cancels
//! and looks at orders placed a moment ago, "any" at any order there is: hardly anything is in a
//! cache. "Made up only" is what making up the commands takes, which is within the figures; what is
//! left is the machine's. What a command costs once so many orders are on record, `curve` tells.

#[path = "shop/mod.rs"]
mod shop;

use std::fs;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shop::{Day, Reach, Supply, World};

fn mix(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mix");
    group.sample_size(10).warm_up_time(Duration::from_millis(1));
    for (skus, orders) in [(1_000, 1_000_000), (100_000, 10_000_000)] {
        for reach in [Reach::Recent, Reach::Any] {
            let supply = Supply::new(World::new(skus, reach));
            let id = format!("{skus} SKUs x {orders} orders");
            let commands = tell_memory(&supply, &id, orders);
            group.throughput(Throughput::Elements(commands));
            let made_up = format!("{}, made up only", reach.name());
            for (name, plays) in [(reach.name(), true), (&made_up, false)] {
                group.bench_function(BenchmarkId::new(name, &id), |bencher| {
                    bencher.iter_batched_ref(
                        || Day::new(&supply),
                        |day| if plays { day.play_to(orders) } else { day.make_up_to(orders) },
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
    group.finish();
}

/// Plays the day once to tell what its orders take, and how many commands it has.
fn tell_memory(supply: &Supply, id: &str, orders: u64) -> u64 {
    let mut commands = 0;
    let mut resident = 0;
    let memory = allocation_counter::measure(|| {
        let mut day = Day::new(supply);
        let before = resident_bytes();
        day.play_to(orders);
        resident = resident_bytes() - before;
        day.state.check_invariants().expect("the day went well");
        commands = day.turn;
        // Measured as it stands at the end of the day.
        std::mem::forget(day);
    });
    eprintln!(
        "{id}: {} bytes an order and {} MiB in all are resident; {} MiB are addressed, in {} \
         allocations",
        resident / orders,
        resident >> 20,
        memory.bytes_current >> 20,
        memory.count_total,
    );
    commands
}

/// What the process has in memory, as Linux tells; 0 elsewhere.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

criterion_group!(benches, mix);
criterion_main!(benches);
