//! What holds of the machine whatever commands it is given: random ones here, of every kind, on
//! a stock small enough for everything to happen.

use std::collections::BTreeMap;

use loms::state_machine::{
    Action, Cause, Command, Count, Demand, IdempotencyKey, Line, LomsState, OrderId, OrderStatus,
    Outcome, Rejection, Rules, Sku, Span, Timestamp, Transition, UserId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::script::opening;

const COMMANDS: usize = 3_000;

/// An action with everything it needs.
#[derive(Clone, Debug)]
enum Step {
    Create { user: UserId, demand: Demand, key: Option<IdempotencyKey> },
    Pay(OrderId),
    Cancel(OrderId),
    Tick,
}

impl Step {
    fn action(&self) -> Action<'_> {
        match self {
            Self::Create { user, demand, key } => {
                Action::CreateOrder { user: *user, demand, key: key.as_ref() }
            }
            Self::Pay(order) => Action::PayOrder(*order),
            Self::Cancel(order) => Action::CancelOrder(*order),
            Self::Tick => Action::Tick,
        }
    }
}

fn machine() -> LomsState {
    let rules = Rules {
        payment_timeout: Span::from_nanos(60),
        idempotency_window: Span::from_nanos(200),
        key_hash_secret: 1,
    };
    LomsState::new(rules, &opening("1=900/10 2=1500/0 3=50/50 4=700/1"))
}

fn line(sku: u64, count: u64) -> Line {
    let small = |n| u32::try_from(n).unwrap();
    Line { sku: Sku::new(small(sku)).unwrap(), count: Count::new(small(count)).unwrap() }
}

/// A program of random steps, each at its time. Time now and then stands still, and now and then
/// asks to go back.
fn program(seed: u64) -> Vec<(Timestamp, Step)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |n: u64| random.next_u64() % n;
    let mut now = 100;
    let steps = (0..COMMANDS).map(|done| {
        now = if below(50) == 0 { now - 1 } else { now + below(6) };
        // Among the newest orders, of which there are about three in eight steps.
        let order = (done as u64 * 3 / 8 + below(44)).saturating_sub(40).max(1);
        let order = OrderId::new(i64::try_from(order).unwrap()).unwrap();
        let step = match below(10) {
            0..5 => {
                // A key mostly goes with the same lines.
                let key = below(20);
                let mut lines = vec![line(key % 5 + 1, 1)];
                if key > 4 || below(4) == 0 {
                    lines.extend((0..below(3)).map(|_| line(1, 1)));
                    lines.push(line(below(5) + 1, below(4) + 1));
                }
                Step::Create {
                    user: UserId::new(i64::try_from(below(2) + 1).unwrap()).unwrap(),
                    demand: Demand::merge(lines).unwrap(),
                    key: match key {
                        n @ 0..9 => IdempotencyKey::new(format!("key {n}").as_bytes()),
                        _ => None,
                    },
                }
            }
            5..7 => Step::Pay(order),
            7..9 => Step::Cancel(order),
            _ => Step::Tick,
        };
        (Timestamp::from_nanos(now), step)
    });
    steps.collect()
}

/// Lets time pass first, so that what follows is the command's own doing; then applies it.
fn apply(
    state: &mut LomsState,
    at: Timestamp,
    step: &Step,
    transitions: &mut Vec<Transition>,
) -> Result<Outcome, Rejection> {
    // A clock that went back is refused here as it is below.
    let _ = state.apply(Command { at, action: Action::Tick }, transitions);
    state.apply(Command { at, action: step.action() }, transitions)
}

#[test]
fn refusal_changes_nothing_and_acceptance_does_what_it_says() {
    let mut state = machine();
    let mut seen = BTreeMap::new();
    for (at, step) in program(1) {
        let mut transitions = Vec::new();
        let _ = state.apply(Command { at, action: Action::Tick }, &mut transitions);
        let (before, all_before) = (state.digest(), state.transitions());
        let mut transitions = Vec::new();
        let result = state.apply(Command { at, action: step.action() }, &mut transitions);
        let changed = state.digest() != before;
        let (changes, count) = match result {
            Ok(Outcome::Reserved(_) | Outcome::OutOfStock(_)) => (true, 2),
            Ok(Outcome::Paid | Outcome::Cancelled) => (true, 1),
            Ok(
                Outcome::AlreadyPaid
                | Outcome::AlreadyCancelled
                | Outcome::Repeated { .. }
                | Outcome::Ticked,
            )
            | Err(_) => (false, 0),
        };
        assert_eq!(changed, changes, "{step:?} → {result:?}");
        assert_eq!(transitions.len(), count, "{step:?} → {result:?}");
        assert_eq!(state.transitions() - all_before, count as u64);
        state.check_invariants().unwrap();
        *seen.entry(kind(result)).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 13, "a program reaches every answer but Full: {seen:?}");
}

fn kind(result: Result<Outcome, Rejection>) -> String {
    let told = match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(rejection) => format!("{rejection:?}"),
    };
    told.split(['(', ' ', '{']).next().unwrap().to_owned()
}

