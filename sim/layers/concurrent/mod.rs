//! The concurrent layer: the real multi-threaded server over loopback sockets, concurrent clients,
//! and a check that their history is linearizable.
//!
//! | part | what it does |
//! |---|---|
//! | `load` | runs the server and the clients, and records the history |
//! | `history` | the calls and replies of the clients |
//! | `index_order` | the check for a server that sends command indexes: one pass over the history |
//! | `search` | the check for other servers: searches for a valid order of a short history |
//! | `stop` | the check of servers that stop at a random moment under load |

mod history;
mod index_order;
mod load;
mod search;
mod stop;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

pub(crate) use self::history::CallRecord;
use self::load::Run;
pub(crate) use self::search::{SearchResult, search};
use crate::check::compared::Compared;
use crate::clock::Stopwatch;
use crate::exit::Exit;
use crate::layers::wire::corruption::Corruption;
use crate::model::World;
use crate::model::contract::Answer;
use crate::mutation::injected::InjectedFaults;
use crate::plan::KeyText;
use crate::progress::{self, Hung, reproduce};
use crate::words::noun;

/// Numbers of calls of the histories that are checked by search as well. A shorter one is recorded
/// only if the search cannot decide the one before.
const SHORT: [u32; 3] = [160, 80, 40];

/// Runs the server with these clients, which make `calls` calls together, and checks the history.
pub(crate) fn run(clients: u32, calls: u32, seed: u64) -> (String, Exit) {
    let arguments = format!("concurrent --clients {clients} --calls {calls} --seed {seed}");
    let again = Some(arguments.clone());
    let _watched = progress::stage(move || Hung {
        what: "concurrent".to_owned(),
        again: again.clone(),
        ..Hung::default()
    });
    let (mut text, exit) = check(clients, calls, seed);
    if !matches!(exit, Exit::Ok | Exit::Usage) {
        text.push_str(&reproduce(&arguments));
    }
    (text, exit)
}

fn check(clients: u32, calls: u32, seed: u64) -> (String, Exit) {
    let (some_clients, some_calls) = (noun(clients.into(), "client"), noun(calls.into(), "call"));
    let mut text = format!("concurrent: {clients} {some_clients}, {calls} {some_calls}\n");
    let timer = Stopwatch::start();
    let run = match load::run(&load::Load::busy(clients, calls, seed)) {
        Ok(run) => run,
        Err(error) => return (format!("sim: cannot start the server: {error}\n"), Exit::Usage),
    };
    let took = timer.elapsed();
    eprintln!("sim: concurrent, {} calls in {took:.2?}", run.history.len());
    let (timer, none) = (Stopwatch::start(), InjectedFaults::default());
    let checked = index_order::check(&run.world, load::START, &run.history, none);
    eprintln!("sim: concurrent, checked in {:.2?}", timer.elapsed());
    if let Err(violation) = checked {
        let _ = writeln!(text, "FAIL {}", violation.what);
        violation.entries.iter().for_each(|&place| {
            let _ = writeln!(text, "  {}", run.history[place].line());
        });
        return (text, Exit::Oracle);
    }
    text.push_str("ok   every answer equals the model's, in the order of the command indexes\n");
    let mut exit = Exit::Undecided;
    for calls in SHORT {
        match load::run(&load::Load::short(clients.min(4), calls, seed)) {
            Ok(run) => {
                let (found, end) = check_by_search(&run.world, &run.history);
                text.push_str(&found);
                exit = end;
            }
            Err(error) => return (format!("sim: cannot start the server: {error}\n"), Exit::Usage),
        }
        if exit != Exit::Undecided {
            break;
        }
    }
    if exit == Exit::Ok {
        let (stopped, end) = stop::run(seed);
        text.push_str(&stopped);
        exit = end;
    }
    (text, exit)
}

/// Two short runs, to test the checks with: one to its end, and one that is stopped.
#[derive(Debug)]
pub(crate) struct Sample {
    complete: load::Run,
    stopped: load::Run,
}

impl Sample {
    /// Runs both.
    ///
    /// # Errors
    /// As for the layer itself: the server failed.
    pub(crate) fn record() -> std::io::Result<Self> {
        let complete = load::run(&load::Load::busy(4, 400, 1))?;
        let stopped = load::run(&load::Load::stopped_at(8, 400, 1))?;
        Ok(Self { complete, stopped })
    }

    /// The same with this field changed in every reply that has it; `None` if no reply has it.
    pub(crate) fn corrupted(&self, corruption: Corruption) -> Option<Self> {
        let mut sample = Self { complete: self.complete.clone(), stopped: self.stopped.clone() };
        let mut changed = false;
        for entry in &mut sample.complete.history {
            let before = entry.received.clone();
            corruption.apply(&mut entry.received);
            changed |= entry.received != before;
        }
        changed.then_some(sample)
    }

    /// The comparison that finds a difference, if one does.
    pub(crate) fn check(&self, injected: InjectedFaults) -> Option<Compared> {
        let Run { world, history, .. } = &self.complete;
        let found = index_order::check(world, load::START, history, injected).err();
        let found = found.map(|violation| violation.compared);
        found.or_else(|| Some(stop::check(&self.stopped, injected).err()?.0))
    }
}

/// Searches for an order of the calls that explains all answers.
fn check_by_search(world: &World, history: &[CallRecord]) -> (String, Exit) {
    let found = search(world, history, 0, &fits);
    let exit = match found {
        SearchResult::Explained(_) => Exit::Ok,
        SearchResult::Unexplained(_) => Exit::Oracle,
        SearchResult::Undecided => Exit::Undecided,
    };
    (report(&found, history), exit)
}

/// Whether the reply equals the model's answer, except for the timestamps.
fn fits(entry: &CallRecord, expected: &Answer) -> bool {
    let mut buffer = KeyText::default();
    let timeless = |answer: &Answer| {
        let mut answer = answer.clone();
        if let Answer::Order(info) = &mut answer {
            (info.created_at, info.updated_at) = (0, 0);
        }
        answer
    };
    entry
        .received
        .answer(entry.call(&mut buffer))
        .is_ok_and(|answer| timeless(&answer) == timeless(expected))
}

/// The result of a search, with the calls at which it stopped.
#[must_use]
pub(crate) fn report(found: &SearchResult, history: &[CallRecord]) -> String {
    match found {
        SearchResult::Explained(_) => {
            "ok   there is an order of the calls that explains all answers\n".to_owned()
        }
        SearchResult::Undecided => {
            let calls = history.len();
            format!("?    {calls} calls have too many possible orders to try them all\n")
        }
        SearchResult::Unexplained(longest) => {
            let mut text =
                "FAIL no order of the calls explains all answers; the longest partial order:\n"
                    .to_owned();
            for &place in longest.iter().skip(longest.len().saturating_sub(12)) {
                let _ = writeln!(text, "  {}", history[place].line());
            }
            text.push_str("none of these calls can come next:\n");
            let soonest = (0..history.len())
                .filter(|place| !longest.contains(place))
                .map(|place| history[place].returned)
                .min();
            for (place, entry) in history.iter().enumerate() {
                if !longest.contains(&place) && Some(entry.invoked) < soonest {
                    let _ = writeln!(text, "  {}", entry.line());
                }
            }
            text
        }
    }
}
