//! The cost of a command, by count and not by time: how many entries of containers it visits. The
//! containers have the shipped sizes.

use std::cell::Cell;
use std::hint::black_box;

use loms::state_machine::{
    Cause, Command, Count, Demand, Entry, Event, Fact, IdempotencyKey, Line, LomsState, OrderId,
    Rules, Shipped, Sizes, Sku, Span, Timestamp, Transition, UserId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::script::opening;

thread_local! {
    static VISITS: Cell<u64> = const { Cell::new(0) };
}

/// The shipped sizes; counts visits.
#[derive(Clone, Copy, Debug, Default)]
struct Counted;

impl Sizes for Counted {
    const FIRST_CHUNK_LOG: u32 = Shipped::FIRST_CHUNK_LOG;
    const PAGE_LOG: u32 = Shipped::PAGE_LOG;
    const QUEUE_CHUNK: u32 = Shipped::QUEUE_CHUNK;
    const BYTES_CHUNK: u32 = Shipped::BYTES_CHUNK;
    const WORD_LOG: u32 = Shipped::WORD_LOG;
    const TABLE_ENTRIES: usize = Shipped::TABLE_ENTRIES;
    const KEY_HASH_BITS: u32 = Shipped::KEY_HASH_BITS;

    fn visit() {
        VISITS.with(|visits| visits.set(visits.get() + 1));
    }
}

/// The cost of what runs: how many entries it visits.
fn cost<T>(run: impl FnOnce() -> T) -> u64 {
    let before = VISITS.get();
    black_box(run());
    VISITS.get() - before
}

struct Shop {
    state: LomsState<Counted>,
    now: u64,
    events: Vec<Event>,
}

impl Shop {
    fn new(rules: Rules, stock: &str, key_hash_secret: u64) -> Self {
        let state = LomsState::with_sizes(rules, &opening(stock), key_hash_secret);
        Self { state, now: 1, events: Vec::new() }
    }

    /// Applies a command and returns its cost.
    fn apply(&mut self, command: Command) -> u64 {
        self.events.clear();
        let at = Timestamp::from_nanos(self.now);
        let entry = Entry { index: self.state.index() + 1, at, command };
        cost(|| self.state.apply(&entry, &mut self.events))
    }
}

fn create(skus: impl IntoIterator<Item = u32>, key: Option<IdempotencyKey>) -> Command {
    let line = |sku| Line { sku: Sku::new(sku).unwrap(), count: Count::new(1).unwrap() };
    let demand = Demand::merge(skus.into_iter().map(line).collect()).unwrap();
    Command::CreateOrder { user: UserId::new(1).unwrap(), demand, key }
}

fn rules(timeout: u64, window: u64) -> Rules {
    Rules {
        payment_timeout: Span::from_nanos(timeout),
        idempotency_window: Span::from_nanos(window),
        keep: Span::from_nanos(50_000),
        keep_failed: Span::from_nanos(10_000),
        ..Rules::default()
    }
}

/// `count` SKUs with many units each.
fn stock(count: u32) -> String {
    (1..=count).map(|sku| format!("{}=1000000000/0 ", sku * 7)).collect()
}

/// A command costs at most a constant, plus a constant for each of its lines and for each line of
/// the orders that expire by it. The number of stored orders and keys does not matter.
#[test]
fn a_command_visits_a_bounded_number_of_entries() {
    const ORDERS: i64 = 150_000;
    let mut shop = Shop::new(rules(40_000, 60_000), &stock(1_000), 1);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |bound: u64| random.next_u64() % bound;
    let mut ids = 0;
    while ids < ORDERS {
        shop.now += below(2);
        let (command, lines) = match below(10) {
            0..=5 => {
                let lines = if below(1_000) == 0 { 500 } else { 1 + below(4) };
                let skus: Vec<u32> =
                    (0..lines).map(|_| 7 * u32::try_from(1 + below(1_000)).unwrap()).collect();
                let key = (ids % 3 == 0).then(|| IdempotencyKey::new(ids.to_le_bytes()).unwrap());
                ids += 1;
                (create(skus, key), lines)
            }
            kind => {
                let order = 1 + i64::try_from(below(ids.unsigned_abs().max(1))).unwrap();
                let order = OrderId::new(order).unwrap();
                let lines = shop.state.order(order).map_or(0, |view| view.lines().len() as u64);
                let pay = kind < 8;
                (if pay { Command::PayOrder(order) } else { Command::CancelOrder(order) }, lines)
            }
        };
        let kind = format!("{command:.30?}");
        let cost = shop.apply(command);
        let expired: u64 = shop.events.iter().map(|event| cost_of_expiry(&shop.state, event)).sum();
        // Every line is looked up, changed and stored once each; a lookup in the half-full hash
        // table takes a few probes.
        let allowed = 64 + 12 * lines + expired;
        assert!(cost <= allowed, "{kind}: {cost} visits, {allowed} allowed, {ids} orders");
    }
}

/// What the expiry of an order may cost; 0 for other events.
fn cost_of_expiry(state: &LomsState<Counted>, event: &Event) -> u64 {
    match event.fact {
        Fact::Order(Transition { order, cause: Cause::PaymentTimeout, .. }) => {
            32 + 12 * state.order(order).unwrap().lines().len() as u64
        }
        Fact::Order(_) | Fact::Rules(_) => 0,
    }
}

/// Finding the next order that awaits payment does not scan those that do not.
#[test]
fn a_million_finished_orders_cost_an_awaiting_one_nothing() {
    let mut shop = Shop::new(rules(0, 0), &stock(1), 1);
    shop.apply(create([7], None));
    for id in 2..1_000_000 {
        shop.apply(create([7], None));
        if id < 999_990 {
            shop.apply(Command::PayOrder(OrderId::new(id).unwrap()));
        }
    }
    let cost = shop.apply(Command::CancelOrder(OrderId::new(1).unwrap()));
    assert!(cost < 32, "{cost} visits");
}

/// The expiry horizon looks at the orders that it lets expire, and at one more.
#[test]
fn expiry_horizon_visits_only_what_expires() {
    let mut shop = Shop::new(rules(1_000, 0), &stock(1), 1);
    for _ in 0..50_000 {
        shop.now += 1;
        shop.apply(create([7], None));
        shop.now = shop.now.min(900);
    }
    for most in [1, 10, 1_000] {
        let later = Timestamp::from_nanos(5_000);
        let cost = cost(|| shop.state.expiry_horizon(later, most));
        let allowed = 64 + 4 * most as u64;
        assert!(cost <= allowed, "{cost} visits for {most} orders");
    }
}

/// Keys that an attacker has chosen so that they collide under one secret are spread evenly under
/// any other, and the attacker does not know the secret.
#[test]
fn chosen_keys_collide_only_under_a_known_secret() {
    const KNOWN: u64 = 0xabad_1dea;
    const KEYS: usize = 3_000;
    // Their hashes end with ten equal bits, which select the bucket.
    let chosen: Vec<IdempotencyKey> = (0_u64..)
        .map(|number| number.to_le_bytes())
        .filter(|bytes| hash(KNOWN, 1, bytes).is_multiple_of(1_024))
        .map(|bytes| IdempotencyKey::new(bytes).unwrap())
        .take(KEYS)
        .collect();
    let dearest = |secret| {
        let mut shop = Shop::new(rules(0, u64::MAX), &stock(1), secret);
        chosen.iter().map(|key| shop.apply(create([7], Some(key.clone())))).max().unwrap()
    };
    let known = dearest(KNOWN);
    assert!(known > 500, "the keys do not collide, so this test shows nothing: {known} visits");
    for secret in [1, 2, 3, u64::MAX] {
        let cost = dearest(secret);
        assert!(cost < 64, "{cost} visits with secret {secret}");
    }
}

/// The hash of a user's key as in `src/state_machine/keys.rs`, for the attacker: `SplitMix64` over
/// the secret, the user and each eight bytes; the upper 32 bits.
fn hash(secret: u64, user: u64, key: &[u8]) -> u32 {
    let scramble = |word: u64| {
        let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut hash = scramble(secret ^ user);
    for chunk in key.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = scramble(hash.wrapping_add(secret) ^ u64::from_le_bytes(word));
    }
    u32::try_from(hash >> 32).unwrap()
}
