//! Properties of the state machine that hold for every sequence of commands. The commands are
//! random and of every kind. The stock is small, so that every outcome occurs.

use std::collections::BTreeMap;

use loms::state_machine::{
    Cause, Command, Count, Demand, Digest, Entry, Event, Fact, IdempotencyKey, Line, LomsState,
    OrderId, OrderStatus, Outcome, Rejection, Rules, Shipped, Sizes, Sku, Span, StockView,
    Timestamp, Tiny, Transition, UserId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::script::opening;

const COMMANDS: usize = 3_000;

const STOCK: &str = "1=900/10 2=1500/0 3=50/50 4=700/1";

pub(crate) fn rules(timeout: u64, window: u64) -> Rules {
    Rules {
        payment_timeout: Span::from_nanos(timeout),
        idempotency_window: Span::from_nanos(window),
        keep: Span::default(),
        keep_failed: Span::default(),
        ..Rules::default()
    }
}

/// The same rules for a machine that forgets orders, and sometimes has no room for more.
fn forgetting(rules: Rules) -> Rules {
    let (keep, keep_failed) = (Span::from_nanos(300), Span::from_nanos(150));
    Rules { keep, keep_failed, max_bytes: 4_000, open_orders: 12, ..rules }
}

fn machine() -> LomsState {
    LomsState::new(forgetting(rules(60, 200)), &opening(STOCK), 1)
}

pub(crate) fn line(sku: u64, count: u64) -> Line {
    let small = |n| u32::try_from(n).unwrap();
    Line { sku: Sku::new(small(sku)).unwrap(), count: Count::new(small(count)).unwrap() }
}

pub(crate) fn create(user: i64, lines: Vec<Line>, key: Option<IdempotencyKey>) -> Command {
    let (user, demand) = (UserId::new(user).unwrap(), Demand::merge(lines).unwrap());
    Command::CreateOrder { user, demand, key }
}

fn order(id: i64) -> OrderId {
    OrderId::new(id).unwrap()
}

/// A random program. Sometimes two commands have the same time, and sometimes time goes back. The
/// rules change now and then.
fn program(seed: u64) -> Vec<(Timestamp, Command)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |n: u64| random.next_u64() % n;
    let mut now = 100;
    let commands = (0..COMMANDS).map(|done| {
        now = if below(50) == 0 { now - 1 } else { now + below(6) };
        // Among the newest orders, of which there are about three in eight commands.
        let target = (done as u64 * 3 / 8 + below(44)).saturating_sub(40).max(1);
        let target = order(i64::try_from(target).unwrap());
        let command = match below(10) {
            0..5 => {
                // A key mostly comes with the same lines.
                let key = below(20);
                let mut lines = vec![line(key % 5 + 1, 1)];
                if key > 4 || below(4) == 0 {
                    lines.extend((0..below(3)).map(|_| line(1, 1)));
                    lines.push(line(below(5) + 1, below(4) + 1));
                }
                let key = match key {
                    n @ 0..9 => IdempotencyKey::new(format!("key {n}").as_bytes()),
                    _ => None,
                };
                create(i64::try_from(below(2) + 1).unwrap(), lines, key)
            }
            5..7 => Command::PayOrder(target),
            7..9 => Command::CancelOrder(target),
            _ if below(10) > 0 => Command::Tick,
            _ => {
                let timeout = [0, 20, 60, 200][usize::try_from(below(4)).unwrap()];
                let window = [0, 50, 200, 700][usize::try_from(below(4)).unwrap()];
                Command::ChangeRules(forgetting(rules(timeout, window)))
            }
        };
        (Timestamp::from_nanos(now), command)
    });
    commands.collect()
}

pub(crate) fn apply<S: Sizes>(
    state: &mut LomsState<S>,
    at: Timestamp,
    command: Command,
    events: &mut Vec<Event>,
) -> Result<Outcome, Rejection> {
    state.apply(&Entry { index: state.index() + 1, at, command }, events)
}

pub(crate) fn apply_at(state: &mut LomsState, nanos: u64, command: Command) -> Vec<Event> {
    let mut events = Vec::new();
    apply(state, Timestamp::from_nanos(nanos), command, &mut events).unwrap();
    events
}

/// Runs a whole program. Returns all answers and all events.
fn run<S: Sizes>(
    state: &mut LomsState<S>,
    program: &[(Timestamp, Command)],
) -> (Vec<Result<Outcome, Rejection>>, Vec<Event>) {
    let mut events = Vec::new();
    let answers = program
        .iter()
        .map(|(at, command)| apply(state, *at, command.clone(), &mut events))
        .collect();
    (answers, events)
}