#[test]
fn transitions_fold_to_the_same_statuses() {
    let mut state = machine();
    let mut transitions = Vec::new();
    for (at, step) in program(2) {
        let _ = apply(&mut state, at, &step, &mut transitions);
    }
    let mut statuses: BTreeMap<OrderId, OrderStatus> = BTreeMap::new();
    let mut time = Timestamp::default();
    for (transition, sequence) in transitions.iter().zip(1..) {
        let &Transition { order, from, to, cause, .. } = transition;
        assert_eq!(transition.sequence, sequence, "no gap");
        assert!(time <= transition.time, "time never runs backwards");
        assert!(OrderStatus::may_go(from, to, cause));
        assert_eq!(statuses.insert(order, to), from, "{transition}");
        time = transition.time;
    }
    let told: BTreeMap<_, _> = state.orders().map(|order| (order.id(), order.status())).collect();
    assert_eq!(statuses, told);
    let expired = |transition: &&Transition| transition.cause == Cause::PaymentTimeout;
    assert!(transitions.iter().filter(expired).count() > 100);
}

#[test]
fn same_commands_give_the_same_answers_transitions_and_digest() {
    // A secret of the index decides how fast keys are found, and nothing else.
    let run = |secret| {
        let rules = Rules { key_hash_secret: secret, ..machine().rules() };
        let mut state = LomsState::new(rules, &opening("1=900/10 2=1500/0 3=50/50 4=700/1"));
        let mut transitions = Vec::new();
        let answers: Vec<_> = program(3)
            .iter()
            .map(|(at, step)| apply(&mut state, *at, step, &mut transitions))
            .collect();
        (answers, transitions, state.digest())
    };
    assert_eq!(run(1), run(1));
    assert_eq!(run(1), run(0xfeed));
}

/// Digests are compared across builds, machines and versions: this one was taken when the digest
/// was made, and may change only with what the state holds.
#[test]
fn digest_stays_what_it_was() {
    let mut state = machine();
    let mut transitions = Vec::new();
    for (at, step) in program(4) {
        let _ = apply(&mut state, at, &step, &mut transitions);
    }
    insta::assert_snapshot!(state.digest(), @"5348d2b70469202ce365cfc8527baaf1");
}

