//! `sim against`: checks any server that implements the contract: first rule by rule, then with
//! random programs that avoid known differences, then with concurrent clients. It finds every
//! broken rule, not only the first.
//!
//! The server cannot be restarted, so each program starts with a model that has the units available
//! now, and ends by cancelling the orders that still await payment. The server must have no other
//! clients during the check. Expiry is not tested, because it would take too long.
//!
//! | part | what it does |
//! |---|---|
//! | `session` | the server, and the model |
//! | `compare` | compares answers, facet by facet |
//! | `rules`, `probe` | the contract as rules, with a program that checks each |
//! | `situation`, `random_programs` | random programs that avoid known differences |
//! | `race` | concurrent clients |

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

use loms::client::Credentials;
use loms::opening_stock;
use loms::state_machine::OpeningStock;

use self::compare::Facet;
use self::probe::{Finding, ProbeResult, SkuChoice, probe};
use self::race::{RaceResult, race};
use self::random_programs::run_random;
use self::session::Session;
use self::situation::Situation;
use crate::clock::Stopwatch;
use crate::credentials::CredentialFlags;
use crate::exit::Exit;
use crate::layers::wire::Reply;
use crate::model::World;
use crate::plan::Step;
use crate::plan::rng::{Domain, Draws};
use crate::progress::reproduce;
use crate::report::screen;

/// How much is tested.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Number of random programs.
    programs: u64,
    /// Rounds of concurrent clients.
    rounds: u64,
}

/// Takes a second or two.
const EFFORT: Effort = Effort { programs: 40, rounds: 12 };

/// Maximum number of differences found by random programs.
const MOST_BEYOND: usize = 8;

/// Maximum number of SKUs.
const MOST_SKUS: usize = 8;

/// The results so far.
#[derive(Debug, Default)]
struct Findings {
    held: usize,
    broken: Vec<Finding>,
    pages: Vec<String>,
    undecided: Vec<(&'static str, String)>,
    not_offered: Vec<&'static str>,
    /// Situations whose answers differ.
    situations: BTreeSet<Situation>,
}

/// Checks the server at this address. With a stock file, the opening stock is checked too; without
/// one, the default file names the SKUs.
pub(crate) fn run(
    address: &str,
    credentials: CredentialFlags,
    seed: u64,
    stock: Option<&Path>,
) -> (String, Exit) {
    let opening = match stock.map(opening_stock::load) {
        None => opening_stock::embedded(),
        Some(Ok(opening)) => opening,
        Some(Err(error)) => return (format!("sim: {error}\n"), Exit::Usage),
    };
    let credentials = match credentials.read() {
        Ok(credentials) => credentials,
        Err(error) => return (format!("sim: {error}\n"), Exit::Usage),
    };
    let timer = Stopwatch::start();
    let (mut text, exit) =
        check_server(address, &credentials, seed, &opening, stock.is_some(), EFFORT);
    eprintln!("sim: against {address} took {:.2?}", timer.elapsed());
    if exit == Exit::Oracle {
        let stock = stock.map_or_else(String::new, |file| format!(" --stock {}", file.display()));
        let arguments = format!("against {address} --seed {seed}{stock}");
        text.push_str(&reproduce(&arguments));
    }
    (text, exit)
}

fn check_server(
    address: &str,
    credentials: &Credentials,
    seed: u64,
    opening: &OpeningStock,
    compare: bool,
    effort: Effort,
) -> (String, Exit) {
    let skus = opening.records().iter().take(MOST_SKUS).map(|record| record.sku.get()).collect();
    let mut session = match Session::connect(address, credentials, skus) {
        Ok(session) => session,
        Err(error) => {
            let text = format!(
                "sim: cannot call {address}: {error}; is a server running there? The address is \
                 http://HOST:PORT or https://HOST:PORT\n"
            );
            return (text, Exit::Usage);
        }
    };
    let mut findings = Findings::default();
    if compare {
        check_opening_stock(&mut session, opening, &mut findings);
    }
    let world = session.world();
    if SkuChoice::choose(&world).is_none() {
        return too_little_stock(&world, &findings);
    }
    find_missing_fields(&mut session, &mut findings);
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
        ignore_finding(&mut session, finding, &mut findings.situations);
    }
    run_programs_and_races(&mut session, seed, effort, &mut findings);
    let exit = if !findings.broken.is_empty() || !findings.pages.is_empty() {
        Exit::Oracle
    } else if !findings.undecided.is_empty() {
        Exit::Undecided
    } else {
        Exit::Ok
    };
    (page(&findings), exit)
}

/// There is too little stock for any program.
fn too_little_stock(world: &World, findings: &Findings) -> (String, Exit) {
    let text = page(findings);
    let there: Vec<String> =
        world.stock.iter().map(|record| format!("{} of {}", record.1, record.0)).collect();
    let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
    let text = format!(
        "{text}sim: the stock is {there}; the test needs three SKUs in stock, two of them with \
         4 units or more; --stock names the stock file of the server\n"
    );
    (text, if findings.pages.is_empty() { Exit::Usage } else { Exit::Oracle })
}

