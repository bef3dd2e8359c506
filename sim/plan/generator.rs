//! The steps of a seed, one by one. They depend only on the seed and on [`GENERATOR`]. They never
//! depend on an answer, so a change of the service does not change a plan.
//!
//! # Versions
//!
//! **A seed and a generator version give the same plan in every release that knows this version.**
//! A release knows only the version that it prints. To repeat a run of another version, check out
//! the commit that printed it, or replay its plan: a plan file holds all its commands and does not
//! depend on the generator.
//!
//! | version | what it adds |
//! |---|---|
//! | 1 | create, info, pay, cancel, stock, tick; all seeds are extreme; prints no version |
//! | 2 | shops; changes of the rules |
//! | 3 | large workloads; half of the other seeds run with tiny containers |
//! | 4 | keys of up to 255 bytes |
//! | 5 | finished orders are forgotten; limits of room and of open orders |
//!
//! To change what seeds mean, for example to add a kind of command:
//!
//! 1. Add the kind at the end of [`Kind::ALL`], its weight in `shop` and `extreme`, and one arm in
//!    `draw_step`. A new draw takes a new [`Purpose`], so that no other draw changes.
//! 2. Add 1 to [`GENERATOR`], and a row to the table above.
//! 3. Accept the new snapshots, in a commit that does nothing else.

use crate::model::World;
use crate::plan::rng::{Domain, Draw, Draws, Purpose, Weights};
use crate::plan::workload::{Gap, Style, TargetChoice, Units, Workload};
use crate::plan::{Key, Kind, Op, Plan, Step, Target, limits, shop};

const SECOND: u64 = 1_000_000_000;

/// The version of the generator: what a seed means. See the top of this file.
pub(crate) const GENERATOR: u32 = 5;

/// The name of a seed's run in reports.
#[must_use]
pub(crate) fn origin(seed: u64) -> String {
    format!("seed {seed}, generator {GENERATOR}")
}

/// How many recent creates and finished orders are stored as targets.
const REMEMBERED: usize = 256;

/// How many orders that no call has tried to pay or to cancel are stored as targets. Older ones
/// expire.
const OPEN: usize = 8;

/// Generates the steps of a seed.
#[derive(Debug)]
pub(crate) struct Generator {
    workload: Workload,
    draws: Draws,
    number: u32,
    at: u64,
    /// The present rules: those of the world, or of the last change.
    timeout: u64,
    window: u64,
    /// The creates so far.
    creates: Recent,
    /// The orders that a client has tried to pay or to cancel.
    finished: Recent,
    /// The last orders that no call has tried to pay or to cancel, oldest first: the numbers and
    /// times of their creates.
    open: Vec<(u32, u64)>,
    /// The last call of each client.
    last: Vec<Step>,
}

/// The first few and the last few step numbers of a kind.
#[derive(Clone, Debug, Default)]
struct Recent {
    first: Vec<u32>,
    ring: Vec<u32>,
    count: u64,
}

impl Recent {
    fn push(&mut self, number: u32) {
        if self.first.len() < 3 {
            self.first.push(number);
        }
        if self.ring.len() < REMEMBERED {
            self.ring.push(number);
        } else {
            self.ring[place(self.count)] = number;
        }
        self.count += 1;
    }

    /// The number that was added `by` positions before the last one.
    fn back(&self, by: u64) -> Option<u32> {
        self.ring.get(place(self.count.checked_sub(by + 1)?)).copied()
    }

    /// How many of the last numbers [`back`](Self::back) can return.
    fn remembered(&self) -> u64 {
        self.count.min(REMEMBERED as u64)
    }
}

fn place(count: u64) -> usize {
    usize::try_from(count % REMEMBERED as u64).expect("a place in the ring")
}

impl Generator {
    /// The generator of a seed. With `blind`, draws ignore their purpose: an injected fault.
    #[must_use]
    pub(crate) fn new(seed: u64, workload: Workload, blind: bool) -> Self {
        let draws = Draws::new(seed, Domain::Commands);
        let clients = usize::from(workload.clients);
        Self {
            draws: if blind { draws.blind() } else { draws },
            timeout: workload.world.payment_timeout,
            window: workload.world.idempotency_window,
            workload,
            number: 0,
            at: 0,
            creates: Recent::default(),
            finished: Recent::default(),
            open: Vec::with_capacity(OPEN + 1),
            last: vec![Step::default(); clients],
        }
    }

