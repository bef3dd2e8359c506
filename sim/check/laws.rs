//! Laws: two runs that differ only in a way that must not matter give the same result. They need no
//! model. They are checked on the subject and on the model; for each law a planted bug breaks it.

use loms::state_machine::Sizes;

use crate::check::compared::Compared;
use crate::check::subject::Subject;
use crate::model::contract::{Answer, Call, OrderInfo, Refusal, Shortage, Status};
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{CreatedOrders, KeyText, Op, Plan, Step};
use crate::progress;

/// A law about two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Law {
    /// A create followed by its cancel leaves the stock unchanged.
    CreateThenCancel,
    /// Several lines of one SKU are equivalent to one line with their sum.
    SplitIsMerged,
    /// Orders of different SKUs can come in any order.
    DisjointCommute,
    /// Renaming the SKUs changes nothing else.
    Renamed,
}

impl Law {
    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateThenCancel => "law: create then cancel changes nothing",
            Self::SplitIsMerged => "law: split lines equal merged lines",
            Self::DisjointCommute => "law: disjoint SKUs commute",
            Self::Renamed => "law: renamed SKUs change nothing",
        }
    }
}

/// Something that a law can be checked on.
pub(crate) trait LawSubject: Clone {
    /// Answers a call at this time.
    fn answer_at(&mut self, at: u64, call: Call<'_>) -> Option<Answer>;
    /// SKU, total and reserved, by ascending SKU.
    fn stock_levels(&self) -> Vec<(u32, u64, u64)>;
}

impl<S: Sizes> LawSubject for Subject<S> {
    fn answer_at(&mut self, at: u64, call: Call<'_>) -> Option<Answer> {
        let reply = self.call(at, call);
        self.answer_of(reply)
    }

    fn stock_levels(&self) -> Vec<(u32, u64, u64)> {
        let stock = self.state.stock();
        stock.map(|record| (record.opening.sku.get(), record.total, record.reserved)).collect()
    }
}

impl LawSubject for Model {
    fn answer_at(&mut self, at: u64, call: Call<'_>) -> Option<Answer> {
        Some(self.answer(at, call))
    }

    fn stock_levels(&self) -> Vec<(u32, u64, u64)> {
        self.stock().collect()
    }
}

/// A broken law: the results of both runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LawViolation {
    /// The comparison.
    pub(crate) compared: Compared,
    /// The result of the original run.
    pub(crate) one: String,
    /// The result of the other run.
    pub(crate) other: String,
}

/// Checks all laws with this plan.
///
/// # Errors
/// The first broken law.
pub(crate) fn check<S: LawSubject>(
    plan: &Plan,
    open: impl Fn(&World) -> S,
    injected: InjectedFaults,
) -> Result<(), LawViolation> {
    let laws = Laws { injected };
    let (answers, side) = run(plan, &open);
    let at = plan.start.saturating_add(plan.steps.last().map_or(0, |step| step.at));
    laws.create_then_cancel(plan, side.clone(), at)?;
    laws.disjoint_commute(plan, &side, at)?;
    for (rewrite, answers_at, stock_at) in [
        (merge as Rewrite, Compared::MergedAnswers, Compared::MergedStock),
        (split, Compared::SplitAnswers, Compared::SplitStock),
    ] {
        let (answers_of_other, other) = run(&rewritten(plan, rewrite), &open);
        laws.compare(answers_at, &answers, &answers_of_other)?;
        laws.compare(stock_at, &side.stock_levels(), &other.stock_levels())?;
    }
    let (mut answers_of_other, other) = run(&renamed(plan), &open);
    answers_of_other.iter_mut().flatten().for_each(rename_answer);
    let mut answers = answers;
    // If several sums overflow, the lowest SKU is reported, and renaming changes which one that is.
    for answer in answers.iter_mut().chain(&mut answers_of_other).flatten() {
        if let Answer::Refused(Refusal::CountOverflow(sku)) = answer {
            *sku = 0;
        }
    }
    laws.compare(Compared::RenamedAnswers, &answers, &answers_of_other)?;
    let mut levels = other.stock_levels();
    levels.iter_mut().for_each(|record| record.0 = rename(record.0));
    levels.sort_unstable();
    laws.compare(Compared::RenamedStock, &side.stock_levels(), &levels)
}

