//! Which thread serves a connection, and what happens when a worker panics.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use loms::sequencer::Sequencer;
use loms::server::{Drained, ServerOptions, serve_calls};
use loms::state_machine::{LomsState, Rules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::logs::Log;
use crate::script::{HandClock, opening};

/// Answers every call with the name of the thread that serves it.
#[derive(Clone)]
struct WhoAmI;

impl Service<Request<Body>> for WhoAmI {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let name = thread::current().name().unwrap_or_default().to_owned();
        Box::pin(ready(Ok(Status::aborted(name).into_http())))
    }
}

/// Serves on three threads.
fn serve<L>(
    listener: TcpListener,
    loms: L,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<io::Result<Drained>>
where
    L: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    L: Service<Request<Body>, Future = BoxFuture<Response<Body>, Infallible>>,
    L: Clone + Unpin + Send + 'static,
{
    let state = LomsState::new(Rules::default(), &opening("1=1/0"), 1);
    let sequencer = Arc::new(Sequencer::new(state, HandClock::new().clock()));
    let three = NonZeroUsize::new(3).unwrap();
    tokio::spawn(serve_calls(listener, sequencer, ServerOptions::on(three), loms, shutdown))
}

async fn connect(address: &str) -> LomsClient<Channel> {
    let channel = Channel::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
    LomsClient::new(channel)
}

/// Opens a connection and closes it, like a health probe. Returns when the server has closed it.
async fn probe(address: &str) {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

async fn thread_of(client: &mut LomsClient<Channel>) -> String {
    client.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap_err().message().to_owned()
}

#[tokio::test]
async fn connection_goes_to_the_worker_with_the_fewest_and_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = serve(listener, WhoAmI, async {
        let _ = stopped.await;
    });
    let own = thread::current().name().unwrap_or_default().to_owned();
    let (mut clients, mut threads) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        for _ in 0..3 {
            let mut client = connect(&address).await;
            threads.push(thread_of(&mut client).await);
            clients.push(client);
        }
        // With round robin, four probes would shift the connections after them by one.
        for _ in 0..4 {
            probe(&address).await;
        }
    }
    let round = [own.as_str(), "loms-1", "loms-2"];
    assert_eq!(threads, [round, round].concat());
    for (client, thread) in clients.iter_mut().zip(&threads) {
        assert_eq!(thread_of(client).await, *thread, "a connection stays on its thread");
    }

    stop.send(()).unwrap();
    assert_eq!(served.await.unwrap().unwrap(), Drained::Fully);
    for client in &mut clients {
        let refused = client.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable, "no thread serves after shutdown");
    }
}

/// A service that one thread cannot clone. tonic clones the service for each connection, outside
/// the connection's own task, so the panic ends the worker. A call waits for `finish`.
struct BrokenOn {
    thread: &'static str,
    begun: mpsc::UnboundedSender<()>,
    finish: Arc<Semaphore>,
}

impl Clone for BrokenOn {
    fn clone(&self) -> Self {
        assert_ne!(thread::current().name(), Some(self.thread), "this clone fails");
        let (begun, finish) = (self.begun.clone(), Arc::clone(&self.finish));
        Self { thread: self.thread, begun, finish }
    }
}

impl Service<Request<Body>> for BrokenOn {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        WhoAmI.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (begun, finish) = (self.begun.clone(), Arc::clone(&self.finish));
        Box::pin(async move {
            let _ = begun.send(());
            let _permit = finish.acquire().await;
            WhoAmI.call(request).await
        })
    }
}

#[tokio::test]
async fn panic_of_a_worker_ends_serve() {
    let log = Log::capture();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (begun, mut calls) = mpsc::unbounded_channel();
    let finish = Arc::new(Semaphore::new(0));
    let broken = BrokenOn { thread: "loms-1", begun, finish: Arc::clone(&finish) };
    let served = serve(listener, broken, std::future::pending());

    // The first connection has a call in flight.
    let channel = Channel::from_shared(address.clone()).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: "loms.LOMS".to_owned() };
    let watch = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    let mut loms = LomsClient::new(channel);
    let mut in_flight = loms.clone();
    let in_flight = tokio::spawn(async move { thread_of(&mut in_flight).await });
    calls.recv().await.unwrap();
    // The second connection goes to worker 1.
    let second = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();

    // Health changes and the watch ends while the call is still in flight.
    let statuses: Vec<_> = watch.map(|answer| answer.unwrap().status()).collect().await;
    assert_eq!(statuses, [ServingStatus::Serving, ServingStatus::NotServing]);
    assert!(!served.is_finished() && !in_flight.is_finished());
    let refused = TcpStream::connect(address.trim_start_matches("http://")).await;
    assert!(refused.is_err(), "no new connections during the drain");
    finish.add_permits(1);
    let own = thread::current().name().unwrap_or_default().to_owned();
    assert_eq!(in_flight.await.unwrap(), own, "the other workers drain");

    let reason = served.await.unwrap().unwrap_err().to_string();
    assert!(reason.starts_with("worker 1 panicked: "), "{reason}");
    assert!(reason.contains("this clone fails"), "{reason}");
    let refused = loms.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "the other workers have stopped");
    let lines = log.lines().join("\n");
    let start = "ERROR loms::server::workers: a worker ended: stopping error=worker 1 panicked: ";
    assert!(lines.starts_with(start), "{lines}");
    drop(second);
}

/// Answers no call, and reports each one.
#[derive(Clone)]
struct Silent(mpsc::UnboundedSender<()>);

impl Service<Request<Body>> for Silent {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        self.0.send(()).unwrap();
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_is_not_answered_is_dropped_after_ten_seconds() {
    let log = Log::capture();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = connect(&format!("http://{}", listener.local_addr().unwrap())).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (begun, mut calls) = mpsc::unbounded_channel();
    let served = serve(listener, Silent(begun), async {
        let _ = stopped.await;
    });
    let call = tokio::spawn(async move { client.stocks_info(StocksInfoRequest { sku: 1 }).await });
    calls.recv().await.unwrap();
    let stopped_at = tokio::time::Instant::now();
    stop.send(()).unwrap();
    assert_eq!(served.await.unwrap().unwrap(), Drained::CutShort);
    assert_eq!(stopped_at.elapsed().as_secs(), 10);
    let expected = [
        "INFO loms::server: stopping: calls in flight have 10 s to finish",
        "WARN loms::server::workers: calls still in flight after 10 s are dropped dropped=1",
    ];
    assert_eq!(log.lines(), expected);
    assert!(call.await.unwrap().is_err());
}
