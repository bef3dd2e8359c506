//! Servers that stop at a random moment under load. Every call was answered, or was not executed:
//! the state that the server leaves has the effects of the answered calls and no others.

use loms::server::Drained;
use loms::state_machine::LomsState;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::history::CallRecord;
use super::index_order;
use super::load::{self, Load, Run, START};
use crate::check::subject::Subject;
use crate::exit::Exit;
use crate::model::contract::Call;
use crate::model::{Model, World};
use crate::plan::rng::{Domain, Draws, Purpose};

/// Number of servers.
const STOPS: u64 = 12;

/// Number of clients of each server.
const CLIENTS: u32 = 32;

/// The load on one server. It stops after up to 1,000 requests and replies.
fn load(seed: u64) -> Load {
    let mut draws = Draws::new(seed, Domain::Network);
    Load::stopped_at(CLIENTS, draws.draw(Purpose::KIND).below(1_000), seed)
}

/// Runs the servers, and checks each of them.
pub(crate) fn run(seed: u64) -> (String, Exit) {
    for seed in seed..seed.saturating_add(STOPS) {
        let result = match load::run(&load(seed)) {
            Ok(run) => check(&run),
            Err(error) => Err(format!("the server or a watch failed: {error}")),
        };
        if let Err(what) = result {
            let text = format!("FAIL stop under load: {what}\n  reproduce: sim concurrent --seed ");
            return (format!("{text}{seed}\n"), Exit::Oracle);
        }
    }
    let text = format!("ok   {STOPS} stops under load: every call was answered or not executed\n");
    (text, Exit::Ok)
}

/// Checks a server that has stopped under load.
///
/// # Errors
/// A description of what is wrong.
pub(crate) fn check(run: &Run) -> Result<(), String> {
    if run.drained != Drained::Fully {
        return Err("the drain was cut short, although every call can be answered".to_owned());
    }
    for (connection, watches) in run.watches.iter().enumerate() {
        // A watch that begins during the drain shows only the end.
        let first = watches.first().is_some_and(|first| matches!(**first, [Serving, NotServing]));
        if !first || watches[1..].iter().any(|watch| **watch != [NotServing]) {
            return Err(format!("the health watches of connection {connection}: {watches:?}"));
        }
    }
    let answered: Vec<CallRecord> =
        run.history.iter().filter(|entry| entry.returned != u64::MAX).cloned().collect();
    let model = index_order::check(&run.world, START, &answered).map_err(|violation| {
        let lines = violation.entries.iter().map(|&place| answered[place].line());
        format!("{}\n  {}", violation.what, lines.collect::<Vec<_>>().join("\n  "))
    })?;
    match run.sequencer.present() {
        Ok(present) => compare(&run.world, present.state(), model),
        Err(_behind) => Err("the server left a backlog of due orders".to_owned()),
    }
}

/// Compares the whole state with the model.
fn compare(world: &World, state: &LomsState, mut model: Model) -> Result<(), String> {
    let agree = |what: &str, actual: String, expected: String| {
        if actual == expected {
            return Ok(());
        }
        Err(format!("{what} after the stop: {actual}; after the answered calls: {expected}"))
    };
    state.check_invariants().map_err(|violation| violation.to_string())?;
    agree("entries", state.index().to_string(), model.entries().to_string())?;
    agree("time", state.now().as_nanos().to_string(), model.now().to_string())?;
    let stock =
        state.stock().map(|record| (record.opening.sku.get(), record.total, record.reserved));
    let expected: Vec<_> = model.stock().collect();
    agree("stock", format!("{:?}", stock.collect::<Vec<_>>()), format!("{expected:?}"))?;
    let mut subject = Subject::open(world);
    subject.state = state.clone();
    let (now, orders) = (model.now(), model.orders());
    // One more, which does not exist.
    for order in 1..=i64::try_from(orders + 1).expect("a run has few orders") {
        let call = Call::Info(order);
        let reply = subject.call(now, call);
        let expected = model.answer(now, call).to_string();
        let actual = subject.answer_of(reply).map_or_else(String::new, |it| it.to_string());
        agree(&format!("order {order}"), actual, expected)?;
    }
    Ok(())
}
