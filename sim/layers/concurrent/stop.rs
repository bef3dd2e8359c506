//! Servers that stop at a random moment under load. Every call was answered, or was not executed:
//! the state that the server leaves has the effects of the answered calls and no others.

use loms::server::Drained;
use loms::state_machine::LomsState;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::history::CallRecord;
use super::index_order;
use super::load::{self, Load, Run, START};
use crate::check::compared::Compared;
use crate::check::subject::Subject;
use crate::exit::Exit;
use crate::model::contract::Call;
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::report::screen;

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
            Ok(run) => check(&run, InjectedFaults::default()).map_err(|(_, what)| what),
            Err(error) => Err(format!("the server or a watch failed: {error}")),
        };
        if let Err(what) = result {
            return (format!("FAIL stop under load, seed {seed}: {what}\n"), Exit::Oracle);
        }
    }
    let text = format!("ok   {STOPS} stops under load: every call was answered or not executed\n");
    (text, Exit::Ok)
}

/// What is wrong, and the comparison that found it.
type Wrong = (Compared, String);

/// Checks a server that has stopped under load.
///
/// # Errors
/// A description of what is wrong.
pub(crate) fn check(run: &Run, injected: InjectedFaults) -> Result<(), Wrong> {
    let fully = run.drained == Drained::Fully;
    if !injected.alter(Compared::Drained, fully, |_| false) {
        let what = "the drain was cut short, although every call can be answered".to_owned();
        return Err((Compared::Drained, what));
    }
    for (connection, watches) in run.watches.iter().enumerate() {
        let wrong = |at| {
            let watches = screen::short(&format!("{watches:?}"));
            (at, format!("the health watches of connection {connection}: {watches}"))
        };
        let first = watches.first().map(Vec::as_slice).unwrap_or_default();
        let first = injected.alter(Compared::FirstWatch, first, |_| &[]);
        if *first != [Serving, NotServing] {
            return Err(wrong(Compared::FirstWatch));
        }
        // A watch that begins during the drain shows only the end.
        let later = watches[1..].iter().all(|watch| **watch == [NotServing]);
        if !injected.alter(Compared::LaterWatches, later, |_| false) {
            return Err(wrong(Compared::LaterWatches));
        }
    }
    let answered: Vec<CallRecord> =
        run.history.iter().filter(|entry| entry.returned != u64::MAX).cloned().collect();
    let checked = index_order::check(&run.world, START, &answered, injected);
    let model = checked.map_err(|violation| {
        let lines = violation.entries.iter().map(|&place| answered[place].line());
        let lines = lines.collect::<Vec<_>>().join("\n  ");
        (violation.compared, format!("{}\n  {lines}", violation.what))
    })?;
    let present = run.sequencer.present().ok();
    let Some(present) = injected.alter(Compared::BacklogAtStop, present, |_| None) else {
        let what = "the server left a backlog of due orders".to_owned();
        return Err((Compared::BacklogAtStop, what));
    };
    compare(&run.world, present.state(), model, injected)
}

/// Compares the whole state with the model.
fn compare(
    world: &World,
    state: &LomsState,
    mut model: Model,
    injected: InjectedFaults,
) -> Result<(), Wrong> {
    let agree = |at, what: &str, actual: String, expected: String| {
        let actual = injected.alter(at, actual, |actual| actual + " (injected)");
        if actual == expected {
            return Ok(());
        }
        let (actual, expected) = screen::short_pair(&actual, &expected);
        Err((at, format!("{what} after the stop: {actual}; after the answered calls: {expected}")))
    };
    let violation = state.check_invariants().err();
    let violation = violation.map_or_else(String::new, |violation| violation.to_string());
    agree(Compared::StoppedInvariants, "violation", violation, String::new())?;
    let (actual, expected) = (state.index().to_string(), model.entries().to_string());
    agree(Compared::StoppedEntries, "entries", actual, expected)?;
    let (actual, expected) = (state.now().as_nanos().to_string(), model.now().to_string());
    agree(Compared::StoppedTime, "time", actual, expected)?;
    let stock =
        state.stock().map(|record| (record.opening.sku.get(), record.total, record.reserved));
    let (stock, expected): (Vec<_>, Vec<_>) = (stock.collect(), model.stock().collect());
    agree(Compared::StoppedStock, "stock", format!("{stock:?}"), format!("{expected:?}"))?;
    let mut subject = Subject::open(world);
    subject.state = state.clone();
    let (now, orders) = (model.now(), model.orders());
    // One more, which does not exist.
    for order in 1..=i64::try_from(orders + 1).expect("a run has few orders") {
        let call = Call::Info(order);
        let reply = subject.call(now, call);
        let expected = model.answer(now, call).to_string();
        let actual = subject.answer_of(reply).map_or_else(String::new, |it| it.to_string());
        agree(Compared::StoppedOrders, &format!("order {order}"), actual, expected)?;
    }
    Ok(())
}
