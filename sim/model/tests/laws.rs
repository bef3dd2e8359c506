//! Laws on long random programs: the audit passes, and no planted bug panics.

use super::{Answer, Bug, Call, ContainerSizes, Limits, Model, World, parse, run};

/// A fixed pseudorandom sequence; its quality does not matter here.
struct Stream(u64);

impl Stream {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn worlds() -> Vec<World> {
    let world = |stock: &[(u32, u64, u64)], payment_timeout, idempotency_window| World {
        stock: stock.to_vec(),
        payment_timeout,
        idempotency_window,
        max_lines: 5,
        limits: Limits::default(),
        sizes: ContainerSizes::Shipped,
    };
    let limits =
        Limits { keep: 60, keep_failed: 30, retry_failed: false, max_bytes: 900, open_orders: 3 };
    vec![
        World { limits, ..world(&[(2, 5, 1), (1, 900, 0), (3, 200, 20)], 40, 90) },
        world(&[(2, 5, 1), (1, 0, 0), (3, 200, 20)], 40, 90),
        world(&[(1, u64::MAX, 0), (2, u64::MAX, u64::MAX - 7)], 0, 0),
        world(&[(3, 65_600, 3), (2, 1 << 33, 1)], u64::MAX, u64::MAX),
        world(&[], 1, 1),
    ]
}

/// One random call and its answer.
fn step(model: &mut Model, stream: &mut Stream, at: &mut u64) -> Answer {
    *at += [0, 0, 1, 7, 40][usize::try_from(stream.below(5)).unwrap()];
    let newest = i64::try_from(model.orders()).unwrap();
    let id = newest + 2 - i64::try_from(stream.below(12)).unwrap();
    let call = match stream.below(10) {
        0..=4 => {
            let key = ["", "a", "b"][usize::try_from(stream.below(3)).unwrap()];
            let counts = [1, 1, 2, 3, 9, 65_535, 65_537, u32::MAX];
            let items: Vec<_> = (0..1 + stream.below(5))
                .map(|_| {
                    let sku = u32::try_from(1 + stream.below(4)).unwrap();
                    (sku, counts[usize::try_from(stream.below(8)).unwrap()])
                })
                .collect();
            let user = 1 + i64::try_from(stream.below(3)).unwrap();
            return model.answer(*at, Call::Create { user, items: &items, key });
        }
        5 => Call::Pay(id),
        6 => Call::Cancel(id),
        7 => Call::Info(id),
        8 => Call::Stock(u32::try_from(stream.below(5)).unwrap()),
        _ => Call::Tick,
    };
    model.answer(*at, call)
}

#[test]
fn the_audit_passes_after_every_call() {
    for world in worlds() {
        let mut model = Model::new(&world, None);
        let (mut stream, mut at) = (Stream(7), 0);
        for _ in 0..1000 {
            step(&mut model, &mut stream, &mut at);
            assert_eq!(model.audit(), Ok(()));
            // No order past its deadline awaits payment.
            assert!(model.next_deadline().is_none_or(|deadline| deadline > model.now));
            let first = model.awaiting().next().and_then(|id| model.order(id));
            let deadline = first.map(|order| order.created_at.checked_add(world.payment_timeout));
            if world.payment_timeout > 0 {
                assert_eq!(model.next_deadline(), deadline.flatten());
            }
        }
    }
}

#[test]
fn the_drain_leaves_only_the_base_reserved() {
    for world in worlds() {
        let mut model = Model::new(&world, None);
        let (mut stream, mut at) = (Stream(8), 0);
        for _ in 0..2000 {
            step(&mut model, &mut stream, &mut at);
        }
        for id in model.awaiting().collect::<Vec<_>>() {
            assert_eq!(model.answer(at, Call::Cancel(id)), Answer::Done);
        }
        let mut bases: Vec<_> = world.stock.iter().map(|&(sku, _, base)| (sku, base)).collect();
        bases.sort_unstable();
        let reserved: Vec<_> = model.stock().map(|(sku, _, reserved)| (sku, reserved)).collect();
        assert_eq!(reserved, bases);
    }
}

#[test]
fn a_refusal_changes_nothing() {
    let mut model = Model::new(&worlds()[0], None);
    let (mut stream, mut at) = (Stream(9), 0);
    let mut refused = 0;
    for _ in 0..3000 {
        let before = at;
        let mut ticked = model.clone();
        let answer = step(&mut model, &mut stream, &mut at);
        if let Answer::Refused(_) = answer {
            // Move time for the remaining orders.
            ticked.answer(at, Call::Tick);
            model.answer(at, Call::Tick);
            assert_eq!(format!("{:?}", facts(&model)), format!("{:?}", facts(&ticked)));
            refused += 1;
        }
        assert!(before <= at);
    }
    assert!(refused > 100, "{refused}");
}

/// Everything that the model returns.
fn facts(model: &Model) -> impl std::fmt::Debug {
    let id = |place| i64::try_from(place).unwrap();
    let orders: Vec<_> = (1..=model.orders()).map(|place| model.order(id(place))).collect();
    (orders, model.stock().collect::<Vec<_>>(), model.next_deadline(), model.transitions())
}

#[test]
fn no_bug_panics() {
    for &bug in Bug::ALL {
        for world in worlds() {
            let mut model = Model::new(&world, Some(bug));
            let (mut stream, mut at) = (Stream(7), u64::MAX - 30_000);
            for _ in 0..1500 {
                step(&mut model, &mut stream, &mut at);
            }
            // With a bug the result may be anything.
            let _ = model.audit();
            let _ = (model.stock().count(), model.awaiting().count(), model.next_deadline());
        }
    }
}

#[test]
fn the_audit_detects_units_without_an_order() {
    let leak = "create 1 1:1; cancel newest; ".repeat(65);
    let programs = [
        (Bug::LeakAfter64Cancels, leak.as_str()),
        (Bug::FailedCreateKeepsLines, "create 1 1:3 2:6"),
        (Bug::LastLineSkipped, "create 1 1:1 2:1"),
        (Bug::PayKeepsReserved, "create 1 1:3; pay 1"),
        (Bug::ExpiryKeepsStock, "create 1 1:3; @100 tick"),
    ];
    for (bug, program) in programs {
        let (world, calls) = parse(program);
        let mut model = Model::new(&world, Some(bug));
        run(&mut model, &calls);
        let error = model.audit().expect_err(bug.name());
        assert!(error.starts_with("SKU "), "{}: {error}", bug.name());
    }
}