/// Do not report the same difference again.
fn ignore_finding(session: &mut Session, finding: &Finding, situations: &mut BTreeSet<Situation>) {
    let facets = finding.facets();
    if facets.iter().any(|facet| facet.is_hard()) {
        situations.extend(finding.situation());
    }
    session.ignored.extend(facets.into_iter().filter(|facet| !facet.is_hard()));
}

fn check_opening_stock(session: &mut Session, opening: &OpeningStock, findings: &mut Findings) {
    for record in opening.records().iter().take(MOST_SKUS) {
        let expected = record.total.saturating_sub(record.reserved);
        let there = session.available(record.sku.get());
        if there != Some(expected) {
            let there = there.map_or_else(|| "none".to_owned(), |units| units.to_string());
            findings.pages.push(format!(
                "BROKEN  available is total - reserved of the stock file, or 0\n  stock {}\n    \
                 actual  {there}\n    file    {expected} (has the server been used since its \
                 start?)\n",
                record.sku
            ));
            return;
        }
    }
}

/// Finds which newer fields the server does not send.
fn find_missing_fields(session: &mut Session, findings: &mut Findings) {
    let world = session.world();
    let Some(skus) = SkuChoice::choose(&world) else { return };
    let steps = skus.steps("create user=1 Ax1;info order#1", &world);
    for exchange in probe::play(session, &world, &steps) {
        if let Reply::Created { status, .. } = &exchange.reply
            && status.is_empty()
        {
            session.ignored.extend([Facet::CreateStatus, Facet::CreateShortages]);
            findings.not_offered.push("OrderCreateResponse.status and shortages");
        }
        if let Reply::Order(order) = &exchange.reply
            && (order.created_at, order.updated_at) == (None, None)
        {
            session.ignored.extend([Facet::Times, Facet::Reason, Facet::Shortages]);
            findings.not_offered.push("OrderInfoResponse.createdAt, updatedAt, reason, shortages");
        }
    }
}

fn run_programs_and_races(
    session: &mut Session,
    seed: u64,
    effort: Effort,
    findings: &mut Findings,
) {
    let mut draws = Draws::new(seed, Domain::Commands);
    let mut beyond = 0;
    for round in 0..effort.programs {
        if beyond >= MOST_BEYOND {
            break;
        }
        if let Some(finding) = run_random(session, &mut draws, round, &findings.situations) {
            ignore_finding(session, &finding, &mut findings.situations);
            findings.situations.extend(finding.situation());
            findings.broken.push(finding);
            beyond += 1;
        }
    }
    run_races(session, seed, effort, findings);
}

fn run_races(session: &mut Session, seed: u64, effort: Effort, findings: &mut Findings) {
    const RULE: &str = "concurrent calls are linearizable";
    let mut draws = Draws::new(seed, Domain::Network);
    let mut undecided = 0_u64;
    for round in 0..effort.rounds {
        match race(session, &mut draws, round, &findings.situations) {
            RaceResult::Explained => {}
            RaceResult::Undecided => undecided += 1,
            RaceResult::Unexplained(story) => {
                findings.pages.push(format!("BROKEN  {RULE}\n{story}"));
                return;
            }
            RaceResult::NotRun => {
                let why = "a rule that it depends on is broken, or the stock is too low";
                findings.undecided.push((RULE, why.to_owned()));
                return;
            }
        }
    }
    if undecided == 0 {
        findings.held += 1;
    } else {
        let why = format!("{undecided} histories have too many possible orders to try them all");
        findings.undecided.push((RULE, why));
    }
}

fn page(findings: &Findings) -> String {
    let mut text = String::new();
    for finding in &findings.broken {
        let _ = writeln!(text, "BROKEN  {}", finding.rule);
        for (place, (step, exchange)) in finding.steps.iter().zip(&finding.exchanges).enumerate() {
            let line = call(step);
            if place + 1 < finding.exchanges.len() {
                let _ = writeln!(text, "  {line}");
            } else {
                let (reply, expected) = (exchange.reply.to_string(), exchange.expected.to_string());
                let (reply, expected) = screen::short_pair(&reply, &expected);
                let _ = writeln!(text, "  {line}\n    server  {reply}\n    expected  {expected}");
            }
        }
    }
    findings.pages.iter().for_each(|page| text.push_str(page));
    for (rule, why) in &findings.undecided {
        let _ = writeln!(text, "?       {rule}: {why}");
    }
    for field in &findings.not_offered {
        let _ = writeln!(text, "-       not sent by the server: {field}");
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
    let first = words[..words.len().min(12)].join(" ");
    let more = words.len().checked_sub(13).map(|more| format!(" … and {} more", more + 1));
    let more = more.unwrap_or_default();
    format!("{} {first}{more}", number.unwrap_or_default())
}
