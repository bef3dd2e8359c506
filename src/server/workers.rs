//! One thread per core. Each worker has its own single-threaded runtime, and a connection stays
//! with the worker that received it. So a call never moves between threads, and its task is woken
//! on the thread that reads its socket.
//!
//! If a worker ends before the stop, the whole server stops: the other workers drain, and the
//! caller gets the reason.

use std::convert::Infallible;
use std::io;
use std::net::{self, IpAddr};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tracing::{error, warn};

use super::access::Access;
use super::call::CallKind;
use super::certificate;
use super::connection::{self, Served};
use super::drain::{DRAIN, Drained, Stop, Stopped};
use super::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, Limits};
use super::repeated::Repeated;
use super::socket::Socket;
use super::tls::Tls;

/// How long `accept` waits after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the workers serve.
#[derive(Clone, Debug)]
pub struct Serving<S> {
    /// Number of threads, one of which is the caller's.
    pub threads: NonZeroUsize,
    /// Answers the calls.
    pub service: S,
    /// The kind of a call, by its path.
    pub kind_of: fn(&str) -> CallKind,
    /// What clients can take from the server.
    pub limits: Limits,
    /// Who may call the server.
    pub access: Access,
}

/// Serves until `shutdown` completes and every worker has drained. Drops `stop` when the drain
/// begins.
///
/// # Errors
/// The system has no threads or event queues left, or a worker failed, panicked or ended before
/// the shutdown. The error names the worker and its reason; it is returned after the other workers
/// have drained.
pub async fn serve<S>(
    listener: TcpListener,
    serving: Serving<S>,
    stop: Stop,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Unpin + Send + 'static,
    S::Future: Unpin + Send,
{
    let Serving { threads, service, kind_of, limits, access } = serving;
    let served = Served { service, kind_of, limits, access, guard: None };
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (first, incoming) = Worker::new();
    let mut workers = vec![first];
    for number in 1..threads.get() {
        let (worker, incoming) = Worker::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (served, stopped, ended) = (served.clone(), stop.stopped(), ended.clone());
        thread::Builder::new().name(format!("loms-{number}")).spawn(move || {
            // The panic is caught only to report it: the worker has ended either way.
            let serving = AssertUnwindSafe(|| runtime.block_on(work(served, incoming, stopped)));
            let result = catch_unwind(serving);
            // There is no receiver if the caller has dropped the future.
            let _ = ended.send(End { number, result });
        })?;
        workers.push(worker);
    }
    let stopped = stop.stopped();
    let own = async move {
        let result = Ok(work(served, incoming, stopped).await);
        let _ = ended.send(End { number: 0, result });
    };
    let mut shutdown = Box::pin(shutdown);
    let supervise = async {
        let early = tokio::select! {
            biased;
            () = shutdown.as_mut() => None,
            never = accept(&listener, &workers, limits.max_connections) => match never {},
            end = ends.recv() => end,
        };
        // In this order: who sees that the server stops cannot connect any more.
        drop((listener, workers, shutdown, stop));
        let mut result = early.map_or(Ok(Drained::Fully), |end| Err(end.before_the_stop()));
        if let Err(error) = &result {
            error!(%error, "a worker ended: stopping");
        }
        // Every worker sends its end once, and then drops its sender.
        while let Some(end) = ends.recv().await {
            result = result.and_then(|drained| Ok(drained.max(end.drained()?)));
        }
        result
    };
    let ((), result) = tokio::join!(own, supervise);
    result
}

/// How a worker ended. Worker 0 is on the caller's thread, worker N on the thread `loms-N`.
struct End {
    number: usize,
    result: thread::Result<io::Result<Drained>>,
}

impl End {
    /// The result, or an error that names the worker and the reason.
    fn drained(self) -> io::Result<Drained> {
        let number = self.number;
        match self.result {
            Ok(Ok(drained)) => Ok(drained),
            Ok(Err(error)) => {
                Err(io::Error::new(error.kind(), format!("worker {number} failed: {error}")))
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let text = text.unwrap_or("(no message)");
                Err(io::Error::other(format!("worker {number} panicked: {text}")))
            }
        }
    }

    /// The reason to stop serving, for a worker that ended without a stop.
    fn before_the_stop(self) -> io::Error {
        let number = self.number;
        match self.drained() {
            Ok(_) => io::Error::other(format!("worker {number} ended before the stop")),
            Err(error) => error,
        }
    }
}

/// One worker: serves the connections that it gets until `stopped`, and then until they have
/// drained.
async fn work<S>(served: Served<S>, mut incoming: Incoming, stopped: Stopped) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Unpin + Send + 'static,
    S::Future: Unpin + Send,
{
    let mut connections = JoinSet::new();
    let mut dropped = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            Some(ended) = connections.join_next() => {
                dropped += ended.map_err(io::Error::other)?;
                continue;
            }
            accepted = incoming.recv() => accepted,
        };
        // There are no more once the drain begins.
        let Some(accepted) = accepted else { break };
        let Accepted { stream, token } = accepted;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "a connection cannot be served");
                continue;
            }
        };
        let (mut served, stopped) = (served.clone(), stopped.clone());
        if let Some(tls) = served.access.tls.clone() {
            connections.spawn(serve_tls(tls, stream, token, served, stopped));
        } else {
            served.guard = served.access.guard(ip(&stream), Vec::new());
            let (socket, activity) = Socket::new(stream, token);
            connections.spawn(connection::serve(socket, activity, served, stopped));
        }
    }
    while let Some(ended) = connections.join_next().await {
        dropped += ended.map_err(io::Error::other)?;
    }
    if dropped == 0 {
        return Ok(Drained::Fully);
    }
    warn!(dropped, "calls still in flight after {} s are dropped", DRAIN.as_secs());
    Ok(Drained::CutShort)
}

