//! One seed, or many: played, told, and the first failure shrunk.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Began;
use crate::coverage;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fleet::{Fleet, Orders};
use crate::generate::plan_of;
use crate::plan::Plan;
use crate::rig::{Rig, Sabotage};
use crate::world::Habits;
use crate::{bug_base, report, shrink, swarm};

/// Many seeds.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    /// Which.
    pub(crate) seeds: Range<u64>,
    /// Threads.
    pub(crate) jobs: usize,
    /// Commands of each; none for as many as the seed has a mind to.
    pub(crate) steps: Option<u32>,
    /// Stops after this time.
    pub(crate) time: Option<Duration>,
    /// Stops once [`STABLE`] seeds have reached no new mark.
    pub(crate) until_stable: bool,
    /// What is deliberately wrong.
    pub(crate) rig: Rig,
}

/// Seeds without a new mark, after which there is little hope of one.
const STABLE: u64 = 1_000;

/// Plays one seed; the bugs of old first.
pub(crate) fn one(seed: u64, steps: Option<u32>, rig: Rig) -> (String, Exit) {
    if let Some(back) = bug_is_back(rig) {
        return back;
    }
    let habits = Habits::of(seed);
    let run = swarm::play_seed(seed, &habits, steps.unwrap_or(habits.length), rig);
    match run.verdict {
        Ok(()) => (report::seed(seed, &habits, &run.judge), Exit::Ok),
        Err(failure) => seed_told(seed, steps, &failure, rig),
    }
}

/// Plays many seeds; the bugs of old first.
pub(crate) fn many(campaign: Campaign) -> (String, Exit) {
    let Campaign { seeds, jobs, steps, time, until_stable, rig } = campaign;
    if let Some(back) = bug_is_back(rig) {
        return back;
    }
    let began = Began::now();
    let bar = progress(seeds.end - seeds.start);
    let (mut marks, mut new_at) = (0, 0);
    let fleet = Fleet::sail(seeds.clone(), Orders { jobs, steps, rig }, |fleet| {
        bar.set_position(fleet.seeds);
        if fleet.marks().count() > marks {
            (marks, new_at) = (fleet.marks().count(), fleet.seeds);
        }
        let stable = until_stable && fleet.seeds - new_at >= STABLE;
        !stable && time.is_none_or(|time| began.elapsed() < time)
    });
    bar.finish_and_clear();
    tell_speed(fleet.tally.commands, jobs, began.elapsed());
    if let Some((seed, failure)) = fleet.failed {
        return seed_told(seed, steps, &failure, rig);
    }
    let last = seeds.start + fleet.seeds;
    let tally = &fleet.tally;
    let text = format!(
        "swarm · seeds {}..{last} · {} commands, all agree\n\
         orders {}: {} paid, {} cancelled, {} expired\n{}answers {}\n",
        seeds.start,
        tally.commands,
        tally.orders,
        tally.paid,
        tally.cancelled,
        tally.expired,
        coverage::missing(tally.marks),
        tally.fingerprint(),
    );
    (text, Exit::Ok)
}

fn bug_is_back(rig: Rig) -> Option<(String, Exit)> {
    // With a bug planted they would only show that one.
    if rig.bug.is_some() {
        return None;
    }
    let (known, failure) = bug_base::replay(rig).err()?;
    Some(told(&failure, &format!("bug {}", known.name), &known.plan, rig))
}

/// A seed that failed, shrunk and told on one screen, with the line that plays it again.
pub(crate) fn seed_told(
    seed: u64,
    steps: Option<u32>,
    failure: &Failure,
    rig: Rig,
) -> (String, Exit) {
    let habits = Habits::of(seed);
    let length = steps.unwrap_or(habits.length);
    // What the drain did is of the plan, too.
    let run = swarm::play_seed(seed, &habits, length, rig);
    let mut plan = plan_of(seed, &habits, rig.has(Sabotage::BlindDraws), length);
    plan.steps.extend(run.judge.drained);
    let (mut text, exit) = told(failure, &format!("seed {seed}"), &plan, rig);
    let steps = steps.map_or_else(String::new, |steps| format!(" --steps {steps}"));
    let bug = rig.flag();
    let _ = write!(
        text,
        "\nagain: cargo run --release --bin sim -- --seed {seed}{steps}{bug}\n\
         or paste the plan, if all of it is there, into: sim replay -{bug}\n"
    );
    (text, exit)
}

/// A failing plan, shrunk and told on one screen.
pub(crate) fn told(failure: &Failure, origin: &str, plan: &Plan, rig: Rig) -> (String, Exit) {
    let (shrunk, ending) = shrink::failing(plan, failure, rig);
    let text = report::failure(failure, origin, &shrunk.plan, ending, rig, shrunk.runs);
    (text, Exit::of(failure))
}

fn progress(seeds: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} seeds, {per_sec}, {eta} left")
            .expect("the template is sound");
    // On stderr, and only where that is a terminal.
    ProgressBar::new(seeds).with_style(style)
}

fn tell_speed(commands: u64, jobs: usize, took: Duration) {
    let micros = took.as_micros().max(1);
    let per_second = u128::from(commands) * 1_000_000 / micros;
    let millis = took.as_millis();
    eprintln!("{millis} ms, {jobs} jobs, {per_second} commands a second");
}
