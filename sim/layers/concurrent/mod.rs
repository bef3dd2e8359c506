//! The concurrent layer: the shipped multi-thread server over loopback sockets, many clients at
//! once, and a check that all they saw can be told as one story, call after call.
//!
//! | part | what it does |
//! |---|---|
//! | `load` | runs the server and the clients, and writes the history down |
//! | `history` | what happened, as the clients saw it |
//! | `index_order` | the server tells its order: one pass over the history |
//! | `search` | it does not: any order will do, for short histories |

mod history;
mod index_order;
mod load;
mod search;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

pub(crate) use self::history::CallRecord;
pub(crate) use self::search::{SearchResult, search};
use crate::clock::Stopwatch;
use crate::exit::Exit;
use crate::model::World;
use crate::model::contract::Answer;
use crate::plan::KeyText;

/// Numbers of calls of the histories that are checked by search as well. A shorter one is recorded
/// only if the search cannot decide the one before.
const SHORT: [u32; 3] = [160, 80, 40];

/// Runs the server and that many clients, which make that many calls between them, and checks the
/// history.
pub(crate) fn run(clients: u32, calls: u32, seed: u64) -> (String, Exit) {
    let mut text = format!("concurrent: {clients} clients, {calls} calls\n");
    let began = Stopwatch::start();
    let run = match load::run(&load::Load::busy(clients, calls, seed)) {
        Ok(run) => run,
        Err(error) => return (format!("sim: no server: {error}\n"), Exit::Usage),
    };
    let took = began.elapsed();
    eprintln!("sim: concurrent, {} calls in {took:.2?}", run.history.len());
    let began = Stopwatch::start();
    let checked = index_order::check(&run.world, load::START, &run.history);
    eprintln!("sim: concurrent, checked in {:.2?}", began.elapsed());
    if let Err(violation) = checked {
        let _ = writeln!(text, "FAIL {}", violation.what);
        violation.entries.iter().for_each(|&place| {
            let _ = writeln!(text, "  {}", run.history[place].line());
        });
        let _ = writeln!(text, "  again: sim concurrent --clients {clients} --calls {calls}");
        return (text, Exit::Oracle);
    }
    text.push_str("ok   every answer is the model's, in the order that the server tells\n");
    let mut exit = Exit::Undecided;
    for calls in SHORT {
        match load::run(&load::Load::short(clients.min(4), calls, seed)) {
            Ok(run) => {
                let (found, end) = check_by_search(&run.world, &run.history);
                text.push_str(&found);
                exit = end;
            }
            Err(error) => return (format!("sim: no server: {error}\n"), Exit::Usage),
        }
        if exit != Exit::Undecided {
            break;
        }
    }
    (text, exit)
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

/// Whether what was heard is the model's answer, but for the times.
fn fits(entry: &CallRecord, expected: &Answer) -> bool {
    let mut room = KeyText::default();
    let timeless = |answer: &Answer| {
        let mut answer = answer.clone();
        if let Answer::Order(info) = &mut answer {
            (info.created_at, info.updated_at) = (0, 0);
        }
        answer
    };
    entry
        .received
        .answer(entry.call(&mut room))
        .is_ok_and(|answer| timeless(&answer) == timeless(expected))
}

/// What a search came to, with the calls about which it failed.
#[must_use]
pub(crate) fn report(found: &SearchResult, history: &[CallRecord]) -> String {
    match found {
        SearchResult::Explained(_) => {
            "ok   some order of the calls explains all answers\n".to_owned()
        }
        SearchResult::Undecided => {
            let calls = history.len();
            format!("?    {calls} calls have too many possible orders to try them all\n")
        }
        SearchResult::Unexplained(longest) => {
            let mut text =
                "FAIL no order of the calls explains all answers; the longest\n".to_owned();
            for &place in longest.iter().skip(longest.len().saturating_sub(12)) {
                let _ = writeln!(text, "  {}", history[place].line());
            }
            text.push_str("and none of these can come next\n");
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
