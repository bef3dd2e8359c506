//! One thread per core. Each worker has its own single-threaded runtime, and a connection stays
//! with the worker that received it. So a call never moves between threads, and its task is woken
//! on the thread that reads its socket.
//!
//! If a worker ends before the stop, the whole server stops: the other workers drain, and the
//! caller gets the reason.

use std::convert::Infallible;
use std::io;
use std::net;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::tokio_stream::StreamExt;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::{error, warn};

use super::drain::{DRAIN, Drained, Stop, Stopped};

/// How long `accept` waits after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on this many threads, one of which is the caller's, until `shutdown` completes and every
/// worker has drained. Drops `stop` when the drain begins.
///
/// # Errors
/// The system has no threads or event queues left, or a worker failed, panicked or ended before
/// the shutdown. The error names the worker and its reason; it is returned after the other workers
/// have drained.
pub async fn serve<S>(
    listener: TcpListener,
    threads: NonZeroUsize,
    service: S,
    stop: Stop,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (first, incoming) = Worker::new();
    let mut workers = vec![first];
    for number in 1..threads.get() {
        let (worker, incoming) = Worker::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (service, stopped, ended) = (service.clone(), stop.stopped(), ended.clone());
        thread::Builder::new().name(format!("loms-{number}")).spawn(move || {
            // The panic is caught only to report it: the worker has ended either way.
            let serving = AssertUnwindSafe(|| runtime.block_on(work(service, incoming, stopped)));
            let result = catch_unwind(serving);
            // There is no receiver if the caller has dropped the future.
            let _ = ended.send(End { number, result });
        })?;
        workers.push(worker);
    }
    let stopped = stop.stopped();
    let own = async move {
        let result = Ok(work(service, incoming, stopped).await);
        let _ = ended.send(End { number: 0, result });
    };
    let supervise = async {
        let early = tokio::select! {
            biased;
            () = shutdown => None,
            never = accept(&listener, &workers) => match never {},
            end = ends.recv() => end,
        };
        drop((listener, workers, stop));
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
async fn work<S>(service: S, incoming: Incoming, stopped: Stopped) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let drain = stopped.clone();
    let incoming = UnboundedReceiverStream::new(incoming)
        .map(|accepted| Connection::open(accepted, drain.clone()));
    let server =
        Server::builder().serve_with_incoming_shutdown(service, incoming, stopped.clone().wait());
    tokio::select! {
        biased;
        served = server => served.map(|()| Drained::Fully).map_err(io::Error::other),
        () = async { stopped.wait().await; sleep(DRAIN).await } => Ok(Drained::CutShort),
    }
}

/// Gives each connection to the worker that has the fewest. With round robin, the short connections
/// of health probes could put all long ones on the same worker.
async fn accept(listener: &TcpListener, workers: &[Worker]) -> Infallible {
    loop {
        match accept_one(listener).await {
            Ok(stream) => {
                let least = workers.iter().min_by_key(|worker| worker.tokens());
                least.expect("the caller's thread is a worker").give(stream);
            }
            // Mostly there is no file descriptor left, and the next attempt would fail at once.
            // A pause lets connections close and leaves time for other work.
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept_one(listener: &TcpListener) -> io::Result<net::TcpStream> {
    let (stream, _peer) = listener.accept().await?;
    // Otherwise a small answer waits until the answer before it is acknowledged.
    stream.set_nodelay(true)?;
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

    /// One more than the number of open connections.
    fn tokens(&self) -> usize {
        Arc::strong_count(&self.open)
    }

    fn give(&self, stream: net::TcpStream) {
        // This fails only when the worker has ended. Then the caller stops as well.
        let _ = self.connections.send(Accepted { stream, token: Arc::clone(&self.open) });
    }
}

/// A connection at its worker.
struct Connection {
    // Dropped before the stream: once a client sees the close, the connection is not counted.
    _token: Arc<()>,
    stream: TcpStream,
    /// Completes when the drain begins; `None` once the client has sent anything.
    silent: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    fn open(Accepted { stream, token }: Accepted, stopped: Stopped) -> io::Result<Self> {
        let silent = Some(Box::pin(stopped.wait()) as _);
        Ok(Self { _token: token, stream: TcpStream::from_std(stream)?, silent })
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    /// A connection on which the client has sent nothing ends when the drain begins. It has no call
    /// to finish, but hyper would wait for its first bytes.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.as_mut().stream().poll_read(cx, buffer);
        let Some(drain) = &mut self.silent else { return read };
        let read = if read.is_pending() { drain.as_mut().poll(cx).map(Ok) } else { read };
        if read.is_ready() {
            self.silent = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
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
