//! The server under load: real sockets, real threads, and clients that compete for the same orders
//! and SKUs.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use loms::grpc::proto::loms_client::LomsClient;
use loms::sequencer::Sequencer;
use loms::server::{Drained, ServerOptions, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::history::CallRecord;
use crate::check::subject::Subject;
use crate::layers::service::{ManualClock, options};
use crate::layers::wire;
use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::rng::{Domain, Draws, Purpose, Weights};
use crate::plan::{Key, KeyText, Kind, Op, Step, Target};
use crate::progress::{self, Hung};

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
    /// The number of clients that share a connection.
    sharing: u32,
    /// The server stops at this logical time, and otherwise after the last call.
    stop_at: u64,
}

impl Load {
    /// Four SKUs, some of them scarce; orders expire after 3,000 commands and keys after 5,000.
    pub(crate) fn busy(clients: u32, calls: u32, seed: u64) -> Self {
        let stock = vec![(1, 1 << 32, 0), (2, 5_000, 70), (3, 40, 10), (4, 3, 0)];
        let sizes = ContainerSizes::Shipped;
        let world = World {
            stock,
            payment_timeout: 3_000,
            idempotency_window: 5_000,
            max_lines: 4,
            limits: Limits::default(),
            sizes,
        };
        Self { world, clients: clients.max(1), calls, seed, sharing: 1, stop_at: u64::MAX }
    }

    /// The same without expiry.
    pub(crate) fn short(clients: u32, calls: u32, seed: u64) -> Self {
        let mut load = Self::busy(clients, calls, seed);
        (load.world.payment_timeout, load.world.idempotency_window) = (0, u64::MAX);
        load
    }

    /// The same as [`busy`](Self::busy), until the server stops at this logical time. Four clients
    /// share each connection.
    pub(crate) fn stopped_at(clients: u32, stop_at: u64, seed: u64) -> Self {
        Self { sharing: 4, stop_at, ..Self::busy(clients, u32::MAX, seed) }
    }
}

/// The result.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The world.
    pub(crate) world: World,
    /// All calls, client by client.
    pub(crate) history: Vec<CallRecord>,
    /// How the server ended.
    pub(crate) drained: Drained,
    /// The server's state after its end.
    pub(crate) sequencer: Arc<Sequencer>,
    /// For each connection: each watch of the server's health, until the connection ended.
    pub(crate) watches: Vec<Vec<Vec<ServingStatus>>>,
}

/// Shared by the clients.
#[derive(Debug)]
struct Shared {
    /// Logical clock: counts requests and replies.
    logical_clock: AtomicU64,
    /// The highest order id seen so far.
    newest: AtomicI64,
    /// Stops the server when it is dropped.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    stop_at: u64,
    /// The call of each client that waits for its answer.
    open: Mutex<BTreeMap<u32, CallRecord>>,
}

impl Shared {
    /// The next logical time. Stops the server if its time has come.
    fn next_time(&self) -> u64 {
        let now = self.logical_clock.fetch_add(1, Ordering::SeqCst);
        if now == self.stop_at {
            self.stop();
        }
        now
    }

    fn stop(&self) {
        drop(lock(&self.stop).take());
    }

