//! Text for readers: a plan beside its answers, a failure, a run.
//!
//! Everything that is not part of a plan follows ` # `, so the text of a plan can be replayed as it
//! is: `sim replay -`.

pub(crate) mod answers;
pub(crate) mod fingerprint;
pub(crate) mod pages;
pub(crate) mod screen;

use std::fmt::Write as _;

use loms::state_machine::{Shipped, Sizes, StockView, Tiny};

use crate::check::failure::{Failure, Oracle};
use crate::check::panic;
use crate::check::subject::Subject;
use crate::check::swarm::{Ending, Run};
use crate::coverage::marks::Mark;
use crate::model::ContainerSizes;
use crate::model::contract::{Answer, Limits};
use crate::mutation::injected::InjectedFaults;
use crate::plan::generator::GENERATOR;
use crate::plan::text::{LimitWords, Nanos, StockLine, WorldLine};
use crate::plan::workload::Workload;
use crate::plan::{CreatedOrders, KeyText, Kind, Plan};

/// Width of the left column.
const LEFT: usize = 44;

/// A plan with the answer to each step and the final stock.
#[must_use]
pub(crate) fn trace(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n{}", WorldLine(plan), StockLine(&plan.world));
    let (answers, final_stock) = answers(plan);
    for (step, answer) in answers {
        let answer =
            answer.map_or_else(|| "(no client can receive this)".to_owned(), |a| a.to_string());
        side_by_side(&mut text, &step, &answer);
    }
    stock(&mut text, &final_stock);
    text
}

/// A step as text, and its answer if a client can receive it.
pub(crate) type AnsweredStep = (String, Option<Answer>);

/// The answers of a subject to a plan, and the final stock.
pub(crate) fn answers(plan: &Plan) -> (Vec<AnsweredStep>, Vec<StockView>) {
    match plan.world.sizes {
        ContainerSizes::Shipped => answers_with::<Shipped>(plan),
        ContainerSizes::Tiny => answers_with::<Tiny>(plan),
    }
}

fn answers_with<S: Sizes>(plan: &Plan) -> (Vec<AnsweredStep>, Vec<StockView>) {
    let mut subject = Subject::<S>::open(&plan.world);
    let answers = answers_of(&mut subject, plan);
    (answers, subject.state.stock().collect())
}

fn answers_of<S: Sizes>(subject: &mut Subject<S>, plan: &Plan) -> Vec<AnsweredStep> {
    let mut created = CreatedOrders::default();
    let mut panicked = false;
    plan.steps
        .iter()
        .map(|step| {
            let mut buffer = KeyText::default();
            let at = plan.start.saturating_add(step.at);
            let call = step.call(&created, &mut buffer);
            // After a panic the subject is not called again.
            let reply = if panicked { None } else { panic::caught(|| subject.call(at, call)).ok() };
            panicked |= reply.is_none();
            let answer = reply.and_then(|reply| subject.answer_of(reply));
            if let Some(Answer::Created { order, .. }) = answer {
                created.note(step.number, order);
            }
            (step.to_string(), answer)
        })
        .collect()
}

fn side_by_side(text: &mut String, left: &str, right: &str) {
    let _ = writeln!(text, "{left:<LEFT$} # {}", screen::short(right));
}

/// The stock, one line per SKU.
fn stock(text: &mut String, records: &[StockView]) {
    for record in records {
        let (sku, total, reserved) = (record.opening.sku, record.total, record.reserved);
        let available = record.available();
        let _ = writeln!(
            text,
            "# SKU {sku:<10} total {total:<20} reserved {reserved:<20} available {available}"
        );
    }
}

/// The first lines of a failure: which check failed, at which call, and both sides.
#[must_use]
pub(crate) fn difference(failure: &Failure, origin: &str) -> String {
    let Failure { signature, number, actual, expected, .. } = failure;
    let name = signature.oracle.name();
    let what = if matches!(signature.oracle, Oracle::Law(_)) {
        format!("broken {name}")
    } else if matches!(signature.oracle, Oracle::Panic { .. }) {
        name.to_owned()
    } else {
        format!("{name} differs")
    };
    let at = signature.kind.map_or("at the end".to_owned(), |kind| format!("at {}", kind.name()));
    let step = if *number > 0 { format!(", step {number}") } else { String::new() };
    let (actual, expected) = screen::short_pair(actual, expected);
    format!("FAIL {origin}: {what} {at}{step}\n  actual    {actual}\n  expected  {expected}\n")
}

