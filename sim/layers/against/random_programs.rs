//! Random programs, which find differences that no rule describes. They avoid known differences, so
//! that they can find others.

use std::collections::BTreeSet;

use super::probe::{Finding, play};
use super::session::{Program, Session};
use super::situation::{self, Situation};
use crate::model::World;
use crate::plan::rng::{Draws, Purpose, Weights};
use crate::plan::{Key, Kind, Op, Step, Target};
use crate::shrink::Shrinker;

/// Steps of a program.
const LENGTH: u32 = 24;

/// Units that a program may pay for: they do not return to the stock.
const PAID: u64 = 2;

/// Maximum number of programs for shrinking.
const SHRINKING: u64 = 60;

/// Runs a random program; gives a shrunk finding.
pub(crate) fn run_random(
    session: &mut Session,
    draws: &mut Draws,
    round: u64,
    broken: &BTreeSet<Situation>,
) -> Option<Finding> {
    let world = session.world();
    let (steps, differs) = random_program(session, &world, draws, round, broken);
    if !differs {
        return None;
    }
    let steps = shrink(session, steps);
    let world = session.world();
    let exchanges = play(session, &world, &steps);
    let last = exchanges.last()?;
    if last.facets.is_empty() {
        // It cannot be reproduced: the state of the server has changed.
        return None;
    }
    let situation = situation::describe(last.situation);
    let steps = steps[..exchanges.len()].to_vec();
    let mut finding = Finding { rule: String::new(), steps, exchanges };
    finding.rule = match finding.situation() {
        Some(cause) if situation::describe(cause) != situation => {
            format!(
                "after {}, {situation} is answered as the contract requires",
                situation::describe(cause)
            )
        }
        Some(_) | None => format!("{situation} is answered as the contract requires"),
    };
    Some(finding)
}

/// A random program up to its first difference.
fn random_program(
    session: &mut Session,
    world: &World,
    draws: &mut Draws,
    round: u64,
    broken: &BTreeSet<Situation>,
) -> (Vec<Step>, bool) {
    let mut program = Program::begin(session, world);
    let (mut steps, mut paid) = (Vec::new(), 0);
    let mut differs = false;
    for number in 1..=LENGTH {
        draws.turn_to(round << 16 | u64::from(number));
        let step = draw(draws, world, number, &steps);
        let situations = program.situations(&step);
        let pays = situations[0] == (Kind::Pay, "of an awaiting order");
        let takes = if pays { units(&steps, &step) } else { 0 };
        if situations.iter().any(|one| broken.contains(one)) || paid + takes > PAID {
            continue;
        }
        paid += takes;
        differs = !program.step(&step).facets.is_empty();
        steps.push(step);
        if differs {
            break;
        }
    }
    program.end();
    (steps, differs)
}

/// Units of the order that a step is about.
fn units(before: &[Step], step: &Step) -> u64 {
    let created =
        before.iter().find(|created| step.op.target() == Some(Target::CreatedBy(created.number)));
    created.map_or(0, |created| created.items.iter().map(|item| u64::from(item.1)).sum())
}

fn draw(draws: &mut Draws, world: &World, number: u32, before: &[Step]) -> Step {
    let mut step = Step { number, ..Step::default() };
    let creates: Vec<u32> = before
        .iter()
        .filter(|step| step.op.kind() == Kind::Create)
        .map(|step| step.number)
        .collect();
    let mut draw = draws.draw(Purpose::TARGET);
    let target = match draw.below(24) {
        0 => Target::Id(Target::MISSING),
        1 => Target::Id(-1),
        _ if creates.is_empty() => Target::Id(Target::MISSING),
        _ => Target::CreatedBy(draw.pick(&creates)),
    };
    let weights = Weights::new([30, 20, 12, 18, 20, 0]);
    let kind = Kind::ALL[draws.draw(Purpose::KIND).weighted(&weights)];
    step.op = match kind {
        Kind::Create => {
            let mut draw = draws.draw(Purpose::LINES);
            for line in 0..=draw.below(3) {
                let line = u16::try_from(line).expect("a few lines");
                let (sku, available) = draw_stock_record(draws, world, Purpose::line_sku(line));
                let mut draw = draws.draw(Purpose::line_count(line));
                let count = match draw.below(16) {
                    0 => available,
                    1 => available.saturating_add(1),
                    _ => 1 + draw.below(3),
                };
                step.items.push((sku, u32::try_from(count).unwrap_or(1)));
            }
            let (user, key) =
                (draws.draw(Purpose::USER).below(20), draws.draw(Purpose::KEY).below(8));
            let user = if user == 0 { 0 } else { i64::try_from(1 + user % 2).expect("1 or 2") };
            let name = if key < 3 { u32::try_from(key).expect("below 3") } else { 0 };
            Op::Create { user, key: Key::named(name) }
        }
        Kind::Info => Op::Info(target),
        Kind::Pay => Op::Pay(target),
        Kind::Cancel => Op::Cancel(target),
        Kind::Stock | Kind::Tick | Kind::Rules => {
            Op::Stock(draw_stock_record(draws, world, Purpose::SKU).0)
        }
    };
    step
}

/// A SKU and its available units; sometimes a SKU without a stock record.
fn draw_stock_record(draws: &mut Draws, world: &World, purpose: Purpose) -> (u32, u64) {
    let mut draw = draws.draw(purpose);
    if draw.chance(1, 24) || world.stock.is_empty() {
        return (3_999_999_979, 1);
    }
    let (sku, available, _) = world.stock[draw.place(world.stock.len())];
    (sku, available)
}

/// Removes steps, and then lines, while the last step still differs in the same facets.
fn shrink(session: &mut Session, mut steps: Vec<Step>) -> Vec<Step> {
    let mut difference = |steps: &[Step]| {
        let world = session.world();
        let exchanges = play(session, &world, steps);
        let last = exchanges.last().filter(|_| exchanges.len() == steps.len())?;
        (!last.facets.is_empty()).then(|| (last.facets.clone(), last.situation))
    };
    let Some(wanted) = difference(&steps) else { return steps };
    let holds = |steps: &Vec<Step>| (difference(steps).as_ref() == Some(&wanted), 1);
    let mut shrinker = Shrinker::new(SHRINKING, holds);
    shrinker.remove_ranges(&mut steps, |steps| steps);
    for place in 0..steps.len() {
        shrinker.remove_ranges(&mut steps, |steps| &mut steps[place].items);
    }
    steps
}
