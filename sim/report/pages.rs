//! The pages in `snapshots/` for reviewers: coverage, the smallest plan that reaches each mark,
//! some seeds, the regression plans, and the kill table.

use std::fmt::Write as _;

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
use crate::plan::text::{LimitWords, Nanos, StockLine};
use crate::plan::workload::Workload;
use crate::progress::reproduce;
use crate::report;
use crate::runner::in_order;
use crate::shrink;

/// A page: the name of its file and its text.
pub(crate) type Page = (String, String);

/// Number of seeds that the overview counts, and of those, the last ones, that it lists.
const OVERVIEW: u64 = 48;
const LISTED: u64 = 28;
/// Seeds with their own page.
const OWN_PAGE: [u64; 6] = [13, 17, 27, 30, 36, 42];
/// Number of seeds in which plans for the marks are searched.
const SEARCHED: usize = 600;
/// Number of plans that are shrunk for each mark; the smallest is shown.
const CANDIDATES: usize = 3;
/// Bugs on one page of the kill table.
const KILLS: usize = 50;
/// Maximum number of steps shown of a scenario.
const SHOWN: usize = 9;

/// The overview and the pages of single seeds.
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
        let counts = &run.counts;
        for (count, &mark) in reached.iter_mut().zip(Mark::ALL) {
            *count += u64::from(counts.marks.has(mark));
        }
        let &Counts { commands, orders, paid, cancelled, expired, .. } = counts;
        let digest = run.state.digest().to_string();
        if seed >= OVERVIEW - LISTED {
            let _ = writeln!(
                lines,
                "{seed:>5} {:<8}{commands:>8} {:>8} {orders:>7} {paid:>6} {cancelled:>9} \
                 {expired:>7} {:>6}  {}",
                workload.style.name(),
                counts.refused(),
                orders - paid - cancelled - expired,
                &digest[..16],
            );
        }
        if OWN_PAGE.contains(&seed) {
            let page = report::seed(seed, &workload, &run);
            pages.push((format!("sim_seed_{seed:02}"), page));
        }
    }
    let text = format!(
        "How many of {OVERVIEW} seeds reach each mark, and each call on an order in each \
         state.\n\n{}\n{lines}",
        coverage::picture(&reached)
    );
    pages.insert(0, ("sim_overview".to_owned(), text));
    pages
}

/// The smallest plan for each mark.
#[must_use]
pub(crate) fn scenarios(jobs: usize) -> Vec<Page> {
    let found: Vec<MarkSet> = in_order(SEARCHED, jobs, |seed| {
        let seed = u64::try_from(seed).expect("a small number");
        let workload = Workload::of(seed);
        play_seed(seed, &workload, workload.length, InjectedFaults::default()).counts.marks
    });
    // No plan that reaches a mark of sizes is small.
    let with_scenario: Vec<Mark> =
        Mark::ALL.iter().copied().filter(|mark| !mark.is_of_sizes()).collect();
    let smallest: Vec<Option<Plan>> =
        in_order(with_scenario.len(), jobs, |place| smallest_plan(with_scenario[place], &found));
    let plan_for = |mark: Mark| {
        let place = with_scenario.iter().position(|&other| other == mark)?;
        smallest[place].as_ref()
    };
    let small = Mark::GROUPS.iter().filter(|(_, marks)| !marks[0].is_of_sizes());
    let pages = small.map(|(group, marks)| {
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
            // A mark that only the drain reaches needs no plan.
            let run = play_plan(&plan, InjectedFaults::default(), Ending::Abrupt);
            run.counts.marks.has(mark).then(|| shrink::reaching(&plan, mark).plan)
        })
        .take(CANDIDATES)
        .min_by_key(|plan| (plan.steps.len(), plan.to_string().len()))
}

/// A plan in a few lines: the settings that are not the defaults, the steps with their answers, the
/// final stock.
fn scenario(plan: &Plan) -> String {
    const DEFAULTS: (u64, u64, u32, u64) = (600_000_000_000, 86_400_000_000_000, 1_000, 0);
    let mut text = format!("  {}", StockLine(&plan.world));
    let world = &plan.world;
    for (name, value, default) in [
        ("timeout", world.payment_timeout, DEFAULTS.0),
        ("window", world.idempotency_window, DEFAULTS.1),
        ("start", plan.start, DEFAULTS.3),
    ] {
        if value != default {
            let _ = write!(text, " · {name}={}", Nanos(value));
        }
    }
    if world.max_lines != DEFAULTS.2 {
        let _ = write!(text, " · max_lines={}", world.max_lines);
    }
    text.push_str(&LimitWords(world.limits).to_string().replace(' ', " · "));
    let (answers, stock) = report::answers(plan);
    let hidden = answers.len().saturating_sub(SHOWN);
    for (place, (step, answer)) in answers.iter().enumerate() {
        // Of a long plan show the beginning and the end.
        if hidden > 0 && (SHOWN / 2..SHOWN / 2 + hidden).contains(&place) {
            if place == SHOWN / 2 {
                let _ = write!(text, "\n  … {hidden} more …");
            }
            continue;
        }
        let answer = answer.as_ref().map_or_else(String::new, ToString::to_string);
        let _ = write!(text, "\n  {step:<44} → {answer}");
    }
    if !world.stock.is_empty() {
        text.push_str("\n  at the end:");
    }
    for record in stock {
        let (sku, total, reserved) = (record.opening.sku, record.total, record.reserved);
        let _ = write!(text, " {sku}={total}/{reserved}");
    }
    text.push('\n');
    text
}

