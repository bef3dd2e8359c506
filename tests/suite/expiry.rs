//! Orders expire on time with no calls at all.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use loms::grpc::convert;
use loms::grpc::service::ServiceOptions;
use loms::sequencer::{Sequencer, wall_clock};
use loms::server::serve;
use loms::state_machine::{Action, Cause, LomsState, OrderStatus, Rules};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::script::{HandClock, opening};

#[tokio::test(start_paused = true)]
async fn order_expires_on_time_with_no_calls_at_all() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/2"));
    let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServiceOptions::default();
    let server = tokio::spawn(serve(
        listener,
        NonZeroUsize::MIN,
        Arc::clone(&sequencer),
        options,
        std::future::pending(),
    ));
    // The server has found nothing to wait for before the order comes.
    sleep(Duration::from_secs(3_600)).await;

    let create = convert::order_create(7, [(1, 3)].into_iter(), "", 1).unwrap();
    let action = Action::CreateOrder { user: create.user, demand: &create.demand, key: None };
    sequencer.submit(action, |result, _| result.unwrap());

    // The paused clock jumps to the server's own timer: ten minutes, and what rounding adds.
    clock.advance(Duration::from_secs(600));
    sleep(Duration::from_secs(601)).await;
    // From here on nobody could let the order expire by asking: it is too early again.
    clock.go_back(Duration::from_secs(300));
    let seen = sequencer.read(|state| {
        let order = state.orders().next().unwrap();
        (order.status(), order.cause(), order.updated().as_nanos() - order.created().as_nanos())
    });
    let ten_minutes = 600 * 1_000_000_000;
    assert_eq!(seen.value, (OrderStatus::Cancelled, Cause::PaymentTimeout, ten_minutes));
    server.abort();
}

#[test]
fn backlog_is_worked_off_in_steps_before_any_command() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=20000/0"));
    let sequencer = Sequencer::new(state, clock.clock());
    let create = convert::order_create(7, [(1, 2)].into_iter(), "", 1).unwrap();
    for _ in 0..10_000 {
        let action = Action::CreateOrder { user: create.user, demand: &create.demand, key: None };
        sequencer.submit(action, |result, _| result.unwrap());
    }
    clock.advance(Duration::from_secs(86_400));
    // Whoever comes first, the order of that call is of the present and all others are gone.
    let action = Action::CreateOrder { user: create.user, demand: &create.demand, key: None };
    let seen = sequencer.submit(action, |_, state| {
        let awaiting = state.orders().filter(|o| o.status() == OrderStatus::AwaitingPayment);
        awaiting.map(|order| (order.id().get(), order.created())).collect::<Vec<_>>()
    });
    assert_eq!(seen.value, [(10_001, clock.clock()())]);
    // Two steps of 4,096 had the lock to themselves; the rest came with the call.
    assert_eq!(seen.index, 10_003);
    sequencer.read(|state| {
        state.check_invariants().unwrap();
        assert!(state.stock().all(|shelf| shelf.available() == 19_998));
    });
}

#[test]
fn expiries_are_logged_a_line_for_each_command() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/0"));
    let sequencer = Sequencer::new(state, clock.clock());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_writer(Arc::new(fs::File::create(&path).unwrap()))
        .finish();
    tracing::subscriber::with_default(log, || {
        let create = convert::order_create(7, [(1, 1)].into_iter(), "", 1).unwrap();
        let action = Action::CreateOrder { user: create.user, demand: &create.demand, key: None };
        for wait in [1, 1, 600, 600] {
            sequencer.submit(action, |result, _| result.unwrap());
            clock.advance(Duration::from_secs(wait));
        }
        sequencer.read(|_| ());
    });
    let told = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "INFO loms::sequencer: orders expired count=3 first=1 last=3",
            "INFO loms::sequencer: order expired order=4",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn wall_clock_starts_at_the_time_of_day_and_moves_with_the_timers() {
    #[expect(clippy::disallowed_methods, reason = "what the clock is held against")]
    let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let clock = wall_clock();
    let start = Duration::from_nanos(clock().as_nanos());
    assert!(start.abs_diff(day) < Duration::from_secs(60), "{start:?} where it is {day:?}");
    tokio::time::advance(Duration::from_secs(90)).await;
    assert_eq!(Duration::from_nanos(clock().as_nanos()) - start, Duration::from_secs(90));
}
