//! Attacks by calls of a correct client: many, large, cancelled, or never complete.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;
use loms::client::{Credentials, code_name};
use loms::grpc::proto::{Item, OrderCreateRequest, OrderCreateResponse, StocksInfoRequest};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Code;

use super::attacker::Attacker;
use super::frames;
use crate::load::connection::{Connection, Destination};
use crate::load::loops::{LoopMode, ThreadConfig};
use crate::load::mix::{CallKind, Mix};
use crate::load::order_log::OrderGenerator;
use crate::load::schedule::Timer;

/// How many creates of unknown SKUs one attack makes, and how many lines each has.
const CREATES: u32 = 5_000;
const LINES: u32 = 1_000;

/// How many calls are in flight on the connection of an attack with large messages.
const IN_FLIGHT: u32 = 32;

/// How many calls a burst begins and cancels, and how many calls follow it.
const BURST: usize = 200;
const CALLS_AFTER: usize = 20;

/// A burst begins this long after the one before it: 20 bursts in the whole attack.
const BETWEEN_BURSTS: Duration = Duration::from_millis(250);

/// How long such a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A call that has not ended.
type Open = (ResponseFuture, SendStream<Bytes>);

/// Messages of 60 KB that never end, as far as the limits of streams and connections allow.
pub(crate) async fn open_bodies(attacker: Rc<Attacker>) {
    // The message is 200 bytes longer.
    let announced = [&[0, 0, 0, 0xEB, 0x28][..], &[0; 60_000]].concat();
    let message = Bytes::from(announced);
    let mut open = Vec::new();
    for _ in 0..64 {
        let Some(mut client) = connect(&attacker).await else { break };
        for _ in 0..250 {
            let Ok(ready) = client.ready().await else { break };
            client = ready;
            let Some((answer, mut body)) = begin(&mut client) else { break };
            // This fails once the server has refused the call.
            let _ = body.send_data(message.clone(), false);
            open.push((answer, body));
            let Ok(next) = client.clone().ready().await else { break };
            client = next;
        }
        attacker.counts.borrow_mut().bytes += 250 * 60_000;
    }
    sleep_until(attacker.until).await;
}

/// Shoppers hang up: calls are cancelled in bursts. Other calls of the connection must not fail.
pub(crate) async fn hang_ups(attacker: Rc<Attacker>) {
    let Some(mut client) = connect(&attacker).await else { return };
    while attacker.goes_on() {
        let (next, limit) = (Instant::now() + BETWEEN_BURSTS, Instant::now() + TIMEOUT);
        let cancelled = async {
            let mut open: Vec<Open> = Vec::new();
            for _ in 0..BURST {
                client = client.clone().ready().await?;
                open.extend(begin(&mut client));
            }
            for (_answer, body) in &mut open {
                body.send_reset(Reason::CANCEL);
            }
            drop(open);
            for _ in 0..CALLS_AFTER {
                client = client.clone().ready().await?;
                let (answer, mut body) = client.send_request(post(CallKind::Stock), false)?;
                let request = frames::message(&StocksInfoRequest { sku: 1 });
                body.send_data(request.into(), true)?;
                let mut answer = answer.await?.into_body();
                while answer.data().await.transpose()?.is_some() {}
                attacker.counts.borrow_mut().ended += 1;
            }
            Ok::<_, h2::Error>(())
        };
        let problem = match timeout_at(limit, cancelled).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a call beside cancelled ones failed: {error}")),
            Err(_elapsed) => Some("a call beside cancelled ones gets no answer".to_owned()),
        };
        if let Some(problem) = problem {
            attacker.counts.borrow_mut().failures.push(problem);
            return;
        }
        sleep_until(next.min(attacker.until)).await;
    }
}

/// One connection with 10,000 calls in flight.
pub(crate) async fn in_flight(attacker: Rc<Attacker>) {
    let Some(connection) = dial(&attacker).await else { return };
    let calls = Arc::default();
    let config = ThreadConfig {
        mode: LoopMode::Closed { concurrency: 10_000 },
        thread: 0,
        threads: 1,
        warm_up: Duration::ZERO,
        duration: attacker.until.duration_since(Instant::now()),
        timeout: TIMEOUT,
        mix: Mix::from_str("stock=1").expect("a mix"),
        generator: Arc::new(OrderGenerator { skus: vec![1], lines: 1, seed: 1, keys: false }),
        calls,
    };
    let (_stop, stopped) = watch::channel(false);
    let result = config.run(&[connection], Instant::now(), stopped, Timer::Coarse).await;
    let codes = result.stats.all().codes;
    for (code, count) in (0..).map(Code::from_i32).zip(codes).filter(|(_, count)| *count > 0) {
        let mut counts = attacker.counts.borrow_mut();
        counts.ended += count;
        counts.bytes += count * 200;
        counts.said.insert(code_name(code).to_owned(), count);
    }
}

