//! The pages for reviewers, as they stand in `snapshots/`: what the simulator reaches, the
//! smallest plan that reaches each mark, some seeds, the bugs, and how long planted ones live.

use std::fmt::Write as _;

use crate::check::subject::Subject;
use crate::check::swarm::{Ending, play_plan, play_seed};
use crate::coverage;
use crate::coverage::counts::Counts;
use crate::coverage::marks::{Mark, MarkSet};
use crate::mutation::injected::InjectedFaults;
use crate::mutation::kill_table;
use crate::mutation::planted_bugs::Bug;
use crate::mutation::regressions;
use crate::plan::Plan;
use crate::plan::generator::plan_of;
use crate::plan::text::{Nanos, StockLine};
use crate::plan::workload::Workload;
use crate::report;
use crate::runner::in_order;
use crate::shrink;

/// A page: the name of its file, and its text.
pub(crate) type Page = (String, String);

/// Seeds on the overview.
const OVERVIEW: u64 = 48;
/// Seeds with a page of their own.
const OWN_PAGE: [u64; 8] = [2, 3, 5, 13, 18, 21, 22, 27];
/// Seeds among which the plans for the marks are looked for.
const SEARCHED: usize = 600;
/// Plans that are shrunk for a mark; the smallest is shown.
const CANDIDATES: usize = 3;
/// Bugs on one page of the kill table.
const KILLS: usize = 50;
/// Steps of a scenario that are shown.
const SHOWN: usize = 9;

/// The seeds: overview and single ones.
#[must_use]
pub(crate) fn seeds() -> Vec<Page> {
    let mut reached = vec![0; Mark::ALL.len()];
    let mut lines = format!(
        "{:>5} {:<8}{:>8} {:>8} {:>7} {:>6} {:>9} {:>7} {:>6}  {}\n",
        "seed",
        "style",
        "commands",
        "refused",
        "orders",
        "paid",
        "cancelled",
        "expired",
        "failed",
        "digest"
    );
    let mut pages = Vec::new();
    for seed in 0..OVERVIEW {
        let workload = Workload::of(seed);
        let run = play_seed(seed, &workload, workload.length, InjectedFaults::default());
        let counts = &run.checker.counts;
        for (count, &mark) in reached.iter_mut().zip(Mark::ALL) {
            *count += u64::from(counts.marks.has(mark));
        }
        let &Counts { commands, orders, paid, cancelled, expired, .. } = counts;
        let digest = run.checker.subject.state.digest().to_string();
        let _ = writeln!(
            lines,
            "{seed:>5} {:<8}{commands:>8} {:>8} {orders:>7} {paid:>6} {cancelled:>9} \
             {expired:>7} {:>6}  {}",
            workload.style.name(),
            counts.refused(),
            orders - paid - cancelled - expired,
            &digest[..16],
        );
        if OWN_PAGE.contains(&seed) {
            let page = report::seed(seed, &workload, &run.checker);
            pages.push((format!("sim_seed_{seed:02}"), page));
        }
    }
    let text = format!(
        "Of {OVERVIEW} seeds so many reach each mark, and each call on an order of each \
         standing.\n\n{}\n{lines}",
        coverage::picture(&reached)
    );
    pages.insert(0, ("sim_overview".to_owned(), text));
    pages
}

/// For each mark the smallest plan that reaches it.
#[must_use]
pub(crate) fn scenarios(jobs: usize) -> Vec<Page> {
    let found: Vec<MarkSet> = in_order(SEARCHED, jobs, |seed| {
        let seed = u64::try_from(seed).expect("a small number");
        let workload = Workload::of(seed);
        play_seed(seed, &workload, workload.length, InjectedFaults::default()).checker.counts.marks
    });
    let smallest: Vec<Option<Plan>> =
        in_order(Mark::ALL.len(), jobs, |place| smallest_plan(Mark::ALL[place], &found));
    let plan_for = |mark: Mark| {
        let place = Mark::ALL.iter().position(|&other| other == mark)?;
        smallest[place].as_ref()
    };
    let pages = Mark::GROUPS.iter().map(|(group, marks)| {
        let mut text = String::new();
        for &mark in *marks {
            let _ = writeln!(text, "{}: {}", mark.name(), mark.description());
            match plan_for(mark) {
                Some(plan) => text.push_str(&scenario(plan)),
                None => text.push_str("  NOT REACHED\n"),
            }
        }
        (format!("sim_scenario_{group}"), text)
    });
    pages.collect()
}

