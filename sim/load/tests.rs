//! Loops and check against a test server in the same process, with tokio's paused clock, which only
//! advances when every task waits. The server can stop answering for a while or give wrong answers.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loms::grpc::proto::loms_server::{Loms, LomsServer};
use loms::grpc::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Request, Response, Status};

use super::check::{OrderCheck, read_back};
use super::connection::Connection;
use super::loops::{CallingResult, LoopMode, ThreadConfig};
use super::mix::CallKind;
use super::order_log::OrderGenerator;
use super::report::LoadReport;
use super::schedule::Timer;

/// A server that takes a millisecond per call. During the stall it answers nothing.
#[derive(Clone)]
struct TestServer {
    stall: Option<(Instant, Instant)>,
    orders: Arc<Mutex<BTreeMap<i64, OrderInfoResponse>>>,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl TestServer {
    async fn delay(&self) {
        sleep(Duration::from_millis(1)).await;
        if let Some((_, end)) = self.stall.filter(|(start, _)| Instant::now() >= *start) {
            sleep_until(end).await;
        }
    }

    async fn set(&self, id: i64, status: &str) -> Result<(), Status> {
        self.delay().await;
        match self.orders.lock().unwrap().get_mut(&id) {
            Some(order) => order.status = status.to_owned(),
            None => return Err(Status::not_found("no such order")),
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Loms for TestServer {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        self.delay().await;
        let OrderCreateRequest { user, items, idempotency_key } = request.into_inner();
        self.keys.lock().unwrap().insert(idempotency_key);
        let status = "awaiting payment".to_owned();
        let order = OrderInfoResponse { status: status.clone(), user, items, ..<_>::default() };
        let mut orders = self.orders.lock().unwrap();
        let order_id = orders.last_key_value().map_or(1, |(last, _)| last + 1);
        orders.insert(order_id, order);
        Ok(Response::new(OrderCreateResponse { order_id, status, shortages: Vec::new() }))
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        self.delay().await;
        let order = self.orders.lock().unwrap().get(&request.get_ref().order_id).cloned();
        order.map(Response::new).ok_or_else(|| Status::not_found("no such order"))
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        self.set(request.get_ref().order_id, "paid").await?;
        Ok(Response::new(OrderPayResponse {}))
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        self.set(request.get_ref().order_id, "cancelled").await?;
        Ok(Response::new(OrderCancelResponse {}))
    }

    async fn stocks_info(
        &self,
        _request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        self.delay().await;
        Ok(Response::new(StocksInfoResponse { count: 1 }))
    }
}

fn with_paused_clock<A>(test: impl Future<Output = A>) -> A {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build_local(LocalOptions::default());
    runtime.unwrap().block_on(test)
}

/// Calls the server for this many seconds.
async fn load(server: &TestServer, seconds: u64, mode: LoopMode, mix: &str) -> CallingResult {
    run(server, Instant::now(), &config(seconds, mode, mix)).await
}

/// The configuration of a run with one thread.
fn config(seconds: u64, mode: LoopMode, mix: &str) -> ThreadConfig {
    ThreadConfig {
        mode,
        thread: 0,
        threads: 1,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(seconds),
        timeout: Duration::from_secs(5),
        mix: mix.parse().unwrap(),
        generator: Arc::new(generator()),
        calls: Arc::default(),
    }
}

fn generator() -> OrderGenerator {
    OrderGenerator { skus: (1..=9).collect(), lines: 2, seed: 1, keys: false }
}

/// Calls the server from `start` on.
async fn run(server: &TestServer, start: Instant, config: &ThreadConfig) -> CallingResult {
    let (here, there) = tokio::io::duplex(1 << 16);
    let serving = tonic::transport::Server::builder().add_service(LomsServer::new(server.clone()));
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(there));
    tokio::spawn(serving.serve_with_incoming(incoming));
    let (_stop, stop_received) = watch::channel(false);
    let connection = Connection::over(here).await.unwrap();
    config.run(&[connection], start, stop_received, Timer::Coarse).await
}

fn correct_server() -> TestServer {
    TestServer { stall: None, orders: Arc::default(), keys: Arc::default() }
}

/// A server that stops answering after `start` seconds, for this many seconds.
fn stalling(start: u64, seconds: u64) -> TestServer {
    let start = Instant::now() + Duration::from_secs(start);
    TestServer { stall: Some((start, start + Duration::from_secs(seconds))), ..correct_server() }
}

#[test]
fn open_loop_shows_a_stall_that_a_closed_one_hides() {
    with_paused_clock(async {
        let p99 = |outcome: &CallingResult| {
            let nanos = outcome.stats.of(CallKind::Stock).latency.value_at_quantile(0.99);
            Duration::from_nanos(nanos)
        };
        let open = LoopMode::Open { rate: NonZeroU64::new(100).unwrap() };
        let open = load(&stalling(2, 1), 10, open, "stock=1").await;
        // 100 of the 1,000 calls were due during the stall of 1 s. The 10 slowest of them, the top
        // percent, waited at least 0.9 s.
        assert_eq!(open.stats.of(CallKind::Stock).latency.len(), 1_000);
        assert!(p99(&open) > Duration::from_millis(850), "{:?}", p99(&open));
        let closed =
            load(&stalling(2, 1), 10, LoopMode::Closed { concurrency: 1 }, "stock=1").await;
        assert!(p99(&closed) < Duration::from_millis(5), "{:?}", p99(&closed));
    });
}

#[test]
fn latency_of_a_late_call_counts_from_its_due_time() {
    with_paused_clock(async {
        // The thread is half a second late: five calls were due before the first is sent.
        let open = LoopMode::Open { rate: NonZeroU64::new(10).unwrap() };
        let start = Instant::now() - Duration::from_millis(500);
        let outcome = run(&correct_server(), start, &config(1, open, "stock=1")).await;
        let latency = &outcome.stats.of(CallKind::Stock).latency;
        let longest = Duration::from_nanos(latency.max());
        assert_eq!(latency.len(), 10);
        assert!(longest >= Duration::from_millis(500), "{longest:?}");
        assert!(Duration::from_nanos(outcome.stats.late.max()) >= Duration::from_millis(500));
    });
}

#[test]
fn thread_that_starts_after_the_end_still_makes_its_calls() {
    with_paused_clock(async {
        let start = Instant::now() - Duration::from_secs(2);
        let calls = async |mode| {
            let outcome = run(&correct_server(), start, &config(1, mode, "stock=1")).await;
            outcome.stats.of(CallKind::Stock).latency.len()
        };
        assert_eq!(calls(LoopMode::Closed { concurrency: 3 }).await, 3);
        assert_eq!(calls(LoopMode::Open { rate: NonZeroU64::new(10).unwrap() }).await, 10);
    });
}

#[test]
fn calls_of_the_warm_up_are_not_counted() {
    with_paused_clock(async {
        let open = LoopMode::Open { rate: NonZeroU64::new(10).unwrap() };
        let config =
            ThreadConfig { warm_up: Duration::from_secs(2), ..config(1, open, "create=1") };
        let server = correct_server();
        let outcome = run(&server, Instant::now(), &config).await;
        assert_eq!(server.orders.lock().unwrap().len(), 30);
        assert_eq!(outcome.stats.of(CallKind::Create).latency.len(), 10);
    });
}

#[test]
fn creates_have_distinct_keys_if_configured() {
    with_paused_clock(async {
        let plain = config(1, LoopMode::Closed { concurrency: 2 }, "create=1");
        let keyed = Arc::new(OrderGenerator { keys: true, ..generator() });
        for config in [plain.clone(), ThreadConfig { generator: keyed, ..plain }] {
            let server = correct_server();
            run(&server, Instant::now(), &config).await;
            let (keys, orders) = (server.keys.lock().unwrap(), server.orders.lock().unwrap());
            assert!(orders.len() > 100);
            if config.generator.keys {
                assert_eq!((keys.len(), keys.contains("")), (orders.len(), false));
            } else {
                assert_eq!(*keys, BTreeSet::from([String::new()]));
            }
        }
    });
}

#[test]
fn calls_without_an_answer_are_counted_as_unfinished() {
    with_paused_clock(async {
        let open = LoopMode::Open { rate: NonZeroU64::new(100).unwrap() };
        let outcome = load(&stalling(9, 100), 10, open, "stock=1").await;
        // The calls of the last second got no answer, not even in the five seconds after it.
        assert_eq!(outcome.stats.unfinished, 100);
    });
}

#[test]
fn run_without_an_answer_has_a_problem() {
    let result = |server: &dyn Fn() -> TestServer| {
        with_paused_clock(async {
            let mode = LoopMode::Closed { concurrency: 1 };
            let outcome = load(&server(), 1, mode, "stock=1").await;
            let report = LoadReport {
                address: String::new(),
                mode,
                connections: 1,
                threads: 1,
                measured: outcome.measured,
                stopped: false,
                stats: outcome.stats,
                refused: outcome.refused,
                unanswered_creates: outcome.unanswered_creates,
                check: None,
            };
            (report.is_good(), report.problems().join("\n"))
        })
    };
    assert_eq!(result(&correct_server), (true, String::new()));
    let (is_good, problems) = result(&|| stalling(0, 100));
    assert!(!is_good && problems.starts_with("no call was measured: "), "{problems}");
}

async fn check(outcome: &CallingResult) -> OrderCheck {
    let timeout = Duration::from_secs(5);
    let mut check = read_back(&outcome.workers, 1, timeout, Arc::default()).await;
    check.compare_ids();
    check
}

#[test]
fn every_order_of_a_correct_server_is_correct() {
    with_paused_clock(async {
        let server = correct_server();
        let mode = LoopMode::Closed { concurrency: 2 };
        let outcome = load(&server, 2, mode, "life=1,create=2,pay=1,info=1").await;
        let orders = server.orders.lock().unwrap().len();
        let check = check(&outcome).await;
        assert!(orders > 100);
        assert_eq!((check.made, check.read), (orders as u64, orders as u64));
        assert_eq!((check.wrong.count, check.lost.count), (0, 0));
    });
}

#[test]
fn missing_changed_and_duplicate_orders_are_found() {
    with_paused_clock(async {
        let server = correct_server();
        let outcome = load(&server, 1, LoopMode::Closed { concurrency: 1 }, "create=1").await;
        {
            let mut orders = server.orders.lock().unwrap();
            orders.remove(&3);
            orders.get_mut(&5).unwrap().items[0].count = 2;
            orders.get_mut(&7).unwrap().status = "paid".to_owned();
        }
        let worker: &Rc<_> = &outcome.workers[0];
        worker.order_log.borrow_mut().add(0, 1, false);
        let check = check(&outcome).await;
        assert_eq!((check.missing, check.unread), (1, 0));
        assert_eq!(check.lost.first, ["order 3 does not exist"]);
        assert_eq!(check.made, check.read + 1);
        assert_eq!(check.wrong.count, 3);
        assert!(check.wrong.first[0].starts_with("order 5 has the lines "));
        assert!(check.wrong.first[1].starts_with("order 7 is paid, but was placed and neither"));
        assert_eq!(check.wrong.first[2], "two orders have the id 1");
    });
}
