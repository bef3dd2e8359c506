//! The steps of a seed, one by one. They depend on the seed alone and never on an answer, so that
//! a seed stays the same plan whatever becomes of the machine.

use crate::plan::rng::{Die, Domain, Draws, Purpose};
use crate::plan::workload::{Aim, Gap, Habits, Units};
use crate::plan::{Key, Kind, Op, Plan, Step, Target};

/// How many of the creates, and of the orders that are finished, are remembered to be aimed at.
const REMEMBERED: usize = 256;

/// Gives the steps of a seed.
#[derive(Debug)]
pub(crate) struct Generator {
    habits: Habits,
    draws: Draws,
    number: u32,
    at: u64,
    /// The creates so far.
    creates: Recent,
    /// The orders that somebody has tried to pay or to cancel.
    finished: Recent,
    /// What each client sent last.
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

    /// The one that came so many before the last.
    fn back(&self, by: u64) -> Option<u32> {
        self.ring.get(place(self.count.checked_sub(by + 1)?)).copied()
    }

    fn remembered(&self) -> u64 {
        self.count.min(REMEMBERED as u64)
    }
}

fn place(count: u64) -> usize {
    usize::try_from(count % REMEMBERED as u64).expect("a place in the ring")
}

impl Generator {
    /// The generator of a seed. A blind one is a fault of the simulator's own, for its own test.
    #[must_use]
    pub(crate) fn new(seed: u64, habits: Habits, blind: bool) -> Self {
        let draws = Draws::new(seed, Domain::Commands);
        let clients = usize::from(habits.clients);
        Self {
            draws: if blind { draws.blind() } else { draws },
            habits,
            number: 0,
            at: 0,
            creates: Recent::default(),
            finished: Recent::default(),
            last: vec![Step::default(); clients],
        }
    }

    /// The next step, written over `step`, whose room is used again.
    pub(crate) fn next(&mut self, step: &mut Step) {
        self.number += 1;
        self.draws.turn_to(u64::from(self.number));
        self.pass_time();
        let client = self.die(Purpose::CLIENT).place(self.last.len());
        let again = self.die(Purpose::RETRY).chance(self.habits.retries, 16)
            && self.last[client].number != 0;
        if again {
            step.copy_from(&self.last[client]);
        } else {
            self.draw(step);
        }
        step.number = self.number;
        step.at = self.at;
        step.client = u8::try_from(client).expect("there are fewer than 256 clients");
        if step.op.kind() == Kind::Create {
            self.creates.push(self.number);
        }
        if let Op::Pay(Target::Made(order)) | Op::Cancel(Target::Made(order)) = step.op {
            self.finished.push(order);
        }
        if self.habits.retries > 0 && !again {
            self.last[client].copy_from(step);
        }
    }

    fn die(&mut self, purpose: Purpose) -> Die {
        self.draws.die(purpose)
    }

    fn pass_time(&mut self) {
        let mut die = self.die(Purpose::GAP);
        let (timeout, window) =
            (self.habits.world.payment_timeout, self.habits.world.idempotency_window);
        let gap = match Gap::ALL[die.weighted(&self.habits.gaps)] {
            Gap::None => 0,
            Gap::Tick => 1,
            Gap::Some => die.below(1 + timeout / 4),
            Gap::AlmostTimeout => timeout.saturating_sub(1),
            Gap::Timeout => timeout,
            Gap::OverTimeout => timeout.saturating_add(1),
            Gap::AlmostWindow => window.saturating_sub(1),
            Gap::Window => window,
        };
        // Time ends in 2554, and stays there. A gap that would lead there is left out, mostly.
        let end = u64::MAX - self.habits.start;
        match self.at.checked_add(gap) {
            Some(at) if at <= end => self.at = at,
            Some(_) | None if die.chance(1, 64) => self.at = end,
            Some(_) | None => {}
        }
    }

    fn draw(&mut self, step: &mut Step) {
        step.items.clear();
        step.op = match Kind::ALL[self.draws.die(Purpose::KIND).weighted(&self.habits.kinds)] {
            Kind::Create => {
                self.draw_items(&mut step.items);
                Op::Create { user: self.draw_user(), key: self.draw_key() }
            }
            Kind::Info => Op::Info(self.draw_target()),
            Kind::Pay => Op::Pay(self.draw_target()),
            Kind::Cancel => Op::Cancel(self.draw_target()),
            Kind::Stock => {
                let die = self.die(Purpose::SKU);
                Op::Stock(self.draw_sku(die))
            }
            Kind::Tick => Op::Tick,
        };
    }

    fn draw_target(&mut self) -> Target {
        let mut die = self.die(Purpose::TARGET);
        let made = |order: Option<u32>| order.map_or(Target::Id(1), Target::Made);
        match Aim::ALL[die.weighted(&self.habits.aims)] {
            Aim::Newest => made(self.creates.back(0)),
            Aim::Recent => {
                made(self.creates.back(die.below(self.creates.remembered().clamp(1, 8))))
            }
            Aim::Any => made(self.creates.back(die.below(self.creates.remembered().max(1)))),
            Aim::First => made(self.creates.first.get(die.place(3)).copied()),
            Aim::Finished => made(self.finished.back(die.below(self.finished.remembered().max(1)))),
            Aim::ByNumber => {
                let near = die.below(self.creates.count + 2) + 1;
                Target::Id(i64::try_from(near).expect("there are fewer than 2³² creates"))
            }
            Aim::Nobody => Target::Id(die.pick(&[Target::NOBODY, 1 << 32, (1 << 32) + 1, 1 << 33])),
            Aim::Hostile => Target::Id(die.pick(&[0, -1, i64::MIN])),
        }
    }