fn smallest_plan(mark: Mark, found: &[MarkSet]) -> Option<Plan> {
    let seeds = (0..).zip(found).filter(|(_, marks)| marks.has(mark)).map(|(seed, _)| seed);
    seeds
        .map(|seed| {
            let workload = Workload::of(seed);
            (workload.length, seed, workload)
        })
        .filter_map(|(length, seed, workload)| {
            let plan = plan_of(seed, &workload, false, length);
            // What only the drain reaches is no plan of a client's.
            let run = play_plan(&plan, InjectedFaults::default(), Ending::Abrupt);
            run.checker.counts.marks.has(mark).then(|| shrink::reaching(&plan, mark).plan)
        })
        .take(CANDIDATES)
        .min_by_key(|plan| (plan.steps.len(), plan.to_string().len()))
}

/// A plan in a few lines: only what is not as shipped, the steps with their answers, the shelves.
fn scenario(plan: &Plan) -> String {
    const SHIPPED: (u64, u64, u32, u64) = (600_000_000_000, 86_400_000_000_000, 1_000, 0);
    let mut text = format!("  {}", StockLine(&plan.world));
    let world = &plan.world;
    for (name, value, shipped) in [
        ("timeout", world.payment_timeout, SHIPPED.0),
        ("window", world.idempotency_window, SHIPPED.1),
        ("start", plan.start, SHIPPED.3),
    ] {
        if value != shipped {
            let _ = write!(text, " · {name}={}", Nanos(value));
        }
    }
    if world.max_lines != SHIPPED.2 {
        let _ = write!(text, " · max_lines={}", world.max_lines);
    }
    let mut subject = Subject::open(world);
    let answers = report::answers(plan, &mut subject);
    let hidden = answers.len().saturating_sub(SHOWN);
    for (place, (step, answer)) in answers.iter().enumerate() {
        // Of a long one the beginning and the end.
        if hidden > 0 && (SHOWN / 2..SHOWN / 2 + hidden).contains(&place) {
            if place == SHOWN / 2 {
                let _ = write!(text, "\n  … {hidden} more of these …");
            }
            continue;
        }
        let answer = answer.as_ref().map_or_else(String::new, ToString::to_string);
        let _ = write!(text, "\n  {step:<44} → {answer}");
    }
    if !world.stock.is_empty() {
        text.push_str("\n  in the end");
    }
    for shelf in subject.state.stock() {
        let (sku, total, reserved) = (shelf.opening.sku, shelf.total, shelf.reserved);
        let _ = write!(text, " {sku}={total}/{reserved}");
    }
    text.push('\n');
    text
}

/// The kill table.
#[must_use]
pub(crate) fn kills(jobs: usize) -> Vec<Page> {
    let kills = kill_table::kill_all(Bug::ALL, jobs);
    let pages = kills
        .chunks(KILLS)
        .zip(1..)
        .map(|(kills, number)| (format!("sim_kills_{number}"), kill_table::table(kills)));
    pages.collect()
}

/// A page for each bug of the bug base.
#[must_use]
pub(crate) fn bugs() -> Vec<Page> {
    let pages = regressions::all().into_iter().map(|known| {
        let mut text = format!("{}\n", known.description);
        text.push_str(&report::trace(&known.plan));
        if let Some(bug) = Bug::parse(known.name) {
            let run = play_plan(&known.plan, InjectedFaults::with_bug(bug), Ending::Drained);
            if let Err(failure) = run.verdict {
                let oracle = failure.signature.oracle.name();
                let _ = writeln!(text, "with the bug, {oracle}: {}", failure.expected);
            }
        }
        (format!("sim_bug_{}", known.name.replace('-', "_")), text)
    });
    pages.collect()
}