/// The address of the peer; `None` if it is gone.
fn ip(stream: &TcpStream) -> Option<IpAddr> {
    stream.peer_addr().ok().map(|peer| peer.ip())
}

/// Serves a connection after its TLS handshake.
async fn serve_tls<S>(
    tls: Arc<Tls>,
    stream: TcpStream,
    token: Arc<()>,
    mut served: Served<S>,
    stopped: Stopped,
) -> u32
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Unpin + Send + 'static,
    S::Future: Unpin + Send,
{
    let Some(stream) = tls.accept(stream, stopped.clone()).await else { return 0 };
    let (tcp, session) = stream.get_ref();
    let own = session.peer_certificates().and_then(|certificates| certificates.first());
    let names = own.map(|own| certificate::names(own)).unwrap_or_default();
    served.guard = served.access.guard(ip(tcp), names);
    let (socket, activity) = Socket::new(stream, token);
    connection::serve(socket, activity, served, stopped).await
}

/// Gives each connection to the worker that has the fewest. With round robin, the short connections
/// of health probes could put all long ones on the same worker.
async fn accept(listener: &TcpListener, workers: &[Worker], most: usize) -> Infallible {
    let mut repeated = Repeated::default();
    loop {
        match accept_one(listener).await {
            Ok(stream) => {
                let open: usize = workers.iter().map(Worker::open).sum();
                if open >= most {
                    if let Some(suppressed) = repeated.admit() {
                        warn!(
                            grpc.max_connections = most,
                            suppressed, "a connection is refused: there are too many"
                        );
                    }
                    continue;
                }
                let least = workers.iter().min_by_key(|worker| worker.open());
                least.expect("the caller's thread is a worker").give(stream);
            }
            // Mostly there is no file descriptor left, and the next attempt would fail at once.
            // A pause lets connections close and leaves time for other work.
            Err(error) => {
                if let Some(suppressed) = repeated.admit() {
                    warn!(%error, suppressed, "a connection cannot be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept_one(listener: &TcpListener) -> io::Result<net::TcpStream> {
    let (stream, _peer) = listener.accept().await?;
    // Otherwise a small answer waits until the answer before it is acknowledged.
    stream.set_nodelay(true)?;
    // HTTP/2 also asks whether the client is there, but its question can wait in the socket.
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_INTERVAL).with_interval(KEEPALIVE_TIMEOUT / 2);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    stream.into_std()
}

type Incoming = mpsc::UnboundedReceiver<Accepted>;

/// The sending side of a worker: gives it connections, and counts those that are open.
struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    open: Arc<()>,
}

/// A connection on its way to its worker. Its token exists for as long as the connection is open.
struct Accepted {
    stream: net::TcpStream,
    token: Arc<()>,
}

impl Worker {
    fn new() -> (Self, Incoming) {
        let (connections, incoming) = mpsc::unbounded_channel();
        (Self { connections, open: Arc::new(()) }, incoming)
    }

    /// The number of open connections.
    fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    fn give(&self, stream: net::TcpStream) {
        // This fails only when the worker has ended. Then the caller stops as well.
        let _ = self.connections.send(Accepted { stream, token: Arc::clone(&self.open) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the owner of a socket can read its options.
    #[tokio::test]
    async fn accepted_connection_sends_small_answers_at_once() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        assert!(accept_one(&listener).await?.nodelay()?);
        Ok(())
    }
}
