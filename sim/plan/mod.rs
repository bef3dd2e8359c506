//! A plan: a world and what is done in it, as data. Orders are named by the step that made them
//! (`pay order#3`), so that any part of a plan is a plan too: a name that leads nowhere is an
//! order that does not exist.

mod extreme;
pub(crate) mod generator;
pub(crate) mod rng;
mod shop;
pub(crate) mod text;
pub(crate) mod workload;

use crate::model::World;
use crate::model::contract::Call;

/// A world and the steps taken in it. Its text form is in [`crate::plan::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where it happens.
    pub(crate) world: World,
    /// The moment of the first step that is at 0, in nanoseconds since 1970.
    pub(crate) start: u64,
    /// What is done, in order: numbers rise, times do not fall.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Nothing is done, with no stock, by rules of no allowance.
    #[must_use]
    pub(crate) fn empty() -> Self {
        let world =
            World { stock: Vec::new(), payment_timeout: 0, idempotency_window: 0, max_lines: 0 };
        Self { world, start: 0, steps: Vec::new() }
    }
}

/// One call, with the moment and the client that makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Names the step, for ever: other steps go, this number stays.
    pub(crate) number: u32,
    /// Nanoseconds since the plan's start.
    pub(crate) at: u64,
    /// Who calls, from 0.
    pub(crate) client: u8,
    /// What is called.
    pub(crate) op: Op,
    /// The lines of a create: SKU and count. Kept apart from `op`, for its room to be used again.
    pub(crate) items: Vec<(u32, u32)>,
}

/// A call whose order is named by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Op {
    /// OrderCreate, of the step's lines.
    Create {
        /// The buyer.
        user: i64,
        /// The idempotency key.
        key: Key,
    },
    /// OrderInfo.
    Info(Target),
    /// OrderPay.
    Pay(Target),
    /// OrderCancel.
    Cancel(Target),
    /// StocksInfo.
    Stock(u32),
    /// Time passes.
    #[default]
    Tick,
    /// The operator changes the rules.
    Rules {
        /// The payment timeout in nanoseconds; 0 for ever.
        timeout: u64,
        /// The idempotency window in nanoseconds; 0 not at all.
        window: u64,
    },
}

/// Which order a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one that the create of this number was answered.
    CreatedBy(u32),
    /// The one of this id, whatever it is.
    Id(i64),
}

impl Target {
    /// The id of an order that no plan makes.
    pub(crate) const NOBODY: i64 = i64::MAX;
}

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// OrderCreate.
    Create,
    /// OrderInfo.
    Info,
    /// OrderPay.
    Pay,
    /// OrderCancel.
    Cancel,
    /// StocksInfo.
    Stock,
    /// Time passes.
    Tick,
    /// The operator changes the rules.
    Rules,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 7] =
        [Self::Create, Self::Info, Self::Pay, Self::Cancel, Self::Stock, Self::Tick, Self::Rules];

    /// As plans and pages spell it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Info => "info",
            Self::Pay => "pay",
            Self::Cancel => "cancel",
            Self::Stock => "stock",
            Self::Tick => "tick",
            Self::Rules => "rules",
        }
    }

    /// Its place in [`Kind::ALL`].
    #[must_use]
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Create => 0,
            Self::Info => 1,
            Self::Pay => 2,
            Self::Cancel => 3,
            Self::Stock => 4,
            Self::Tick => 5,
            Self::Rules => 6,
        }
    }
}