    /// Writes the next step into `step`, and reuses its memory.
    pub(crate) fn next(&mut self, step: &mut Step) {
        self.number += 1;
        self.draws.turn_to(u64::from(self.number));
        self.pass_time();
        let client = self.draw(Purpose::CLIENT).place(self.last.len());
        let again = self.draw(Purpose::RETRY).chance(self.workload.retries, 16)
            && self.last[client].number != 0;
        if again {
            step.copy_from(&self.last[client]);
        } else {
            self.draw_step(step);
        }
        if let Op::Rules { timeout, window, .. } = step.op {
            (self.timeout, self.window) = (timeout, window);
        }
        step.number = self.number;
        step.at = self.at;
        step.client = u8::try_from(client).expect("there are fewer than 256 clients");
        self.remember(step, again);
        if self.workload.retries > 0 && !again {
            self.last[client].copy_from(step);
        }
    }

    fn remember(&mut self, step: &Step, again: bool) {
        if step.op.kind() == Kind::Create {
            self.creates.push(step.number);
            // A repeated create usually returns the order of the first one.
            let abandoned = self.draw(Purpose::ABANDON).chance(self.workload.abandoned, 8);
            if !again && !abandoned {
                self.open.push((step.number, step.at));
                if self.open.len() > OPEN {
                    self.open.remove(0);
                }
            }
        }
        if let Op::Pay(Target::CreatedBy(order)) | Op::Cancel(Target::CreatedBy(order)) = step.op {
            self.finished.push(order);
            self.open.retain(|&(open, _)| open != order);
        }
    }

    fn draw(&mut self, purpose: Purpose) -> Draw {
        self.draws.draw(purpose)
    }

    fn pass_time(&mut self) {
        let mut draw = self.draw(Purpose::GAP);
        let (timeout, window) = (self.timeout, self.window);
        let gap = match Gap::ALL[draw.weighted(&self.workload.gaps)] {
            Gap::None => 0,
            Gap::Tick => 1,
            Gap::Some => draw.below(1 + timeout / 4),
            Gap::AlmostTimeout => timeout.saturating_sub(1),
            Gap::Timeout => timeout,
            Gap::OverTimeout => timeout.saturating_add(1),
            Gap::AlmostWindow => window.saturating_sub(1),
            Gap::Window => window,
            Gap::Pace => SECOND * draw.below(1 + timeout / (16 * SECOND)),
            Gap::LastMoment => {
                let deadline = self.open.first().and_then(|&(_, at)| at.checked_add(timeout));
                deadline.map_or(0, |deadline| deadline.saturating_sub(self.at + 1))
            }
        };
        // Time ends in 2554. A gap that would go past the end is usually skipped.
        let end = u64::MAX - self.workload.start;
        match self.at.checked_add(gap) {
            Some(at) if at <= end => self.at = at,
            Some(_) | None if draw.chance(1, 64) => self.at = end,
            Some(_) | None => {}
        }
    }

    fn draw_step(&mut self, step: &mut Step) {
        step.items.clear();
        step.op = match Kind::ALL[self.draws.draw(Purpose::KIND).weighted(&self.workload.kinds)] {
            Kind::Create => {
                self.draw_items(&mut step.items);
                Op::Create { user: self.draw_user(), key: self.draw_key() }
            }
            Kind::Info => Op::Info(self.draw_target(self.workload.info_targets)),
            Kind::Pay => Op::Pay(self.draw_target(self.workload.targets)),
            Kind::Cancel => Op::Cancel(self.draw_target(self.workload.targets)),
            Kind::Stock => {
                let draw = self.draw(Purpose::SKU);
                Op::Stock(self.draw_sku(draw))
            }
            Kind::Tick => Op::Tick,
            Kind::Rules => self.draw_rules(),
        };
    }

