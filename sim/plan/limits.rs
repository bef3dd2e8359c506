//! The limits of a seed: how long finished orders are kept, and how much room there is.

use crate::model::World;
use crate::model::contract::Limits;
use crate::plan::rng::{Draw, Draws, Purpose};
use crate::plan::workload::Style;

/// The position of the first draw among the draws of a world. No style uses it or those after it,
/// up to the positions of large workloads.
const FIRST_POSITION: u16 = 104;

/// Draws the limits of a world: none for two of three.
#[must_use]
pub(crate) fn of_world(draws: &mut Draws, world: &World, style: Style) -> Limits {
    let mut position = FIRST_POSITION;
    // Each call uses the next position; a new draw is added at the end.
    let mut draw = || {
        position += 1;
        draws.draw(Purpose::of_world(position - 1))
    };
    if !draw().chance(1, 3) {
        return Limits::default();
    }
    // A part of the payment timeout or of the window, so that orders are forgotten within a run.
    let unit = [world.payment_timeout, world.idempotency_window, 1_000]
        .into_iter()
        .find(|nanos| (1..u64::MAX / 4).contains(nanos))
        .expect("the last one is");
    let has_room = draw().chance(1, 3);
    // In a shop there is room for several orders.
    let (rooms, open) = match style {
        Style::Extreme => ([150, 300, 600, 2_000], [0, 0, 0, 1, 2, 4]),
        Style::Shop | Style::Large => ([1_000, 1_500, 2_000, 4_000], [0, 0, 0, 0, 3, 6]),
    };
    let mut limits = Limits {
        keep: draw().pick(&[0, 1, unit / 4, unit / 2, unit, 2 * unit]),
        keep_failed: draw().pick(&[0, 1, unit / 8, unit / 4, unit]),
        retry_failed: draw().chance(1, 4),
        max_bytes: draw().pick(&rooms),
        open_orders: draw().pick(&open),
    };
    if !has_room {
        limits.max_bytes = 0;
    } else {
        // Else the room would soon be full for good.
        limits.keep = limits.keep.max(unit / 4);
        limits.keep_failed = limits.keep_failed.max(unit / 8);
    }
    limits
}

/// New limits that an operator may choose in a world that has some.
#[must_use]
pub(crate) fn changed(mut draw: Draw, limits: Limits) -> Limits {
    if limits == Limits::default() {
        return limits;
    }
    let shorter = Limits {
        keep: limits.keep.div_ceil(2),
        keep_failed: limits.keep_failed.div_ceil(2),
        ..limits
    };
    let longer = Limits {
        keep: limits.keep.saturating_mul(2),
        keep_failed: limits.keep_failed.saturating_mul(2),
        max_bytes: limits.max_bytes * 2,
        ..limits
    };
    let other = Limits {
        retry_failed: !limits.retry_failed,
        open_orders: if limits.open_orders == 0 { 1 } else { 0 },
        ..limits
    };
    draw.pick(&[limits, limits, shorter, longer, other, Limits::default()])
}
