//! Extreme workloads: values at the limits of the contract, and unusual clients. Every seed omits
//! many features, so that it uses the others more often (swarm testing, Groce et al. 2012).

use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::Kind;
use crate::plan::rng::{Draw, Draws, Purpose, Weights};
use crate::plan::workload::{Gap, Style, TargetChoice, Units, Workload};

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

/// The workload of an extreme seed.
#[must_use]
pub(crate) fn workload(draws: &mut Draws) -> Workload {
    let mut position = 0;
    // Each call uses the next position; a new draw is added at the end.
    let mut draw = || {
        position += 1;
        draws.draw(Purpose::of_world(position - 1))
    };
    let length = LENGTHS[draw().weighted(&Weights::new(LENGTH_WEIGHTS))];
    let start = draw().pick(&STARTS);
    let (timeout, window) = (draw().pick(&TIMEOUTS), draw().pick(&WINDOWS));
    let max_lines = draw().pick(&[1, 2, 4, 8, 1_000, 1_000, 1_000, 1_000]);
    let stock = draw_stock(draw());
    let (clients, users) = (draw().pick(&[1, 2, 3, 8]), draw().pick(&[1, 2, 4]));
    let (kinds, gaps) = (draw_kinds(draw()), draw_gaps(draw()));
    let (units, targets) = (draw_units(draw()), Weights::new(draw_targets(draw())));
    let mut workload = Workload {
        style: Style::Extreme,
        abandoned: 0,
        world: World {
            stock,
            payment_timeout: timeout,
            idempotency_window: window,
            max_lines,
            limits: Limits::default(),
            sizes: ContainerSizes::Shipped,
        },
        start,
        length,
        clients,
        users,
        kinds: Weights::new(kinds),
        gaps: Weights::new(gaps),
        units: Weights::new(units),
        targets,
        info_targets: targets,
        lines: draw().pick(&[1, 2, 4, 6, 8]).min(u64::from(max_lines)),
        duplicates: draw().pick(&[0, 0, 1, 2, 3]),
        unknown: draw().pick(&[0, 1, 8]),
        hostile: draw().pick(&[0, 1, 1, 8]),
        keyed: draw().pick(&[0, 1, 2, 4]),
        keys: draw().pick(&[0, 1, 2, 8]),
        retries: draw().pick(&[0, 1, 4]),
        key_length: draw().pick(&[0, 0, 0, 40, 255]),
    };
    over_reserve(draw(), &mut workload.world.stock);
    workload
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

/// In one of 12 worlds with several SKUs, more of one SKU is reserved than there is.
fn over_reserve(mut draw: Draw, stock: &mut [(u32, u64, u64)]) {
    if stock.len() > 1 && draw.chance(1, 12) {
        let place = draw.place(stock.len());
        let (_, total, reserved) = &mut stock[place];
        *reserved = total.checked_add(draw.pick(&[1, 100, u64::MAX])).unwrap_or(u64::MAX);
    }
}

/// Each kind is used in three of four worlds, creates in all. The rules change in one of four
/// worlds, and not often.
fn draw_kinds(mut draw: Draw) -> [u32; Kind::ALL.len()] {
    Kind::ALL.map(|kind| {
        if kind == Kind::Rules {
            return if draw.chance(1, 4) { draw.pick(&[1, 5]) } else { 0 };
        }
        let weight = draw.pick(&[1, 5, 20, 60]);
        if kind == Kind::Create || draw.chance(3, 4) { weight } else { 0 }
    })
}

/// Time does not move, moves slowly, or sometimes jumps. Orders must await payment long enough to
/// be paid.
fn draw_gaps(mut draw: Draw) -> [u32; Gap::ALL.len()] {
    match draw.below(3) {
        0 => [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        1 => [60, 20, 4, 1, 1, 1, 1, 1, 0, 0],
        _ => {
            let mut weights = draw_weights(draw, &[0, 0, 0, 1, 2]);
            weights[0] += 20;
            weights[1] *= 10;
            weights[2] *= 5;
            weights[Gap::Pace as usize] = 0;
            weights[Gap::LastMoment as usize] = 0;
            weights
        }
    }
}

/// [`Units::One`] always has some weight, so that some orders succeed.
fn draw_units(draw: Draw) -> [u32; Units::ALL.len()] {
    let mut weights = draw_weights(draw, &[0, 0, 1, 4, 16]);
    weights[0] += 6;
    weights
}

fn draw_targets(draw: Draw) -> [u32; TargetChoice::ALL.len()] {
    let mut weights = draw_weights(draw, &[0, 1, 4, 16]);
    // Calls on orders that do not exist are rare.
    for rare in [TargetChoice::Missing, TargetChoice::Hostile] {
        weights[rare as usize] = weights[rare as usize].min(1);
    }
    weights[TargetChoice::Open as usize] = 0;
    weights
}

/// A weight for each choice; the first is never 0.
fn draw_weights<const N: usize>(mut draw: Draw, among: &[u32]) -> [u32; N] {
    let mut weights = [0; N].map(|_: u32| draw.pick(among));
    weights[0] = weights[0].max(1);
    weights
}