impl Op {
    /// What kind of call it is.
    #[must_use]
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Create { .. } => Kind::Create,
            Self::Info(_) => Kind::Info,
            Self::Pay(_) => Kind::Pay,
            Self::Cancel(_) => Kind::Cancel,
            Self::Stock(_) => Kind::Stock,
            Self::Tick => Kind::Tick,
            Self::Rules { .. } => Kind::Rules,
        }
    }

    /// The order it is about, if it is about one.
    #[must_use]
    pub(crate) const fn target(self) -> Option<Target> {
        match self {
            Self::Info(target) | Self::Pay(target) | Self::Cancel(target) => Some(target),
            Self::Create { .. } | Self::Stock(_) | Self::Tick | Self::Rules { .. } => None,
        }
    }

    /// The same about another order.
    #[must_use]
    pub(crate) const fn about(self, target: Target) -> Self {
        match self {
            Self::Info(_) => Self::Info(target),
            Self::Pay(_) => Self::Pay(target),
            Self::Cancel(_) => Self::Cancel(target),
            other @ (Self::Create { .. } | Self::Stock(_) | Self::Tick | Self::Rules { .. }) => {
                other
            }
        }
    }
}

/// An idempotency key: none, or a name, with dots before it up to a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The name, `k3` for 3; 0 is no key at all.
    pub(crate) name: u32,
    /// The least length in bytes; a shorter name has dots before it.
    pub(crate) length: u8,
}

/// Room for a key's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyText {
    bytes: [u8; Self::ROOM],
}

impl Default for KeyText {
    fn default() -> Self {
        Self { bytes: [0; Self::ROOM] }
    }
}

impl KeyText {
    const ROOM: usize = 255;
}

impl Key {
    /// No key.
    pub(crate) const NONE: Self = Self { name: 0, length: 0 };

    /// The key as it goes over the wire, written where there is room for it.
    pub(crate) fn write(self, room: &mut KeyText) -> &str {
        if self.name == 0 {
            return "";
        }
        // From the end: the digits, the k, and dots until it is long enough. Long keys so
        // differ in their last bytes alone.
        let mut from = KeyText::ROOM;
        let mut put = |byte| {
            from -= 1;
            room.bytes[from] = byte;
        };
        let mut rest = self.name;
        while rest > 0 {
            put(b'0' + u8::try_from(rest % 10).expect("a digit"));
            rest /= 10;
        }
        put(b'k');
        let named = from;
        let from = named.min(KeyText::ROOM - usize::from(self.length));
        room.bytes[from..named].fill(b'.');
        std::str::from_utf8(&room.bytes[from..]).expect("a key is ASCII")
    }
}

/// Which order each create was answered, by the number of its step.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreatedOrders {
    orders: Vec<i64>,
}

impl CreatedOrders {
    /// The create of this number was answered this order.
    pub(crate) fn note(&mut self, number: u32, order: i64) {
        let place = usize::try_from(number).expect("32 bits fit");
        if self.orders.len() <= place {
            self.orders.resize(place + 1, Target::NOBODY);
        }
        self.orders[place] = order;
    }

    /// The order's id, or that of nobody's.
    #[must_use]
    pub(crate) fn find(&self, target: Target) -> i64 {
        match target {
            Target::Id(order) => order,
            Target::CreatedBy(number) => usize::try_from(number)
                .ok()
                .and_then(|place| self.orders.get(place))
                .copied()
                .unwrap_or(Target::NOBODY),
        }
    }
}

impl Step {
    /// The call as a client makes it.
    #[must_use]
    pub(crate) fn call<'a>(&'a self, created: &CreatedOrders, room: &'a mut KeyText) -> Call<'a> {
        match self.op {
            Op::Create { user, key } => {
                Call::Create { user, items: &self.items, key: key.write(room) }
            }
            Op::Info(target) => Call::Info(created.find(target)),
            Op::Pay(target) => Call::Pay(created.find(target)),
            Op::Cancel(target) => Call::Cancel(created.find(target)),
            Op::Stock(sku) => Call::Stock(sku),
            Op::Tick => Call::Tick,
            Op::Rules { timeout, window } => Call::ChangeRules { timeout, window },
        }
    }

    /// Becomes what another step is, but for its own number; keeps its room.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self { number, at, client, op, items } = self;
        (*number, *at, *client, *op) = (other.number, other.at, other.client, other.op);
        items.clear();
        items.extend_from_slice(&other.items);
    }
}