    fn draw_rules(&mut self) -> Op {
        let mut draw = self.draw(Purpose::RULES);
        let World { payment_timeout, idempotency_window, .. } = self.workload.world;
        let mut around = |opening: u64| {
            let (shorter, longer) = (opening / 2, opening.saturating_mul(2));
            draw.pick(&[opening, shorter, longer, 0, 1, u64::MAX])
        };
        let (timeout, window) = match self.workload.style {
            Style::Extreme => (around(payment_timeout), around(idempotency_window)),
            Style::Shop | Style::Large => shop::draw_rules(draw),
        };
        let draw = self.draw(Purpose::LIMITS);
        let limits = limits::changed(draw, self.workload.world.limits);
        Op::Rules { timeout, window, limits }
    }

    fn draw_target(&mut self, among: Weights<{ TargetChoice::ALL.len() }>) -> Target {
        let mut draw = self.draw(Purpose::TARGET);
        let created = |order: Option<u32>| order.map_or(Target::Id(1), Target::CreatedBy);
        match TargetChoice::ALL[draw.weighted(&among)] {
            TargetChoice::Newest => created(self.creates.back(0)),
            TargetChoice::Recent => {
                created(self.creates.back(draw.below(self.creates.remembered().clamp(1, 8))))
            }
            TargetChoice::Any => {
                created(self.creates.back(draw.below(self.creates.remembered().max(1))))
            }
            TargetChoice::First => created(self.creates.first.get(draw.place(3)).copied()),
            TargetChoice::Finished => {
                created(self.finished.back(draw.below(self.finished.remembered().max(1))))
            }
            TargetChoice::ById => {
                let near = draw.below(self.creates.count + 2) + 1;
                Target::Id(i64::try_from(near).expect("there are fewer than 2³² creates"))
            }
            TargetChoice::Missing => {
                Target::Id(draw.pick(&[Target::MISSING, 1 << 32, (1 << 32) + 1, 1 << 33]))
            }
            TargetChoice::Hostile => Target::Id(draw.pick(&[0, -1, i64::MIN])),
            TargetChoice::Open if self.open.is_empty() => created(self.creates.back(0)),
            TargetChoice::Open => Target::CreatedBy(draw.pick(&self.open).0),
        }
    }

    fn draw_user(&mut self) -> i64 {
        let mut draw = self.draw(Purpose::USER);
        if draw.chance(self.workload.hostile, 64) {
            draw.pick(&[0, -1, i64::MIN, i64::MAX])
        } else {
            i64::try_from(1 + draw.below(self.workload.users)).expect("there are a few users")
        }
    }

    fn draw_key(&mut self) -> Key {
        let mut draw = self.draw(Purpose::KEY);
        if !draw.chance(self.workload.keyed, 4) {
            return Key::NONE;
        }
        let length = if draw.chance(self.workload.hostile, 64) {
            draw.pick(&[64, 255, 256])
        } else {
            self.workload.key_length
        };
        let name = match self.workload.keys {
            0 => self.number,
            keys => u32::try_from(1 + draw.below(keys)).expect("there are a few keys"),
        };
        Key { length, ..Key::named(name) }
    }

    fn draw_items(&mut self, items: &mut Vec<(u32, u32)>) {
        let mut draw = self.draw(Purpose::LINES);
        let lines = if draw.chance(self.workload.hostile, 64) {
            draw.pick(&[0, 12, u64::from(self.workload.world.max_lines.min(16)) + 1])
        } else if self.workload.style == Style::Large {
            let most = self.workload.lines;
            draw.pick(&[1, 1 + most / 10, most.div_ceil(2), most - 1, most])
        } else {
            1 + draw.below(self.workload.lines)
        };
        for line in 0..u16::try_from(lines).expect("there are a few lines") {
            let mut draw = self.draw(Purpose::line_sku(line));
            let sku = if !items.is_empty() && draw.chance(self.workload.duplicates, 4) {
                draw.pick(items).0
            } else if self.workload.style == Style::Large {
                self.different_sku(line)
            } else {
                self.draw_sku(draw)
            };
            let draw = self.draw(Purpose::line_count(line));
            items.push((sku, self.draw_count(draw, sku)));
        }
    }

