//! Checks rules.

use std::collections::BTreeSet;

use super::compare::Facet;
use super::rules::Rule;
use super::session::{Exchange, Program, Session, is_read};
use super::situation::Situation;
use crate::model::World;
use crate::plan::text::{StockLine, WorldLine};
use crate::plan::{Plan, Step};
use crate::report::screen;

/// A SKU that is probably in no stock file.
const UNKNOWN: u32 = 4_000_000_007;

/// A difference.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The broken rule.
    pub(crate) rule: String,
    /// The program; its last step shows the difference.
    pub(crate) steps: Vec<Step>,
    /// The replies and the expected answers.
    pub(crate) exchanges: Vec<Exchange>,
}

impl Finding {
    /// The facets that differ at the last step.
    pub(crate) fn facets(&self) -> BTreeSet<Facet> {
        self.exchanges.last().map_or_else(BTreeSet::new, |last| last.facets.clone())
    }

    /// The situation: that of the last step, or, if the last step only reads, that of the step
    /// whose effect it reads.
    pub(crate) fn situation(&self) -> Option<Situation> {
        let last = self.exchanges.last()?;
        let looks = last.facets.iter().any(|facet| matches!(facet, Facet::Units | Facet::Status));
        let cause =
            self.steps.iter().zip(&self.exchanges).rev().find(|(step, _)| !is_read(step.op));
        match cause {
            Some((_, cause)) if looks => Some(cause.situation),
            Some(_) | None => Some(last.situation),
        }
    }
}

/// The result of checking a rule.
#[derive(Debug)]
pub(crate) enum ProbeResult {
    /// The rule holds.
    Holds,
    /// The rule is broken.
    Broken(Finding),
    /// It cannot be decided, and why.
    Undecided(String),
}

/// The SKUs for the letters in the rules' programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SkuChoice {
    plenty: u32,
    other: u32,
    scarce: (u32, u64),
}

impl SkuChoice {
    /// Chooses SKUs that are in stock; `None` if there are too few.
    pub(crate) fn choose(world: &World) -> Option<Self> {
        let mut by_units: Vec<(u64, u32)> =
            world.stock.iter().map(|&(sku, available, _)| (available, sku)).collect();
        by_units.sort_unstable();
        // By ascending SKU, so that a program can use the reverse order.
        let mut plenty = [by_units.last()?, by_units.iter().nth_back(1)?].map(|record| record.1);
        plenty.sort_unstable();
        let scarce =
            by_units.iter().find(|record| record.0 > 0 && record.0 < u64::from(u32::MAX))?;
        let enough = by_units.iter().nth_back(1)?.0 >= 4 && !plenty.contains(&scarce.1);
        let [plenty, other] = plenty;
        enough.then_some(Self { plenty, other, scarce: (scarce.1, scarce.0) })
    }

    /// The steps of a program.
    pub(crate) fn steps(&self, program: &str, world: &World) -> Vec<Step> {
        let plan = Plan { world: world.clone(), start: 0, steps: Vec::new() };
        let mut text = format!("plan v1\n{}\n{}\n", WorldLine(&plan), StockLine(world));
        for (number, step) in (1..).zip(program.split(';')) {
            let words: Vec<String> = step.split(' ').map(|word| self.word(word)).collect();
            text.push_str(&format!("{number} @0s c0 {}\n", words.join(" ")));
        }
        Plan::parse(&text).expect("a rule's program is a plan").steps
    }

    fn word(&self, word: &str) -> String {
        let (word, times) = word.split_once('*').unwrap_or((word, "1"));
        let (name, count) = match word.split_once('x') {
            Some((name, count)) => (name, Some(count)),
            None => (word, None),
        };
        let sku = match name {
            "A" => self.plenty,
            "B" => self.other,
            "S" => self.scarce.0,
            "N" => UNKNOWN,
            _ => return word.to_owned(),
        };
        let Some(count) = count else { return sku.to_string() };
        let count = match count {
            "all" => self.scarce.1,
            "more" => self.scarce.1 + 1,
            count => count.parse().expect("a rule's count is a number"),
        };
        vec![format!("{sku}x{count}"); times.parse().expect("a number")].join(" ")
    }
}

/// Runs steps up to the first one that differs in state.
pub(crate) fn play(session: &mut Session, world: &World, steps: &[Step]) -> Vec<Exchange> {
    let mut program = Program::begin(session, world);
    let mut exchanges = Vec::new();
    for step in steps {
        let step = program.step(step);
        let stop = step.facets.iter().any(|facet| facet.is_hard());
        exchanges.push(step);
        if stop {
            break;
        }
    }
    program.end();
    exchanges
}

/// Checks a rule.
pub(crate) fn probe(session: &mut Session, rule: &Rule) -> ProbeResult {
    let world = session.world();
    let Some(skus) = SkuChoice::choose(&world) else {
        return ProbeResult::Undecided(
            "it needs three SKUs in stock, two of them with 4 units or more".to_owned(),
        );
    };
    let steps = skus.steps(rule.program, &world);
    let mut exchanges = play(session, &world, &steps);
    if exchanges.len() < steps.len() {
        let step = steps[exchanges.len() - 1].to_string();
        let call = screen::short(step.splitn(4, ' ').last().unwrap_or_default());
        return ProbeResult::Undecided(format!("an earlier step differs: {call}"));
    }
    let last = exchanges.last_mut().expect("a rule has a step");
    let state_differs = last.facets.iter().any(|facet| facet.is_hard());
    last.facets.retain(|facet| rule.facets.contains(facet));
    match (last.facets.is_empty(), state_differs) {
        (true, true) => {
            let reply = screen::short(&last.reply.to_string());
            return ProbeResult::Undecided(format!("the answer is {reply}"));
        }
        (true, false) => return ProbeResult::Holds,
        (false, _) => {}
    }
    ProbeResult::Broken(Finding { rule: rule.name.to_owned(), steps, exchanges })
}
