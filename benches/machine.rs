//! What one command costs the machine, and what one order costs in memory.
//!
//! `cargo bench --bench machine` plays a shop's day from empty shelves to a million orders on
//! 1,000 SKUs, and to ten million on 100,000: of ten commands four place an order of two lines,
//! two pay, one cancels, and three look at an order or at stock. Payments and cancellations go to
//! orders placed a moment ago (`recent`) or to any order there is (`anywhere`, where next to
//! nothing is in a cache). One in eight creates has an idempotency key; orders nobody pays expire.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use loms::state_machine::{
    Action, Command, Count, Demand, IdempotencyKey, Line, LomsState, OpeningStock, OrderId, Rules,
    Sku, Span, StockRecord, Timestamp, Transition, UserId,
};

/// Of ten commands, four are creates.
const COMMANDS_PER_TEN: u64 = 10;
const CREATES_PER_TEN: u64 = 4;

/// How far back a recent order lies, at the most.
const RECENT: u64 = 1_000;

#[derive(Clone, Copy)]
struct World {
    skus: u32,
    orders: u64,
    /// How far back the orders that are paid, cancelled and looked at lie, at the most.
    reach: u64,
}

impl World {
    fn commands(self) -> u64 {
        self.orders / CREATES_PER_TEN * COMMANDS_PER_TEN
    }

    /// SKUs are spread over all numbers, as real ones are.
    fn sku(place: u64) -> Sku {
        let spread = u32::try_from((place + 1).wrapping_mul(2_654_435_761) % 4_294_967_291);
        Sku::new(spread.expect("below 2³²")).expect("a prime divides no smaller product")
    }

    fn opening(self) -> OpeningStock {
        let records = (0..u64::from(self.skus)).map(|place| StockRecord {
            sku: Self::sku(place),
            total: 1 << 40,
            reserved: 0,
        });
        OpeningStock::new(records.collect()).expect("SKUs differ")
    }

    /// What carts ask for: a pool of two-line orders, large enough to touch every SKU.
    fn demands(self) -> Vec<Demand> {
        let mut random = Random(1);
        let pool = u64::from(self.skus) * 2;
        let demands = (0..pool).map(|_| {
            let lines = (0..2).map(|_| Line {
                sku: Self::sku(random.below(u64::from(self.skus))),
                count: Count::new(1).expect("not 0"),
            });
            Demand::merge(lines.collect()).expect("two lines of one")
        });
        demands.collect()
    }
}

/// A multiplicative generator (Lehmer, 64 bits of a 128-bit state's step): two instructions, so
/// that what is measured is the machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u64::try_from((u128::from(self.0) * u128::from(n)) >> 64).expect("below n")
    }
}

/// Plays the day. Time passes by 1 µs a command, and an order has 100,000 of those to be paid.
fn play(world: World, state: &mut LomsState, demands: &[Demand]) {
    let mut random = Random(2);
    let mut transitions: Vec<Transition> = Vec::new();
    let user = UserId::new(1).expect("above 0");
    let mut orders = 1;
    // In the order of memory, so that waiting for the pool is no part of what is measured.
    let mut pool = demands.iter().cycle();
    for turn in 0..world.commands() {
        let at = Timestamp::from_nanos(turn * 1_000);
        let back = random.below(world.reach.min(orders));
        let order = OrderId::new((orders - back).cast_signed()).expect("above 0");
        transitions.clear();
        let action = match turn % COMMANDS_PER_TEN {
            0 | 2 | 4 | 6 => {
                let demand = pool.next().expect("it goes round");
                let key = (orders % 8 == 0)
                    .then(|| IdempotencyKey::new(&orders.to_le_bytes()).expect("eight bytes"));
                let action = Action::CreateOrder { user, demand, key: key.as_ref() };
                black_box(state.apply(Command { at, action }, &mut transitions)).expect("room");
                orders += 1;
                continue;
            }
            1 | 5 => Action::PayOrder(order),
            3 => Action::CancelOrder(order),
            _ => Action::Tick,
        };
        // What was paid or cancelled before, or expired, is refused or repeated: as in life.
        let _ = black_box(state.apply(Command { at, action }, &mut transitions));
        match turn % COMMANDS_PER_TEN {
            7 => {
                black_box(state.order(order).map(|order| order.lines().count()));
            }
            8 | 9 => {
                let sku = World::sku(random.below(u64::from(world.skus)));
                black_box(state.available(sku));
            }
            _ => {}
        }
    }
}

fn rules() -> Rules {
    Rules {
        payment_timeout: Span::from_nanos(100_000 * 1_000),
        idempotency_window: Span::from_nanos(1_000_000 * 1_000),
        key_hash_secret: 1,
    }
}

fn mix(criterion: &mut Criterion) {
    let worlds = [
        ("recent", World { skus: 1_000, orders: 1_000_000, reach: RECENT }),
        ("anywhere", World { skus: 1_000, orders: 1_000_000, reach: u64::MAX }),
        ("recent", World { skus: 100_000, orders: 10_000_000, reach: RECENT }),
        ("anywhere", World { skus: 100_000, orders: 10_000_000, reach: u64::MAX }),
    ];
    let mut group = criterion.benchmark_group("mix");
    group.sample_size(10).warm_up_time(Duration::from_millis(1));
    for (reach, world) in worlds {
        let (opening, demands) = (world.opening(), world.demands());
        let id = BenchmarkId::new(reach, format!("{} SKUs x {} orders", world.skus, world.orders));
        group.throughput(Throughput::Elements(world.commands()));
        group.bench_function(id, |bencher| {
            bencher.iter_batched_ref(
                || LomsState::new(rules(), &opening),
                |state| play(world, state, &demands),
                BatchSize::PerIteration,
            );
        });
        let memory = allocation_counter::measure(|| {
            let mut state = LomsState::new(rules(), &opening);
            play(world, &mut state, &demands);
            state.check_invariants().expect("the day went well");
            std::mem::forget(state);
        });
        let opening_bytes = allocation_counter::measure(|| {
            std::mem::forget(LomsState::new(rules(), &opening));
        });
        eprintln!(
            "mix/{reach}/{} SKUs x {} orders: {} bytes an order, {} MiB in all, {} allocations",
            world.skus,
            world.orders,
            (memory.bytes_current - opening_bytes.bytes_current) / world.orders.cast_signed(),
            memory.bytes_current >> 20,
            memory.count_total,
        );
    }
    group.finish();
}

criterion_group!(benches, mix);
criterion_main!(benches);