/// A result of a run, as text.
trait Described: PartialEq {
    fn describe(&self) -> String;
}

impl Described for Option<Answer> {
    fn describe(&self) -> String {
        self.as_ref().map_or_else(|| "impossible".to_owned(), ToString::to_string)
    }
}

impl Described for (u32, u64, u64) {
    fn describe(&self) -> String {
        let (sku, total, reserved) = self;
        format!("SKU {sku}: total {total}, reserved {reserved}")
    }
}

fn run<S: LawSubject>(plan: &Plan, open: &impl Fn(&World) -> S) -> (Vec<Option<Answer>>, S) {
    let mut side = open(&plan.world);
    let mut created = CreatedOrders::default();
    let mut answers = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        progress::step(step.number);
        let mut buffer = KeyText::default();
        let at = plan.start.saturating_add(step.at);
        let answer = side.answer_at(at, step.call(&created, &mut buffer));
        if let Some(Answer::Created { order, .. }) = answer {
            created.note(step.number, order);
        }
        answers.push(answer);
    }
    (answers, side)
}

/// The comparisons of the laws.
struct Laws {
    injected: InjectedFaults,
}

impl Laws {
    fn compare<T: Described>(
        &self,
        compared: Compared,
        one: &[T],
        other: &[T],
    ) -> Result<(), LawViolation> {
        // The other run has one result less.
        let other = self.injected.alter(compared, other, |all| &all[..all.len().saturating_sub(1)]);
        let difference = (1..).zip(one.iter().zip(other)).find(|(_, (one, other))| one != other);
        let (one, other) = match difference {
            None if one.len() == other.len() => return Ok(()),
            None => (format!("{} of them", one.len()), format!("{} of them", other.len())),
            Some((place, (one, other))) => {
                let text =
                    |run, side: &T| format!("number {place} of the {run} run: {}", side.describe());
                (text("first", one), text("other", other))
            }
        };
        Err(LawViolation { compared, one, other })
    }

    fn create_then_cancel<S: LawSubject>(
        &self,
        plan: &Plan,
        mut side: S,
        at: u64,
    ) -> Result<(), LawViolation> {
        let most = usize::try_from(plan.world.max_lines).unwrap_or(usize::MAX);
        // Move time first, so that nothing expires between the two calls.
        side.answer_at(at, Call::Tick);
        let before = side.stock_levels();
        let mut items: Vec<(u32, u32)> = before
            .iter()
            .filter(|(_, total, reserved)| total > reserved)
            .map(|record| (record.0, 1))
            .collect();
        items.truncate(most);
        let reserved = side.answer_at(at, Call::Create { user: 1, items: &items, key: "" });
        let Some(Answer::Created { order, status: Status::AwaitingPayment, .. }) = reserved else {
            return Ok(());
        };
        side.answer_at(at, Call::Cancel(order));
        self.compare(Compared::StockAfterCancel, &before, &side.stock_levels())
    }

    fn disjoint_commute<S: LawSubject>(
        &self,
        plan: &Plan,
        side: &S,
        at: u64,
    ) -> Result<(), LawViolation> {
        let [first, .., last] = *plan.world.stock else { return Ok(()) };
        if plan.limits_creates() {
            // There may be room for one order, and then the first create gets it.
            return Ok(());
        }
        let (one, other) = ([(first.0, 1)], [(last.0, 1)]);
        let play = |mut side: S, turns: [&[(u32, u32)]; 2]| {
            let orders = turns.map(|items| {
                match side.answer_at(at, Call::Create { user: 1, items, key: "" }) {
                    Some(Answer::Created { order, .. }) => order,
                    _ => 0,
                }
            });
            // In both runs the order of the first SKU is paid, and that of the last is cancelled.
            let [paid, cancelled] = if turns[0] == one { orders } else { [orders[1], orders[0]] };
            side.answer_at(at, Call::Pay(paid));
            side.answer_at(at, Call::Cancel(cancelled));
            side.stock_levels()
        };
        let there = play(side.clone(), [&one, &other]);
        let back = play(side.clone(), [&other, &one]);
        self.compare(Compared::StockAfterDisjoint, &there, &back)
    }
}

