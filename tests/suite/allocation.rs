//! `apply` does not allocate, except for a new chunk of storage now and then.

use std::ops::Range;

use loms::state_machine::{
    Command, Count, Demand, Entry, Event, IdempotencyKey, Line, LomsState, OrderId, Rules, Sku,
    Span, Timestamp, UserId,
};

use crate::script::opening;

const ORDERS: i64 = 20_000;

#[test]
fn command_allocates_nothing_in_steady_state() {
    let mut shop = Shop::new(Rules::default());
    // The first chunks grow while they fill. After that the state is steady.
    shop.create(0..ORDERS);
    let creates = allocation_counter::measure(|| shop.create(ORDERS..2 * ORDERS));
    // A page of orders holds 1,024. A chunk of keys holds 4,096 entries, a chunk of key text 4,096
    // bytes; every fourth order adds nine bytes.
    assert!(creates.count_total <= 40, "{} allocations for {ORDERS} creates", creates.count_total);

    let others = allocation_counter::measure(|| {
        for id in 1..ORDERS {
            let order = OrderId::new(id).unwrap();
            let pay = id % 2 == 0;
            shop.apply(if pay { Command::PayOrder(order) } else { Command::CancelOrder(order) });
            shop.apply(Command::Tick);
        }
        // Repeat the creates that had a key: every fourth.
        for id in (4..ORDERS).step_by(4) {
            shop.create(id..id + 1);
        }
    });
    assert_eq!(others.count_total, 0);
}

#[test]
fn forgotten_keys_free_their_memory() {
    let grown_by = |keyed: bool| {
        let rules = Rules { idempotency_window: Span::from_nanos(100), ..Rules::default() };
        let mut shop = Shop::new(rules);
        let mut create = |ids: Range<i64>| {
            for id in ids {
                shop.create_one(id, keyed);
            }
        };
        create(0..ORDERS);
        allocation_counter::measure(|| create(ORDERS..3 * ORDERS)).bytes_current
    };
    let keys = grown_by(true) - grown_by(false);
    // Each of the two queues may have one chunk more or less.
    assert!(keys.abs() <= 4_096 * 40, "{keys} bytes for forgotten keys");
}

fn line(sku: u32) -> Line {
    Line { sku: Sku::new(sku).unwrap(), count: Count::new(1).unwrap() }
}

struct Shop {
    state: LomsState,
    events: Vec<Event>,
    /// Used again for each create, so that no command is built while allocations are counted.
    create: Entry,
    /// A key for each order, made before allocations are counted.
    keys: Vec<Option<IdempotencyKey>>,
    clock: u64,
}

impl Shop {
    fn new(rules: Rules) -> Self {
        let command = Command::CreateOrder {
            user: UserId::new(1).unwrap(),
            demand: Demand::merge(vec![line(1), line(2)]).unwrap(),
            key: None,
        };
        Self {
            state: LomsState::new(rules, &opening("1=1000000/0 2=1000000/0"), 1),
            events: Vec::with_capacity(8),
            create: Entry { index: 0, at: Timestamp::default(), command },
            keys: (0..3 * ORDERS).map(|id| IdempotencyKey::new(id.to_le_bytes())).collect(),
            clock: 0,
        }
    }

    fn create(&mut self, ids: Range<i64>) {
        for id in ids {
            self.create_one(id, id % 4 == 0);
        }
    }

    fn create_one(&mut self, id: i64, keyed: bool) {
        self.clock += 1;
        self.events.clear();
        self.create.index = self.state.index() + 1;
        self.create.at = Timestamp::from_nanos(self.clock);
        self.swap_key(id, keyed);
        self.state.apply(&self.create, &mut self.events).unwrap();
        self.swap_key(id, keyed);
    }

    /// Moves the key of this order into the create, or back.
    fn swap_key(&mut self, id: i64, keyed: bool) {
        if let (true, Command::CreateOrder { key, .. }) = (keyed, &mut self.create.command) {
            std::mem::swap(key, &mut self.keys[usize::try_from(id).unwrap()]);
        }
    }

    fn apply(&mut self, command: Command) {
        self.clock += 1;
        self.events.clear();
        let at = Timestamp::from_nanos(self.clock);
        let entry = Entry { index: self.state.index() + 1, at, command };
        self.state.apply(&entry, &mut self.events).unwrap();
    }
}