/// An order expires at its deadline, and so it makes no difference who lets time pass when.
#[test]
fn ticks_change_nothing_but_who_is_told_first() {
    let run = |ticks: bool| {
        let mut state = machine();
        let mut transitions = Vec::new();
        for (at, step) in program(5) {
            if ticks {
                for nanos in state.now().as_nanos()..at.as_nanos() {
                    let at = Timestamp::from_nanos(nanos);
                    state.apply(Command { at, action: Action::Tick }, &mut transitions).unwrap();
                }
            }
            let _ = state.apply(Command { at, action: step.action() }, &mut transitions);
        }
        (transitions, state.digest())
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn clock_that_went_back_is_refused_before_all_else() {
    let mut state = machine();
    let mut transitions = Vec::new();
    let at = Timestamp::from_nanos;
    let tick = |nanos| Command { at: at(nanos), action: Action::Tick };
    state.apply(tick(50), &mut transitions).unwrap();
    let before = state.digest();
    let unknown = Action::PayOrder(OrderId::new(9).unwrap());
    let refused = state.apply(Command { at: at(49), action: unknown }, &mut transitions);
    assert_eq!(refused, Err(Rejection::ClockWentBack { now: at(50), at: at(49) }));
    assert_eq!(state.digest(), before);
}

#[test]
fn machine_says_when_it_wants_waking() {
    let mut state = machine();
    let mut transitions = Vec::new();
    let mut apply = |state: &mut LomsState, nanos, action| {
        let at = Timestamp::from_nanos(nanos);
        state.apply(Command { at, action }, &mut transitions).unwrap();
        state.next_deadline().map(Timestamp::as_nanos)
    };
    let demand = Demand::merge(vec![line(2, 1)]).unwrap();
    let create = Action::CreateOrder { user: UserId::new(1).unwrap(), demand: &demand, key: None };
    let order = |id| OrderId::new(id).unwrap();

    assert_eq!(apply(&mut state, 0, Action::Tick), None);
    assert_eq!(apply(&mut state, 10, create), Some(70));
    assert_eq!(apply(&mut state, 20, create), Some(70));
    assert_eq!(apply(&mut state, 30, create), Some(70));
    assert_eq!(apply(&mut state, 31, Action::PayOrder(order(1))), Some(80));
    assert_eq!(apply(&mut state, 32, Action::CancelOrder(order(3))), Some(80));
    assert_eq!(apply(&mut state, 79, Action::Tick), Some(80));
    assert_eq!(apply(&mut state, 80, Action::Tick), None);
}

#[test]
fn orders_never_expire_where_the_timeout_is_zero() {
    let rules = Rules { payment_timeout: Span::default(), ..Rules::default() };
    let mut state = LomsState::new(rules, &opening("1=5/0"));
    let demand = Demand::merge(vec![line(1, 5)]).unwrap();
    let create = Action::CreateOrder { user: UserId::new(1).unwrap(), demand: &demand, key: None };
    let mut transitions = Vec::new();
    state.apply(Command { at: Timestamp::default(), action: create }, &mut transitions).unwrap();
    let end_of_time = Timestamp::from_nanos(u64::MAX);
    let tick = Command { at: end_of_time, action: Action::Tick };
    state.apply(tick, &mut transitions).unwrap();
    assert_eq!(state.available(Sku::new(1).unwrap()), Some(0));
    assert_eq!(state.next_deadline(), None);
}

/// What a caller that works off a backlog in steps relies on.
#[test]
fn expiry_horizon_lets_few_orders_expire_unless_many_are_due_at_once() {
    let mut state = machine();
    let mut transitions = Vec::new();
    let at = Timestamp::from_nanos;
    let demand = Demand::merge(vec![line(2, 1)]).unwrap();
    let create = Action::CreateOrder { user: UserId::new(1).unwrap(), demand: &demand, key: None };
    // Their deadlines are 70, 80, 80, 80 and 90.
    for created in [10, 20, 20, 20, 30] {
        state.apply(Command { at: at(created), action: create }, &mut transitions).unwrap();
    }
    let mut horizon = |now, most| {
        let end = state.clone().expiry_horizon(at(now), most);
        transitions.clear();
        let tick = Command { at: end, action: Action::Tick };
        state.clone().apply(tick, &mut transitions).unwrap();
        (end.as_nanos(), transitions.len())
    };
    assert_eq!(horizon(69, 1), (69, 0), "nothing is due");
    assert_eq!(horizon(100, 1), (79, 1), "up to what is due next");
    assert_eq!(horizon(100, 2), (79, 1), "two of three at once would be one too many");
    assert_eq!(horizon(100, 4), (89, 4));
    assert_eq!(horizon(100, 5), (100, 5), "all of them");
    state.apply(Command { at: at(79), action: Action::Tick }, &mut Vec::new()).unwrap();
    let end = state.expiry_horizon(at(100), 2);
    assert_eq!(end, at(80), "three at once, for want of anything less");
}

/// So many that some of them share a place in the index.
#[test]
fn keys_meet_only_where_user_and_bytes_are_the_same() {
    let demand = Demand::merge(vec![line(1, 1)]).unwrap();
    let place_one_each = |names: &dyn Fn(i64) -> (i64, Vec<u8>)| {
        let mut state = LomsState::new(Rules::default(), &opening("1=1/1"));
        let mut transitions = Vec::new();
        for number in 1..=300_000 {
            let (user, key) = names(number);
            let (user, key) = (UserId::new(user).unwrap(), IdempotencyKey::new(&key).unwrap());
            let action = Action::CreateOrder { user, demand: &demand, key: Some(&key) };
            transitions.clear();
            let command = Command { at: Timestamp::from_nanos(1), action };
            let outcome = state.apply(command, &mut transitions).unwrap();
            assert_eq!(outcome, Outcome::OutOfStock(OrderId::new(number).unwrap()));
        }
    };
    place_one_each(&|number| (number, b"the same".to_vec()));
    place_one_each(&|number| (1, number.to_le_bytes().to_vec()));
}

/// So many of each length that their bytes fill what they are stored in, to the last byte and not.
#[test]
fn keys_of_every_length_are_remembered_until_they_are_out_of_date() {
    let demand = Demand::merge(vec![line(1, 1)]).unwrap();
    let user = UserId::new(1).unwrap();
    for length in 2..=IdempotencyKey::MAX_BYTES {
        let rules = Rules { idempotency_window: Span::from_nanos(3_000), ..machine().rules() };
        let mut state = LomsState::new(rules, &opening("1=1/1"));
        let mut create = |number: u16, at| {
            let mut key = vec![7; length];
            key[..2].copy_from_slice(&number.to_le_bytes());
            let key = IdempotencyKey::new(&key).unwrap();
            let action = Action::CreateOrder { user, demand: &demand, key: Some(&key) };
            let command = Command { at: Timestamp::from_nanos(at), action };
            state.apply(command, &mut Vec::new()).unwrap()
        };
        let order = |id: u16| OrderId::new(id.into()).unwrap();
        for number in 0..3_000 {
            assert_eq!(create(number, u64::from(number)), Outcome::OutOfStock(order(number + 1)));
        }
        for number in 0..3_000 {
            let (order, answered) = (order(number + 1), OrderStatus::Failed);
            assert_eq!(create(number, 2_999), Outcome::Repeated { order, answered });
        }
        // Half of them are out of date by now, and the others are not.
        assert_eq!(create(1_499, 4_499), Outcome::OutOfStock(order(3_001)));
        let (order, answered) = (order(1_501), OrderStatus::Failed);
        assert_eq!(create(1_500, 4_499), Outcome::Repeated { order, answered });
    }
}

#[test]
fn key_has_one_to_64_bytes() {
    let lengths = [0, 1, 64, 65].map(|length| IdempotencyKey::new(&vec![7; length]).is_some());
    assert_eq!(lengths, [false, true, true, false]);
}
