//! Hand-written histories, valid and invalid, for both checks; and the real server under load.

use loms::grpc::service::ServiceOptions;
use loms::server::Drained;

use super::history::CallRecord;
use super::load::{self, Load, START};
use super::search::{SearchResult, search};
use super::{check_by_search, fits, index_order, run, stop};
use crate::exit::Exit;
use crate::layers::wire::{Received, Reply, expected};
use crate::model::World;
use crate::model::contract::{Answer, Call, Refusal, Status};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{Plan, Target};

/// A hand-written history: invoked, returned, index, call, reply. SKU 1 has 5 units.
fn history(calls: &[(u64, u64, u64, &str, Reply)]) -> (World, Vec<CallRecord>) {
    let head = "plan v1\nworld timeout=0s window=1s max_lines=9 start=0s\nstock 1=5\n";
    let mut world = None;
    let entries = calls.iter().map(|(invoked, returned, index, call, reply)| {
        let plan = Plan::parse(&format!("{head}1 @0s c0 {call}\n")).unwrap();
        world = Some(plan.world);
        let step = plan.steps[0].clone();
        let order = match step.op.target() {
            Some(Target::Id(order)) => order,
            Some(Target::CreatedBy(_)) | None => 0,
        };
        let received = Received { index: Some(*index), reply: reply.clone() };
        CallRecord { step, order, invoked: *invoked, returned: *returned, received }
    });
    let entries = entries.collect();
    (world.unwrap(), entries)
}

fn created(order: i64) -> Reply {
    let status = "awaiting payment".to_owned();
    Reply::Created { order, status, shortages: Vec::new() }
}

fn not_awaiting(order: i64, status: Status) -> Reply {
    let refusal = Answer::Refused(Refusal::OrderNotAwaitingPayment(status));
    expected::reply(Call::Cancel(order), &refusal, ServiceOptions::default())
}

/// The results of both checks.
fn legal(calls: &[(u64, u64, u64, &str, Reply)]) -> (bool, bool) {
    let (world, history) = history(calls);
    let found = search(&world, &history, 0, &fits);
    assert_ne!(found, SearchResult::Undecided);
    (
        index_order::check(&world, 0, &history, InjectedFaults::default()).is_ok(),
        matches!(found, SearchResult::Explained(_)),
    )
}

const BOTH: (bool, bool) = (true, true);
const NEITHER: (bool, bool) = (false, false);

#[test]
fn concurrent_calls_may_take_either_order() {
    for (index, stock) in [(0, 5), (1, 3)] {
        let calls = [
            (0, 1, 0, "stock 1", Reply::Stock(5)),
            (2, 9, index, "stock 1", Reply::Stock(stock)),
            (3, 8, 1, "create user=1 1x2", created(1)),
        ];
        assert_eq!(legal(&calls), BOTH);
    }
}

#[test]
fn a_lost_update_is_detected() {
    // Two creates of 3 out of 5, both of which saw 5.
    let calls =
        [(0, 8, 1, "create user=1 1x3", created(1)), (1, 9, 2, "create user=2 1x3", created(2))];
    assert_eq!(legal(&calls), NEITHER);
}

#[test]
fn a_stale_read_is_detected() {
    let calls = [(0, 1, 1, "create user=1 1x2", created(1)), (2, 3, 1, "stock 1", Reply::Stock(5))];
    assert_eq!(legal(&calls), NEITHER);
    // Indexes that contradict time are refused, even where the answers fit.
    let calls = [(0, 1, 1, "create user=1 1x2", created(1)), (2, 3, 0, "stock 1", Reply::Stock(5))];
    assert_eq!(legal(&calls), NEITHER);
}

#[test]
fn two_pays_take_the_stock_once() {
    let pays = |left| {
        [
            (0, 1, 1, "create user=1 1x2", created(1)),
            (2, 9, 2, "pay id=1", Reply::Done),
            (3, 8, 2, "pay id=1", Reply::Done),
            (10, 11, 2, "stock 1", Reply::Stock(left)),
        ]
    };
    assert_eq!(legal(&pays(3)), BOTH);
    assert_eq!(legal(&pays(1)), NEITHER);
}

#[test]
fn pay_and_cancel_do_not_both_win() {
    let race = |cancelled| {
        [
            (0, 1, 1, "create user=1 1x2", created(1)),
            (2, 9, 2, "pay id=1", Reply::Done),
            (3, 8, 2, "cancel id=1", cancelled),
        ]
    };
    assert_eq!(legal(&race(Reply::Done)), NEITHER);
    assert_eq!(legal(&race(not_awaiting(1, Status::Paid))), BOTH);
}

#[test]
fn an_id_given_twice_is_detected() {
    let calls =
        [(0, 8, 1, "create user=1 1x1", created(1)), (1, 9, 2, "create user=2 1x1", created(1))];
    assert_eq!(legal(&calls), NEITHER);
}

