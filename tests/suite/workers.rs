//! Which thread serves a connection, and what happens when a worker panics.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::thread;

use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use loms::server::{Drained, serve_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Channel;

/// Answers every call with the name of the thread that serves it.
#[derive(Clone)]
struct WhoAmI;

impl Service<Request<Body>> for WhoAmI {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let name = thread::current().name().unwrap_or_default().to_owned();
        ready(Ok(Status::aborted(name).into_http()))
    }
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
    let three = NonZeroUsize::new(3).unwrap();
    let served = tokio::spawn(serve_on(listener, three, WhoAmI, async {
        let _ = stopped.await;
    }));
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
/// the connection's own task, so the panic ends the worker.
struct BrokenOn(&'static str);

impl Clone for BrokenOn {
    fn clone(&self) -> Self {
        assert_ne!(thread::current().name(), Some(self.0), "this clone fails");
        Self(self.0)
    }
}

impl Service<Request<Body>> for BrokenOn {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        WhoAmI.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        WhoAmI.call(request)
    }
}

#[tokio::test]
async fn panic_of_a_worker_ends_serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let three = NonZeroUsize::new(3).unwrap();
    let never = std::future::pending();
    let served = tokio::spawn(serve_on(listener, three, BrokenOn("loms-1"), never));
    let mut first = connect(&address).await;
    thread_of(&mut first).await;
    // The second connection goes to worker 1.
    let second = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();

    let reason = served.await.unwrap().unwrap_err().to_string();
    assert!(reason.starts_with("worker 1 panicked: "), "{reason}");
    assert!(reason.contains("this clone fails"), "{reason}");
    let refused = first.stocks_info(StocksInfoRequest { sku: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "the other workers have stopped");
    drop(second);
}