/// A failure: what differs, and the shrunk plan with its answers and the line that replays it.
#[must_use]
pub(crate) fn failure(
    failure: &Failure,
    origin: &str,
    plan: &Plan,
    ending: Ending,
    injected: InjectedFaults,
    runs: u64,
) -> String {
    let mut text = difference(failure, origin);
    let (commands, steps) = (failure.commands, plan.steps.len());
    let _ = writeln!(text, "  shrunk from {commands} commands to {steps} in {runs} runs");
    text.push('\n');
    let plan = format!("plan v1\n{}", compared_plan(plan, ending, injected));
    text.push_str(&screen::plan(&plan, &injected.flag()));
    text
}

/// A plan with the answers up to the difference.
#[must_use]
pub(crate) fn compared_plan(plan: &Plan, ending: Ending, injected: InjectedFaults) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n{}", WorldLine(plan), StockLine(&plan.world));
    let run = crate::check::swarm::play_plan(plan, injected, ending);
    let failure = run.verdict.err();
    let failed_at = failure.as_ref().map_or(0, |failure| failure.number);
    let (answers, _) = answers(plan);
    for (step, (line, answer)) in plan.steps.iter().zip(answers) {
        if failed_at > 0 && step.number >= failed_at {
            if step.number == failed_at {
                side_by_side(&mut text, &line, "subject and model differ here:");
            }
            break;
        }
        let answer = answer.map_or_else(|| "impossible".to_owned(), |answer| answer.to_string());
        side_by_side(&mut text, &line, &answer);
    }
    if let Some(failure) = failure {
        let (actual, expected) = screen::short_pair(&failure.actual, &failure.expected);
        let _ = writeln!(text, "#   actual    {actual}\n#   expected  {expected}");
    }
    text
}

/// The run of a seed.
#[must_use]
pub(crate) fn seed(seed: u64, workload: &Workload, run: &Run) -> String {
    let mut text = String::new();
    let counts = &run.counts;
    let Workload { style, world, clients, start, .. } = workload;
    let (timeout, window) = (Nanos(world.payment_timeout), Nanos(world.idempotency_window));
    let _ = writeln!(
        text,
        "seed {seed} · generator {GENERATOR} · swarm · {} · {} commands · clients: {clients}",
        style.name(),
        counts.commands
    );
    let most = world.max_lines;
    let start = Nanos(*start);
    let _ =
        writeln!(text, "timeout {timeout} · window {window} · max lines {most} · start {start}");
    if world.limits != Limits::default() {
        let _ = writeln!(text, "limits{}", LimitWords(world.limits));
    }
    let _ = writeln!(text, "{}\n", StockLine(world));
    for kind in Kind::ALL {
        let answers = counts.by_class(kind);
        if !answers.is_empty() {
            let family = counts.families[kind.place()];
            wrapped(&mut text, &format!("{:<7}{family}  ", kind.name()), &answers);
        }
    }
    let (orders, paid) = (counts.orders, counts.paid);
    let (cancelled, expired) = (counts.cancelled, counts.expired);
    let failed = orders - paid - cancelled - expired;
    let _ = writeln!(
        text,
        "\norders {orders}: {paid} paid, {cancelled} cancelled, {expired} expired, {failed} failed"
    );
    stock(&mut text, &run.state.stock());
    let _ = writeln!(text, "marks  {} of {}", counts.marks.count(), Mark::ALL.len());
    let _ = writeln!(text, "digest {}", run.state.digest());
    text
}

/// A list, wrapped into aligned lines of at most 100 columns.
fn wrapped(text: &mut String, head: &str, list: &[String]) {
    let indent = head.chars().count();
    let mut line = head.to_owned();
    let mut width = indent;
    for (place, item) in list.iter().enumerate() {
        let end = if place + 1 < list.len() { ", " } else { "" };
        if width + item.len() + 1 > 98 {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
            width = indent;
        }
        line.push_str(item);
        line.push_str(end);
        width += item.len() + end.len();
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
