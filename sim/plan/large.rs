//! Large workloads: few seeds, but with sizes that the others never reach. Each variant makes one
//! thing large, so that a run stays short. The state machine always has the shipped containers.

use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::Kind;
use crate::plan::rng::{Draw, Draws, Purpose};
use crate::plan::workload::{Gap, Style, TargetChoice, Units, Workload, by_choice};

/// The position of the first draw among the draws of a world. Other styles use the positions before
/// it.
const FIRST_POSITION: u16 = 128;

const SECOND: u64 = 1_000_000_000;
/// The beginning of 2026.
const START: u64 = 1_767_225_600 * SECOND;
const TIMEOUT: u64 = 600 * SECOND;
const DAY: u64 = 86_400 * SECOND;
const MAX_LINES: u32 = 1_000;

/// What is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// More than 2¹⁷ orders, of which thousands expire at once.
    Orders,
    /// Few of tens of thousands of orders await payment.
    SparseAwaiting,
    /// Hundreds of SKUs, and orders with up to the maximum number of lines.
    Lines,
    /// Tens of thousands of keys.
    Keys,
}

const VARIANTS: [Variant; 4] =
    [Variant::Orders, Variant::SparseAwaiting, Variant::Lines, Variant::Keys];

/// The workload of a large seed.
#[must_use]
pub(crate) fn workload(draws: &mut Draws) -> Workload {
    let mut position = FIRST_POSITION;
    // Each call uses the next position; a new draw is added at the end.
    let mut draw = || {
        position += 1;
        draws.draw(Purpose::of_world(position - 1))
    };
    let variant = draw().pick(&VARIANTS);
    let mut workload = common(draw());
    match variant {
        Variant::Orders => {
            workload.length = 195_000;
            workload.kinds = kinds([140, 4, 40, 10, 4, 2, 0]);
            workload.gaps = by_choice(&[(Gap::None as usize, 20_000), (Gap::Timeout as usize, 1)]);
        }
        Variant::SparseAwaiting => {
            workload.length = 150_000;
            workload.kinds = kinds([100, 2, draw().pick(&[250, 300]), 2, 2, 2, 0]);
            workload.gaps = by_choice(&[(Gap::None as usize, 50_000), (Gap::Timeout as usize, 1)]);
        }
        Variant::Lines => {
            workload.length = 1_600;
            workload.world.stock = draw_stock(draw(), draw().pick(&[500, 700, 1_000]), 200);
            // One order of all SKUs takes the last unit of every third one. After that, such orders
            // have hundreds of shortages.
            for (_, total, reserved) in workload.world.stock.iter_mut().step_by(3) {
                *total = *reserved + 1;
            }
            workload.units = by_choice(&[(Units::One as usize, 1)]);
            workload.kinds = kinds([60, 20, 30, 20, 10, 2, 0]);
            workload.gaps = by_choice(&[(Gap::None as usize, 200), (Gap::Timeout as usize, 1)]);
            workload.lines = u64::from(MAX_LINES);
        }
        Variant::Keys => {
            workload.length = 60_000;
            workload.kinds = kinds([200, 4, 30, 10, 2, 2, 0]);
            workload.gaps = by_choice(&[
                (Gap::None as usize, 40_000),
                (Gap::Tick as usize, 400),
                (Gap::Window as usize, 1),
            ]);
            workload.world.payment_timeout = 0;
            workload.keyed = 4;
            workload.keys = draw().pick(&[0, 40_000]);
            workload.key_length = draw().pick(&[0, 36, 64]);
            workload.retries = 2;
        }
    }
    workload
}

/// What all variants have in common.
fn common(draw: Draw) -> Workload {
    Workload {
        style: Style::Large,
        abandoned: 0,
        world: World {
            stock: draw_stock(draw, 40, 1_000_000),
            payment_timeout: TIMEOUT,
            idempotency_window: DAY,
            max_lines: MAX_LINES,
            limits: Limits::default(),
            sizes: ContainerSizes::Shipped,
        },
        start: START,
        length: 0,
        clients: 3,
        users: 1_000,
        kinds: kinds([1; Kind::ALL.len()]),
        gaps: by_choice(&[(Gap::None as usize, 1)]),
        units: by_choice(&[(Units::One as usize, 12), (Units::Few as usize, 3)]),
        targets: by_choice(&[
            (TargetChoice::Open as usize, 400),
            (TargetChoice::Any as usize, 1),
            (TargetChoice::ById as usize, 1),
        ]),
        info_targets: by_choice(&[
            (TargetChoice::Newest as usize, 4),
            (TargetChoice::Any as usize, 4),
            (TargetChoice::ById as usize, 8),
        ]),
        lines: 3,
        duplicates: 0,
        unknown: 0,
        hostile: 0,
        keyed: 0,
        keys: 0,
        key_length: 0,
        retries: 0,
    }
}

fn kinds(weights: [u32; Kind::ALL.len()]) -> crate::plan::rng::Weights<{ Kind::ALL.len() }> {
    crate::plan::rng::Weights::new(weights)
}

/// This many SKUs (not a multiple of three), with gaps between their numbers. Each has about this
/// many units.
fn draw_stock(mut draw: Draw, skus: u32, units: u64) -> Vec<(u32, u64, u64)> {
    let step = draw.pick(&[1, 3, 65_537]);
    let reserved = draw.pick(&[0, 1, units / 8]);
    (1..=skus).map(|sku| (sku * step, units + u64::from(sku % 7), reserved)).collect()
}
