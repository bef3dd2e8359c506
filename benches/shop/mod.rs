//! The workload of all benches of the state machine. Of ten commands, four create an order of two
//! lines, two pay, one cancels, one reads an order and two read stock. One create in eight has an
//! idempotency key. Pay, cancel and read use the newest orders ("recent") or all orders ("any",
//! where hardly any is in a cache). Unpaid orders expire. The same [`World`] always gives the same
//! commands.
#![allow(dead_code, reason = "each bench uses only a part of the workload")]

use std::hint::black_box;

use loms::state_machine::{
    Command, Count, Demand, Entry, Event, IdempotencyKey, Line, LomsState, OpeningStock, OrderId,
    Rules, Sku, Span, StockRecord, Timestamp, UserId,
};

/// Of ten commands, four create an order.
pub(crate) const COMMANDS_PER_TEN: u64 = 10;
pub(crate) const CREATES_PER_TEN: u64 = 4;

/// Size of the pool of creates: this many per SKU.
const DEMANDS_PER_SKU: u64 = 2;

/// Nanoseconds from one command to the next.
const PACE: u64 = 1_000;

/// Settings of the workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// Number of SKUs.
    pub(crate) skus: u32,
    /// Which orders are paid, cancelled and read.
    pub(crate) reach: Reach,
    /// Payment timeout, in commands.
    pub(crate) timeout: u64,
    /// Idempotency window, in commands.
    pub(crate) window: u64,
}

/// Which orders are paid, cancelled and read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// One of the last 1,000.
    Recent,
    /// One of all orders.
    Any,
    /// Each order in turn, from the first.
    InTurn,
}

impl Reach {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Any => "any",
            Self::InTurn => "in turn",
        }
    }
}

impl World {
    /// A workload with a timeout of 100,000 commands and a key window of a million.
    pub(crate) fn new(skus: u32, reach: Reach) -> Self {
        Self { skus, reach, timeout: 100_000, window: 1_000_000 }
    }

    /// The opening stock: more units than the workload ever orders.
    pub(crate) fn opening(self) -> OpeningStock {
        let records = (0..u64::from(self.skus)).map(|place| StockRecord {
            sku: sku(place),
            total: 1 << 40,
            reserved: 0,
        });
        OpeningStock::new(records.collect()).expect("SKUs differ")
    }

    /// A pool of creates with two lines each, large enough to use every SKU.
    fn creates(self) -> Vec<Entry> {
        let user = UserId::new(1).expect("above 0");
        let mut random = Random(1);
        let creates = (0..DEMANDS_PER_SKU * u64::from(self.skus)).map(|_| {
            let lines = (0..2).map(|_| Line {
                sku: sku(random.below(u64::from(self.skus))),
                count: Count::new(1).expect("not 0"),
            });
            let demand = Demand::merge(lines.collect()).expect("two lines of one unit");
            let command = Command::CreateOrder { user, demand, key: None };
            Entry { index: 0, at: Timestamp::default(), command }
        });
        creates.collect()
    }

    fn rules(self) -> Rules {
        Rules {
            payment_timeout: Span::from_nanos(self.timeout * PACE),
            idempotency_window: Span::from_nanos(self.window * PACE),
            ..Rules::default()
        }
    }
}

/// Spreads SKUs over all numbers, like real ones.
pub(crate) fn sku(place: u64) -> Sku {
    let spread = u32::try_from((place + 1).wrapping_mul(2_654_435_761) % 4_294_967_291);
    Sku::new(spread.expect("below 2³²")).expect("a prime divides no smaller product")
}

/// A linear congruential generator (Knuth's MMIX) that returns the upper half of a product. It
/// takes two instructions, so that it hardly affects the figures.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u64::try_from((u128::from(self.0) * u128::from(n)) >> 64).expect("below n")
    }
}

/// Opening stock and creates: generated once, used by many runs.
#[derive(Debug)]
pub(crate) struct Supply {
    world: World,
    opening: OpeningStock,
    creates: Vec<Entry>,
}

impl Supply {
    /// Generates the opening stock and the creates.
    pub(crate) fn new(world: World) -> Self {
        Self { world, opening: world.opening(), creates: world.creates() }
    }

    /// A state that has seen no command yet.
    pub(crate) fn state(&self) -> LomsState {
        LomsState::new(self.world.rules(), &self.opening, 1)
    }
}

/// The commands of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Create an order.
    Create,
    /// Create an order with an idempotency key.
    CreateWithKey,
    /// Pay an order.
    Pay,
    /// Cancel an order.
    Cancel,
    /// Read an order.
    Info,
    /// Read the stock of a SKU.
    Stock,
}

/// A generated command that has not run yet.
struct Call {
    at: Timestamp,
    what: What,
}

enum What {
    /// The create with this index in the pool, and the number that its key is made of.
    Create(usize, Option<u64>),
    Pay(OrderId),
    Cancel(OrderId),
    Info(OrderId),
    Stock(Sku),
}

/// One run of the workload, starting with no orders.
#[derive(Debug)]
pub(crate) struct Day {
    world: World,
    /// The pool of creates. Changed in place, so that no command is copied.
    creates: Vec<Entry>,
    /// The state machine.
    pub(crate) state: LomsState,
    events: Vec<Event>,
    random: Random,
    /// Commands so far.
    pub(crate) turn: u64,
    /// Orders so far.
    pub(crate) orders: u64,
    /// Commands so far that used an existing order, for [`Reach::InTurn`].
    visited: u64,
}

