//! The workload of a seed: its world, and what its clients do and how often. About half of all
//! seeds are shops ([`crate::plan::shop`]); the others go to the limits
//! ([`crate::plan::extreme`]).

use crate::model::World;
use crate::plan::rng::{Domain, Draws, Purpose, Weights};
use crate::plan::{Kind, extreme, shop};

/// What kind of workload a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Ordinary stock and customers: most orders are paid or cancelled.
    Shop,
    /// Values and habits at the limits of the contract.
    Extreme,
}

impl Style {
    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Extreme => "extreme",
        }
    }
}

/// What clients do in the world of a seed, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Which kind of workload it is.
    pub(crate) style: Style,
    /// Where they do it.
    pub(crate) world: World,
    /// The moment of the first step, in nanoseconds since 1970.
    pub(crate) start: u64,
    /// Commands, before the drain.
    pub(crate) length: u32,
    /// Clients that take turns.
    pub(crate) clients: u8,
    /// Users that buy, from 1.
    pub(crate) users: u64,
    /// How often each kind is called, by its place in [`Kind::ALL`]; 0 for never.
    pub(crate) kinds: Weights<{ Kind::ALL.len() }>,
    /// How often each [`Gap`] passes between two commands, by its place in [`Gap::ALL`].
    pub(crate) gaps: Weights<{ Gap::ALL.len() }>,
    /// How often each [`Units`] is ordered, by its place in [`Units::ALL`].
    pub(crate) units: Weights<{ Units::ALL.len() }>,
    /// How often payments and cancellations take each [`TargetChoice`], by its place in
    /// [`TargetChoice::ALL`].
    pub(crate) targets: Weights<{ TargetChoice::ALL.len() }>,
    /// The same for OrderInfo.
    pub(crate) info_targets: Weights<{ TargetChoice::ALL.len() }>,
    /// The most lines of a create, but for hostile ones.
    pub(crate) lines: u64,
    /// In so many of 4 lines the SKU is that of an earlier one.
    pub(crate) duplicates: u64,
    /// In so many of 64 lines the SKU has no stock record.
    pub(crate) unknown: u64,
    /// In so many of 64 fields there is what no honest client sends.
    pub(crate) hostile: u64,
    /// So many of 4 creates have a key.
    pub(crate) keyed: u64,
    /// Keys that are used again and again; 0 where each create has a key of its own.
    pub(crate) keys: u64,
    /// The least length of a key.
    pub(crate) key_length: u8,
    /// In so many of 16 turns a client sends its last call again.
    pub(crate) retries: u64,
}

/// How much time passes before a command.
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
    /// A nanosecond more.
    OverTimeout,
    /// A nanosecond less than the idempotency window.
    AlmostWindow,
    /// The idempotency window.
    Window,
    /// Whole seconds, up to a 16th of the payment timeout: the pace of a shop.
    Pace,
}

impl Gap {
    /// Every gap.
    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::Tick,
        Self::Some,
        Self::AlmostTimeout,
        Self::Timeout,
        Self::OverTimeout,
        Self::AlmostWindow,
        Self::Window,
        Self::Pace,
    ];
}

/// How much of a SKU a line orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// One.
    One,
    /// Up to ten.
    Few,
    /// What is available as the service opens.
    AllThereIs,
    /// One more than that.
    OneTooMany,
    /// Half of it.
    Half,
    /// A hundred.
    Hundred,
    /// 65,535 or 65,536.
    SixteenBits,
    /// The most that a count can be, or one less.
    Most,
    /// Anything.
    Any,
}

impl Units {
    /// Every choice.
    pub(crate) const ALL: [Self; 9] = [
        Self::One,
        Self::Few,
        Self::AllThereIs,
        Self::OneTooMany,
        Self::Half,
        Self::Hundred,
        Self::SixteenBits,
        Self::Most,
        Self::Any,
    ];
}

/// Which order a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetChoice {
    /// The last that was made.
    Newest,
    /// One of the last eight.
    Recent,
    /// Any.
    Any,
    /// One of the first three.
    First,
    /// One that was already paid or cancelled, or that somebody tried to.
    Finished,
    /// A number near those that orders have.
    ByNumber,
    /// A number that no order has.
    Nobody,
    /// Zero, or below.
    Hostile,
    /// One of the last few that no call has tried to pay or to cancel.
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
        Self::ByNumber,
        Self::Nobody,
        Self::Hostile,
        Self::Open,
    ];
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Domain::World);
        if draws.draw(Purpose::STYLE).chance(1, 2) {
            shop::workload(&mut draws)
        } else {
            extreme::workload(&mut draws)
        }
    }
}
