//! Laws: what holds of two runs that differ in a way that must not matter. They need no model,
//! and are held to the machine and to the model alike, which shows that they can be broken: each
//! law has a planted bug that breaks it.

use crate::check::subject::Subject;
use crate::model::contract::{Answer, Call, OrderInfo, Refusal, Shortage, Status};
use crate::model::{Model, World};
use crate::plan::{CreatedOrders, KeyText, Op, Plan, Step};

/// What holds of two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    /// A create and its cancellation leave the shelves as they were.
    CreateThenCancel,
    /// Lines of one SKU are as good as one line of their sum.
    SplitIsMerged,
    /// Orders of different SKUs can come in either order.
    DisjointCommute,
    /// SKUs are names: others would do as well.
    Relabelled,
}

impl Law {
    /// As pages spell it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateThenCancel => "law: create then cancel restores",
            Self::SplitIsMerged => "law: split lines are merged lines",
            Self::DisjointCommute => "law: disjoint SKUs commute",
            Self::Relabelled => "law: relabelled SKUs change nothing",
        }
    }
}

/// What can be held to a law.
pub(crate) trait LawSubject: Clone {
    /// Answers a call at a moment.
    fn ask(&mut self, at: u64, call: Call<'_>) -> Option<Answer>;
    /// SKU, total and reserved, by ascending SKU.
    fn shelves(&self) -> Vec<(u32, u64, u64)>;
}

impl LawSubject for Subject {
    fn ask(&mut self, at: u64, call: Call<'_>) -> Option<Answer> {
        let reply = self.call(at, call);
        self.tell(reply)
    }

    fn shelves(&self) -> Vec<(u32, u64, u64)> {
        let stock = self.state.stock();
        stock.map(|shelf| (shelf.opening.sku.get(), shelf.total, shelf.reserved)).collect()
    }
}

impl LawSubject for Model {
    fn ask(&mut self, at: u64, call: Call<'_>) -> Option<Answer> {
        Some(self.answer(at, call))
    }

    fn shelves(&self) -> Vec<(u32, u64, u64)> {
        self.stock().collect()
    }
}

/// Where a law is broken: both runs, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LawViolation {
    /// The law.
    pub(crate) law: Law,
    /// The run as it was.
    pub(crate) one: String,
    /// The run that should have been like it.
    pub(crate) other: String,
}

/// Holds a subject to all laws over this plan.
///
/// # Errors
/// The first law that it breaks.
pub(crate) fn check<S: LawSubject>(
    plan: &Plan,
    open: impl Fn(&World) -> S,
) -> Result<(), LawViolation> {
    let (answers, side) = run(plan, &open);
    let at = plan.start.saturating_add(plan.steps.last().map_or(0, |step| step.at));
    create_then_cancel(plan, side.clone(), at)?;
    disjoint_commute(plan, &side, at)?;
    let law = Law::SplitIsMerged;
    for other in [rewritten(plan, merge), rewritten(plan, split)] {
        let (answers_of_other, subject_of_other) = run(&other, &open);
        compare(law, &answers, &answers_of_other)?;
        compare(law, &side.shelves(), &subject_of_other.shelves())?;
    }
    let (mut answers_of_other, other) = run(&relabelled(plan), &open);
    answers_of_other.iter_mut().flatten().for_each(relabel_answer);
    let mut answers = answers;
    // Of several sums that overflow the lowest SKU's is told, and the lowest is now another.
    for answer in answers.iter_mut().chain(&mut answers_of_other).flatten() {
        if let Answer::Refused(Refusal::CountOverflow(sku)) = answer {
            *sku = 0;
        }
    }
    compare(Law::Relabelled, &answers, &answers_of_other)?;
    let mut shelves = other.shelves();
    shelves.iter_mut().for_each(|shelf| shelf.0 = relabel(shelf.0));
    shelves.sort_unstable();
    compare(Law::Relabelled, &side.shelves(), &shelves)
}

fn compare<T: PartialEq + std::fmt::Debug>(
    law: Law,
    one: &[T],
    other: &[T],
) -> Result<(), LawViolation> {
    match one.iter().zip(other).find(|(one, other)| one != other) {
        None if one.len() == other.len() => Ok(()),
        None => Err(LawViolation {
            law,
            one: format!("{} of them", one.len()),
            other: format!("{} of them", other.len()),
        }),
        Some((one, other)) => {
            Err(LawViolation { law, one: format!("{one:?}"), other: format!("{other:?}") })
        }
    }
}

fn run<S: LawSubject>(plan: &Plan, open: &impl Fn(&World) -> S) -> (Vec<Option<Answer>>, S) {
    let mut side = open(&plan.world);
    let mut created = CreatedOrders::default();
    let mut answers = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let mut room = KeyText::default();
        let at = plan.start.saturating_add(step.at);
        let answer = side.ask(at, step.call(&created, &mut room));
        if let Some(Answer::Created { order, .. }) = answer {
            created.note(step.number, order);
        }
        answers.push(answer);
    }
    (answers, side)
}