#[test]
fn events_are_empty_exactly_when_nothing_changed() {
    let mut state = machine();
    let mut seen = BTreeMap::new();
    for (at, command) in program(1) {
        // A tick first, so that what follows is the command's own effect.
        let _ = apply(&mut state, at, Command::Tick, &mut Vec::new());
        let (digest, index, sequence) = (state.digest(), state.index(), state.events());
        let mut events = Vec::new();
        let result = apply(&mut state, at, command.clone(), &mut events);
        let expected = match result {
            Ok(Outcome::Reserved(_) | Outcome::OutOfStock { .. }) => 2..=2,
            Ok(Outcome::Paid | Outcome::Cancelled) => 1..=1,
            // The change itself, and what expires because of it.
            Ok(Outcome::RulesChanged) => 1..=COMMANDS,
            Ok(
                Outcome::AlreadyPaid
                | Outcome::AlreadyCancelled
                | Outcome::Repeated { .. }
                | Outcome::RulesUnchanged
                | Outcome::Ticked,
            )
            | Err(_) => 0..=0,
        };
        assert!(expected.contains(&events.len()), "{command} → {result:?}: {events:?}");
        assert_eq!(state.digest() != digest, !events.is_empty(), "{command} → {result:?}");
        assert_eq!(state.index() - index, u64::from(!events.is_empty()), "{command}");
        assert_eq!(state.events() - sequence, events.len() as u64);
        state.check_invariants().unwrap();
        *seen.entry(kind(&result)).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 17, "the program reaches every answer except Full: {seen:?}");
}

fn kind(result: &Result<Outcome, Rejection>) -> String {
    let text = match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(rejection) => format!("{rejection:?}"),
    };
    text.split(['(', ' ', '{']).next().unwrap().to_owned()
}

#[test]
fn events_fold_to_the_statuses_of_the_orders() {
    let mut state = machine();
    let (_, events) = run(&mut state, &program(2));
    let mut statuses: BTreeMap<OrderId, OrderStatus> = BTreeMap::new();
    let (mut time, mut expired) = (Timestamp::default(), 0);
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event.sequence, sequence, "no gap");
        assert!(time <= event.at, "time never goes back");
        time = event.at;
        if let Fact::Order(Transition { order, from, to, cause }) = event.fact {
            assert!(OrderStatus::may_change(from, to, cause), "{event}");
            assert_eq!(statuses.insert(order, to), from, "{event}");
            expired += u32::from(cause == Cause::PaymentTimeout);
        }
    }
    for order in state.orders() {
        assert_eq!(statuses.remove(&order.id()), Some(order.status()));
    }
    let is_final = |status| !matches!(status, OrderStatus::New | OrderStatus::AwaitingPayment);
    assert!(statuses.values().all(|status| is_final(*status)), "only ended orders are forgotten");
    assert!(statuses.len() > 500, "{}", statuses.len());
    assert!(expired > 100, "{expired}");
}

#[test]
fn same_entries_give_the_same_answers_events_and_digest() {
    // The secret of the key index affects speed only.
    let run_with = |secret| {
        let mut state = LomsState::new(forgetting(rules(60, 200)), &opening(STOCK), secret);
        (run(&mut state, &program(3)), state.digest())
    };
    assert_eq!(run_with(1), run_with(1));
    assert_eq!(run_with(1), run_with(0xfeed));
}

/// Digests are compared across builds, machines and versions. This one may change only when what
/// the state holds changes.
#[test]
fn digest_is_the_same_in_every_build() {
    let mut state = machine();
    run(&mut state, &program(4));
    insta::assert_snapshot!(state.digest(), @"a636143a0bd919adabac3d6ea69561e5");
}

/// An order expires at its deadline, so the times of ticks make no difference.
#[test]
fn extra_ticks_change_nothing() {
    let run_with = |ticks: bool| {
        let mut state = machine();
        let mut events = Vec::new();
        for (at, command) in program(5) {
            if ticks {
                for nanos in state.now().as_nanos()..at.as_nanos() {
                    let at = Timestamp::from_nanos(nanos);
                    apply(&mut state, at, Command::Tick, &mut events).unwrap();
                }
            }
            let _ = apply(&mut state, at, command, &mut events);
        }
        (events, state.digest())
    };
    assert_eq!(run_with(false), run_with(true));
}

/// A log needs only the entries that changed something: they lead to the same state.
#[test]
fn entries_with_events_replay_to_the_same_state() {
    let mut state = machine();
    let mut log = Vec::new();
    let mut all = Vec::new();
    for (at, command) in program(6) {
        let entry = Entry { index: state.index() + 1, at, command };
        let mut events = Vec::new();
        let _ = state.apply(&entry, &mut events);
        if !events.is_empty() {
            log.push(entry);
            all.extend(events);
        }
    }
    assert!(log.len() < COMMANDS, "some commands change nothing");
    assert_eq!(log.last().unwrap().index, log.len() as u64, "no gap");
    let mut replayed = machine();
    let mut events = Vec::new();
    for entry in &log {
        let _ = replayed.apply(entry, &mut events);
    }
    assert_eq!(events, all);
    // The live state has seen later commands that changed only its time.
    let now = state.now();
    for state in [&mut state, &mut replayed] {
        apply(state, now, Command::Tick, &mut Vec::new()).unwrap();
    }
    assert_eq!(replayed.digest(), state.digest());
}

