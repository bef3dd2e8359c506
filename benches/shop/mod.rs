//! The shop that every bench of the machine plays: of ten commands four place an order of two
//! lines, two pay, one cancels, one looks at an order and two at stock. One create in eight has an
//! idempotency key. Payments, cancellations and looks go to orders placed a moment ago ("recent")
//! or to any order there is ("any", where next to nothing is in a cache); an order that nobody pays
//! expires. The same world is the same commands for ever.
#![allow(dead_code, reason = "each bench uses its part of the shop")]

use std::hint::black_box;

use loms::state_machine::{
    Action, Command, Count, Demand, IdempotencyKey, Line, LomsState, OpeningStock, OrderId, Rules,
    Sku, Span, StockRecord, Timestamp, Transition, UserId,
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

    /// What carts ask for: a pool of two-line orders, large enough to touch every SKU.
    fn demands(self) -> Vec<Demand> {
        let mut random = Random(1);
        let demands = (0..DEMANDS_PER_SKU * u64::from(self.skus)).map(|_| {
            let lines = (0..2).map(|_| Line {
                sku: sku(random.below(u64::from(self.skus))),
                count: Count::new(1).expect("not 0"),
            });
            Demand::merge(lines.collect()).expect("two lines of one")
        });
        demands.collect()
    }

    fn rules(self) -> Rules {
        Rules {
            payment_timeout: Span::from_nanos(self.timeout * PACE),
            idempotency_window: Span::from_nanos(self.window * PACE),
            key_hash_secret: 1,
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
    demands: Vec<Demand>,
}

impl Supply {
    /// All of it.
    pub(crate) fn new(world: World) -> Self {
        Self { world, opening: world.opening(), demands: world.demands() }
    }

    /// A machine that has seen no command yet.
    pub(crate) fn machine(&self) -> LomsState {
        LomsState::new(self.world.rules(), &self.opening)
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
struct Call<'a> {
    at: Timestamp,
    what: What<'a>,
}

enum What<'a> {
    Create(&'a Demand),
    /// With a key that is made of this number.
    CreateWithKey(u64, &'a Demand),
    Pay(OrderId),
    Cancel(OrderId),
    Info(OrderId),
    Stock(Sku),
}

/// A shop's day, from no orders on.
#[derive(Debug)]
pub(crate) struct Day<'a> {
    supply: &'a Supply,
    /// The machine.
    pub(crate) state: LomsState,
    transitions: Vec<Transition>,
    random: Random,
    /// Commands so far.
    pub(crate) turn: u64,
    /// Orders so far.
    pub(crate) orders: u64,
    /// Orders paid, cancelled and looked at so far, where that is done in turn.
    visited: u64,
}

impl<'a> Day<'a> {
    /// The morning.
    pub(crate) fn new(supply: &'a Supply) -> Self {
        let (state, random) = (supply.machine(), Random(2));
        Self { supply, state, transitions: Vec::new(), random, turn: 0, orders: 0, visited: 0 }
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
    fn next(&mut self) -> Call<'a> {
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
    fn make_up(&mut self, kind: Kind) -> Call<'a> {
        let at = Timestamp::from_nanos(self.turn * PACE);
        self.turn += 1;
        let what = match kind {
            Kind::Create => What::Create(self.demand()),
            Kind::CreateWithKey => What::CreateWithKey(self.orders, self.demand()),
            Kind::Pay => What::Pay(self.some_order()),
            Kind::Cancel => What::Cancel(self.some_order()),
            Kind::Info => What::Info(self.some_order()),
            Kind::Stock => What::Stock(sku(self.random.below(u64::from(self.supply.world.skus)))),
        };
        Call { at, what }
    }

    #[inline(always)]
    fn play(&mut self, Call { at, what }: Call<'_>) {
        match what {
            What::Create(demand) => self.create(at, demand, None),
            What::CreateWithKey(number, demand) => {
                let key = IdempotencyKey::new(&number.to_le_bytes()).expect("eight bytes");
                self.create(at, demand, Some(&key));
            }
            What::Pay(order) => self.apply(at, Action::PayOrder(order)),
            What::Cancel(order) => self.apply(at, Action::CancelOrder(order)),
            What::Info(order) => {
                // As a read does: the present first.
                self.apply(at, Action::Tick);
                let view = black_box(self.state.order(order)).expect("it is on record");
                view.lines().for_each(|line| {
                    black_box(line);
                });
            }
            What::Stock(sku) => {
                self.apply(at, Action::Tick);
                black_box(self.state.available(sku)).expect("it has a shelf");
            }
        }
    }

    /// Lets the time of this many commands pass. The machine is not told.
    pub(crate) fn wait(&mut self, commands: u64) {
        self.turn += commands;
    }

    /// Expires at most so many orders that are due, as the sequencer does, and tells how many.
    pub(crate) fn expire(&mut self, most: usize) -> usize {
        let at = self.state.expiry_horizon(Timestamp::from_nanos(self.turn * PACE), most);
        self.transitions.clear();
        let tick = Command { at, action: Action::Tick };
        self.state.apply(tick, &mut self.transitions).expect("time goes on");
        self.transitions.len()
    }

    #[inline]
    fn create(&mut self, at: Timestamp, demand: &Demand, key: Option<&IdempotencyKey>) {
        let user = UserId::new(1).expect("above 0");
        self.apply(at, Action::CreateOrder { user, demand, key });
    }

    /// What the next order is of, in the order of memory, so that waiting for the pool is no part
    /// of what is measured.
    #[inline]
    fn demand(&mut self) -> &'a Demand {
        let pool = &self.supply.demands;
        let next = usize::try_from(self.orders).expect("they fit in memory") % pool.len();
        self.orders += 1;
        &pool[next]
    }

    #[inline]
    fn some_order(&mut self) -> OrderId {
        let newest = self.orders.max(1);
        let order = match self.supply.world.reach {
            Reach::Recent => newest - self.random.below(newest.min(1_000)),
            Reach::Any => newest - self.random.below(newest),
            Reach::InTurn => self.visited + 1,
        };
        self.visited += 1;
        OrderId::new(order.cast_signed()).expect("above 0")
    }

    #[inline]
    fn apply(&mut self, at: Timestamp, action: Action<'_>) {
        self.transitions.clear();
        // What was paid or cancelled before, or expired, is refused or repeated: as in life.
        let _ = black_box(self.state.apply(Command { at, action }, &mut self.transitions));
    }
}
