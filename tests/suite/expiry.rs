//! Orders expire on time with no calls at all.

use std::sync::Arc;
use std::time::Duration;

use loms::grpc::convert;
use loms::grpc::service::ServiceOptions;
use loms::sequencer::Sequencer;
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
    let server =
        tokio::spawn(serve(listener, Arc::clone(&sequencer), options, std::future::pending()));
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
