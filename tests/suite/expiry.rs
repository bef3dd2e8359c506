//! Orders expire on time, also without calls, and after the process was suspended.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use loms::client::{Client, Options};
use loms::grpc::convert;
use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::service::{LomsService, ServiceOptions};
use loms::sequencer::{Behind, Clock, Sequencer, clock_of, wall_clock};
use loms::server::{ServerOptions, serve};
use loms::state_machine::{Cause, Command, LomsState, OrderStatus, Rules, Sku, Timestamp};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tonic_types::StatusExt;

use crate::logs::Log;
use crate::script::{HandClock, opening, render};

#[tokio::test(start_paused = true)]
async fn order_expires_on_time_without_calls() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/2"), 1);
    let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServerOptions::on(NonZeroUsize::MIN);
    let (shared, never) = (Arc::clone(&sequencer), std::future::pending());
    let server = tokio::spawn(serve(listener, shared, options, never));
    // The server waits without a deadline before the order arrives.
    sleep(Duration::from_secs(3_600)).await;

    sequencer.present().unwrap().submit(create(3)).value.unwrap();

    // The paused clock jumps to the server's timer: ten minutes and a little for rounding.
    clock.advance(Duration::from_secs(600));
    sleep(Duration::from_secs(601)).await;
    // The read below cannot expire the order itself: its time is before the deadline.
    clock.go_back(Duration::from_secs(300));
    let present = sequencer.present().unwrap();
    let order = present.state().orders().next().unwrap();
    let lived = order.updated().as_nanos() - order.created().as_nanos();
    assert_eq!((order.status(), order.cause()), (OrderStatus::Cancelled, Cause::PaymentTimeout));
    assert_eq!(lived, 600 * 1_000_000_000);
    server.abort();
}

/// A create of this many units of SKU 1.
fn create(units: u32) -> Command {
    convert::order_create(7, [(1, units.into())].into_iter(), String::new(), [], 1).unwrap()
}

/// A state with 20,000 of SKU 1 and 10,000 due orders of two each.
fn behind(clock: &HandClock) -> Arc<Sequencer> {
    let state = LomsState::new(Rules::default(), &opening("1=20000/0"), 1);
    let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
    fall_behind(&sequencer, clock);
    sequencer
}

fn fall_behind(sequencer: &Sequencer, clock: &HandClock) {
    for _ in 0..10_000 {
        sequencer.present().unwrap().submit(create(2)).value.unwrap();
    }
    clock.advance(Duration::from_secs(86_400));
}

#[test]
fn backlog_expires_in_steps_before_any_command() {
    let clock = HandClock::new();
    let sequencer = behind(&clock);
    for _ in 0..2 {
        assert_eq!(sequencer.present().err(), Some(Behind));
        assert_eq!(sequencer.tick(), Some(Duration::ZERO), "more orders are due");
        assert_eq!(sequencer.present().err(), Some(Behind), "no call sees stock of the past");
    }
    assert_eq!(sequencer.tick(), None, "the last step");
    let created = sequencer.present().unwrap().submit(create(2));
    assert_eq!(created.index, 10_004, "after 10,000 creates and three steps of expiry");
    let present = sequencer.present().unwrap();
    let state = present.state();
    let awaiting = state.orders().filter(|o| o.status() == OrderStatus::AwaitingPayment);
    let awaiting: Vec<_> = awaiting.map(|order| (order.id().get(), order.created())).collect();
    let after_the_last_step = Timestamp::from_nanos(clock.clock()().as_nanos() + 1);
    assert_eq!(awaiting, [(10_001, after_the_last_step)], "the new order has the present time");
    state.check_invariants().unwrap();
    assert!(state.stock().all(|stock| stock.available() == 19_998));
}

#[tokio::test(start_paused = true)]
async fn call_during_a_backlog_waits_and_is_then_refused() {
    let clock = HandClock::new();
    let sequencer = behind(&clock);
    let service = LomsService::new(Arc::clone(&sequencer), ServiceOptions::default());
    let stock =
        async || LomsClient::new(service.clone()).stocks_info(StocksInfoRequest { sku: 1 }).await;

    // Without a tick the call is refused.
    let start = Instant::now();
    let refused = stock().await.unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(5), "{:?}", start.elapsed());
    assert_eq!(
        render(&refused),
        "Unavailable CATCHING_UP []: orders that are due are still being expired; try again"
    );
    let retry = refused.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_millis(50)));

    // With ticks the waiting call is answered.
    let ticking = async {
        sequencer.tick_needed().await;
        while sequencer.tick() == Some(Duration::ZERO) {}
    };
    let start = Instant::now();
    let (answer, ()) = tokio::join!(stock(), ticking);
    assert_eq!(answer.unwrap().into_inner().count, 20_000);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn server_expires_a_backlog_by_itself() {
    let clock = HandClock::new();
    let sequencer = behind(&clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let options = ServerOptions::on(NonZeroUsize::MIN);
    let (shared, never) = (Arc::clone(&sequencer), std::future::pending());
    let server = tokio::spawn(serve(listener, shared, options, never));
    let loms = Client::connect(&address, Options::default()).await.unwrap();
    assert_eq!(loms.stock(1).await.unwrap(), 20_000);
    // Again, while the server waits for its next deadline: the call wakes it.
    fall_behind(&sequencer, &clock);
    assert_eq!(loms.stock(1).await.unwrap(), 20_000);
    server.abort();
}

#[test]
fn expiries_of_one_command_are_one_log_line() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/0"), 1);
    let sequencer = Sequencer::new(state, clock.clock());
    let log = Log::capture();
    for wait in [1, 1, 600, 600] {
        sequencer.present().unwrap().submit(create(1)).value.unwrap();
        clock.advance(Duration::from_secs(wait));
    }
    let _ = sequencer.present().unwrap().available(Sku::new(1).unwrap());
    assert_eq!(
        log.lines(),
        [
            "INFO loms::sequencer: orders expired count=3 first=1 last=3",
            "INFO loms::sequencer: order expired order=4",
        ]
    );
}