/// The stored pages of the smallest plans.
const SCENARIOS: &[&str] = &[
    include_str!("../../snapshots/sim_scenario_cancel.snap"),
    include_str!("../../snapshots/sim_scenario_create.snap"),
    include_str!("../../snapshots/sim_scenario_create_refused.snap"),
    include_str!("../../snapshots/sim_scenario_create_short.snap"),
    include_str!("../../snapshots/sim_scenario_forgotten.snap"),
    include_str!("../../snapshots/sim_scenario_info.snap"),
    include_str!("../../snapshots/sim_scenario_key.snap"),
    include_str!("../../snapshots/sim_scenario_pay.snap"),
    include_str!("../../snapshots/sim_scenario_rules.snap"),
    include_str!("../../snapshots/sim_scenario_stock_and_time.snap"),
];

/// The plan on the stored page that reached this mark; `None` if the page has no whole plan.
fn stored_scenario(mark: Mark) -> Option<Plan> {
    let head = format!("{}: {}", mark.name(), mark.description());
    let page = SCENARIOS.iter().find(|page| page.lines().any(|line| line == head))?;
    let after = page.lines().skip_while(|line| *line != head).skip(1);
    let mut lines = after.map_while(|line| line.strip_prefix("  "));
    // Settings after the defaults replace them.
    let (stock, settings) =
        lines.next().map(|line| line.split_once(" · ").unwrap_or((line, "")))?;
    let settings = settings.replace(" · ", " ");
    let mut text = format!(
        "plan v1\nworld timeout=600s window=86400s max_lines=1000 start=0s {settings}\n{stock}\n"
    );
    for line in lines.filter(|line| !line.starts_with("at the end:")) {
        text = format!("{text}{}\n", line.split_once(" → ")?.0);
    }
    Plan::parse(&text).ok()
}

/// Maximum number of lost marks that are printed with their plans.
const LOST: usize = 2;

/// For marks that no seed reaches: the plans that reached them when their pages were written.
#[must_use]
pub(crate) fn lost_scenarios(marks: MarkSet) -> String {
    let mut text = String::new();
    for mark in marks.missing().take(LOST) {
        let name = mark.name();
        let Some(plan) = stored_scenario(mark) else {
            let _ = writeln!(text, "\n{name}: there is no stored plan of one screen");
            continue;
        };
        let run = play_plan(&plan, InjectedFaults::default(), Ending::Abrupt);
        let does = if run.counts.marks.has(mark) { "reaches" } else { "no longer reaches" };
        let _ = writeln!(text, "\n{name}: no seed reaches it; the stored plan {does} it:\n");
        let plan = format!("plan v1\n{}", report::trace(&plan));
        text.push_str(&report::screen::plan(&plan, " --explain"));
    }
    if !text.is_empty() {
        text.push_str(&reproduce("marks"));
    }
    text
}

/// The kill table of the model.
#[must_use]
pub(crate) fn kills(jobs: usize) -> Vec<Page> {
    let kills = kill_table::kill_all(Bug::ALL, jobs);
    let pages = kills
        .chunks(KILLS)
        .zip(1..)
        .map(|(kills, number)| (format!("sim_kills_{number}"), kill_table::table(kills)));
    pages.collect()
}

/// A page for each regression plan.
#[must_use]
pub(crate) fn regressions() -> Vec<Page> {
    let pages = regressions::all().into_iter().map(|known| {
        let mut text = format!("{}\n", known.description);
        text.push_str(&report::trace(&known.plan));
        if let Some(bug) = Bug::parse(known.name) {
            let run = play_plan(&known.plan, InjectedFaults::with_bug(bug), Ending::Drained);
            if let Err(failure) = run.verdict {
                let oracle = failure.signature.oracle.name();
                let _ = writeln!(
                    text,
                    "with the bug planted in the model, {oracle} differs: expected {}",
                    failure.expected
                );
            }
        }
        (format!("sim_regression_{}", known.name.replace('-', "_")), text)
    });
    pages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_scenario_reaches_its_mark() {
        let small = Mark::ALL.iter().copied().filter(|mark| !mark.is_of_sizes());
        for mark in small {
            // The page shows only the ends of its 130 steps.
            if mark == Mark::ManyCancels {
                continue;
            }
            let plan = stored_scenario(mark).unwrap_or_else(|| panic!("{}", mark.name()));
            let run = play_plan(&plan, InjectedFaults::default(), Ending::Abrupt);
            assert!(run.counts.marks.has(mark), "{}", mark.name());
        }
    }

    #[test]
    fn a_lost_mark_is_printed_with_its_plan() {
        let mut marks = MarkSet::default();
        Mark::ALL.iter().filter(|&&mark| mark != Mark::PayDue).for_each(|&mark| marks.insert(mark));
        let text = lost_scenarios(marks);
        assert!(text.starts_with("\npay-due: no seed reaches it; the stored plan reaches it:\n"));
        assert!(text.contains("\n2 @1ns c0 pay order#1 ") && text.contains("sim replay - "));
        assert!(text.lines().count() <= 50);
    }
}
