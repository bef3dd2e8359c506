//! A plan: a world and steps, as data. A step names an order by the step that created it (`pay
//! order#3`), so every part of a plan is a plan too; a name without its create is an order that
//! does not exist.

mod extreme;
mod fill;
pub(crate) mod generator;
mod large;
mod limits;
pub(crate) mod rng;
mod seed;
mod shop;
pub(crate) mod text;
pub(crate) mod workload;

pub(crate) use self::fill::Fill;
use crate::model::contract::{Call, Limits};
use crate::model::{ContainerSizes, World};

/// A world and its steps. The text form is in [`crate::plan::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The initial state and the rules.
    pub(crate) world: World,
    /// The time of steps with time 0, in nanoseconds since 1970.
    pub(crate) start: u64,
    /// The steps: numbers increase, times do not decrease.
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// No steps, no stock, and zero for all rules.
    #[must_use]
    pub(crate) fn empty() -> Self {
        let world = World {
            stock: Vec::new(),
            payment_timeout: 0,
            idempotency_window: 0,
            max_lines: 0,
            limits: Limits::default(),
            sizes: ContainerSizes::Shipped,
        };
        Self { world, start: 0, steps: Vec::new() }
    }

    /// Whether a key is remembered as long as the plan runs.
    #[must_use]
    pub(crate) fn keys_never_expire(&self) -> bool {
        let is_for_good = |window: u64, limits: Limits| {
            let Limits { keep, keep_failed, retry_failed, .. } = limits;
            window == u64::MAX && (keep, keep_failed, retry_failed) == (0, 0, false)
        };
        let shorter = |step: &Step| match step.op {
            Op::Rules { window, limits, .. } => !is_for_good(window, limits),
            Op::Create { .. }
            | Op::Info(_)
            | Op::Pay(_)
            | Op::Cancel(_)
            | Op::Stock(_)
            | Op::Tick => false,
        };
        is_for_good(self.world.idempotency_window, self.world.limits)
            && !self.steps.iter().any(shorter)
    }

    /// Whether orders of different SKUs compete at any time: for room, or for the open orders of a
    /// user.
    #[must_use]
    pub(crate) fn limits_creates(&self) -> bool {
        let limits = |limits: Limits| limits.max_bytes > 0 || limits.open_orders > 0;
        let changed = |step: &Step| matches!(step.op, Op::Rules { limits: new, .. } if limits(new));
        limits(self.world.limits) || self.steps.iter().any(changed)
    }
}

/// One call, with its time and its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// The number of the step. It does not change when other steps are removed.
    pub(crate) number: u32,
    /// Nanoseconds since the plan's start.
    pub(crate) at: u64,
    /// The client, from 0.
    pub(crate) client: u8,
    /// The call.
    pub(crate) op: Op,
    /// The lines of a create: SKU and count. Outside of `op`, so that the memory can be reused.
    pub(crate) items: Vec<(u32, u32)>,
}

/// A call; its order is named by the step that created it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Op {
    /// OrderCreate, of the step's lines.
    Create {
        /// The user.
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
        /// The payment timeout in nanoseconds; 0 means that orders never expire.
        timeout: u64,
        /// The idempotency window in nanoseconds; 0 means that keys are not stored.
        window: u64,
        /// How long finished orders are kept, and how much room there is.
        limits: Limits,
    },
}

/// The order of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The order created by the step with this number.
    CreatedBy(u32),
    /// The order with this id.
    Id(i64),
}

impl Target {
    /// The id of an order that no plan creates.
    pub(crate) const MISSING: i64 = i64::MAX;
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

    /// The name in plans and on pages.
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

    /// Its index in [`Kind::ALL`].
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
    /// The kind of call.
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

    /// The order, if the call is about one.
    #[must_use]
    pub(crate) const fn target(self) -> Option<Target> {
        match self {
            Self::Info(target) | Self::Pay(target) | Self::Cancel(target) => Some(target),
            Self::Create { .. } | Self::Stock(_) | Self::Tick | Self::Rules { .. } => None,
        }
    }