#[test]
fn a_restored_state_behaves_as_the_one_it_was_read_from() {
    for cut in [0, 1, 17, 400, 1_500, COMMANDS] {
        restore_in_the_middle::<Shipped>(cut);
        restore_in_the_middle::<Tiny>(cut);
    }
}

/// Restores a state after `cut` commands, with containers of sizes `S`.
fn restore_in_the_middle<S: Sizes>(cut: usize) {
    let program = program(7);
    let (before, after) = program.split_at(cut);
    let mut state = machine();
    run(&mut state, before);
    let mut restored: LomsState<S> = LomsState::restore(state.parts(), 0xbeef).unwrap();
    assert_eq!(restored.digest(), state.digest(), "after {cut} commands");
    assert_eq!(restored.index(), state.index());
    assert_eq!(restored.next_deadline(), state.next_deadline());
    assert_eq!(run(&mut restored, after), run(&mut state, after), "after {cut} commands");
    assert_eq!(restored.digest(), state.digest());
    restored.check_invariants().unwrap();
}

/// The sizes of the containers change no answer, no event and no digest.
#[test]
fn tiny_containers_behave_as_the_shipped_ones() {
    for seed in 0..8 {
        let program = program(seed);
        let mut shipped = machine();
        let mut tiny = LomsState::<Tiny>::with_sizes(machine().rules(), &opening(STOCK), 1);
        assert_eq!(run(&mut tiny, &program), run(&mut shipped, &program), "seed {seed}");
        assert_eq!(tiny.digest(), shipped.digest(), "seed {seed}");
        tiny.check_invariants().unwrap();
    }
}

#[test]
fn damaged_parts_are_refused_by_name() {
    let mut state = LomsState::new(rules(60, 200), &opening(STOCK), 1);
    let mut program = program(8);
    program.retain(|(_, command)| !matches!(command, Command::ChangeRules(_)));
    run(&mut state, &program);
    let stock: Vec<StockView> = state.stock().collect();
    let restore = |damage: &dyn Fn(&mut Vec<StockView>, &mut Vec<loms::state_machine::Order>)| {
        let mut stock = stock.clone();
        let mut orders: Vec<_> = state.orders().map(|order| order.to_order()).collect();
        damage(&mut stock, &mut orders);
        let parts = state.parts();
        let parts = loms::state_machine::Parts {
            rules: parts.rules,
            rules_since: parts.rules_since,
            now: parts.now,
            index: parts.index,
            events: parts.events,
            stock,
            orders_placed: parts.orders_placed,
            orders,
            keys: parts.keys,
        };
        let restored: Result<LomsState, _> = LomsState::restore(parts, 1);
        restored.map(|state| state.digest()).map_err(|error| error.to_string())
    };
    assert_eq!(restore(&|_, _| ()), Ok(state.digest()));
    let refused: Vec<Result<Digest, String>> = vec![
        restore(&|stock, _| stock[1] = stock[0]),
        restore(&|stock, _| stock[0].reserved += 1),
        restore(&|stock, _| stock[0].total -= 1),
        restore(&|_, orders| orders.swap(5, 6)),
        restore(&|_, orders| orders[5].lines.clear()),
        restore(&|_, orders| orders[5].lines.insert(0, line(9, 1))),
        restore(&|_, orders| orders[5].status = OrderStatus::New),
        restore(&|_, orders| orders[5].shortages[0].available = u64::MAX),
        restore(&|_, orders| orders[5].updated = Timestamp::from_nanos(u64::MAX)),
        restore(&|_, orders| orders.truncate(5)),
    ];
    let text: Vec<String> = refused.into_iter().map(Result::unwrap_err).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    SKU 1 has two stock records
    SKU 1: reserved is 21, but the orders add up to 20
    SKU 1: a total of 887 does not match 12 paid units
    order 6: its id is not above that of the order before it
    order 6: it has no lines, or they are not by ascending SKU
    order 6: it has no lines, or they are not by ascending SKU
    order 6: it has a shortage without having failed
    order 6: a shortage has enough units available
    order 6: its times are not in order
    a key belongs to no stored order
    ");
}

