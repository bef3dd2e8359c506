//! Makes a plan small while it still does what it is kept for: fails as it did, or reaches a mark.
//!
//! It cuts whole commands first, then what is in them (lines, counts, keys, clients, times), then
//! the world they happen in, and over again until nothing gives. What it may spend is counted in
//! commands and not in seconds, so that the same failure always shrinks to the same plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::failure::{Failure, Oracle};
use crate::check::swarm::{Ending, play_plan};
use crate::coverage::marks::Mark;
use crate::mutation::injected::{InjectedFaults, SimulatorFault};
use crate::plan::{Key, Kind, Op, Plan, Step, Target};

/// What may be spent on one plan, in commands: well under two seconds of them.
const BUDGET: u64 = 2_000_000;

/// A plan made small.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// What is left of it.
    pub(crate) plan: Plan,
    /// Plans that were tried.
    pub(crate) runs: u64,
}

/// Makes a failing plan small: it must fail in the same way.
#[must_use]
pub(crate) fn failing(
    plan: &Plan,
    failure: &Failure,
    injected: InjectedFaults,
) -> (Shrunk, Ending) {
    let wanted = failure.signature;
    let fails = |plan: &Plan, ending| {
        let run = play_plan(plan, injected, ending);
        let same = run.verdict.err().is_some_and(|failure| {
            failure.signature == wanted || injected.has(SimulatorFault::ShrinksToAnother)
        });
        (same, run.checker.counts.commands)
    };
    let mut plan = plan.clone();
    let ending = if matches!(wanted.oracle, Oracle::Law(_)) {
        Ending::Laws
    } else if fails(&cut(&plan, failure.number), Ending::Abrupt).0 {
        // A plan that ends where it fails is the easier read; not every failure allows that.
        plan = cut(&plan, failure.number);
        Ending::Abrupt
    } else {
        Ending::Drained
    };
    (Shrinker::new(|plan| fails(plan, ending)).shrink(plan), ending)
}

