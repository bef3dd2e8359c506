//! How long calls wait when a million orders are due at once, as after a long suspension.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use loms::grpc::convert::order_create;
use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{Item, OrderCreateRequest, OrderInfoRequest, OrderPayRequest};
use loms::opening_stock;
use loms::sequencer::Sequencer;
use loms::server::{ServerOptions, serve};
use loms::state_machine::{LomsState, Rules, Timestamp};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::server::{STOCK, write_stock};

const ORDERS: u64 = 1_000_000;
const CONNECTIONS: u32 = 4;
const CALLS_EACH: u32 = 4;

/// The pause of a caller between two calls, so that calls do not wait for a core.
const PAUSE: Duration = Duration::from_millis(1);

/// One thread, so that the callers have the other core.
const THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Time during which calls are made, before and after the orders become due.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(500);

/// The clock skips an hour; the payment timeout is ten minutes.
const LEAP: u64 = 3_600 * 1_000_000_000;

/// A call, as measured by its caller.
#[derive(Clone, Copy)]
struct Seen {
    start: Instant,
    took: Duration,
    code: Code,
}

/// Prints the longest call of each round.
pub(crate) fn backlog(rounds: usize) -> Result<(), String> {
    write_stock()?;
    println!(
        "{:>5}  {:>14} {:>14}  {:>8} {:>15}  {:>14}",
        "round", "longest before", "longest after", "refused", "longest refused", "all expired in"
    );
    for round in 1..=rounds {
        let (calls, leap, caught_up) = run()?;
        let longest = |calls: &[Seen]| calls.iter().map(|seen| seen.took).max().unwrap_or_default();
        let (before, after): (Vec<Seen>, Vec<Seen>) =
            calls.into_iter().partition(|seen| seen.start < leap);
        let (refused, answered): (Vec<Seen>, Vec<Seen>) =
            after.into_iter().partition(|seen| seen.code == Code::Unavailable);
        println!(
            "{round:>5}  {:>14.2?} {:>14.2?}  {:>8} {:>15.2?}  {caught_up:>14.2?}",
            longest(&before),
            longest(&answered),
            refused.len(),
            longest(&refused),
        );
    }
    Ok(())
}

/// Returns all calls, the time at which the orders became due, and how long expiring them took.
fn run() -> Result<(Vec<Seen>, Instant, Duration), String> {
    let stock = opening_stock::load(STOCK.as_ref()).map_err(|error| error.to_string())?;
    let time = Arc::new(AtomicU64::new(1));
    let clock = {
        let time = Arc::clone(&time);
        Box::new(move || Timestamp::from_nanos(time.load(Ordering::Relaxed)))
    };
    let sequencer = Arc::new(Sequencer::new(LomsState::new(Rules::default(), &stock, 0), clock));
    for order in 0..ORDERS {
        let lines = items(order).map(|item| (item.sku.into(), item.count.into()));
        let create = order_create(1, lines.into_iter(), String::new(), [], 2)
            .map_err(|invalid| invalid.to_string())?;
        let present = sequencer.present().expect("nothing is due yet");
        assert!(present.submit(create).value.is_ok(), "every SKU has enough stock");
    }

    let (address_sender, address) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = Arc::clone(&sequencer);
    let server = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = address_sender.send(listener.local_addr()?);
            let stopping = async { stopped.await.unwrap_or_default() };
            serve(listener, served, ServerOptions::on(THREADS), stopping).await
        })
    });
    let address = address.recv().map_err(|_gone| "the server did not start".to_owned())?;

    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let seen = runtime.block_on(async {
        let mut callers = JoinSet::new();
        let end = Instant::now() + BEFORE + AFTER;
        for connection in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
            let channel = endpoint.tcp_nodelay(true).connect().await.expect("the server is there");
            for call in 0..CALLS_EACH {
                let first = u64::from(connection * CALLS_EACH + call);
                callers.spawn(call_until(end, LomsClient::new(channel.clone()), first));
            }
        }
        sleep(BEFORE).await;
        let leap = Instant::now();
        time.fetch_add(LEAP, Ordering::Relaxed);
        let caught_up = sequencer.caught_up();
        caught_up.await;
        let caught_up = leap.elapsed();
        (callers.join_all().await.concat(), leap, caught_up)
    });
    drop(stop);
    let ended = server.join().map_err(|_panic| "the server panicked".to_owned())?;
    ended.map_err(|error| error.to_string())?;
    Ok(seen)
}

fn items(order: u64) -> [Item; 2] {
    let sku = |place: u64| u32::try_from((place % 1_000 + 1) * 1_009).expect("below 2³²");
    [Item { sku: sku(order), count: 1 }, Item { sku: sku(order * 7 + 1), count: 1 }]
}

/// Makes one call after the other until `end`: StocksInfo, OrderInfo, OrderPay, OrderCreate.
async fn call_until(end: Instant, mut loms: LomsClient<Channel>, first: u64) -> Vec<Seen> {
    let mut calls = Vec::new();
    for turn in first.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let order_id = i64::try_from(turn % ORDERS + 1).expect("a million");
        let code = match turn % 4 {
            0 => code(loms.stocks_info(StocksInfoRequest { sku: 1_009 }).await),
            1 => code(loms.order_info(OrderInfoRequest { order_id }).await),
            2 => code(loms.order_pay(OrderPayRequest { order_id }).await),
            _ => {
                let items = items(turn).to_vec();
                let request = OrderCreateRequest { user: 1, items, ..Default::default() };
                code(loms.order_create(request).await)
            }
        };
        calls.push(Seen { start, took: start.elapsed(), code });
        sleep(PAUSE).await;
    }
    calls
}

fn code<T>(answer: Result<T, tonic::Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}