#[test]
fn a_clock_that_went_back_is_refused_before_all_else() {
    let mut state = machine();
    apply_at(&mut state, 50, Command::Tick);
    let before = state.digest();
    let at = Timestamp::from_nanos;
    let refused = apply(&mut state, at(49), Command::PayOrder(order(9)), &mut Vec::new());
    assert_eq!(refused, Err(Rejection::ClockWentBack { now: at(50), at: at(49) }));
    assert_eq!(state.digest(), before);
}

#[test]
#[should_panic(expected = "3 is not the next entry")]
fn a_gap_in_the_log_stops_the_machine() {
    let mut state = machine();
    apply_at(&mut state, 1, create(1, vec![line(1, 1)], None));
    let entry = Entry { index: 3, at: Timestamp::from_nanos(2), command: Command::Tick };
    let _ = state.apply(&entry, &mut Vec::new());
}

#[test]
fn next_deadline_is_that_of_the_oldest_awaiting_order() {
    let mut state = machine();
    let mut deadline_after = |nanos, command| {
        apply_at(&mut state, nanos, command);
        state.next_deadline().map(Timestamp::as_nanos)
    };
    let create = || create(1, vec![line(2, 1)], None);
    assert_eq!(deadline_after(0, Command::Tick), None);
    assert_eq!(deadline_after(10, create()), Some(70));
    assert_eq!(deadline_after(20, create()), Some(70));
    assert_eq!(deadline_after(30, create()), Some(70));
    assert_eq!(deadline_after(31, Command::PayOrder(order(1))), Some(80));
    assert_eq!(deadline_after(32, Command::CancelOrder(order(3))), Some(80));
    assert_eq!(deadline_after(79, Command::Tick), Some(80));
    assert_eq!(deadline_after(80, Command::Tick), None);
}

#[test]
fn orders_never_expire_if_the_timeout_is_zero() {
    let mut state = LomsState::new(rules(0, 0), &opening("1=5/0"), 1);
    apply_at(&mut state, 0, create(1, vec![line(1, 5)], None));
    apply_at(&mut state, u64::MAX, Command::Tick);
    assert_eq!(state.available(Sku::new(1).unwrap()), Some(0));
    assert_eq!(state.next_deadline(), None);
}

/// The deadline of every awaiting order is max(created + new timeout, time of the change).
#[test]
fn a_new_timeout_applies_to_orders_that_await_payment() {
    let mut state = machine();
    for created in [10, 20, 30] {
        apply_at(&mut state, created, create(1, vec![line(2, 1)], None));
    }
    let deadline = |state: &LomsState| state.next_deadline().map(Timestamp::as_nanos);
    // Switch the timeout off and on again.
    assert_eq!(apply_at(&mut state, 35, Command::ChangeRules(rules(0, 200))).len(), 1);
    assert_eq!(deadline(&state), None);
    apply_at(&mut state, 36, Command::ChangeRules(rules(100, 200)));
    assert_eq!(deadline(&state), Some(110), "counted from the order's creation");
    // Shortened: the first two are overdue, and expire at the time of the change.
    let events = apply_at(&mut state, 40, Command::ChangeRules(rules(15, 200)));
    let text: Vec<String> = events.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    #9 rules: payment_timeout=15ns idempotency_window=200ns at 40ns
    #10 order 1: awaiting payment → cancelled (payment timeout) at 40ns
    #11 order 2: awaiting payment → cancelled (payment timeout) at 40ns
    ");
    assert_eq!(deadline(&state), Some(45));
    // Setting the same rules again changes nothing.
    assert_eq!(apply_at(&mut state, 41, Command::ChangeRules(rules(15, 200))), []);
    state.check_invariants().unwrap();
}

/// A caller that expires a backlog in steps depends on this.
#[test]
fn expiry_horizon_limits_expiries_unless_more_are_due_at_the_same_time() {
    let mut state = machine();
    let at = Timestamp::from_nanos;
    // Their deadlines are 70, 80, 80, 80 and 90.
    for created in [10, 20, 20, 20, 30] {
        apply_at(&mut state, created, create(1, vec![line(2, 1)], None));
    }
    let horizon = |now, most| {
        let end = state.expiry_horizon(at(now), most);
        (end.as_nanos(), apply_at(&mut state.clone(), end.as_nanos(), Command::Tick).len())
    };
    assert_eq!(horizon(69, 1), (69, 0), "nothing is due");
    assert_eq!(horizon(100, 1), (79, 1), "up to the next deadline");
    assert_eq!(horizon(100, 2), (79, 1), "two of the three with the same deadline are too many");
    assert_eq!(horizon(100, 4), (89, 4));
    assert_eq!(horizon(100, 5), (100, 5), "all of them");
    apply_at(&mut state, 79, Command::Tick);
    assert_eq!(state.expiry_horizon(at(100), 2), at(80), "three at once, since fewer cannot be");
}
