//! The workload of a seed: its world, and what its clients do. Every seed draws its own and omits
//! many features, which leaves more time for the others (swarm testing, Groce et al. 2012).

use crate::model::World;
use crate::plan::Kind;
use crate::plan::rng::{Domain, Draw, Draws, Purpose, Weights};

/// What the clients of a seed do, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
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
    pub(crate) kinds: Weights<6>,
    /// Weight of each [`Gap`] between two commands, by its index in [`Gap::ALL`].
    pub(crate) gaps: Weights<8>,
    /// Weight of each [`Units`], by its index in [`Units::ALL`].
    pub(crate) units: Weights<9>,
    /// Weight of each [`TargetChoice`], by its index in [`TargetChoice::ALL`].
    pub(crate) targets: Weights<8>,
    /// Maximum number of lines of a valid create.
    pub(crate) lines: u64,
    /// How many of 4 lines repeat the SKU of an earlier line.
    pub(crate) duplicates: u64,
    /// How many of 64 lines have a SKU without a stock record.
    pub(crate) unknown: u64,
    /// How many of 64 fields are invalid or extreme.
    pub(crate) hostile: u64,
    /// How many of 4 creates have a key.
    pub(crate) keyed: u64,
    /// Number of keys in use; 0 means that each create has its own key.
    pub(crate) keys: u64,
    /// Minimum length of a key.
    pub(crate) key_length: u8,
    /// How many of 16 times a client repeats its last call.
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
}

impl Gap {
    /// Every gap.
    pub(crate) const ALL: [Self; 8] = [
        Self::None,
        Self::Tick,
        Self::Some,
        Self::AlmostTimeout,
        Self::Timeout,
        Self::OverTimeout,
        Self::AlmostWindow,
        Self::Window,
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
    AllThereIs,
    /// One more.
    OneTooMany,
    /// Half of it.
    Half,
    /// A hundred.
    Hundred,
    /// 65,535 or 65,536.
    SixteenBits,
    /// The largest count, or one less.
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

/// How the order of a call is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetChoice {
    /// The newest.
    Newest,
    /// One of the eight newest.
    Recent,
    /// Any.
    Any,
    /// One of the first three.
    First,
    /// One that a client has tried to pay or to cancel.
    Finished,
    /// An id near those of existing orders.
    ByNumber,
    /// An id that no order has.
    Nobody,
    /// Zero, or below.
    Hostile,
}

impl TargetChoice {
    /// Every choice.
    pub(crate) const ALL: [Self; 8] = [
        Self::Newest,
        Self::Recent,
        Self::Any,
        Self::First,
        Self::Finished,
        Self::ByNumber,
        Self::Nobody,
        Self::Hostile,
    ];
}

/// Opening stock: boundary values, and some in between.
const STOCKS: [u64; 11] = [0, 1, 2, 5, 20, 100, 65_535, 65_536, 1 << 32, u64::MAX - 1, u64::MAX];

/// SKU numbers: usual and unusual ones.
const SKUS: [[u32; 6]; 2] =
    [[1, 2, 3, 4, 5, 6], [1, 65_535, 65_536, 65_537, 773_297_411, u32::MAX]];

const SECOND: u64 = 1_000_000_000;
const TIMEOUTS: [u64; 8] = [0, 1, 2, 10, 100, 10_000, 600 * SECOND, u64::MAX];
const WINDOWS: [u64; 7] = [0, 1, 7, 100, 10_000, 86_400 * SECOND, u64::MAX];
/// The earliest time, the beginning of 2026, and a time close to the latest one.
const STARTS: [u64; 4] = [0, 1_767_225_600 * SECOND, 1_767_225_600 * SECOND, u64::MAX - (1 << 20)];
const LENGTHS: [u32; 7] = [20, 60, 200, 600, 2_000, 6_000, 60_000];
const LENGTH_WEIGHTS: [u32; 7] = [60, 50, 40, 24, 16, 8, 1];

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Domain::World);
        let mut place = 0;
        // Each call uses the next position; a new draw is added at the end.
        let mut draw = || {
            place += 1;
            draws.draw(Purpose::of_world(place - 1))
        };
        let length = LENGTHS[draw().weighted(&Weights::new(LENGTH_WEIGHTS))];
        let start = draw().pick(&STARTS);
        let (timeout, window) = (draw().pick(&TIMEOUTS), draw().pick(&WINDOWS));
        let max_lines = draw().pick(&[1, 2, 4, 8, 1_000, 1_000, 1_000, 1_000]);
        let stock = draw_stock(draw());
        Self {
            world: World { stock, payment_timeout: timeout, idempotency_window: window, max_lines },
            start,
            length,
            clients: draw().pick(&[1, 2, 3, 8]),
            users: draw().pick(&[1, 2, 4]),
            kinds: Weights::new(draw_kinds(draw())),
            gaps: Weights::new(draw_gaps(draw())),
            units: Weights::new(draw_units(draw())),
            targets: Weights::new(draw_aims(draw())),
            lines: draw().pick(&[1, 2, 4, 6, 8]).min(u64::from(max_lines)),
            duplicates: draw().pick(&[0, 0, 1, 2, 3]),
            unknown: draw().pick(&[0, 1, 8]),
            hostile: draw().pick(&[0, 1, 1, 8]),
            keyed: draw().pick(&[0, 1, 2, 4]),
            keys: draw().pick(&[0, 1, 2, 8]),
            retries: draw().pick(&[0, 1, 4]),
            key_length: draw().pick(&[0, 0, 0, 40, 64]),
        }
    }
}