#[test]
fn an_index_given_twice_is_detected() {
    // Two changes share an index.
    let calls =
        [(0, 1, 1, "create user=1 1x1", created(1)), (2, 3, 1, "create user=2 1x1", created(2))];
    assert_eq!(legal(&calls), (false, true));
    // A change has the index of the entry before it.
    let calls = [(0, 1, 1, "create user=1 1x1", created(1)), (2, 3, 1, "pay id=1", Reply::Done)];
    assert_eq!(legal(&calls), (false, true));
    // A read takes an index of its own.
    let calls = [(0, 1, 1, "create user=1 1x1", created(1)), (2, 3, 2, "stock 1", Reply::Stock(4))];
    assert_eq!(legal(&calls), (false, true));
}

#[test]
fn answers_that_share_an_index_come_in_the_order_of_time() {
    // The payment is repeated after it was answered, and reads come between.
    let calls = [
        (0, 1, 1, "create user=1 1x2", created(1)),
        (2, 5, 2, "pay id=1", Reply::Done),
        (6, 7, 2, "stock 1", Reply::Stock(3)),
        (8, 9, 2, "pay id=1", Reply::Done),
        (10, 11, 2, "cancel id=1", not_awaiting(1, Status::Paid)),
    ];
    assert_eq!(legal(&calls), BOTH);
    // A repeat that returned before the payment was created.
    let calls = [
        (0, 1, 1, "create user=1 1x2", created(1)),
        (2, 3, 2, "cancel id=1", not_awaiting(1, Status::Paid)),
        (4, 5, 2, "pay id=1", Reply::Done),
    ];
    assert_eq!(legal(&calls), NEITHER);
}

#[test]
fn a_call_without_a_reply_may_have_had_an_effect() {
    for left in [3, 5] {
        let (world, history) = history(&[
            (0, u64::MAX, 1, "create user=1 1x2", Reply::Nothing("connection closed".to_owned())),
            (1, 2, 1, "stock 1", Reply::Stock(left)),
        ]);
        assert!(matches!(search(&world, &history, 0, &fits), SearchResult::Explained(_)), "{left}");
    }
}

#[test]
fn a_history_with_too_many_orders_is_undecided() {
    // It is unknown which of these creates were executed, and in which order. There are too many
    // possibilities to prove that none of them leaves 6 units of SKU 1.
    let lost = |place| (place, u64::MAX, 1, "create user=1 1x1", Reply::Nothing("gone".to_owned()));
    let mut calls: Vec<_> = (0..12).map(lost).collect();
    calls.push((12, 13, 2, "stock 1", Reply::Stock(6)));
    let (world, history) = history(&calls);
    let (text, exit) = check_by_search(&world, &history);
    assert_eq!(exit, Exit::Undecided, "{text}");
    assert!(text.starts_with("?    13 calls have too many possible orders"), "{text}");
}

#[test]
fn the_server_passes_both_checks() {
    let (text, exit) = run(4, 600, 1);
    assert_eq!(exit, Exit::Ok, "{text}");
}

#[test]
fn a_wrong_answer_in_a_long_history_is_detected() {
    let mut run = load::run(&Load::busy(4, 400, 2)).unwrap();
    index_order::check(&run.world, START, &run.history, InjectedFaults::default()).unwrap();
    let place =
        run.history.iter().rposition(|entry| matches!(entry.received.reply, Reply::Stock(_)));
    run.history[place.unwrap()].received.reply = Reply::Stock(7_777);
    let violation =
        index_order::check(&run.world, START, &run.history, InjectedFaults::default()).unwrap_err();
    assert_eq!(violation.entries, vec![place.unwrap()]);
}

#[test]
fn a_stop_that_executes_an_unanswered_call_is_detected() {
    let stopped = || {
        let run = load::run(&Load::stopped_at(8, 400, 3)).unwrap();
        assert_eq!(stop::check(&run, InjectedFaults::default()), Ok(()));
        run
    };
    // The last create loses its answer.
    let mut run = stopped();
    let created = |entry: &&mut CallRecord| matches!(entry.received.reply, Reply::Created { .. });
    let last = run.history.iter_mut().filter(created).max_by_key(|entry| entry.received.index);
    let last = last.unwrap();
    last.returned = u64::MAX;
    last.received = Received { index: None, reply: Reply::Nothing("connection closed".to_owned()) };
    stop::check(&run, InjectedFaults::default()).unwrap_err();

    let mut run = stopped();
    run.drained = Drained::CutShort;
    stop::check(&run, InjectedFaults::default()).unwrap_err();

    let mut run = stopped();
    run.watches[0][0].pop();
    stop::check(&run, InjectedFaults::default()).unwrap_err();
}
