//! Shop workloads: usual stock and usual customers. Customers order a few units of a few SKUs. They
//! soon pay or cancel most orders. Some orders expire, some fail for lack of stock, and some
//! clients send a call again.

use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::Kind;
use crate::plan::rng::{Draw, Draws, Purpose, Weights};
use crate::plan::workload::{Gap, Style, TargetChoice, Units, Workload, by_choice};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The position of a shop's first draw among the draws of a world. Extreme seeds use the positions
/// before it.
const FIRST_POSITION: u16 = 64;

/// The beginning of 2026.
const START: u64 = 1_767_225_600 * SECOND;
const TIMEOUTS: [u64; 4] = [5 * MINUTE, 10 * MINUTE, 10 * MINUTE, 15 * MINUTE];
const WINDOWS: [u64; 3] = [HOUR, 24 * HOUR, 24 * HOUR];
const LENGTHS: [u32; 5] = [80, 120, 240, 600, 2_000];
const LENGTH_WEIGHTS: [u32; 5] = [60, 40, 14, 4, 3];
const FIRST_SKU: u32 = 1_001;

/// The workload of a shop.
#[must_use]
pub(crate) fn workload(draws: &mut Draws) -> Workload {
    let mut position = FIRST_POSITION;
    // Each call uses the next position; a new draw is added at the end.
    let mut draw = || {
        position += 1;
        draws.draw(Purpose::of_world(position - 1))
    };
    let length = LENGTHS[draw().weighted(&Weights::new(LENGTH_WEIGHTS))];
    let start = START + HOUR * draw().below(24 * 365);
    let (payment_timeout, idempotency_window) = (draw().pick(&TIMEOUTS), draw().pick(&WINDOWS));
    let stock = draw_stock(draw(), u64::from(length));
    let kinds = draw_kinds(draw());
    Workload {
        style: Style::Shop,
        abandoned: 1,
        world: World {
            stock,
            payment_timeout,
            idempotency_window,
            max_lines: 1_000,
            limits: Limits::default(),
            sizes: ContainerSizes::Shipped,
        },
        start,
        length,
        clients: draw().pick(&[2, 3, 5]),
        users: draw().pick(&[4, 8, 20]),
        kinds: Weights::new(kinds),
        gaps: by_choice(&[
            (Gap::None as usize, 8),
            (Gap::Some as usize, 1),
            (Gap::LastMoment as usize, 2),
            (Gap::Pace as usize, 60),
        ]),
        units: by_choice(&[(Units::One as usize, 12), (Units::Few as usize, 3)]),
        targets: by_choice(&[
            (TargetChoice::Open as usize, 40),
            (TargetChoice::Recent as usize, 3),
            (TargetChoice::Any as usize, 1),
            (TargetChoice::Finished as usize, 4),
            (TargetChoice::ById as usize, 1),
            (TargetChoice::Missing as usize, 1),
        ]),
        info_targets: by_choice(&[
            (TargetChoice::Newest as usize, 6),
            (TargetChoice::Recent as usize, 20),
            (TargetChoice::Any as usize, 6),
            (TargetChoice::Finished as usize, 6),
            (TargetChoice::Missing as usize, 1),
        ]),
        lines: draw().pick(&[1, 2, 3, 4]),
        duplicates: draw().pick(&[0, 0, 1]),
        unknown: draw().pick(&[0, 1, 2]),
        hostile: draw().pick(&[0, 0, 1]),
        keyed: draw().pick(&[2, 4, 4]),
        keys: draw().pick(&[0, 2 * u64::from(length)]),
        retries: draw().pick(&[1, 2, 2]),
        key_length: draw().pick(&[0, 36, 64]),
    }
}

/// Three to six SKUs. Some sell out before the end of the run, most do not.
fn draw_stock(mut draw: Draw, length: u64) -> Vec<(u32, u64, u64)> {
    let count = 3 + draw.below(4);
    let share = length / count;
    (FIRST_SKU..)
        .zip(0..count)
        .map(|(sku, _)| {
            let total = 6 + share * draw.pick(&[2, 4, 4, 6, 8]) / 4;
            let reserved = if draw.chance(1, 4) { total / 8 } else { 0 };
            (sku, total, reserved)
        })
        .collect()
}

fn draw_kinds(mut draw: Draw) -> [u32; Kind::ALL.len()] {
    Kind::ALL.map(|kind| match kind {
        Kind::Create => 30,
        Kind::Info => draw.pick(&[8, 16, 24]),
        Kind::Pay => draw.pick(&[23, 27]),
        Kind::Cancel => draw.pick(&[4, 8]),
        Kind::Stock => draw.pick(&[4, 8, 12]),
        Kind::Tick => draw.pick(&[2, 4]),
        // In one of eight shops the operator changes the rules, about once in 80 commands.
        Kind::Rules => u32::from(draw.chance(1, 8)),
    })
}

/// New rules that the operator of a shop may choose.
pub(crate) fn draw_rules(mut draw: Draw) -> (u64, u64) {
    (draw.pick(&TIMEOUTS), draw.pick(&WINDOWS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::swarm::play_seed;
    use crate::coverage::counts::Counts;
    use crate::coverage::marks::Mark;
    use crate::mutation::injected::InjectedFaults;

    const SEEDS: u64 = 200;

    /// The counts of all shops among the first seeds.
    fn shops() -> Vec<(u64, Counts)> {
        (0..SEEDS)
            .map(|seed| (seed, Workload::of(seed)))
            .filter(|(_, workload)| workload.style == Style::Shop)
            .map(|(seed, workload)| {
                let length = workload.length;
                let run = play_seed(seed, &workload, length, InjectedFaults::default());
                (seed, run.counts)
            })
            .collect()
    }

    #[test]
    fn half_of_all_seeds_are_shops() {
        let shops = shops().len();
        assert!((80..=120).contains(&shops), "{shops} of {SEEDS} are shops");
    }

    #[test]
    fn most_orders_of_a_shop_are_paid_or_cancelled() {
        let shops = shops();
        let settled = |counts: &Counts| counts.paid + counts.cancelled;
        for (seed, counts) in &shops {
            let settled = settled(counts);
            // Where orders are forgotten and creates retried, more orders fail.
            let limited = Workload::of(*seed).world.limits != Limits::default();
            let least = if limited { 5 } else { 8 } * counts.orders / 20;
            assert!(settled > least, "seed {seed}: {settled} of {}", counts.orders);
            assert!(counts.paid > 0, "seed {seed}");
        }
        let share = |of: &dyn Fn(&Counts) -> bool| {
            100 * shops.iter().filter(|(_, counts)| of(counts)).count() / shops.len()
        };
        let failed =
            |counts: &Counts| counts.orders - counts.paid - counts.cancelled - counts.expired;
        let repeated = |counts: &Counts| {
            counts.marks.has(Mark::KeyRepeatedAwaiting) || counts.marks.has(Mark::KeyRepeatedPaid)
        };
        // In percent of the shops: more than half are settled, some expire, some fail, some keys
        // are repeated.
        let shares = [
            share(&|counts| 2 * settled(counts) > counts.orders),
            share(&|counts| counts.expired > 0),
            share(&|counts| failed(counts) > 0),
            share(&repeated),
        ];
        let least = [90, 90, 50, 50];
        assert!(shares.iter().zip(least).all(|(&share, least)| share >= least), "{shares:?}");
    }
}