#[tokio::test]
async fn expiries_before_a_call_that_is_too_late_are_logged() {
    let clock = HandClock::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/0"), 1);
    let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
    sequencer.present().unwrap().submit(create(1)).value.unwrap();
    clock.advance(Duration::from_secs(600));
    let mut client = LomsClient::new(LomsService::new(sequencer, ServiceOptions::default()));
    let mut late = tonic::Request::new(StocksInfoRequest { sku: 1 });
    late.set_timeout(Duration::ZERO);
    let log = Log::capture();
    let refused = client.stocks_info(late).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(log.lines(), ["INFO loms::sequencer: order expired order=1"]);
}

/// A machine, with a clock that counts its suspension and a wall clock that can be set.
#[derive(Clone)]
struct Machine {
    passing: HandClock,
    wall: HandClock,
    clock: Arc<Clock>,
}

impl Machine {
    fn new() -> Self {
        let (passing, wall) = (HandClock::new(), HandClock::new());
        let read = |clock: &HandClock| {
            let clock = clock.clock();
            move || clock().as_nanos()
        };
        let clock = Arc::new(clock_of(read(&passing), read(&wall)));
        Self { passing, wall, clock }
    }

    /// Time passes on both clocks.
    fn wait(&self, time: Duration) {
        self.passing.advance(time);
        self.wall.advance(time);
    }

    /// Seconds since the start, by the clock of orders.
    fn seconds(&self) -> u64 {
        let since = (self.clock)().as_nanos() - HandClock::new().clock()().as_nanos();
        assert_eq!(since % 1_000_000_000, 0, "{since}");
        since / 1_000_000_000
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn clock_follows_the_wall_clock_forward_and_never_back() {
    let (machine, log) = (Machine::new(), Log::capture());
    machine.wait(SECOND);
    assert_eq!(machine.seconds(), 1);
    // Within a second the wall clock is not read again.
    machine.wall.advance(HOUR);
    assert_eq!(machine.seconds(), 1);
    machine.wait(SECOND);
    assert_eq!(machine.seconds(), 3_602);
    assert!(log.lines()[0].ends_with(
        "WARN loms::sequencer: the wall clock was set forward: the time of orders follows \
         seconds=3600.0"
    ));
    machine.wall.go_back(2 * HOUR);
    for passed in 3..6 {
        machine.wait(SECOND);
        assert_eq!(machine.seconds(), 3_600 + passed);
    }
    assert!(log.lines()[1].ends_with(
        "WARN loms::sequencer: the wall clock was set back: the time of orders stays ahead of it \
         until the next start seconds=7200.0"
    ));
    // Forward again, but still behind.
    machine.wall.advance(HOUR);
    machine.wait(SECOND);
    assert_eq!(machine.seconds(), 3_606);
    assert_eq!(log.lines().len(), 2, "each change is logged once: {:?}", log.lines());
    machine.wall.advance(2 * HOUR);
    machine.wait(SECOND);
    assert_eq!(machine.seconds(), 7_207);
    assert_eq!(log.lines().len(), 3);
}

#[test]
fn small_steps_of_the_wall_clock_are_followed_but_not_logged() {
    let (machine, log) = (Machine::new(), Log::capture());
    for _ in 0..10 {
        machine.wall.advance(Duration::from_millis(50));
        machine.wait(SECOND);
        (machine.clock)();
    }
    machine.wall.advance(Duration::from_millis(500));
    machine.wall.go_back(Duration::from_millis(500));
    machine.wait(SECOND);
    assert_eq!(log.lines(), [""; 0]);
    machine.wait(Duration::from_millis(500));
    assert_eq!(machine.seconds(), 12);
}

/// Timers do not count the suspension, so nothing but the clock knows of it.
#[tokio::test(start_paused = true)]
async fn order_expires_within_a_second_after_the_machine_was_suspended() {
    let machine = Machine::new();
    let state = LomsState::new(Rules::default(), &opening("1=10/2"), 1);
    let clock = Arc::clone(&machine.clock);
    let sequencer = Arc::new(Sequencer::new(state, Box::new(move || clock())));
    let ticking = Arc::clone(&sequencer);
    let ticker = tokio::spawn(async move { ticking.expire_on_time().await });
    sequencer.present().unwrap().submit(create(3)).value.unwrap();
    // Now the ticker waits for the deadline.
    sleep(Duration::from_millis(1)).await;
    let status = || {
        // By the last entry: a call would expire the order itself.
        let before = machine.passing.clone();
        before.go_back(HOUR);
        let present = sequencer.present().unwrap();
        let status = present.state().orders().next().unwrap().status();
        before.advance(HOUR);
        status
    };
    machine.wait(HOUR);
    assert_eq!(status(), OrderStatus::AwaitingPayment);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(status(), OrderStatus::Cancelled);
    ticker.abort();
}

#[test]
fn wall_clock_starts_at_the_time_of_day_and_moves() {
    #[expect(clippy::disallowed_methods, reason = "compared with the clock under test")]
    let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let clock = wall_clock();
    let start = clock();
    let read = Duration::from_nanos(start.as_nanos());
    assert!(read.abs_diff(day) < Duration::from_secs(60), "{read:?}, expected {day:?}");
    while clock() == start {}
    assert!(clock() > start);
}
