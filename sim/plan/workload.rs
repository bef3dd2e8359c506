//! What one seed is like: its world, and the workload of the clients in it. Every seed draws its
//! own, and leaves much out: what nobody does in one world leaves room for more of the rest
//! (swarm testing, Groce et al. 2012).

use crate::model::World;
use crate::plan::Kind;
use crate::plan::rng::{Domain, Draw, Draws, Purpose, Weights};

/// What clients do in the world of a seed, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
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
    pub(crate) kinds: Weights<6>,
    /// How often each [`Gap`] passes between two commands, by its place in [`Gap::ALL`].
    pub(crate) gaps: Weights<8>,
    /// How often each [`Units`] is ordered, by its place in [`Units::ALL`].
    pub(crate) units: Weights<9>,
    /// How often each [`TargetChoice`] is taken, by its place in [`TargetChoice::ALL`].
    pub(crate) targets: Weights<8>,
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

/// Opening stock: the ends of ranges, and some in between.
const STOCKS: [u64; 11] = [0, 1, 2, 5, 20, 100, 65_535, 65_536, 1 << 32, u64::MAX - 1, u64::MAX];

/// SKU numbers: as people give them, and as nobody expects them.
const SKUS: [[u32; 6]; 2] =
    [[1, 2, 3, 4, 5, 6], [1, 65_535, 65_536, 65_537, 773_297_411, u32::MAX]];

const SECOND: u64 = 1_000_000_000;
const TIMEOUTS: [u64; 8] = [0, 1, 2, 10, 100, 10_000, 600 * SECOND, u64::MAX];
const WINDOWS: [u64; 7] = [0, 1, 7, 100, 10_000, 86_400 * SECOND, u64::MAX];
/// The beginning of time, the beginning of 2026, and close to the end of time.
const STARTS: [u64; 4] = [0, 1_767_225_600 * SECOND, 1_767_225_600 * SECOND, u64::MAX - (1 << 20)];
const LENGTHS: [u32; 7] = [20, 60, 200, 600, 2_000, 6_000, 60_000];
const LENGTH_WEIGHTS: [u32; 7] = [60, 50, 40, 24, 16, 8, 1];

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Domain::World);
        let mut place = 0;
        // Each call takes the next place; a new draw goes to the end.
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
    // Where everything is plenty, orders go through that one empty shelf would fail.
    let among = if draw.chance(1, 3) { &STOCKS[5..] } else { &STOCKS };
    skus[..count]
        .iter()
        .map(|&sku| {
            let total = draw.pick(among);
            // Most shelves open with nothing reserved; some with all of it.
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

/// Each kind is called in three worlds of four, creates in all.
fn draw_kinds(mut draw: Draw) -> [u32; 6] {
    let kinds = [Kind::Create, Kind::Info, Kind::Pay, Kind::Cancel, Kind::Stock, Kind::Tick];
    kinds.map(|kind| {
        let weight = draw.pick(&[1, 5, 20, 60]);
        if kind == Kind::Create || draw.chance(3, 4) { weight } else { 0 }
    })
}

/// Time stands still, creeps, or leaps now and then: orders must live long enough to be paid.
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

/// Single units are always among what is ordered, so that some orders go through.
fn draw_units(draw: Draw) -> [u32; 9] {
    let mut weights = draw_weights(draw, &[0, 0, 1, 4, 16]);
    weights[0] += 6;
    weights
}

fn draw_aims(draw: Draw) -> [u32; 8] {
    let mut weights = draw_weights(draw, &[0, 1, 4, 16]);
    // Of what leads nowhere a little is enough.
    weights[6] = weights[6].min(1);
    weights[7] = weights[7].min(1);
    weights
}

/// A weight each, of which the first is never 0.
fn draw_weights<const N: usize>(mut draw: Draw, among: &[u32]) -> [u32; N] {
    let mut weights = [0; N].map(|_: u32| draw.pick(among));
    weights[0] = weights[0].max(1);
    weights
}