fn create_then_cancel<S: LawSubject>(
    plan: &Plan,
    mut side: S,
    at: u64,
) -> Result<(), LawViolation> {
    let most = usize::try_from(plan.world.max_lines).unwrap_or(usize::MAX);
    // Time first: an expiry on the way would be another matter.
    side.ask(at, Call::Tick);
    let before = side.shelves();
    let mut items: Vec<(u32, u32)> = before
        .iter()
        .filter(|(_, total, reserved)| total > reserved)
        .map(|shelf| (shelf.0, 1))
        .collect();
    items.truncate(most);
    let reserved = side.ask(at, Call::Create { user: 1, items: &items, key: "" });
    let Some(Answer::Created { order, status: Status::AwaitingPayment, .. }) = reserved else {
        return Ok(());
    };
    side.ask(at, Call::Cancel(order));
    compare(Law::CreateThenCancel, &before, &side.shelves())
}

fn disjoint_commute<S: LawSubject>(plan: &Plan, side: &S, at: u64) -> Result<(), LawViolation> {
    let [first, .., last] = *plan.world.stock else { return Ok(()) };
    let (one, other) = ([(first.0, 1)], [(last.0, 1)]);
    let play = |mut side: S, turns: [&[(u32, u32)]; 2]| {
        let orders =
            turns.map(|items| match side.ask(at, Call::Create { user: 1, items, key: "" }) {
                Some(Answer::Created { order, .. }) => order,
                _ => 0,
            });
        // Whichever came first, the first SKU's is paid and the last one's is cancelled.
        let [paid, cancelled] = if turns[0] == one { orders } else { [orders[1], orders[0]] };
        side.ask(at, Call::Pay(paid));
        side.ask(at, Call::Cancel(cancelled));
        side.shelves()
    };
    let there = play(side.clone(), [&one, &other]);
    let back = play(side.clone(), [&other, &one]);
    compare(Law::DisjointCommute, &there, &back)
}

/// The lines of a create written otherwise, in at most so many; none where they cannot be.
type Rewrite = fn(&Step, usize) -> Option<Vec<(u32, u32)>>;

/// The plan with the lines of each sound create rewritten.
fn rewritten(plan: &Plan, rewrite: Rewrite) -> Plan {
    let mut plan = plan.clone();
    let most = usize::try_from(plan.world.max_lines).unwrap_or(usize::MAX);
    for step in &mut plan.steps {
        let sound = step.items.len() <= most && step.items.iter().all(|&(sku, n)| sku > 0 && n > 0);
        if sound && let Some(items) = rewrite(step, most) {
            step.items = items;
        }
    }
    plan
}

fn merge(step: &Step, _: usize) -> Option<Vec<(u32, u32)>> {
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for &(sku, count) in &step.items {
        match merged.iter_mut().find(|line| line.0 == sku) {
            Some(line) => line.1 = line.1.checked_add(count)?,
            None => merged.push((sku, count)),
        }
    }
    Some(merged)
}

fn split(step: &Step, most: usize) -> Option<Vec<(u32, u32)>> {
    let halves = step.items.iter().flat_map(|&(sku, count)| {
        [(sku, count / 2), (sku, count - count / 2)].into_iter().filter(|half| half.1 > 0)
    });
    // Last things first: the order of lines must not matter either.
    let mut halves: Vec<_> = halves.collect();
    halves.reverse();
    (halves.len() <= most).then_some(halves)
}

/// Another name for a SKU; it turns their order round. Applied twice it is the SKU again.
const fn relabel(sku: u32) -> u32 {
    0_u32.wrapping_sub(sku)
}

fn relabelled(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.world.stock.iter_mut().for_each(|shelf| shelf.0 = relabel(shelf.0));
    plan.world.stock.sort_unstable();
    for step in &mut plan.steps {
        step.items.iter_mut().for_each(|item| item.0 = relabel(item.0));
        if let Op::Stock(sku) = &mut step.op {
            *sku = relabel(*sku);
        }
    }
    plan
}

fn relabel_answer(answer: &mut Answer) {
    let relabel_shortages = |shortages: &mut Vec<Shortage>| {
        shortages.iter_mut().for_each(|short| short.sku = relabel(short.sku));
        shortages.reverse();
    };
    match answer {
        Answer::Created { shortages, .. } => relabel_shortages(shortages),
        Answer::Order(OrderInfo { items, shortages, .. }) => {
            items.iter_mut().for_each(|item| item.0 = relabel(item.0));
            items.reverse();
            relabel_shortages(shortages);
        }
        Answer::Done | Answer::Stock(_) | Answer::Refused(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;
    use crate::plan::generator::plan_of;
    use crate::plan::workload::Workload;

    fn breach_of(bug: Bug) -> Option<Law> {
        (0..400).find_map(|seed| {
            let plan = plan_of(seed, &Workload::of(seed), false, 40);
            check(&plan, |world| Model::new(world, Some(bug))).err().map(|violation| violation.law)
        })
    }

    #[test]
    fn machine_and_model_keep_the_laws() {
        for seed in 0..60 {
            let plan = plan_of(seed, &Workload::of(seed), false, 40);
            assert_eq!(check(&plan, Subject::open), Ok(()), "machine, seed {seed}");
            let model = check(&plan, |world| Model::new(world, None));
            assert_eq!(model, Ok(()), "model, seed {seed}");
        }
    }

    #[test]
    fn each_law_can_be_broken() {
        assert_eq!(breach_of(Bug::CancelReleasesBase), Some(Law::CreateThenCancel));
        assert_eq!(breach_of(Bug::DuplicatesCheckedSingly), Some(Law::SplitIsMerged));
        assert_eq!(breach_of(Bug::ShortagesFirstOnly), Some(Law::Relabelled));
        assert_eq!(breach_of(Bug::IdReusedAfterFailure), Some(Law::DisjointCommute));
    }
}