    /// The watchdog's report: the calls without an answer.
    fn hung(&self, clients: u32) -> Hung {
        const SHOWN: usize = 20;
        let open = lock(&self.open);
        let calls = open.len();
        let mut plan =
            format!("{calls} calls have no answer, of {clients} clients; the first of them:\n");
        for call in open.values().take(SHOWN) {
            plan.push_str(&format!("  {}\n", call.line()));
        }
        Hung { what: "concurrent calls".to_owned(), plan, again: None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}

/// Four, so that calls reach the state machine from several threads on every host.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// Runs the server and the clients.
///
/// # Errors
/// A socket or a thread cannot be created, or the server fails.
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
        let service = options(&load.world);
        let options = ServerOptions { service, ..ServerOptions::on(THREADS) };
        let server = tokio::spawn(serve(listener, Arc::clone(&sequencer), options, async {
            // A dropped sender also stops the server.
            let _ = stopped.await;
        }));
        let shared = Arc::new(Shared {
            logical_clock: AtomicU64::default(),
            newest: AtomicI64::default(),
            stop: Mutex::new(Some(stop)),
            stop_at: load.stop_at,
            open: Mutex::default(),
        });
        let (watched, clients) = (Arc::clone(&shared), load.clients);
        let _watched = progress::stage(move || watched.hung(clients));
        let (mut running, mut watching) = (Vec::new(), Vec::new());
        let clients: Vec<u32> = (0..load.clients).collect();
        let sharing = usize::try_from(load.sharing).expect("usize has at least 32 bits");
        let mut connected = Vec::new();
        for clients in clients.chunks(sharing) {
            let channel = connect(&address).await?;
            let watch = begin_watch(&channel).await.map_err(io::Error::other)?;
            connected.push((clients, channel, watch));
        }
        for (clients, channel, watch) in connected {
            watching.push(tokio::spawn(watch_health(channel.clone(), watch)));
            for &client in clients {
                let (load, channel, shared) = (load.clone(), channel.clone(), Arc::clone(&shared));
                running.push(tokio::spawn(calls(load, client, channel, shared)));
            }
        }
        let mut history = Vec::new();
        for client in running {
            history.extend(client.await.map_err(io::Error::other)?);
        }
        shared.stop();
        let drained = server.await.map_err(io::Error::other)??;
        let mut watches = Vec::new();
        for watch in watching {
            watches.push(watch.await.map_err(io::Error::other)??);
        }
        Ok(Run { world: load.world.clone(), history, drained, sequencer, watches })
    })
}

async fn connect(address: &str) -> io::Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(io::Error::other)?;
    endpoint.tcp_nodelay(true).connect().await.map_err(io::Error::other)
}

async fn begin_watch(channel: &Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let request = HealthCheckRequest { service: "loms.LOMS".to_owned() };
    HealthClient::new(channel.clone()).watch(request).await.map(Response::into_inner)
}

/// All answers of this watch of the server's health and of the watches after it. Like a load
/// balancer, it begins again when a watch ends, until the connection has ended.
async fn watch_health(
    channel: Channel,
    mut watch: Streaming<HealthCheckResponse>,
) -> io::Result<Vec<Vec<ServingStatus>>> {
    let mut watches = Vec::new();
    loop {
        let mut statuses = Vec::new();
        while let Some(answer) = watch.message().await.map_err(io::Error::other)? {
            statuses.push(answer.status());
        }
        watches.push(statuses);
        watch = match begin_watch(&channel).await {
            Ok(watch) => watch,
            // Made by the client, because the connection has ended.
            Err(status) if status.source().is_some() => return Ok(watches),
            Err(status) => return Err(io::Error::other(status)),
        };
    }
}

/// All calls of one client. The first call without a reply is the last one.
async fn calls(load: Load, client: u32, channel: Channel, shared: Arc<Shared>) -> Vec<CallRecord> {
    let mut rpc = LomsClient::new(channel);
    let mut draws = Draws::new(load.seed, Domain::Commands);
    // The first clients make one call more, if the calls cannot be divided evenly.
    let calls = load.calls.saturating_sub(client).div_ceil(load.clients);
    let mut history = Vec::new();
    for number in 1..=calls {
        draws.turn_to(u64::from(client) << 32 | u64::from(number));
        let newest = shared.newest.load(Ordering::SeqCst);
        let (mut step, order) = draw(&mut draws, newest);
        step.number = number;
        step.client = u8::try_from(client % 256).expect("a remainder of 256 fits");
        let reply = wire::Reply::Nothing("none yet".to_owned());
        let received = wire::Received { index: None, reply };
        let mut entry = CallRecord { step, order, invoked: 0, returned: 0, received };
        entry.returned = u64::MAX;
        entry.invoked = shared.next_time();
        lock(&shared.open).insert(client, entry.clone());
        let mut buffer = KeyText::default();
        let received = wire::call(&mut rpc, entry.call(&mut buffer)).await;
        entry.returned = shared.next_time();
        progress::step(number);
        lock(&shared.open).remove(&client);
        if let wire::Reply::Created { order, .. } = received.reply {
            shared.newest.fetch_max(order, Ordering::SeqCst);
        }
        let ended = matches!(received.reply, wire::Reply::Nothing(_));
        if ended {
            entry.returned = u64::MAX;
        }
        entry.received = received;
        history.push(entry);
        if ended {
            break;
        }
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
            Op::Create { user, key: Key::named(name) }
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
