//! Idempotency keys: which ones match, and how long they are remembered.

use loms::state_machine::{
    Command, IdempotencyKey, LomsState, OrderStatus, Outcome, Rules, Span, Timestamp,
};

use crate::laws::{apply, apply_at, create, line, rules};
use crate::script::opening;

#[test]
fn a_new_window_applies_to_remembered_keys_and_brings_none_back() {
    let mut state = LomsState::new(rules(0, 100), &opening("1=9/0"), 1);
    let key = |name: &str| IdempotencyKey::new(name.as_bytes());
    let mut keyed = |nanos, name: &str| {
        let mut events = Vec::new();
        let command = create(1, vec![line(1, 1)], key(name));
        apply(&mut state, Timestamp::from_nanos(nanos), command, &mut events).unwrap();
        let made_an_order = !events.is_empty();
        (made_an_order, state.clone())
    };
    assert!(["a", "c", "d"].iter().all(|name| keyed(10, name).0));
    assert!(keyed(50, "b").0);
    let (repeated, mut state) = keyed(109, "a");
    assert!(!repeated, "remembered for 100 ns");
    // At 110 all but "b" are forgotten; a longer window keeps "b". A command removes two keys.
    apply_at(&mut state, 110, Command::ChangeRules(rules(0, 1_000)));
    let mut repeats = |nanos, name: &str| {
        apply_at(&mut state, nanos, create(1, vec![line(1, 1)], key(name))).is_empty()
    };
    assert!(!["a", "c", "d"].iter().any(|name| repeats(111, name)), "they stay forgotten");
    assert!(repeats(1_049, "b"), "the new window counts from the order's creation");
    assert!(!repeats(1_050, "b"));
}

/// Enough keys that some share a bucket of the index.
#[test]
fn keys_match_only_if_user_and_bytes_are_the_same() {
    let create_one_each = |names: &dyn Fn(i64) -> (i64, Vec<u8>)| {
        let mut state = LomsState::new(Rules::default(), &opening("1=1/1"), 1);
        for number in 1..=300_000 {
            let (user, key) = names(number);
            let command = create(user, vec![line(1, 1)], IdempotencyKey::new(key.as_slice()));
            assert_eq!(apply_at(&mut state, 1, command).len(), 2, "key {number} is new");
        }
    };
    create_one_each(&|number| (number, b"the same".to_vec()));
    create_one_each(&|number| (1, number.to_le_bytes().to_vec()));
}

/// Enough keys of each length to fill a chunk of the queue, both exactly and not exactly.
#[test]
fn keys_of_every_length_are_remembered_until_the_window_ends() {
    for length in (2..=64).chain([127, 128, 254, IdempotencyKey::MAX_BYTES]) {
        let mut state = LomsState::new(rules(60, 3_000), &opening("1=1/1"), 1);
        let mut create = |number: u16, at| {
            let mut key = vec![7; length];
            key[..2].copy_from_slice(&number.to_le_bytes());
            let command = create(1, vec![line(1, 1)], IdempotencyKey::new(key.as_slice()));
            let outcome = apply(&mut state, Timestamp::from_nanos(at), command, &mut Vec::new());
            if let Ok(Outcome::Repeated { order, answered: OrderStatus::Failed, .. }) = outcome {
                return ("repeated", order.get());
            }
            let Ok(Outcome::OutOfStock { order, .. }) = outcome else { panic!("{outcome:?}") };
            ("new", order.get())
        };
        for number in 0..3_000 {
            assert_eq!(create(number, u64::from(number)), ("new", i64::from(number) + 1));
        }
        for number in 0..3_000 {
            assert_eq!(create(number, 2_999), ("repeated", i64::from(number) + 1));
        }
        // Half of the keys are forgotten now.
        assert_eq!(create(1_499, 4_499), ("new", 3_001));
        assert_eq!(create(1_500, 4_499), ("repeated", 1_501));
    }
}

#[test]
fn a_key_has_1_to_255_bytes() {
    let lengths = [0, 1, 255, 256].map(|length| IdempotencyKey::new(vec![7; length]).is_some());
    assert_eq!(lengths, [false, true, true, false]);
}

/// A command removes more forgotten orders and keys than it adds.
#[test]
fn a_surplus_of_forgotten_orders_and_keys_shrinks() {
    let rules = Rules { keep_failed: Span::from_nanos(100), ..rules(0, 100) };
    let mut state = LomsState::new(rules, &opening("1=0/0"), 1);
    let mut fail = |nanos, number: u16| {
        let key = IdempotencyKey::new(number.to_le_bytes());
        apply_at(&mut state, nanos, create(1, vec![line(1, 1)], key));
        state.bytes()
    };
    // Each takes 60 bytes and its key 50. All of the first thousand are forgotten at once.
    assert_eq!((0..1_000).map(|number| fail(1, number)).last(), Some(110_000));
    let left = (0..1_000).map(|more| fail(1_000 + u64::from(more), 1_000 + more)).last();
    assert!(left.unwrap() < 110 * 110, "{left:?} bytes, though 100 orders are kept");
}
