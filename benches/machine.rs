//! The cost of a command of the state machine, and the memory of an order.
//!
//! `cargo bench --bench machine` runs the workload of `benches/shop/mod.rs` from no orders to a
//! million with 1,000 SKUs, and to ten million with 100,000. The figure is the time of the whole
//! run divided by its commands, so it includes the growth of the storage. "recent" pays, cancels
//! and reads the newest orders. "any" uses all orders, so that hardly any is in a cache. "generate
//! only" is the part of the figure that generates the commands; the state machine takes the rest.
//! `benches/curve.rs` measures the cost by the number of stored orders.

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
            let commands = print_memory(&supply, &id, orders);
            group.throughput(Throughput::Elements(commands));
            let generate_only = format!("{}, generate only", reach.name());
            for (name, applies) in [(reach.name(), true), (&generate_only, false)] {
                group.bench_function(BenchmarkId::new(name, &id), |bencher| {
                    bencher.iter_batched_ref(
                        || Day::new(&supply),
                        |day| if applies { day.run_to(orders) } else { day.generate_to(orders) },
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
    group.finish();
}

/// Runs the workload once and prints the memory of its orders. Returns the number of commands.
fn print_memory(supply: &Supply, id: &str, orders: u64) -> u64 {
    let mut commands = 0;
    let mut resident = 0;
    let memory = allocation_counter::measure(|| {
        let mut day = Day::new(supply);
        let before = resident_bytes();
        day.run_to(orders);
        resident = resident_bytes() - before;
        day.state.check_invariants().expect("the invariants hold");
        commands = day.turn;
        // Measure the memory at the end of the run, before it is freed.
        std::mem::forget(day);
    });
    eprintln!(
        "{id}: {} bytes per order and {} MiB in total are resident; {} MiB are allocated, in {} \
         allocations",
        resident / orders,
        resident >> 20,
        memory.bytes_current >> 20,
        memory.count_total,
    );
    commands
}

/// Resident memory of the process on Linux; 0 on other systems.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

criterion_group!(benches, mix);
criterion_main!(benches);