    fn draw_user(&mut self) -> i64 {
        let mut die = self.die(Purpose::USER);
        if die.chance(self.habits.hostile, 64) {
            die.pick(&[0, -1, i64::MIN, i64::MAX])
        } else {
            i64::try_from(1 + die.below(self.habits.users)).expect("there are a few users")
        }
    }

    fn draw_key(&mut self) -> Key {
        let mut die = self.die(Purpose::KEY);
        if !die.chance(self.habits.keyed, 4) {
            return Key::NONE;
        }
        let length = if die.chance(self.habits.hostile, 64) {
            die.pick(&[64, 65, 255])
        } else {
            self.habits.key_length
        };
        let name = match self.habits.keys {
            0 => self.number,
            keys => u32::try_from(1 + die.below(keys)).expect("there are a few keys"),
        };
        Key { name, length }
    }

    fn draw_items(&mut self, items: &mut Vec<(u32, u32)>) {
        let mut die = self.die(Purpose::LINES);
        let lines = if die.chance(self.habits.hostile, 64) {
            die.pick(&[0, 12, u64::from(self.habits.world.max_lines.min(16)) + 1])
        } else {
            1 + die.below(self.habits.lines)
        };
        for line in 0..u16::try_from(lines).expect("there are a few lines") {
            let mut die = self.die(Purpose::line_sku(line));
            let sku = if !items.is_empty() && die.chance(self.habits.duplicates, 4) {
                die.pick(items).0
            } else {
                self.draw_sku(die)
            };
            let die = self.die(Purpose::line_count(line));
            items.push((sku, self.draw_count(die, sku)));
        }
    }

    fn draw_sku(&self, mut die: Die) -> u32 {
        let fate = die.below(64);
        let stock = &self.habits.world.stock;
        if fate < self.habits.unknown {
            die.pick(&[7, 99, 65_538, u32::MAX - 1])
        } else if fate >= 64 - self.habits.hostile {
            0
        } else {
            stock[die.place(stock.len())].0
        }
    }

    fn draw_count(&self, mut die: Die, sku: u32) -> u32 {
        if die.chance(self.habits.hostile, 256) {
            return 0;
        }
        let there_is = |sku| {
            let shelf = self.habits.world.stock.iter().find(|shelf| shelf.0 == sku);
            shelf.map_or(1, |&(_, total, reserved)| total - reserved)
        };
        let units = match Units::ALL[die.weighted(&self.habits.units)] {
            Units::One => 1,
            Units::Few => 1 + die.below(10),
            Units::AllThereIs => there_is(sku),
            Units::OneTooMany => there_is(sku).saturating_add(1),
            Units::Half => there_is(sku).div_ceil(2),
            Units::Hundred => 100,
            Units::SixteenBits => 65_535 + die.below(2),
            Units::Most => u64::from(u32::MAX) - die.below(2),
            Units::Any => 1 + die.below(u64::from(u32::MAX)),
        };
        u32::try_from(units.clamp(1, u64::from(u32::MAX))).expect("clamped to 32 bits")
    }
}

/// The first steps of a seed, as a plan.
#[must_use]
pub(crate) fn plan_of(seed: u64, habits: &Habits, blind: bool, length: u32) -> Plan {
    let mut generator = Generator::new(seed, habits.clone(), blind);
    let steps = (0..length)
        .map(|_| {
            let mut step = Step::default();
            generator.next(&mut step);
            step
        })
        .collect();
    Plan { world: habits.world.clone(), start: habits.start, steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed's habits, with all that creates can draw made different.
    fn with_other_creates(habits: &Habits) -> Habits {
        let mut other = habits.clone();
        other.lines = 8;
        other.duplicates = 3;
        other.keyed = 4 - habits.keyed;
        other.users = 7;
        other
    }

    #[test]
    fn more_draws_in_creates_change_no_other_step() {
        let mut changed = 0;
        for seed in 0..50 {
            let habits = Habits::of(seed);
            let plan = plan_of(seed, &habits, false, 200);
            let other = plan_of(seed, &with_other_creates(&habits), false, 200);
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
        assert!(changed > 1_000, "the creates were to change: {changed}");
    }

    #[test]
    fn every_seed_is_a_sound_plan() {
        for seed in 0..300 {
            let habits = Habits::of(seed);
            let plan = plan_of(seed, &habits, false, 100);
            // Numbers, times and the world are checked as a plan is read.
            let read = Plan::parse(&plan.to_string()).map_err(|why| why.to_string());
            assert_eq!(read.as_ref(), Ok(&plan), "seed {seed}");
        }
    }

    #[test]
    fn time_reaches_its_end_and_stays_there() {
        let mut ended = 0;
        for seed in 0..2_000 {
            let habits = Habits::of(seed);
            let plan = plan_of(seed, &habits, false, 60);
            let last = plan.steps.last().map_or(0, |step| step.at);
            ended += u32::from(plan.start + last == u64::MAX);
        }
        assert!(ended > 0);
    }
}
