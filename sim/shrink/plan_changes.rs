//! The changes that make a plan small and simple: remove steps and lines, then simplify the
//! remaining ones, then the world.

use std::collections::{BTreeMap, BTreeSet};

use super::search::Shrinker;
use crate::model::ContainerSizes;
use crate::model::contract::Limits;
use crate::plan::{Fill, Key, Kind, Op, Plan, Step, Target};

impl<F: FnMut(&Plan) -> (bool, u64)> Shrinker<F> {
    /// Shrinks a plan until no more changes are kept.
    pub(super) fn shrink(mut self, mut plan: Plan) -> (Plan, u64) {
        loop {
            let size = measure(&plan);
            self.drop_kinds(&mut plan);
            self.remove_ranges(&mut plan, |plan| &mut plan.steps);
            for step in 0..plan.steps.len() {
                self.remove_ranges(&mut plan, |plan| &mut plan.steps[step].items);
            }
            self.plain_steps(&mut plan);
            self.plain_times(&mut plan);
            self.plain_world(&mut plan);
            self.small_counts(&mut plan);
            self.small_stock(&mut plan);
            if measure(&plan) >= size || self.is_done() {
                break;
            }
        }
        self.attempt(&mut plan, renumber);
        self.attempt(&mut plan, rename_skus);
        (plan, self.runs)
    }

    /// As [`Shrinker::attempt`], but also true if the change changes nothing.
    fn attempt_or_has(&mut self, plan: &mut Plan, change: impl Fn(&mut Plan)) -> bool {
        let mut changed = plan.clone();
        change(&mut changed);
        changed == *plan || self.attempt(plan, change)
    }

