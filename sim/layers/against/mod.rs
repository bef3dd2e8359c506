//! `sim against`: any server of the contract, checked by the model. Rule by rule first; then random
//! programs that keep away from what is known to be broken; then many clients at once. It finds
//! every rule that the other side breaks, and not only the first.
//!
//! The other side cannot be started anew: each program begins with a model that has what is
//! available there now, and ends by cancelling what still awaits payment. Nobody else may use it
//! meanwhile. Nothing is said of expiry, for which nobody waits.
//!
//! | part | what it does |
//! |---|---|
//! | `session` | the other side, and the model beside it |
//! | `compare` | an answer beside the model's, facet by facet |
//! | `rules`, `probe` | the contract as rules, and a program that decides each |
//! | `situation`, `wander` | random programs around what is broken |
//! | `race` | many clients at once |

mod compare;
mod probe;
mod race;
mod random_programs;
mod rules;
mod session;
mod situation;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use loms::opening_stock;
use loms::state_machine::OpeningStock;

use self::compare::Facet;
use self::probe::{Finding, ProbeResult, SkuChoice, probe};
use self::race::{RaceResult, race};
use self::random_programs::run_random;
use self::session::{Session, Situation};
use crate::clock::Stopwatch;
use crate::exit::Exit;
use crate::layers::wire::Reply;
use crate::model::World;
use crate::plan::Step;
use crate::plan::rng::{Domain, Draws};

/// How long it goes on looking.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Random programs.
    programs: u64,
    /// Rounds of clients at once.
    rounds: u64,
}

/// As much as takes a second or two.
const EFFORT: Effort = Effort { programs: 40, rounds: 12 };

/// Differences beyond the rules that are looked for.
const MOST_BEYOND: usize = 8;

/// The most SKUs that are used.
const MOST_SKUS: usize = 8;