/// Messages of items that have no fields: two bytes each, which take much more in memory.
pub(crate) async fn empty_items(attacker: Rc<Attacker>) {
    let items = vec![Item::default(); 30_000];
    let request = OrderCreateRequest { user: 1, items, idempotency_key: String::new() };
    create(&attacker, None, move |_number| request.clone()).await;
}

/// Creates that fail because none of their SKUs exists. The server stores them nevertheless.
pub(crate) async fn unknown_skus(attacker: Rc<Attacker>) {
    create(&attacker, NonZeroU32::new(CREATES), |number| {
        let skus = (0..LINES).map(|line| 1_000_000 + number % 1_000 * LINES + line);
        let items = skus.map(|sku| Item { sku, count: 1 }).collect();
        OrderCreateRequest { user: 1, items, idempotency_key: String::new() }
    })
    .await;
}

/// Makes creates, until the attack ends or there were as many as `most`.
async fn create(
    attacker: &Rc<Attacker>,
    most: Option<NonZeroU32>,
    request: impl Fn(u32) -> OrderCreateRequest + 'static,
) {
    let Some(connection) = dial(attacker).await else { return };
    let request = Rc::new(request);
    let most = most.map_or(u32::MAX, NonZeroU32::get);
    let mut calls = JoinSet::new();
    for first in 0..IN_FLIGHT {
        let (attacker, connection) = (Rc::clone(attacker), Rc::clone(&connection));
        let request = Rc::clone(&request);
        let step = usize::try_from(IN_FLIGHT).expect("a few calls");
        calls.spawn_local(async move {
            for number in (first..most).step_by(step) {
                if !attacker.goes_on() {
                    break;
                }
                let request = request(number);
                let answer =
                    connection.call::<OrderCreateResponse>(CallKind::Create, &request).await;
                let code = answer.err().unwrap_or(Code::Ok);
                let mut counts = attacker.counts.borrow_mut();
                counts.ended += 1;
                counts.bytes += u64::try_from(prost::Message::encoded_len(&request))
                    .expect("a length fits in 64 bits");
                counts.say(code_name(code).to_owned());
            }
        });
    }
    let all = async { while calls.join_next().await.is_some() {} };
    // Calls that are still in flight are cancelled.
    let _ = timeout_at(attacker.until + TIMEOUT, all).await;
    sleep_until(attacker.until).await;
}

/// A connection of the load tool.
async fn dial(attacker: &Attacker) -> Option<Rc<Connection>> {
    let address = format!("http://{}", attacker.to);
    let to = Destination::new(&address, &Credentials::default()).expect("an address is valid");
    match Connection::connect(to).await {
        Ok(connection) => {
            attacker.counts.borrow_mut().connections += 1;
            Some(connection)
        }
        Err(_refused) => {
            attacker.counts.borrow_mut().refused += 1;
            None
        }
    }
}

/// A connection that holds calls open.
async fn connect(attacker: &Rc<Attacker>) -> Option<SendRequest<Bytes>> {
    let socket = attacker.dial().await?;
    let Ok((client, connection)) = h2::client::handshake(socket).await else {
        attacker.counts.borrow_mut().refused += 1;
        return None;
    };
    let attacker = Rc::clone(attacker);
    spawn_local(async move {
        let end = connection.await;
        let mut counts = attacker.counts.borrow_mut();
        counts.disconnected += 1;
        if let Err(error) = end {
            counts.say(error.to_string());
        }
    });
    Some(client)
}

fn post(kind: CallKind) -> Request<()> {
    let request = Request::post(format!("http://loms{}", kind.path()));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(()).expect("the parts are correct")
}

/// Begins a create.
fn begin(client: &mut SendRequest<Bytes>) -> Option<Open> {
    client.send_request(post(CallKind::Create), false).ok()
}
