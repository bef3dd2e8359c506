//! Loops and check against a LOMS in the same process, which stalls or cheats when told to; under
//! a clock that moves only when all have to wait.

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

/// A LOMS that takes a millisecond for a call, but stands still from one time to another.
#[derive(Clone)]
struct Shop {
    stall: Option<(Instant, Instant)>,
    orders: Arc<Mutex<BTreeMap<i64, OrderInfoResponse>>>,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

impl Shop {
    async fn work(&self) {
        sleep(Duration::from_millis(1)).await;
        if let Some((_, end)) = self.stall.filter(|(start, _)| Instant::now() >= *start) {
            sleep_until(end).await;
        }
    }

    async fn set(&self, id: i64, status: &str) -> Result<(), Status> {
        self.work().await;
        match self.orders.lock().unwrap().get_mut(&id) {
            Some(order) => order.status = status.to_owned(),
            None => return Err(Status::not_found("no such order")),
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Loms for Shop {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        self.work().await;
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
        self.work().await;
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
        self.work().await;
        Ok(Response::new(StocksInfoResponse { count: 1 }))
    }
}

fn under_a_clock_of_its_own<A>(story: impl Future<Output = A>) -> A {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build_local(LocalOptions::default());
    runtime.unwrap().block_on(story)
}

/// So many seconds of calls to this shop.
async fn load(shop: &Shop, seconds: u64, mode: LoopMode, mix: &str) -> CallingResult {
    play(shop, Instant::now(), &part(seconds, mode, mix)).await
}

/// A part that is a whole.
fn part(seconds: u64, mode: LoopMode, mix: &str) -> ThreadConfig {
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

/// Has this part call this shop, from this moment on.
async fn play(shop: &Shop, start: Instant, part: &ThreadConfig) -> CallingResult {
    let (here, there) = tokio::io::duplex(1 << 16);
    let server = tonic::transport::Server::builder().add_service(LomsServer::new(shop.clone()));
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(there));
    tokio::spawn(server.serve_with_incoming(incoming));
    let (_stop, stop_told) = watch::channel(false);
    let connection = Connection::over(here).await.unwrap();
    part.run(&[connection], start, stop_told, Timer::Coarse).await
}

fn honest() -> Shop {
    Shop { stall: None, orders: Arc::default(), keys: Arc::default() }
}

/// From the second `start` on, for so many seconds.
fn stalls(start: u64, seconds: u64) -> Shop {
    let start = Instant::now() + Duration::from_secs(start);
    Shop { stall: Some((start, start + Duration::from_secs(seconds))), ..honest() }
}

#[test]
fn open_loop_shows_a_stall_that_a_closed_one_hides() {
    under_a_clock_of_its_own(async {
        let p99 = |outcome: &CallingResult| {
            let nanos = outcome.stats.of(CallKind::Stock).latency.value_at_quantile(0.99);
            Duration::from_nanos(nanos)
        };
        let open = LoopMode::Open { rate: NonZeroU64::new(100).unwrap() };
        let open = load(&stalls(2, 1), 10, open, "stock=1").await;
        // A hundred of the thousand calls were due while it stood still; the tenth of them that
        // waited longest had 0.9 s to wait or more.
        assert_eq!(open.stats.of(CallKind::Stock).latency.len(), 1_000);
        assert!(p99(&open) > Duration::from_millis(850), "{:?}", p99(&open));
        let closed = load(&stalls(2, 1), 10, LoopMode::Closed { concurrency: 1 }, "stock=1").await;
        assert!(p99(&closed) < Duration::from_millis(5), "{:?}", p99(&closed));
    });
}

#[test]
fn call_that_is_sent_late_counts_from_when_it_was_due() {
    under_a_clock_of_its_own(async {
        // Whoever calls is half a second behind: five calls were due before the first is sent.
        let open = LoopMode::Open { rate: NonZeroU64::new(10).unwrap() };
        let start = Instant::now() - Duration::from_millis(500);
        let outcome = play(&honest(), start, &part(1, open, "stock=1")).await;
        let latency = &outcome.stats.of(CallKind::Stock).latency;
        let longest = Duration::from_nanos(latency.max());
        assert_eq!(latency.len(), 10);
        assert!(longest >= Duration::from_millis(500), "{longest:?}");
        assert!(Duration::from_nanos(outcome.stats.late.max()) >= Duration::from_millis(500));
    });
}

#[test]
fn whoever_calls_may_wake_when_the_time_is_over_and_calls_all_the_same() {
    under_a_clock_of_its_own(async {
        let start = Instant::now() - Duration::from_secs(2);
        let calls = async |mode| {
            let outcome = play(&honest(), start, &part(1, mode, "stock=1")).await;
            outcome.stats.of(CallKind::Stock).latency.len()
        };
        assert_eq!(calls(LoopMode::Closed { concurrency: 3 }).await, 3);
        assert_eq!(calls(LoopMode::Open { rate: NonZeroU64::new(10).unwrap() }).await, 10);
    });
}

#[test]
fn warm_up_is_called_and_not_counted() {
    under_a_clock_of_its_own(async {
        let open = LoopMode::Open { rate: NonZeroU64::new(10).unwrap() };
        let part = ThreadConfig { warm_up: Duration::from_secs(2), ..part(1, open, "create=1") };
        let shop = honest();
        let outcome = play(&shop, Instant::now(), &part).await;
        assert_eq!(shop.orders.lock().unwrap().len(), 30);
        assert_eq!(outcome.stats.of(CallKind::Create).latency.len(), 10);
    });
}

#[test]
fn creates_have_keys_of_their_own_where_that_is_asked_for() {
    under_a_clock_of_its_own(async {
        let plain = part(1, LoopMode::Closed { concurrency: 2 }, "create=1");
        let keyed = Arc::new(OrderGenerator { keys: true, ..generator() });
        for part in [plain.clone(), ThreadConfig { generator: keyed, ..plain }] {
            let shop = honest();
            play(&shop, Instant::now(), &part).await;
            let (keys, orders) = (shop.keys.lock().unwrap(), shop.orders.lock().unwrap());
            assert!(orders.len() > 100);
            if part.generator.keys {
                assert_eq!((keys.len(), keys.contains("")), (orders.len(), false));
            } else {
                assert_eq!(*keys, BTreeSet::from([String::new()]));
            }
        }
    });
}

#[test]
fn calls_that_come_to_no_end_are_given_up_and_told() {
    under_a_clock_of_its_own(async {
        let open = LoopMode::Open { rate: NonZeroU64::new(100).unwrap() };
        let outcome = load(&stalls(9, 100), 10, open, "stock=1").await;
        // Those of the last second, which had five more; a call takes a millisecond.
        assert_eq!(outcome.stats.unfinished, 100);
    });
}

#[test]
fn run_without_an_answer_is_no_success() {
    let verdict = |shop: &dyn Fn() -> Shop| {
        under_a_clock_of_its_own(async {
            let mode = LoopMode::Closed { concurrency: 1 };
            let outcome = load(&shop(), 1, mode, "stock=1").await;
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
    assert_eq!(verdict(&honest), (true, String::new()));
    let (is_good, complaints) = verdict(&|| stalls(0, 100));
    assert!(!is_good && complaints.starts_with("no call was measured: "), "{complaints}");
}

async fn check(outcome: &CallingResult) -> OrderCheck {
    let patience = Duration::from_secs(5);
    let mut check = read_back(&outcome.workers, 1, patience, Arc::default()).await;
    check.compare_ids();
    check
}

#[test]
fn every_order_of_an_honest_shop_is_right() {
    under_a_clock_of_its_own(async {
        let shop = honest();
        let mode = LoopMode::Closed { concurrency: 2 };
        let outcome = load(&shop, 2, mode, "life=1,create=2,pay=1,info=1").await;
        let orders = shop.orders.lock().unwrap().len();
        let check = check(&outcome).await;
        assert!(orders > 100);
        assert_eq!((check.made, check.read), (orders as u64, orders as u64));
        assert_eq!((check.wrong.count, check.lost.count), (0, 0));
    });
}

#[test]
fn order_that_is_lost_changed_or_given_twice_is_caught() {
    under_a_clock_of_its_own(async {
        let shop = honest();
        let outcome = load(&shop, 1, LoopMode::Closed { concurrency: 1 }, "create=1").await;
        {
            let mut orders = shop.orders.lock().unwrap();
            orders.remove(&3);
            orders.get_mut(&5).unwrap().items[0].count = 2;
            orders.get_mut(&7).unwrap().status = "paid".to_owned();
        }
        let worker: &Rc<_> = &outcome.workers[0];
        worker.order_log.borrow_mut().placed(0, 1, false);
        let check = check(&outcome).await;
        assert_eq!((check.missing, check.unread), (1, 0));
        assert_eq!(check.lost.first, ["order 3 is not there"]);
        assert_eq!(check.made, check.read + 1);
        assert_eq!(check.wrong.count, 3);
        assert!(check.wrong.first[0].starts_with("order 5 has the lines "));
        assert!(check.wrong.first[1].starts_with("order 7 is paid, but was placed and neither"));
        assert_eq!(check.wrong.first[2], "two orders were given the id 1");
    });
}
