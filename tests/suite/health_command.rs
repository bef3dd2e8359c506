//! `loms health`: its output and its exit codes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::client_commands::loms;

/// A server that is serving from this check on.
#[derive(Clone)]
struct Starting {
    first: usize,
    checks: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Health for Starting {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        assert_eq!(request.get_ref().service, "loms.LOMS");
        let check = self.checks.fetch_add(1, Ordering::SeqCst) + 1;
        let is_serving = check >= self.first;
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not used"))
    }
}

/// Asks a server that is serving from this check on. Returns the exit code, stdout and stderr, and
/// the number of checks.
async fn ask(first: usize, arguments: &str) -> (i32, String, String, usize) {
    let server = Starting { first, checks: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let health = HealthServer::new(server.clone());
    let serving = tonic::transport::Server::builder().add_service(health);
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.extend(["--address", &address]);
    let (code, stdout, stderr) = loms(&arguments).await;
    (code, stdout, stderr, server.checks.load(Ordering::SeqCst))
}

#[tokio::test]
async fn health_prints_the_status_once() {
    let answer = |code, stdout: &str| (code, stdout.to_owned(), String::new(), 1);
    assert_eq!(ask(1, "health").await, answer(0, "SERVING\n"));
    assert_eq!(ask(2, "health").await, answer(1, "NOT_SERVING\n"));
    assert_eq!(ask(1, "health --json").await, answer(0, "{\"status\":\"SERVING\"}\n"));
    assert_eq!(ask(2, "health --json").await, answer(1, "{\"status\":\"NOT_SERVING\"}\n"));
}

#[tokio::test]
async fn wait_ends_when_the_server_is_serving() {
    let (code, stdout, stderr, checks) = ask(3, "health --wait").await;
    assert_eq!((code, &*stdout, &*stderr, checks), (0, "SERVING\n", "", 3));
}

#[tokio::test]
async fn wait_ends_at_its_time_limit() {
    let (code, stdout, stderr, _) = ask(usize::MAX, "health --wait --timeout 300ms").await;
    assert_eq!((code, &*stdout, &*stderr), (1, "NOT_SERVING\n", ""));
}

#[tokio::test]
async fn unreachable_server_is_not_healthy() {
    // Bound, so that no other process gets the port. Not listening, so that it refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    for arguments in [&["health"][..], &["health", "--wait", "--timeout", "250ms"]] {
        let (code, stdout, stderr) = loms(&[arguments, &["--address", &address]].concat()).await;
        assert_eq!((code, &*stdout, stderr.lines().count()), (1, "", 1), "{stderr}");
        let named = format!("loms: http://{address}: ");
        assert!(stderr.starts_with(&named), "{stderr}");
        assert!(stderr.contains("unreachable after ") || arguments.len() > 1, "{stderr}");
    }
}