    /// Removes steps by kind and by client, if there are many.
    fn drop_kinds(&mut self, plan: &mut Plan) {
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
        // Of each order, keep only its first call.
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

    /// Replaces values that do not matter by simple ones.
    fn plain_steps(&mut self, plan: &mut Plan) {
        for place in 0..plan.steps.len() {
            self.attempt(plan, |plan| plan.steps[place].client = 0);
            let changes =
                [plain_user, no_key, short_key, dotted_key, order_by_step, first_order, only_time];
            for change in changes {
                self.attempt(plan, |plan| change(plan, place));
            }
        }
        // Values that must stay equal change together.
        for change in [plain_user, short_key, count_one] {
            self.attempt(plan, |plan| (0..plan.steps.len()).for_each(|place| change(plan, place)));
        }
    }

    fn plain_times(&mut self, plan: &mut Plan) {
        // All gaps at once, then one by one.
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
        self.attempt(plan, |plan| plan.world.sizes = ContainerSizes::Shipped);
        // The default, or else the shortest.
        if !self.attempt_or_has(plan, |plan| plan.world.payment_timeout = 600 * SECOND) {
            self.attempt(plan, |plan| plan.world.payment_timeout = 1);
        }
        if !self.attempt_or_has(plan, |plan| plan.world.idempotency_window = 86_400 * SECOND) {
            self.attempt(plan, |plan| plan.world.idempotency_window = 1);
        }
        self.attempt(plan, |plan| plan.world.max_lines = 1_000);
        self.plain_limits(plan);
        self.remove_ranges(plan, |plan| &mut plan.world.stock);
    }

    /// No limits, or as few as possible; room for one order, for two or
    /// for a few.
    fn plain_limits(&mut self, plan: &mut Plan) {
        let changes: [fn(&mut Limits); 12] = [
            |limits| *limits = Limits::default(),
            |limits| limits.keep = 0,
            |limits| limits.keep_failed = 0,
            |limits| limits.retry_failed = false,
            |limits| limits.open_orders = 0,
            |limits| limits.max_bytes = 0,
            |limits| limits.max_bytes = limits.max_bytes.min(56),
            |limits| limits.max_bytes = limits.max_bytes.min(60),
            |limits| limits.max_bytes = limits.max_bytes.min(110),
            |limits| limits.max_bytes = limits.max_bytes.min(170),
            |limits| limits.max_bytes = limits.max_bytes.min(230),
            |limits| limits.max_bytes = limits.max_bytes.min(500),
        ];
        for change in changes {
            // The limits of the world and of all changes together, because later ones replace them.
            self.attempt(plan, |plan| {
                change(&mut plan.world.limits);
                for step in &mut plan.steps {
                    if let Op::Rules { limits, .. } = &mut step.op {
                        change(limits);
                    }
                }
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
        for record in 0..plan.world.stock.len() {
            self.attempt(plan, |plan| {
                let (_, total, base) = &mut plan.world.stock[record];
                *total = left(*total, *base);
                *base = 0;
            });
            let (sku, total, base) = plan.world.stock[record];
            self.lower(plan, left(total, base), |plan, less| plan.world.stock[record].1 -= less);
            self.lower(plan, base.min(total), |plan, less| {
                plan.world.stock[record].1 -= less;
                plan.world.stock[record].2 -= less;
            });
            // More is reserved than there is: one more is enough.
            let (_, total, base) = plan.world.stock[record];
            self.lower(plan, left(base, total).max(1) - 1, |plan, less| {
                plan.world.stock[record].2 -= less;
            });
            // A count and its stock often shrink only together.
            let (_, total, base) = plan.world.stock[record];
            let counts = plan.steps.iter().flat_map(|step| &step.items);
            let most = counts.filter(|item| item.0 == sku).map(|item| item.1).max().unwrap_or(1);
            self.lower(plan, left(total, base).min(u64::from(most) - 1), |plan, less| {
                plan.world.stock[record].1 -= less;
                for item in plan.steps.iter_mut().flat_map(|step| &mut step.items) {
                    if item.0 == sku {
                        item.1 = item.1.saturating_sub(narrow(less)).max(1);
                    }
                }
            });
        }
    }
}

/// What is left of `total`; nothing if more is reserved.
fn left(total: u64, reserved: u64) -> u64 {
    total.saturating_sub(reserved)
}

fn narrow(less: u64) -> u32 {
    u32::try_from(less).expect("less than a count")
}

/// The size of a plan: compares the number of steps first, then of lines, then the numbers.
fn measure(plan: &Plan) -> (usize, usize, u128, u128, bool) {
    let items = plan.steps.iter().map(|step| step.items.len()).sum::<usize>();
    let counts = plan.steps.iter().flat_map(|step| &step.items).map(|item| u128::from(item.1));
    let stock = plan.world.stock.iter().map(|record| u128::from(record.1) + u128::from(record.2));
    let times = plan.steps.iter().map(|step| u128::from(step.at));
    (
        plan.steps.len(),
        items + plan.world.stock.len(),
        counts.sum::<u128>() + stock.sum::<u128>(),
        times.sum::<u128>() + u128::from(plan.start),
        plan.world.sizes == ContainerSizes::Tiny,
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
        (key.length, key.fill) = (0, Fill::DOTS);
    }
}

fn dotted_key(plan: &mut Plan, place: usize) {
    if let Op::Create { key, .. } = &mut plan.steps[place].op {
        key.fill = Fill::DOTS;
    }
}

fn count_one(plan: &mut Plan, place: usize) {
    plan.steps[place].items.iter_mut().for_each(|item| item.1 = item.1.min(1));
}

/// A call on an order that does not exist becomes a call on order 1.
fn first_order(plan: &mut Plan, place: usize) {
    if let Some(Target::Id(2..)) = plan.steps[place].op.target() {
        plan.steps[place].op = plan.steps[place].op.about(Target::Id(1));
    }
}

/// Perhaps only the time of the step matters.
fn only_time(plan: &mut Plan, place: usize) {
    plan.steps[place].op = Op::Tick;
    plan.steps[place].items.clear();
}

/// Names an order by the step that creates it instead of by its id.
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

/// Numbers the steps 1, 2, 3, and the keys too.
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

/// Renames the SKUs to 1, 2, 3, in their order.
fn rename_skus(plan: &mut Plan) {
    let mut names: BTreeMap<u32, u32> =
        plan.world.stock.iter().map(|record| (record.0, 0)).collect();
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
    plan.world.stock.iter_mut().for_each(|record| rename(&mut record.0));
    for step in &mut plan.steps {
        step.items.iter_mut().for_each(|item| rename(&mut item.0));
        if let Op::Stock(sku) = &mut step.op {
            rename(sku);
        }
    }
}
