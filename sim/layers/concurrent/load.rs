//! The server under load: real sockets, real threads, and clients that compete for the same orders
//! and SKUs.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use loms::grpc::proto::loms_client::LomsClient;
use loms::sequencer::Sequencer;
use loms::server::serve;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use super::history::CallRecord;
use crate::check::subject::Subject;
use crate::layers::service::{ManualClock, options};
use crate::layers::wire;
use crate::model::{ContainerSizes, World};
use crate::plan::rng::{Domain, Draws, Purpose, Weights};
use crate::plan::{Key, KeyText, Kind, Op, Step, Target};

/// The server's clock is fixed at this time, so the sequencer gives command N the time of N
/// nanoseconds later: 2026-01-01.
pub(crate) const START: u64 = 1_767_225_600_000_000_000;

/// The load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    world: World,
    clients: u32,
    calls: u32,
    seed: u64,
}

impl Load {
    /// Four SKUs, some of them scarce; orders expire after 3,000 commands and keys after 5,000.
    pub(crate) fn busy(clients: u32, calls: u32, seed: u64) -> Self {
        let stock = vec![(1, 1 << 32, 0), (2, 5_000, 70), (3, 40, 10), (4, 3, 0)];
        let sizes = ContainerSizes::Shipped;
        let world =
            World { stock, payment_timeout: 3_000, idempotency_window: 5_000, max_lines: 4, sizes };
        Self { world, clients: clients.max(1), calls, seed }
    }

    /// The same without expiry.
    pub(crate) fn short(clients: u32, calls: u32, seed: u64) -> Self {
        let mut load = Self::busy(clients, calls, seed);
        (load.world.payment_timeout, load.world.idempotency_window) = (0, u64::MAX);
        load
    }
}

/// The result.
#[derive(Debug)]
pub(crate) struct Run {
    /// The world.
    pub(crate) world: World,
    /// All calls, client by client.
    pub(crate) history: Vec<CallRecord>,
}

/// Shared by the clients.
#[derive(Debug, Default)]
struct Shared {
    /// Logical clock: counts requests and replies.
    logical_clock: AtomicU64,
    /// The highest order id seen so far.
    newest: AtomicI64,
}

/// Two, so that calls reach the state machine from several threads on every host.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Runs the server and the clients.
///
/// # Errors
/// A socket or a thread cannot be created.
pub(crate) fn run(load: &Load) -> io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock = ManualClock::default();
        clock.set(START);
        let state = Subject::open(&load.world).state;
        let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let options = options(&load.world);
        let server = tokio::spawn(serve(listener, THREADS, sequencer, options, async {
            // A dropped sender also stops the server.
            let _ = stopped.await;
        }));
        let shared = Arc::new(Shared::default());
        let mut running = Vec::new();
        for client in 0..load.clients {
            let channel = Endpoint::from_shared(address.clone())
                .map_err(io::Error::other)?
                .tcp_nodelay(true)
                .connect()
                .await
                .map_err(io::Error::other)?;
            running.push(tokio::spawn(calls(load.clone(), client, channel, Arc::clone(&shared))));
        }
        let mut history = Vec::new();
        for client in running {
            history.extend(client.await.map_err(io::Error::other)?);
        }
        drop(stop);
        server.await.map_err(io::Error::other)??;
        Ok(Run { world: load.world.clone(), history })
    })
}

/// All calls of one client.
async fn calls(load: Load, client: u32, channel: Channel, shared: Arc<Shared>) -> Vec<CallRecord> {
    let mut rpc = LomsClient::new(channel);
    let mut draws = Draws::new(load.seed, Domain::Commands);
    let calls = (load.calls + load.clients - 1 - client) / load.clients;
    let mut history = Vec::new();
    for number in 1..=calls {
        draws.turn_to(u64::from(client) << 32 | u64::from(number));
        let newest = shared.newest.load(Ordering::SeqCst);
        let (mut step, order) = draw(&mut draws, newest);
        step.number = number;
        step.client = u8::try_from(client % 256).expect("a remainder of 256 fits");
        let received = wire::Received { index: None, reply: wire::Reply::Done };
        let mut entry = CallRecord { step, order, invoked: 0, returned: 0, received };
        entry.invoked = shared.logical_clock.fetch_add(1, Ordering::SeqCst);
        let mut buffer = KeyText::default();
        let received = wire::call(&mut rpc, entry.call(&mut buffer)).await;
        entry.returned = shared.logical_clock.fetch_add(1, Ordering::SeqCst);
        if let wire::Reply::Created { order, .. } = received.reply {
            shared.newest.fetch_max(order, Ordering::SeqCst);
        }
        entry.received = received;
        history.push(entry);
    }
    history
}

/// A call and its order: one of the newest, so that clients compete.
fn draw(draws: &mut Draws, newest: i64) -> (Step, i64) {
    let mut draw = draws.draw(Purpose::TARGET);
    let order = match draw.below(64) {
        0 => 0,
        1 => i64::MAX,
        _ => newest - i64::try_from(draw.below(6)).expect("below 6"),
    };
    let mut draw = draws.draw(Purpose::KIND);
    let weights = Weights::new([35, 20, 15, 15, 15, 0]);
    let kind = Kind::ALL[draw.weighted(&weights)];
    let mut step = Step::default();
    let target = Target::Id(order);
    step.op = match kind {
        Kind::Create => {
            let mut draw = draws.draw(Purpose::KEY);
            let (user, name) = (draw.below(50), draw.below(24));
            let user = i64::try_from(user % 4).expect("below 4");
            let name = if name < 8 { u32::try_from(name).expect("below 8") } else { 0 };
            for line in 0..=draw.below(3) {
                let line = u16::try_from(line).expect("a few lines");
                let mut draw = draws.draw(Purpose::line_sku(line));
                let sku = u32::try_from(1 + draw.below(5)).expect("below 6");
                let count = u32::try_from(draw.below(5)).expect("below 5");
                step.items.push((sku, count.max(u32::from(draw.chance(15, 16)))));
            }
            Op::Create { user, key: Key { name, length: 0 } }
        }
        Kind::Info => Op::Info(target),
        Kind::Pay => Op::Pay(target),
        Kind::Cancel => Op::Cancel(target),
        Kind::Stock | Kind::Tick | Kind::Rules => {
            let sku = draws.draw(Purpose::SKU).below(6);
            Op::Stock(u32::try_from(sku).expect("below 6"))
        }
    };
    (step, order)
}