fn draw_stock(mut draw: Draw) -> Vec<(u32, u64, u64)> {
    let skus = draw.pick(&SKUS);
    let count = 1 + draw.place(skus.len());
    // In a third of the worlds all SKUs have many units, because one SKU without units would make
    // most orders fail.
    let among = if draw.chance(1, 3) { &STOCKS[5..] } else { &STOCKS };
    skus[..count]
        .iter()
        .map(|&sku| {
            let total = draw.pick(among);
            // Most SKUs start with nothing reserved, some with everything.
            let reserved = match draw.below(8) {
                0 => total.min(1),
                1 => total / 2,
                2 if count > 1 => total,
                _ => 0,
            };
            (sku, total, reserved)
        })
        .collect()
}

/// Each kind is used in three of four worlds, creates in all.
fn draw_kinds(mut draw: Draw) -> [u32; 6] {
    let kinds = [Kind::Create, Kind::Info, Kind::Pay, Kind::Cancel, Kind::Stock, Kind::Tick];
    kinds.map(|kind| {
        let weight = draw.pick(&[1, 5, 20, 60]);
        if kind == Kind::Create || draw.chance(3, 4) { weight } else { 0 }
    })
}

/// Time does not move, moves slowly, or jumps at times: orders must stay open long enough to be
/// paid.
fn draw_gaps(mut draw: Draw) -> [u32; 8] {
    match draw.below(3) {
        0 => [1, 0, 0, 0, 0, 0, 0, 0],
        1 => [60, 20, 4, 1, 1, 1, 1, 1],
        _ => {
            let mut weights = draw_weights(draw, &[0, 0, 0, 1, 2]);
            weights[0] += 20;
            weights[1] *= 10;
            weights[2] *= 5;
            weights
        }
    }
}

/// One unit is always among the counts, so that some orders succeed.
fn draw_units(draw: Draw) -> [u32; 9] {
    let mut weights = draw_weights(draw, &[0, 0, 1, 4, 16]);
    weights[0] += 6;
    weights
}

fn draw_aims(draw: Draw) -> [u32; 8] {
    let mut weights = draw_weights(draw, &[0, 1, 4, 16]);
    // Calls on orders that do not exist are rare.
    weights[6] = weights[6].min(1);
    weights[7] = weights[7].min(1);
    weights
}

/// A weight for each choice; the first is never 0.
fn draw_weights<const N: usize>(mut draw: Draw, among: &[u32]) -> [u32; N] {
    let mut weights = [0; N].map(|_: u32| draw.pick(among));
    weights[0] = weights[0].max(1);
    weights
}
