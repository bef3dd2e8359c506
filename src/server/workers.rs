//! A thread a core: each worker has a single-threaded runtime of its own, and a connection stays
//! with the worker that it was handed to. So a call never moves between threads, and its task is
//! woken where its socket is.

use std::convert::Infallible;
use std::io;
use std::net;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::tokio_stream::StreamExt;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

use super::{DRAIN, Drained};

/// How long nothing is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on this many threads, of which the caller's is one, until `stopping` is over and every
/// worker has drained.
///
/// # Errors
/// The system gives no threads or event queues, or serving failed.
pub async fn serve<S>(
    listener: TcpListener,
    threads: NonZeroUsize,
    service: S,
    stopping: impl Future<Output = ()> + Send,
) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    // Dropping `stop` is the sign, so that the workers end too where the caller goes away.
    let (stop, stopped) = watch::channel(());
    let (first, incoming) = Worker::new();
    let mut workers = vec![first];
    let mut results = Vec::new();
    for number in 1..threads.get() {
        let (worker, incoming) = Worker::new();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (service, stopped) = (service.clone(), stopped.clone());
        let (tell, result) = oneshot::channel();
        thread::Builder::new().name(format!("loms-{number}")).spawn(move || {
            // Where the caller has gone away nobody asks.
            let _ = tell.send(runtime.block_on(work(service, incoming, stopped)));
        })?;
        workers.push(worker);
        results.push(result);
    }
    let accepting = async {
        tokio::select! {
            biased;
            () = stopping => {}
            never = accept(&listener, &workers) => match never {},
        }
        drop((listener, workers, stop));
    };
    let (served, ()) = tokio::join!(work(service, incoming, stopped), accepting);
    let mut drained = served?;
    for result in results {
        let other = result.await.map_err(|_gone| io::Error::other("a worker has gone"))??;
        drained = drained.max(other);
    }
    Ok(drained)
}

/// One worker's part: serves the connections that it is handed until `stopped`, and then until
/// they have drained.
async fn work<S>(
    service: S,
    incoming: Incoming,
    stopped: watch::Receiver<()>,
) -> io::Result<Drained>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let incoming = UnboundedReceiverStream::new(incoming).map(Connection::open);
    let server = Server::builder().serve_with_incoming_shutdown(
        service,
        incoming,
        until_dropped(stopped.clone()),
    );
    tokio::select! {
        biased;
        served = server => served.map(|()| Drained::Fully).map_err(io::Error::other),
        () = async { until_dropped(stopped).await; sleep(DRAIN).await } => Ok(Drained::CutShort),
    }
}

async fn until_dropped(mut stopped: watch::Receiver<()>) {
    // Nothing is ever sent: an error is what ends the wait.
    let _ = stopped.changed().await;
}

/// Hands each connection to the worker that has the fewest, so that the short visits of a health
/// probe do not drive all lasting connections to the same one.
async fn accept(listener: &TcpListener, workers: &[Worker]) -> Infallible {
    loop {
        let accepted = async {
            let (stream, _peer) = listener.accept().await?;
            // Without it small answers wait for the acknowledgement of the ones before.
            stream.set_nodelay(true)?;
            stream.into_std()
        };
        match accepted.await {
            Ok(stream) => {
                let least = workers.iter().min_by_key(|worker| worker.connections());
                least.expect("the caller's thread is a worker").hand(stream);
            }
            // What could not be accepted is mostly so for want of file descriptors, and would be
            // tried again, and fail again, without end: a pause lets connections close and leaves
            // time for other work.
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type Incoming = mpsc::UnboundedReceiver<Handed>;

/// The door of a worker, and how many came through it who have not left yet.
struct Worker {
    door: mpsc::UnboundedSender<Handed>,
    open: Arc<()>,
}

/// A connection on its way to its worker. The token is counted for as long as it is open.
struct Handed {
    stream: net::TcpStream,
    token: Arc<()>,
}

impl Worker {
    fn new() -> (Self, Incoming) {
        let (door, incoming) = mpsc::unbounded_channel();
        (Self { door, open: Arc::new(()) }, incoming)
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.open)
    }

    fn hand(&self, stream: net::TcpStream) {
        // A worker that takes no more is about to stop, and so is the caller.
        let _ = self.door.send(Handed { stream, token: Arc::clone(&self.open) });
    }
}

/// A connection at its worker.
struct Connection {
    // Let go of before the stream: whoever sees it closed can count on it not being counted.
    _open: Arc<()>,
    stream: TcpStream,
}

impl Connection {
    fn open(Handed { stream, token }: Handed) -> io::Result<Self> {
        Ok(Self { _open: token, stream: TcpStream::from_std(stream)? })
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
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
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
