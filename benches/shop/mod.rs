//! The shop that every bench of the machine plays: of ten commands four place an order of two
//! lines, two pay, one cancels, one looks at an order and two at stock. One create in eight has an
//! idempotency key. Payments, cancellations and looks go to orders placed a moment ago ("recent")
//! or to any order there is ("any", where next to nothing is in a cache); an order that nobody pays
//! expires. The same world is the same commands for ever.
#![allow(dead_code, reason = "each bench uses its part of the shop")]

use std::hint::black_box;

use loms::state_machine::{
    Command, Count, Demand, Entry, Event, IdempotencyKey, Line, LomsState, OpeningStock, OrderId,
    Rules, Sku, Span, StockRecord, Timestamp, UserId,
};

/// Of ten commands, four are creates.
pub(crate) const COMMANDS_PER_TEN: u64 = 10;
pub(crate) const CREATES_PER_TEN: u64 = 4;

/// Carts to choose from.
const DEMANDS_PER_SKU: u64 = 2;

/// Nanoseconds of machine time from one command to the next.
const PACE: u64 = 1_000;

/// What a shop is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// SKUs that it sells.
    pub(crate) skus: u32,
    /// Which orders are paid, cancelled and looked at.
    pub(crate) reach: Reach,
    /// How many commands an order may await payment.
    pub(crate) timeout: u64,
    /// How many commands an idempotency key is remembered.
    pub(crate) window: u64,
}

/// How far back the orders lie that are paid, cancelled and looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// Among the last 1,000.
    Recent,
    /// Anywhere.
    Any,
    /// One after another, from the first.
    InTurn,
}

impl Reach {
    /// In one word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Any => "any",
            Self::InTurn => "in turn",
        }
    }
}

impl World {
    /// A shop where orders have 100,000 commands to be paid and keys a million.
    pub(crate) fn new(skus: u32, reach: Reach) -> Self {
        Self { skus, reach, timeout: 100_000, window: 1_000_000 }
    }

    /// What is in the building: more than will ever be sold.
    pub(crate) fn opening(self) -> OpeningStock {
        let records = (0..u64::from(self.skus)).map(|place| StockRecord {
            sku: sku(place),
            total: 1 << 40,
            reserved: 0,
        });
        OpeningStock::new(records.collect()).expect("SKUs differ")
    }

    /// What carts ask for: a pool of creates with two lines, large enough to touch every SKU.
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
        }
    }
}

/// SKUs are spread over all numbers, as real ones are.
pub(crate) fn sku(place: u64) -> Sku {
    let spread = u32::try_from((place + 1).wrapping_mul(2_654_435_761) % 4_294_967_291);
    Sku::new(spread.expect("below 2³²")).expect("a prime divides no smaller product")
}

/// A linear congruential generator (Knuth's MMIX), the upper half of a product: two instructions,
/// so that what is measured is the machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u64::try_from((u128::from(self.0) * u128::from(n)) >> 64).expect("below n")
    }
}

/// What a shop sells and what its carts ask for, made once for many days.
#[derive(Debug)]
pub(crate) struct Supply {
    world: World,
    opening: OpeningStock,
    creates: Vec<Entry>,
}

impl Supply {
    /// All of it.
    pub(crate) fn new(world: World) -> Self {
        Self { world, opening: world.opening(), creates: world.creates() }
    }

    /// A machine that has seen no command yet.
    pub(crate) fn machine(&self) -> LomsState {
        LomsState::new(self.world.rules(), &self.opening, 1)
    }
}

/// The commands of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Place an order.
    Create,
    /// Place an order, with an idempotency key.
    CreateWithKey,
    /// Pay one.
    Pay,
    /// Cancel one.
    Cancel,
    /// Look at one.
    Info,
    /// Look at a SKU.
    Stock,
}

/// A command that is made up, and not played yet.
struct Call {
    at: Timestamp,
    what: What,
}

enum What {
    /// The create at this place of the pool, with a key made of this number.
    Create(usize, Option<u64>),
    Pay(OrderId),
    Cancel(OrderId),
    Info(OrderId),
    Stock(Sku),
}

/// A shop's day, from no orders on.
#[derive(Debug)]
pub(crate) struct Day {
    world: World,
    /// The pool of creates. They are changed in place, so that no command is copied.
    creates: Vec<Entry>,
    /// The machine.
    pub(crate) state: LomsState,
    events: Vec<Event>,
    random: Random,
    /// Commands so far.
    pub(crate) turn: u64,
    /// Orders so far.
    pub(crate) orders: u64,
    /// Orders paid, cancelled and looked at so far, where that is done in turn.
    visited: u64,
}

impl Day {
    /// The morning.
    pub(crate) fn new(supply: &Supply) -> Self {
        Self {
            world: supply.world,
            creates: supply.creates.clone(),
            state: supply.machine(),
            events: Vec::new(),
            random: Random(2),
            turn: 0,
            orders: 0,
            visited: 0,
        }
    }

    /// Plays the mix until there are this many orders.
    pub(crate) fn play_to(&mut self, orders: u64) {
        while self.orders < orders {
            self.step();
        }
    }

    /// Only makes up the commands of the mix until there would be this many orders: that part of
    /// [`Day::play_to`] which is not the machine's.
    pub(crate) fn make_up_to(&mut self, orders: u64) {
        while self.orders < orders {
            black_box(self.next());
        }
    }

    /// Plays the next command of the mix.
    #[inline]
    pub(crate) fn step(&mut self) {
        let call = self.next();
        self.play(call);
    }

    /// Plays a command of this kind; what it goes to is found by chance.
    #[inline]
    pub(crate) fn act(&mut self, kind: Kind) {
        let call = self.make_up(kind);
        self.play(call);
    }

    #[inline(always)]
    fn next(&mut self) -> Call {
        self.make_up(match self.turn % COMMANDS_PER_TEN {
            0 | 2 | 4 | 6 if self.orders % 8 == 7 => Kind::CreateWithKey,
            0 | 2 | 4 | 6 => Kind::Create,
            1 | 5 => Kind::Pay,
            3 => Kind::Cancel,
            7 => Kind::Info,
            _ => Kind::Stock,
        })
    }

    #[inline(always)]
    fn make_up(&mut self, kind: Kind) -> Call {
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
    fn play(&mut self, Call { at, what }: Call) {
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

    /// As a read does: orders that are due expire first.
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

    /// Lets the time of this many commands pass. The machine is not told.
    pub(crate) fn wait(&mut self, commands: u64) {
        self.turn += commands;
    }

    /// Expires at most this many due orders, as the sequencer does, and returns how many.
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
                set_key(entry, IdempotencyKey::new(&number.to_le_bytes()));
                black_box(&self.state.apply(entry, &mut self.events));
                set_key(entry, None);
            }
        }
    }

    /// Which create of the pool is next, in the order of memory, so that waiting for the pool is no
    /// part of what is measured.
    #[inline]
    fn next_create(&mut self) -> usize {
        let next = usize::try_from(self.orders).expect("it fits in memory") % self.creates.len();
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
        // Some orders were paid or cancelled before, or have expired: then the command is refused.
        black_box(&self.state.apply(&entry, &mut self.events));
    }
}

fn set_key(entry: &mut Entry, to: Option<IdempotencyKey>) {
    if let Command::CreateOrder { key, .. } = &mut entry.command {
        *key = to;
    }
}