    /// The SKU of a line of a large workload. The lines of an order have different SKUs, as long as
    /// there are enough.
    fn different_sku(&mut self, line: u16) -> u32 {
        let first = self.draw(Purpose::SKU);
        let stock = &self.workload.world.stock;
        // No number of SKUs in a large workload is a multiple of three.
        let place = { first }.place(stock.len()) + 3 * usize::from(line);
        stock[place % stock.len()].0
    }

    fn draw_sku(&self, mut draw: Draw) -> u32 {
        let choice = draw.below(64);
        let stock = &self.workload.world.stock;
        if choice < self.workload.unknown {
            draw.pick(&[7, 99, 65_538, u32::MAX - 1])
        } else if choice >= 64 - self.workload.hostile {
            0
        } else {
            stock[draw.place(stock.len())].0
        }
    }

    fn draw_count(&self, mut draw: Draw, sku: u32) -> u32 {
        if draw.chance(self.workload.hostile, 256) {
            return 0;
        }
        let available = |sku| {
            let stock = &self.workload.world.stock;
            let place = stock.binary_search_by_key(&sku, |record| record.0);
            place.map_or(1, |place| stock[place].1.saturating_sub(stock[place].2))
        };
        let units = match Units::ALL[draw.weighted(&self.workload.units)] {
            Units::One => 1,
            Units::Few => 1 + draw.below(10),
            Units::AllAvailable => available(sku),
            Units::OneTooMany => available(sku).saturating_add(1),
            Units::Half => available(sku).div_ceil(2),
            Units::Hundred => 100,
            Units::SixteenBits => 65_535 + draw.below(2),
            Units::Largest => u64::from(u32::MAX) - draw.below(2),
            Units::Any => 1 + draw.below(u64::from(u32::MAX)),
        };
        u32::try_from(units.clamp(1, u64::from(u32::MAX))).expect("clamped to 32 bits")
    }
}

/// The first steps of a seed as a plan.
#[must_use]
pub(crate) fn plan_of(seed: u64, workload: &Workload, blind: bool, length: u32) -> Plan {
    let mut generator = Generator::new(seed, workload.clone(), blind);
    let steps = (0..length)
        .map(|_| {
            let mut step = Step::default();
            generator.next(&mut step);
            step
        })
        .collect();
    Plan { world: workload.world.clone(), start: workload.start, steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same workload with other creates.
    fn with_other_creates(workload: &Workload) -> Workload {
        let mut other = workload.clone();
        other.lines = 8;
        other.duplicates = 3;
        other.keyed = 4 - workload.keyed;
        other.users = 7;
        other
    }

    #[test]
    fn draws_in_creates_change_no_other_step() {
        let mut changed = 0;
        for seed in 0..50 {
            let workload = Workload::of(seed);
            let plan = plan_of(seed, &workload, false, 200);
            let other = plan_of(seed, &with_other_creates(&workload), false, 200);
            for (step, other) in plan.steps.iter().zip(&other.steps) {
                if step.op.kind() == Kind::Create {
                    assert_eq!(other.op.kind(), Kind::Create);
                    assert_eq!((step.at, step.client), (other.at, other.client));
                    changed += u32::from(step != other);
                } else {
                    assert_eq!(step, other, "seed {seed}");
                }
            }
        }
        assert!(changed > 1_000, "only {changed} creates changed");
    }

    #[test]
    fn every_seed_is_a_valid_plan() {
        for seed in 0..300 {
            let workload = Workload::of(seed);
            let plan = plan_of(seed, &workload, false, 100);
            // Parsing checks numbers, times and the world.
            let read = Plan::parse(&plan.to_string()).map_err(|why| why.to_string());
            assert_eq!(read.as_ref(), Ok(&plan), "seed {seed}");
        }
    }

    #[test]
    fn time_can_reach_its_end() {
        let mut ended = 0;
        for seed in 0..2_000 {
            let workload = Workload::of(seed);
            let plan = plan_of(seed, &workload, false, 60);
            let last = plan.steps.last().map_or(0, |step| step.at);
            ended += u32::from(plan.start + last == u64::MAX);
        }
        assert!(ended > 0);
    }
}
