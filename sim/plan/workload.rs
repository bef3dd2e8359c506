//! The workload of a seed: its world, and what its clients do and how often. About half of all
//! seeds are shops ([`crate::plan::shop`]), the others are extreme ([`crate::plan::extreme`]), and
//! one of 200 is large ([`crate::plan::large`]).

use crate::model::World;
use crate::plan::Kind;
use crate::plan::rng::Weights;

/// The style of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Usual stock and usual customers: most orders are paid or cancelled.
    Shop,
    /// Values at the limits of the contract, and unusual clients.
    Extreme,
    /// Usual values, in numbers that other seeds never reach.
    Large,
}

impl Style {
    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Extreme => "extreme",
            Self::Large => "large",
        }
    }
}

/// What the clients of a seed do, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Its style.
    pub(crate) style: Style,
    /// The initial state and the rules.
    pub(crate) world: World,
    /// The time of the first step, in nanoseconds since 1970.
    pub(crate) start: u64,
    /// Number of commands, without the drain.
    pub(crate) length: u32,
    /// Number of clients.
    pub(crate) clients: u8,
    /// Number of users, whose ids start at 1.
    pub(crate) users: u64,
    /// Weight of each kind of call, by its index in [`Kind::ALL`]; 0 means never.
    pub(crate) kinds: Weights<{ Kind::ALL.len() }>,
    /// Weight of each [`Gap`] between two commands, by its index in [`Gap::ALL`].
    pub(crate) gaps: Weights<{ Gap::ALL.len() }>,
    /// Weight of each [`Units`], by its index in [`Units::ALL`].
    pub(crate) units: Weights<{ Units::ALL.len() }>,
    /// Weight of each [`TargetChoice`] for payments and cancellations, by its index in
    /// [`TargetChoice::ALL`].
    pub(crate) targets: Weights<{ TargetChoice::ALL.len() }>,
    /// The same for OrderInfo.
    pub(crate) info_targets: Weights<{ TargetChoice::ALL.len() }>,
    /// Maximum number of lines of a valid create.
    pub(crate) lines: u64,
    /// How many of 4 lines repeat the SKU of an earlier line.
    pub(crate) duplicates: u64,
    /// How many of 64 lines have a SKU without a stock record.
    pub(crate) unknown: u64,
    /// How many of 64 fields are invalid or at a limit.
    pub(crate) hostile: u64,
    /// How many of 4 creates have a key.
    pub(crate) keyed: u64,
    /// Number of keys in use; 0 means that each create has its own key.
    pub(crate) keys: u64,
    /// Minimum length of a key.
    pub(crate) key_length: u16,
    /// How many of 8 orders [`TargetChoice::Open`] never chooses: customers abandon them.
    pub(crate) abandoned: u64,
    /// How many of 16 calls of a client repeat its last call.
    pub(crate) retries: u64,
}

/// The time that passes before a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// None.
    None,
    /// A nanosecond.
    Tick,
    /// Up to a quarter of the payment timeout.
    Some,
    /// A nanosecond less than the payment timeout.
    AlmostTimeout,
    /// The payment timeout.
    Timeout,
    /// One nanosecond more than the payment timeout.
    OverTimeout,
    /// A nanosecond less than the idempotency window.
    AlmostWindow,
    /// The idempotency window.
    Window,
    /// Whole seconds, up to a 16th of the payment timeout: the usual pace of a shop.
    Pace,
    /// Until one nanosecond before the oldest order of [`TargetChoice::Open`] expires.
    LastMoment,
}

impl Gap {
    /// Every gap.
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::Tick,
        Self::Some,
        Self::AlmostTimeout,
        Self::Timeout,
        Self::OverTimeout,
        Self::AlmostWindow,
        Self::Window,
        Self::Pace,
        Self::LastMoment,
    ];
}

/// The count of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// One.
    One,
    /// Up to ten.
    Few,
    /// All units available at the start.
    AllAvailable,
    /// One more than are available at the start.
    OneTooMany,
    /// Half of the units available at the start.
    Half,
    /// 100.
    Hundred,
    /// 65,535 or 65,536.
    SixteenBits,
    /// The largest valid count, or one less.
    Largest,
    /// Any valid count.
    Any,
}

impl Units {
    /// Every choice.
    pub(crate) const ALL: [Self; 9] = [
        Self::One,
        Self::Few,
        Self::AllAvailable,
        Self::OneTooMany,
        Self::Half,
        Self::Hundred,
        Self::SixteenBits,
        Self::Largest,
        Self::Any,
    ];
}

/// How the order of a call is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetChoice {
    /// The newest order.
    Newest,
    /// One of the eight newest orders.
    Recent,
    /// Any recent order.
    Any,
    /// One of the first three orders.
    First,
    /// An order that a client has tried to pay or to cancel.
    Finished,
    /// An id between 1 and two more than the number of creates.
    ById,
    /// An id that no order has.
    Missing,
    /// An invalid id: 0 or below.
    Hostile,
    /// One of the last few orders that no call has tried to pay or to cancel.
    Open,
}

impl TargetChoice {
    /// Every choice.
    pub(crate) const ALL: [Self; 9] = [
        Self::Newest,
        Self::Recent,
        Self::Any,
        Self::First,
        Self::Finished,
        Self::ById,
        Self::Missing,
        Self::Hostile,
        Self::Open,
    ];
}

/// These weights for these choices, and 0 for all others.
pub(crate) fn by_choice<const N: usize>(weights: &[(usize, u32)]) -> Weights<N> {
    let mut all = [0; N];
    for &(choice, weight) in weights {
        all[choice] = weight;
    }
    Weights::new(all)
}