/// What is known by now.
#[derive(Debug, Default)]
struct Findings {
    held: usize,
    broken: Vec<Finding>,
    pages: Vec<String>,
    undecided: Vec<(&'static str, String)>,
    not_offered: Vec<&'static str>,
    /// Sorts of calls that are broken.
    situations: BTreeSet<Situation>,
}

/// Judges the server at this address, whose stock opened as the file says; without a file the
/// shipped one names the SKUs, and is compared with nothing.
pub(crate) fn run(address: &str, seed: u64, stock: Option<&Path>) -> (String, Exit) {
    let opening = match stock.map(opening_stock::load) {
        None => opening_stock::embedded(),
        Some(Ok(opening)) => opening,
        Some(Err(error)) => return (format!("sim: {error}\n"), Exit::Usage),
    };
    let began = Stopwatch::start();
    let result = check_server(address, seed, &opening, stock.is_some(), EFFORT);
    eprintln!("sim: against {address} took {:.2?}", began.elapsed());
    result
}

fn check_server(
    address: &str,
    seed: u64,
    opening: &OpeningStock,
    compare: bool,
    effort: Effort,
) -> (String, Exit) {
    let skus = opening.records().iter().take(MOST_SKUS).map(|record| record.sku.get()).collect();
    let mut session = match Session::connect(address, skus) {
        Ok(session) => session,
        Err(error) => {
            let text = format!(
                "sim: cannot call {address}: {error}; a server has to be there, and its address \
                 be given as http://HOST:PORT\n"
            );
            return (text, Exit::Usage);
        }
    };
    let mut findings = Findings::default();
    if compare {
        opens_as_told(&mut session, opening, &mut findings);
    }
    let world = session.world();
    if SkuChoice::choose(&world).is_none() {
        return nothing_to_buy(&world, &findings);
    }
    offers(&mut session, &mut findings);
    for rule in rules::all() {
        match probe(&mut session, &rule) {
            ProbeResult::Holds => findings.held += 1,
            ProbeResult::Undecided(why) => findings.undecided.push((rule.name, why)),
            ProbeResult::Broken(finding) => {
                if rule.is_general {
                    session.ignored.extend(finding.facets());
                }
                findings.broken.push(finding);
            }
        }
    }
    for finding in &findings.broken {
        learn(&mut session, finding, &mut findings.situations);
    }
    look_further(&mut session, seed, effort, &mut findings);
    let exit = if findings.broken.is_empty() && findings.pages.is_empty() {
        Exit::Ok
    } else {
        Exit::Oracle
    };
    (page(&findings), exit)
}

/// There is too little in stock for any program.
fn nothing_to_buy(world: &World, findings: &Findings) -> (String, Exit) {
    let text = page(findings);
    let there: Vec<String> =
        world.stock.iter().map(|shelf| format!("{} of {}", shelf.1, shelf.0)).collect();
    let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
    let text = format!(
        "{text}sim: there is {there}, and it takes three SKUs in stock, two with 4 or more; \
         --stock names the file that the server opened with, which is told of its SKUs\n"
    );
    (text, if findings.pages.is_empty() { Exit::Usage } else { Exit::Oracle })
}

/// From now on nothing more is said of what this finding says.
fn learn(session: &mut Session, finding: &Finding, situations: &mut BTreeSet<Situation>) {
    let facets = finding.facets();
    if facets.iter().any(|facet| facet.is_hard()) {
        situations.extend(finding.situation());
    }
    session.ignored.extend(facets.into_iter().filter(|facet| !facet.is_hard()));
}

fn opens_as_told(session: &mut Session, opening: &OpeningStock, findings: &mut Findings) {
    for record in opening.records().iter().take(MOST_SKUS) {
        let told = record.total - record.reserved;
        let there = session.available(record.sku.get());
        if there != Some(told) {
            let there = there.map_or_else(|| "none".to_owned(), |units| units.to_string());
            findings.pages.push(format!(
                "BROKEN  available is total - reserved of the stock file\n  stock {}\n    server  \
                 {there}\n    file    {told} (was it used since it opened?)\n",
                record.sku
            ));
            return;
        }
    }
}

/// What newer fields the server has at all.
fn offers(session: &mut Session, findings: &mut Findings) {
    let world = session.world();
    let Some(skus) = SkuChoice::choose(&world) else { return };
    let steps = skus.steps("create user=1 Ax1;info order#1", &world);
    for played in probe::play(session, &world, &steps) {
        if let Reply::Created { status, .. } = &played.reply
            && status.is_empty()
        {
            session.ignored.extend([Facet::CreateStatus, Facet::CreateShortages]);
            findings.not_offered.push("OrderCreateResponse.status and shortages");
        }
        if let Reply::Order(order) = &played.reply
            && (order.created_at, order.updated_at) == (None, None)
        {
            session.ignored.extend([Facet::Times, Facet::Reason, Facet::Shortages]);
            findings.not_offered.push("OrderInfoResponse.createdAt, updatedAt, reason, shortages");
        }
    }
}

fn look_further(session: &mut Session, seed: u64, effort: Effort, findings: &mut Findings) {
    let mut draws = Draws::new(seed, Domain::Commands);
    let mut beyond = 0;
    for round in 0..effort.programs {
        if beyond >= MOST_BEYOND {
            break;
        }
        if let Some(finding) = run_random(session, &mut draws, round, &findings.situations) {
            learn(session, &finding, &mut findings.situations);
            findings.situations.extend(finding.situation());
            findings.broken.push(finding);
            beyond += 1;
        }
    }
    let mut draws = Draws::new(seed, Domain::Network);
    for round in 0..effort.rounds {
        match race(session, &mut draws, round, &findings.situations) {
            RaceResult::Explained => {}
            RaceResult::Unexplained(story) => {
                findings.pages.push(format!("BROKEN  calls at once are as if one by one\n{story}"));
                return;
            }
            RaceResult::NotPlayed => {
                let why = "what it builds on is broken, or not in stock";
                findings.undecided.push(("calls at once are as if one by one", why.to_owned()));
                return;
            }
        }
    }
    findings.held += 1;
}

fn page(findings: &Findings) -> String {
    let mut text = String::new();
    for finding in &findings.broken {
        let _ = writeln!(text, "BROKEN  {}", finding.rule);
        for (place, (step, played)) in finding.steps.iter().zip(&finding.played).enumerate() {
            let line = call(step);
            if place + 1 < finding.played.len() {
                let _ = writeln!(text, "  {line}");
            } else {
                let _ = writeln!(text, "  {line}\n    server  {}", played.reply);
                let _ = writeln!(text, "    model   {}", played.expected);
            }
        }
    }
    findings.pages.iter().for_each(|page| text.push_str(page));
    for (rule, why) in &findings.undecided {
        let _ = writeln!(text, "?       {rule}: {why}");
    }
    for field in &findings.not_offered {
        let _ = writeln!(text, "-       not offered: {field}");
    }
    let broken = findings.broken.len() + findings.pages.len();
    let (held, open) = (findings.held, findings.undecided.len());
    let _ = writeln!(text, "{held} rules hold, {broken} are broken, {open} are undecided");
    text
}

/// A step without its time and client; a long list of lines is cut.
fn call(step: &Step) -> String {
    let text = step.to_string();
    let mut words = text.split(' ');
    let (number, _at, _client) = (words.next(), words.next(), words.next());
    let words: Vec<&str> = words.collect();
    let shown = words[..words.len().min(12)].join(" ");
    let more = if words.len() > 12 { " …" } else { "" };
    format!("{} {shown}{more}", number.unwrap_or_default())
}
