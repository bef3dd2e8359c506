//! Concurrent calls to a server without command indexes: is there an order that explains the
//! answers?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compare::{Facet, differences};
use super::session::{Rpc, Session, in_time};
use super::situation::Situation;
use crate::layers::concurrent::{CallRecord, SearchResult, report, search};
use crate::layers::wire::{Received, Reply};
use crate::model::World;
use crate::model::contract::Answer;
use crate::plan::rng::{Draws, Purpose, Weights};
use crate::plan::{KeyText, Kind, Op, Step, Target};

/// Number of clients.
const CLIENTS: u8 = 4;
/// Calls of each client.
const CALLS: u32 = 6;
/// Orders created before the race.
const ORDERS: u32 = 3;

/// Units left for the race.
const LEFT: u64 = 6;

/// The result of a round.
#[derive(Debug)]
pub(crate) enum RaceResult {
    /// An order of the calls explains it.
    Explained,
    /// There are too many possible orders to try them all.
    Undecided,
    /// No order explains it; the text has the details.
    Unexplained(String),
    /// It could not run.
    NotRun,
}

/// Creates a few orders, then concurrent clients compete for them.
pub(crate) fn race(
    session: &mut Session,
    draws: &mut Draws,
    round: u64,
    broken: &BTreeSet<Situation>,
) -> RaceResult {
    let kinds: BTreeSet<Kind> = broken.iter().map(|situation| situation.0).collect();
    let world = session.world();
    let Some(scarce) =
        world.stock.iter().filter(|record| record.1 > 0).min_by_key(|record| record.1)
    else {
        return RaceResult::NotRun;
    };
    let (sku, available) = (scarce.0, scarce.1);
    let Some(offset) = session.last_id else { return RaceResult::NotRun };
    if kinds.contains(&Kind::Create) || session.ignored.contains(&Facet::Id) {
        return RaceResult::NotRun;
    }
    // One order takes most of the units, so that the clients compete for the rest.
    let filler = u32::try_from(available.saturating_sub(LEFT)).unwrap_or(u32::MAX);
    let user = session.new_users();
    let mut plan = Vec::new();
    for client in 0..CLIENTS {
        for number in 1..=CALLS {
            draws.turn_to(round << 32 | u64::from(client) << 16 | u64::from(number));
            plan.push(draw(draws, client, number, sku, user, offset));
        }
    }
    plan.retain(|(step, _)| !kinds.contains(&step.op.kind()));
    let history = session.runtime.block_on(play(session, (sku, filler), user, plan));
    let Some(history) = history else { return RaceResult::NotRun };
    for entry in &history {
        if let Reply::Created { order, .. } = entry.received.reply {
            session.last_id = session.last_id.max(Some(order));
        }
    }
    let found = check(session, &world, &history, offset);
    cancel_awaiting(session, &history);
    match found {
        SearchResult::Explained(_) => RaceResult::Explained,
        SearchResult::Undecided => RaceResult::Undecided,
        SearchResult::Unexplained(_) => RaceResult::Unexplained(report(&found, &history)),
    }
}

fn draw(
    draws: &mut Draws,
    client: u8,
    number: u32,
    sku: u32,
    user: i64,
    offset: i64,
) -> (Step, i64) {
    let nth = 1 + draws.draw(Purpose::TARGET).below(u64::from(ORDERS));
    // The first order takes most of the units and is not used in the race.
    let order = offset + 1 + i64::try_from(nth).expect("a few orders");
    let target = Target::Id(order);
    let weights = Weights::new([30, 15, 8, 25, 22, 0]);
    let kind = Kind::ALL[draws.draw(Purpose::KIND).weighted(&weights)];
    let op = match kind {
        Kind::Create => Op::Create { user, key: crate::plan::Key::NONE },
        Kind::Info => Op::Info(target),
        Kind::Pay => Op::Pay(target),
        Kind::Cancel => Op::Cancel(target),
        Kind::Stock | Kind::Tick | Kind::Rules => Op::Stock(sku),
    };
    let mut step = Step { number, client, op, ..Step::default() };
    if kind == Kind::Create {
        step.items.push((sku, 1));
    }
    (step, order)
}

/// Runs the calls; `None` if there is no connection.
async fn play(
    session: &Session,
    (sku, filler): (u32, u32),
    user: i64,
    plan: Vec<(Step, i64)>,
) -> Option<Vec<CallRecord>> {
    let logical_clock = Arc::new(AtomicU64::new(0));
    let create = Op::Create { user, key: crate::plan::Key::NONE };
    let before = std::iter::once(filler.max(1))
        .chain(std::iter::repeat(1))
        .zip(0..=ORDERS)
        .map(|(count, number)| {
            (Step { number, op: create, items: vec![(sku, count)], ..Step::default() }, 0)
        })
        .collect();
    let mut history = calls(session.another().await?, before, Arc::clone(&logical_clock)).await;
    let mut running = Vec::new();
    for client in 0..CLIENTS {
        let plan = plan.iter().filter(|(step, _)| step.client == client).cloned().collect();
        let rpc = session.another().await?;
        running.push(tokio::spawn(calls(rpc, plan, Arc::clone(&logical_clock))));
    }
    for client in running {
        history.extend(client.await.ok()?);
    }
    Some(history)
}

async fn calls(
    mut rpc: Rpc,
    plan: Vec<(Step, i64)>,
    logical_clock: Arc<AtomicU64>,
) -> Vec<CallRecord> {
    let mut history = Vec::new();
    for (step, order) in plan {
        let received = Received { index: None, reply: Reply::Done };
        let mut entry = CallRecord { step, order, invoked: 0, returned: u64::MAX, received };
        entry.invoked = logical_clock.fetch_add(1, Ordering::SeqCst);
        let mut buffer = KeyText::default();
        entry.received = in_time(&mut rpc, entry.call(&mut buffer)).await;
        let returned = logical_clock.fetch_add(1, Ordering::SeqCst);
        // A call without a reply may have an effect, even later.
        if !matches!(entry.received.reply, Reply::Nothing(_)) {
            entry.returned = returned;
        }
        // Ignore the index, even if the server sends one.
        entry.received.index = None;
        history.push(entry);
    }
    history
}

fn check(session: &Session, world: &World, history: &[CallRecord], offset: i64) -> SearchResult {
    let fits = |entry: &CallRecord, expected: &Answer| {
        let mut expected = expected.clone();
        if let Answer::Created { order, .. } = &mut expected {
            *order += offset;
        }
        differences(&entry.received.reply, &expected).is_subset(&session.ignored)
    };
    search(world, history, offset, &fits)
}

/// Cancels the orders that still await payment.
fn cancel_awaiting(session: &mut Session, history: &[CallRecord]) {
    for entry in history {
        if let Reply::Created { order, .. } = entry.received.reply {
            let call = crate::model::contract::Call::Info(order);
            if let Reply::Order(info) = session.call(call).reply
                && info.status == "awaiting payment"
            {
                let _ = session.call(crate::model::contract::Call::Cancel(order));
            }
        }
    }
}