    /// The same call on another order.
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

/// An idempotency key: none, or a name that is filled up to a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The name: `k3` for 3; 0 means no key.
    pub(crate) name: u32,
    /// Minimum length in bytes, at most [`KeyText::LENGTH`]; a shorter name is filled.
    pub(crate) length: u16,
    /// What it is filled with.
    pub(crate) fill: Fill,
}

/// A scratch buffer for the text of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyText {
    bytes: [u8; Self::LENGTH],
}

impl Default for KeyText {
    fn default() -> Self {
        Self { bytes: [0; Self::LENGTH] }
    }
}

impl KeyText {
    /// The longest key of a plan: one byte longer than the contract allows.
    pub(crate) const LENGTH: usize = 256;
}

impl Key {
    /// No key.
    pub(crate) const NONE: Self = Self::named(0);

    /// The key with this name, which is 0 for no key.
    #[must_use]
    pub(crate) const fn named(name: u32) -> Self {
        Self { name, length: 0, fill: Fill::DOTS }
    }

    /// The text of the key, written into the buffer.
    pub(crate) fn write(self, buffer: &mut KeyText) -> &str {
        if self.name == 0 {
            return "";
        }
        // From the end: digits, `k`, the fill. Long keys usually differ only in their last bytes.
        let mut from = KeyText::LENGTH;
        let mut put = |byte| {
            from -= 1;
            buffer.bytes[from] = byte;
        };
        let mut rest = self.name;
        while rest > 0 {
            put(b'0' + u8::try_from(rest % 10).expect("a digit"));
            rest /= 10;
        }
        put(b'k');
        let named = from;
        let from = named.min(KeyText::LENGTH - usize::from(self.length));
        let key = &mut buffer.bytes[from..];
        if self.fill == Fill::DOTS {
            key[..named - from].fill(b'.');
        } else {
            self.fill.write(key, named - from);
        }
        std::str::from_utf8(key).expect("a key is UTF-8")
    }
}

/// The order ids of the creates, by step number.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreatedOrders {
    orders: Vec<i64>,
}

impl CreatedOrders {
    /// Makes room for this many steps.
    pub(crate) fn reserve(&mut self, steps: usize) {
        self.orders.reserve(steps);
    }

    /// Stores the order that this create was answered with.
    pub(crate) fn note(&mut self, number: u32, order: i64) {
        let place = usize::try_from(number).expect("32 bits fit");
        if self.orders.len() <= place {
            self.orders.resize(place + 1, Target::MISSING);
        }
        self.orders[place] = order;
    }

    /// The id of the order, or [`Target::MISSING`].
    #[must_use]
    pub(crate) fn find(&self, target: Target) -> i64 {
        match target {
            Target::Id(order) => order,
            Target::CreatedBy(number) => usize::try_from(number)
                .ok()
                .and_then(|place| self.orders.get(place))
                .copied()
                .unwrap_or(Target::MISSING),
        }
    }
}

impl Step {
    /// The call as a client sends it.
    #[must_use]
    pub(crate) fn call<'a>(&'a self, created: &CreatedOrders, buffer: &'a mut KeyText) -> Call<'a> {
        match self.op {
            Op::Create { user, key } => {
                Call::Create { user, items: &self.items, key: key.write(buffer) }
            }
            Op::Info(target) => Call::Info(created.find(target)),
            Op::Pay(target) => Call::Pay(created.find(target)),
            Op::Cancel(target) => Call::Cancel(created.find(target)),
            Op::Stock(sku) => Call::Stock(sku),
            Op::Tick => Call::Tick,
            Op::Rules { timeout, window, limits } => Call::ChangeRules { timeout, window, limits },
        }
    }

    /// Copies another step; reuses the memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self { number, at, client, op, items } = self;
        (*number, *at, *client, *op) = (other.number, other.at, other.client, other.op);
        items.clear();
        items.extend_from_slice(&other.items);
    }
}