impl Day {
    /// A run without commands yet.
    pub(crate) fn new(supply: &Supply) -> Self {
        Self {
            world: supply.world,
            creates: supply.creates.clone(),
            state: supply.state(),
            events: Vec::new(),
            random: Random(2),
            turn: 0,
            orders: 0,
            visited: 0,
        }
    }

    /// Runs the mix until there are this many orders.
    pub(crate) fn run_to(&mut self, orders: u64) {
        while self.orders < orders {
            self.step();
        }
    }

    /// Generates the commands of [`Day::run_to`] without running them.
    pub(crate) fn generate_to(&mut self, orders: u64) {
        while self.orders < orders {
            black_box(self.next());
        }
    }

    /// Runs the next command of the mix.
    #[inline]
    pub(crate) fn step(&mut self) {
        let call = self.next();
        self.run(call);
    }

    /// Runs a command of this kind with generated arguments.
    #[inline]
    pub(crate) fn act(&mut self, kind: Kind) {
        let call = self.generate(kind);
        self.run(call);
    }

    #[inline(always)]
    fn next(&mut self) -> Call {
        self.generate(match self.turn % COMMANDS_PER_TEN {
            0 | 2 | 4 | 6 if self.orders % 8 == 7 => Kind::CreateWithKey,
            0 | 2 | 4 | 6 => Kind::Create,
            1 | 5 => Kind::Pay,
            3 => Kind::Cancel,
            7 => Kind::Info,
            _ => Kind::Stock,
        })
    }

    #[inline(always)]
    fn generate(&mut self, kind: Kind) -> Call {
        let at = Timestamp::from_nanos(self.turn * PACE);
        self.turn += 1;
        let what = match kind {
            Kind::Create => What::Create(self.next_create(), None),
            Kind::CreateWithKey => {
                let key = self.orders;
                What::Create(self.next_create(), Some(key))
            }
            Kind::Pay => What::Pay(self.some_order()),
            Kind::Cancel => What::Cancel(self.some_order()),
            Kind::Info => What::Info(self.some_order()),
            Kind::Stock => What::Stock(sku(self.random.below(u64::from(self.world.skus)))),
        };
        Call { at, what }
    }

    #[inline(always)]
    fn run(&mut self, Call { at, what }: Call) {
        match what {
            What::Create(place, number) => self.create(at, place, number),
            What::Pay(order) => self.apply(at, Command::PayOrder(order)),
            What::Cancel(order) => self.apply(at, Command::CancelOrder(order)),
            What::Info(order) => {
                self.expire_until(at);
                let view = black_box(self.state.order(order)).expect("it is stored");
                view.lines().for_each(|line| {
                    black_box(line);
                });
            }
            What::Stock(sku) => {
                self.expire_until(at);
                black_box(self.state.available(sku)).expect("it has a stock record");
            }
        }
    }

    /// Expires due orders, as the sequencer does before a read.
    #[inline]
    fn expire_until(&mut self, at: Timestamp) {
        if self.state.next_deadline().is_some_and(|deadline| deadline <= at) {
            self.apply(at, Command::Tick);
        }
    }

    /// Pays the newest order.
    pub(crate) fn pay_newest(&mut self) {
        let order = OrderId::new(self.orders.cast_signed()).expect("above 0");
        let at = Timestamp::from_nanos(self.turn * PACE);
        self.apply(at, Command::PayOrder(order));
    }

    /// Cancels this order.
    pub(crate) fn cancel(&mut self, order: i64) {
        let at = Timestamp::from_nanos(self.turn * PACE);
        self.apply(at, Command::CancelOrder(OrderId::new(order).expect("above 0")));
    }

    /// Skips the time of this many commands, without a tick.
    pub(crate) fn wait(&mut self, commands: u64) {
        self.turn += commands;
    }

    /// Expires at most this many due orders, as the sequencer does. Returns the number of events.
    pub(crate) fn expire(&mut self, most: usize) -> usize {
        let at = self.state.expiry_horizon(Timestamp::from_nanos(self.turn * PACE), most);
        self.apply(at, Command::Tick);
        self.events.len()
    }

    #[inline(always)]
    fn create(&mut self, at: Timestamp, place: usize, number: Option<u64>) {
        let entry = &mut self.creates[place];
        (entry.index, entry.at) = (self.state.index() + 1, at);
        self.events.clear();
        match number {
            None => {
                black_box(&self.state.apply(entry, &mut self.events));
            }
            Some(number) => {
                set_key(entry, IdempotencyKey::new(number.to_le_bytes()));
                black_box(&self.state.apply(entry, &mut self.events));
                set_key(entry, None);
            }
        }
    }

    /// The index of the next create of the pool. In memory order, so that cache misses of the pool
    /// are not measured.
    #[inline]
    fn next_create(&mut self) -> usize {
        let next = usize::try_from(self.orders).expect("fits in memory") % self.creates.len();
        self.orders += 1;
        next
    }

    #[inline]
    fn some_order(&mut self) -> OrderId {
        let newest = self.orders.max(1);
        let order = match self.world.reach {
            Reach::Recent => newest - self.random.below(newest.min(1_000)),
            Reach::Any => newest - self.random.below(newest),
            Reach::InTurn => self.visited + 1,
        };
        self.visited += 1;
        OrderId::new(order.cast_signed()).expect("above 0")
    }

    #[inline(always)]
    fn apply(&mut self, at: Timestamp, command: Command) {
        self.events.clear();
        let entry = Entry { index: self.state.index() + 1, at, command };
        // The command is refused if the order has a final status already.
        black_box(&self.state.apply(&entry, &mut self.events));
    }
}

fn set_key(entry: &mut Entry, to: Option<IdempotencyKey>) {
    if let Command::CreateOrder { key, .. } = &mut entry.command {
        *key = to;
    }
}