/// Rewrites the lines of a create, into at most the given number of lines; `None`: no change.
type Rewrite = fn(&Step, usize) -> Option<Vec<(u32, u32)>>;

/// The plan with the lines of each valid create rewritten.
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
    // In reverse: the order of the lines must not matter either.
    let mut halves: Vec<_> = halves.collect();
    halves.reverse();
    (halves.len() <= most).then_some(halves)
}

/// Another name for a SKU; it reverses their order. Applied twice it gives the SKU again.
const fn rename(sku: u32) -> u32 {
    0_u32.wrapping_sub(sku)
}

fn renamed(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.world.stock.iter_mut().for_each(|record| record.0 = rename(record.0));
    plan.world.stock.sort_unstable();
    for step in &mut plan.steps {
        step.items.iter_mut().for_each(|item| item.0 = rename(item.0));
        if let Op::Stock(sku) = &mut step.op {
            *sku = rename(*sku);
        }
    }
    plan
}

fn rename_answer(answer: &mut Answer) {
    let rename_shortages = |shortages: &mut Vec<Shortage>| {
        shortages.iter_mut().for_each(|short| short.sku = rename(short.sku));
        shortages.reverse();
    };
    match answer {
        Answer::Created { shortages, .. } => rename_shortages(shortages),
        Answer::Order(OrderInfo { items, shortages, .. }) => {
            items.iter_mut().for_each(|item| item.0 = rename(item.0));
            items.reverse();
            rename_shortages(shortages);
        }
        Answer::Done | Answer::Stock(_) | Answer::Refused(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use loms::state_machine::{Shipped, Tiny};

    use super::*;
    use crate::check::failure::Oracle;
    use crate::mutation::planted_bugs::Bug;
    use crate::plan::generator::plan_of;
    use crate::plan::workload::Workload;

    fn breach_of(bug: Bug) -> Option<Oracle> {
        (0..400).find_map(|seed| {
            let plan = plan_of(seed, &Workload::of(seed), false, 40);
            let none = InjectedFaults::default();
            let violation = check(&plan, |world| Model::new(world, Some(bug)), none).err()?;
            Some(Oracle::of(violation.compared))
        })
    }

    #[test]
    fn subject_and_model_keep_the_laws() {
        for seed in 0..60 {
            let plan = plan_of(seed, &Workload::of(seed), false, 40);
            let subject = check(&plan, Subject::<Shipped>::open, InjectedFaults::default());
            assert_eq!(subject, Ok(()), "subject, seed {seed}");
            let subject = check(&plan, Subject::<Tiny>::open, InjectedFaults::default());
            assert_eq!(subject, Ok(()), "tiny subject, seed {seed}");
            let model = check(&plan, |world| Model::new(world, None), InjectedFaults::default());
            assert_eq!(model, Ok(()), "model, seed {seed}");
        }
    }

    #[test]
    fn each_law_can_be_broken() {
        let law = |law| Some(Oracle::Law(law));
        assert_eq!(breach_of(Bug::CancelReleasesBase), law(Law::CreateThenCancel));
        assert_eq!(breach_of(Bug::DuplicatesCheckedSingly), law(Law::SplitIsMerged));
        assert_eq!(breach_of(Bug::ShortagesFirstOnly), law(Law::Renamed));
        assert_eq!(breach_of(Bug::IdReusedAfterFailure), law(Law::DisjointCommute));
    }
}