/// Makes a plan that reaches a mark small; without failing, and without the drain's help.
#[must_use]
pub(crate) fn reaching(plan: &Plan, mark: Mark) -> Shrunk {
    let reaches = |plan: &Plan| {
        let run = play_plan(plan, InjectedFaults::default(), Ending::Abrupt);
        let reached = run.verdict.is_ok() && run.checker.counts.marks.has(mark);
        (reached, run.checker.counts.commands)
    };
    let mut shrinker = Shrinker::new(reaches);
    // The first steps that reach it: found by halves, since a mark once reached stays reached.
    let (mut short, mut enough) = (0, plan.steps.len());
    while short + 1 < enough {
        let middle = usize::midpoint(short, enough);
        let mut candidate = plan.clone();
        candidate.steps.truncate(middle);
        if shrinker.holds(&candidate) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    let mut plan = plan.clone();
    plan.steps.truncate(enough);
    shrinker.shrink(plan)
}

/// Makes a plan small that holds to anything: which says whether it does, and at what cost in
/// commands.
#[must_use]
pub(crate) fn keeping(plan: &Plan, holds: impl FnMut(&Plan) -> (bool, u64)) -> Shrunk {
    Shrinker::new(holds).shrink(plan.clone())
}

fn cut(plan: &Plan, number: u32) -> Plan {
    let mut plan = plan.clone();
    plan.steps.retain(|step| step.number <= number);
    plan
}

struct Shrinker<F> {
    holds: F,
    runs: u64,
    spent: u64,
}

impl<F: FnMut(&Plan) -> (bool, u64)> Shrinker<F> {
    const fn new(holds: F) -> Self {
        Self { holds, runs: 0, spent: 0 }
    }

    fn shrink(mut self, mut plan: Plan) -> Shrunk {
        loop {
            let size = measure(&plan);
            self.drop_sorts(&mut plan);
            self.drop_steps(&mut plan);
            self.drop_items(&mut plan);
            self.plain_steps(&mut plan);
            self.plain_times(&mut plan);
            self.plain_world(&mut plan);
            self.small_counts(&mut plan);
            self.small_stock(&mut plan);
            if measure(&plan) >= size || self.spent > BUDGET {
                break;
            }
        }
        self.attempt(&mut plan, renumber);
        self.attempt(&mut plan, rename_skus);
        Shrunk { plan, runs: self.runs }
    }

    fn holds(&mut self, plan: &Plan) -> bool {
        self.runs += 1;
        let (holds, commands) = (self.holds)(plan);
        // Opening a world costs about as much as a few commands.
        self.spent += commands + 8;
        holds
    }

    /// Keeps a change if the plan still does what it is kept for.
    fn attempt(&mut self, plan: &mut Plan, change: impl FnOnce(&mut Plan)) -> bool {
        if self.spent > BUDGET {
            return false;
        }
        let mut candidate = plan.clone();
        change(&mut candidate);
        let kept = candidate != *plan && self.holds(&candidate);
        if kept {
            *plan = candidate;
        }
        kept
    }

    /// As [`Shrinker::attempt`], but true also where there was nothing to change.
    fn attempt_or_has(&mut self, plan: &mut Plan, change: impl Fn(&mut Plan)) -> bool {
        let mut changed = plan.clone();
        change(&mut changed);
        changed == *plan || self.attempt(plan, change)
    }

    /// Whole sorts of steps go, where there are many: all of a kind, all of a client.
    fn drop_sorts(&mut self, plan: &mut Plan) {
        if plan.steps.len() < 64 {
            return;
        }
        let named: BTreeSet<u32> = plan
            .steps
            .iter()
            .filter_map(|step| match step.op.target() {
                Some(Target::CreatedBy(number)) if step.op.kind() != Kind::Info => Some(number),
                Some(Target::CreatedBy(_) | Target::Id(_)) | None => None,
            })
            .collect();
        let last = plan.steps.last().map_or(0, |step| step.number);
        let mut keep = |keep: &dyn Fn(&Step) -> bool| {
            self.attempt(plan, |plan| plan.steps.retain(|step| step.number == last || keep(step)));
        };
        keep(&|step| step.op.kind() != Kind::Create || named.contains(&step.number));
        for kind in Kind::ALL {
            keep(&|step| step.op.kind() != kind);
        }
        for client in 0..8 {
            keep(&|step| step.client != client);
        }
        // Of each order only what happened to it first.
        let mut seen = BTreeSet::new();
        let first: BTreeSet<u32> = plan
            .steps
            .iter()
            .filter(|step| {
                step.op.target().is_none_or(|target| match target {
                    Target::CreatedBy(number) => seen.insert(number),
                    Target::Id(_) => false,
                })
            })
            .map(|step| step.number)
            .collect();
        self.attempt(plan, |plan| {
            plan.steps.retain(|step| step.number == last || first.contains(&step.number));
        });
    }

    /// Runs of steps go: long ones first, and early ones first, as what matters is near the end.
    fn drop_steps(&mut self, plan: &mut Plan) {
        let mut length = plan.steps.len().div_ceil(2);
        while length > 0 {
            let mut from = 0;
            while from < plan.steps.len() {
                let to = plan.steps.len().min(from + length);
                if !self.attempt(plan, |plan| drop(plan.steps.drain(from..to))) {
                    from = to;
                }
            }
            length /= 2;
        }
    }

    fn drop_items(&mut self, plan: &mut Plan) {
        for step in 0..plan.steps.len() {
            for item in (0..plan.steps[step].items.len()).rev() {
                self.attempt(plan, |plan| {
                    plan.steps[step].items.remove(item);
                });
            }
        }
    }

    /// What does not matter becomes what catches no eye.
    fn plain_steps(&mut self, plan: &mut Plan) {
        for place in 0..plan.steps.len() {
            self.attempt(plan, |plan| plan.steps[place].client = 0);
            for change in [plain_user, no_key, short_key, order_by_step, first_order, only_time] {
                self.attempt(plan, |plan| change(plan, place));
            }
        }
        // What must stay alike changes together.
        for change in [plain_user, short_key, count_one] {
            self.attempt(plan, |plan| (0..plan.steps.len()).for_each(|place| change(plan, place)));
        }
    }

    fn plain_times(&mut self, plan: &mut Plan) {
        // All at once, then the gaps one by one.
        self.attempt(plan, |plan| plan.steps.iter_mut().for_each(|step| step.at = 0));
        for place in 0..plan.steps.len() {
            let before = place.checked_sub(1).map_or(0, |before| plan.steps[before].at);
            let gap = plan.steps[place].at - before;
            self.lower(plan, gap, |plan, less| {
                plan.steps[place..].iter_mut().for_each(|step| step.at -= less);
            });
        }
    }

    fn plain_world(&mut self, plan: &mut Plan) {
        const SECOND: u64 = 1_000_000_000;
        self.attempt(plan, |plan| plan.start = 0);
        // As shipped, or else as short as can be.
        if !self.attempt_or_has(plan, |plan| plan.world.payment_timeout = 600 * SECOND) {
            self.attempt(plan, |plan| plan.world.payment_timeout = 1);
        }
        if !self.attempt_or_has(plan, |plan| plan.world.idempotency_window = 86_400 * SECOND) {
            self.attempt(plan, |plan| plan.world.idempotency_window = 1);
        }
        self.attempt(plan, |plan| plan.world.max_lines = 1_000);
        for shelf in (0..plan.world.stock.len()).rev() {
            self.attempt(plan, |plan| {
                plan.world.stock.remove(shelf);
            });
        }
    }

    fn small_counts(&mut self, plan: &mut Plan) {
        for step in 0..plan.steps.len() {
            for item in 0..plan.steps[step].items.len() {
                let room = plan.steps[step].items[item].1.saturating_sub(1);
                self.lower(plan, u64::from(room), |plan, less| {
                    plan.steps[step].items[item].1 -= narrow(less);
                });
            }
        }
    }

    fn small_stock(&mut self, plan: &mut Plan) {
        for shelf in 0..plan.world.stock.len() {
            self.attempt(plan, |plan| {
                let (_, total, base) = &mut plan.world.stock[shelf];
                *total -= *base;
                *base = 0;
            });
            let (sku, total, base) = plan.world.stock[shelf];
            self.lower(plan, total - base, |plan, less| plan.world.stock[shelf].1 -= less);
            self.lower(plan, base, |plan, less| {
                plan.world.stock[shelf].1 -= less;
                plan.world.stock[shelf].2 -= less;
            });
            // A count and the stock for it often shrink together or not at all.
            let (_, total, base) = plan.world.stock[shelf];
            let counts = plan.steps.iter().flat_map(|step| &step.items);
            let most = counts.filter(|item| item.0 == sku).map(|item| item.1).max().unwrap_or(1);
            self.lower(plan, (total - base).min(u64::from(most) - 1), |plan, less| {
                plan.world.stock[shelf].1 -= less;
                for item in plan.steps.iter_mut().flat_map(|step| &mut step.items) {
                    if item.0 == sku {
                        item.1 = item.1.saturating_sub(narrow(less)).max(1);
                    }
                }
            });
        }
    }

    /// Lowers a figure as far as it goes, `room` at the most: by all of it, else by half of that,
    /// and so on down to one.
    fn lower(&mut self, plan: &mut Plan, mut room: u64, by: impl Fn(&mut Plan, u64)) {
        let mut step = room;
        while step > 0 {
            if self.attempt(plan, |plan| by(plan, step)) {
                room -= step;
                step = step.min(room);
            } else {
                step /= 2;
            }
        }
    }
}

fn narrow(less: u64) -> u32 {
    u32::try_from(less).expect("less than a count")
}

/// What is to become smaller: steps above all, then what is in them, then the figures.
fn measure(plan: &Plan) -> (usize, usize, u128, u128) {
    let items = plan.steps.iter().map(|step| step.items.len()).sum::<usize>();
    let counts = plan.steps.iter().flat_map(|step| &step.items).map(|item| u128::from(item.1));
    let stock = plan.world.stock.iter().map(|shelf| u128::from(shelf.1) + u128::from(shelf.2));
    let times = plan.steps.iter().map(|step| u128::from(step.at));
    (
        plan.steps.len(),
        items + plan.world.stock.len(),
        counts.sum::<u128>() + stock.sum::<u128>(),
        times.sum::<u128>() + u128::from(plan.start),
    )
}

fn plain_user(plan: &mut Plan, place: usize) {
    if let Op::Create { user, .. } = &mut plan.steps[place].op {
        *user = 1;
    }
}

fn no_key(plan: &mut Plan, place: usize) {
    if let Op::Create { key, .. } = &mut plan.steps[place].op {
        *key = Key::NONE;
    }
}

fn short_key(plan: &mut Plan, place: usize) {
    if let Op::Create { key, .. } = &mut plan.steps[place].op {
        key.length = 0;
    }
}

fn count_one(plan: &mut Plan, place: usize) {
    plan.steps[place].items.iter_mut().for_each(|item| item.1 = item.1.min(1));
}

/// An order that is not there may as well be the first.
fn first_order(plan: &mut Plan, place: usize) {
    if let Some(Target::Id(2..)) = plan.steps[place].op.target() {
        plan.steps[place].op = plan.steps[place].op.about(Target::Id(1));
    }
}

/// Only that time passes may be what matters.
fn only_time(plan: &mut Plan, place: usize) {
    plan.steps[place].op = Op::Tick;
    plan.steps[place].items.clear();
}

/// An order that is named by its number is named by the create that makes it, if one does.
fn order_by_step(plan: &mut Plan, place: usize) {
    if let Some(Target::Id(order)) = plan.steps[place].op.target() {
        let creates =
            plan.steps[..place].iter().filter(|step| matches!(step.op, Op::Create { .. }));
        let nth = usize::try_from(order).ok().and_then(|order| order.checked_sub(1));
        if let Some(number) = nth.and_then(|nth| creates.map(|step| step.number).nth(nth)) {
            plan.steps[place].op = plan.steps[place].op.about(Target::CreatedBy(number));
        }
    }
}

/// Steps become 1, 2, 3, and keys too.
fn renumber(plan: &mut Plan) {
    let mut keys = BTreeMap::new();
    let numbers: BTreeMap<u32, u32> = plan.steps.iter().map(|step| step.number).zip(1..).collect();
    for step in &mut plan.steps {
        let Step { number, op, .. } = step;
        *number = numbers[number];
        if let Some(Target::CreatedBy(created_by)) = op.target()
            && let Some(created_by) = numbers.get(&created_by)
        {
            *op = op.about(Target::CreatedBy(*created_by));
        }
        if let Op::Create { key, .. } = op
            && key.name > 0
        {
            let next = u32::try_from(keys.len() + 1).expect("there are fewer keys than steps");
            key.name = *keys.entry(key.name).or_insert(next);
        }
    }
}

/// SKUs become 1, 2, 3, in their order.
fn rename_skus(plan: &mut Plan) {
    let mut names: BTreeMap<u32, u32> = plan.world.stock.iter().map(|shelf| (shelf.0, 0)).collect();
    names.extend(plan.steps.iter().flat_map(|step| &step.items).map(|item| (item.0, 0)));
    names.extend(plan.steps.iter().filter_map(|step| match step.op {
        Op::Stock(sku) => Some((sku, 0)),
        Op::Create { .. }
        | Op::Info(_)
        | Op::Pay(_)
        | Op::Cancel(_)
        | Op::Tick
        | Op::Rules { .. } => None,
    }));
    names.remove(&0);
    names.values_mut().zip(1..).for_each(|(name, next)| *name = next);
    let rename = |sku: &mut u32| *sku = names.get(sku).copied().unwrap_or(0);
    plan.world.stock.iter_mut().for_each(|shelf| rename(&mut shelf.0));
    for step in &mut plan.steps {
        step.items.iter_mut().for_each(|item| rename(&mut item.0));
        if let Op::Stock(sku) = &mut step.op {
            rename(sku);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;
    use crate::plan::generator::plan_of;
    use crate::plan::workload::Workload;

    /// The first failure of a bug, and what it shrinks to.
    fn shrunk(bug: Bug) -> (Failure, Plan, Ending) {
        let injected = InjectedFaults::with_bug(bug);
        let failing = (0..).find_map(|seed| {
            let plan = plan_of(seed, &Workload::of(seed), false, 400);
            let verdict = play_plan(&plan, injected, Ending::Drained).verdict;
            verdict.err().map(|failure| (plan, failure))
        });
        let (plan, failure) = failing.unwrap();
        let (shrunk, ending) = super::failing(&plan, &failure, injected);
        (*failure, shrunk.plan, ending)
    }

    #[test]
    fn failures_become_a_handful_of_commands_and_stay_what_they_are() {
        let mut sizes = Vec::new();
        for &bug in Bug::ALL {
            if bug == Bug::LeakAfter64Cancels {
                // It takes 130 commands, and longer runs than these.
                continue;
            }
            let (failure, plan, ending) = shrunk(bug);
            let again =
                play_plan(&plan, InjectedFaults::with_bug(bug), ending).verdict.unwrap_err();
            assert_eq!(again.signature, failure.signature, "{}", bug.name());
            sizes.push(plan.steps.len());
        }
        sizes.sort_unstable();
        assert!(sizes[sizes.len() / 2] <= 2, "{sizes:?}");
        assert!(sizes.iter().all(|&size| size <= 5), "{sizes:?}");
    }

    #[test]
    fn nothing_is_left_that_does_not_matter() {
        let (_, plan, _) = shrunk(Bug::DoublePayTakesTwice);
        assert_eq!(
            plan.to_string(),
            "plan v1\nworld timeout=600s window=86400s max_lines=1000 start=0s\nstock 1=1\n\
             1 @0s c0 create user=1 1x1\n2 @0s c0 pay order#1\n3 @0s c0 pay order#1\n"
        );
    }
}
