//! Serving: the service with its health and reflection, from a listener that it is handed until a
//! shutdown that it is told.

mod workers;

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tracing::{info, warn};

use crate::grpc::proto::FILE_DESCRIPTOR_SET;
use crate::grpc::proto::loms_server::LomsServer;
use crate::grpc::service::{LomsService, ServiceOptions};
use crate::sequencer::Sequencer;
pub use workers::serve as serve_on;

/// How long calls in flight may take to finish once the shutdown has been told.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The largest request that is read, in bytes: gRPC's own default. An order of 1,000 lines has
/// less than 16 KiB.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// How a server that did start came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drained {
    /// Every call in flight was answered.
    Fully,
    /// Some had to be dropped after [`DRAIN`].
    CutShort,
}

/// Serves on this many threads, of which the caller's is one, until `shutdown`; then health turns
/// NOT_SERVING, no new call is taken, and calls in flight have [`DRAIN`] to finish. Orders expire
/// on time meanwhile, calls or no calls.
///
/// # Errors
/// Health or reflection could not be set up, the system gives no threads, or serving failed.
pub async fn serve(
    listener: TcpListener,
    threads: NonZeroUsize,
    sequencer: Arc<Sequencer>,
    options: ServiceOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained> {
    let (mut health, health_service) = health_reporter();
    health.set_serving::<LomsServer<LomsService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(io::Error::other)?;
    let loms = LomsServer::new(LomsService::new(Arc::clone(&sequencer), options))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let others = Routes::new(health_service).add_service(reflection).prepare();

    let stopping = async move {
        shutdown.await;
        info!("stopping: calls in flight have {} s to finish", DRAIN.as_secs());
        end_health(&mut health).await;
    };
    tokio::select! {
        biased;
        served = serve_on(listener, threads, Services { loms, others }, stopping) => {
            if let Ok(Drained::CutShort) = served {
                warn!("calls still in flight after {} s are dropped", DRAIN.as_secs());
            }
            served
        }
        never = expire_on_time(&sequencer) => match never {},
    }
}

/// All that is served. Calls of a cart go straight to their service, past the router that the
/// others stand behind.
#[derive(Clone)]
struct Services {
    loms: LomsServer<LomsService>,
    others: Routes,
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither ever makes a caller wait.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().strip_prefix('/');
        match path.and_then(|path| path.strip_prefix(LomsServer::<LomsService>::NAME)) {
            Some(method) if method.starts_with('/') => self.loms.call(request),
            Some(_) | None => Box::pin(self.others.call(request)),
        }
    }
}

/// Tells whoever asks or watches that nothing is served any more, and lets go of the watchers: a
/// watch is a call in flight that would never finish by itself.
async fn end_health(health: &mut HealthReporter) {
    for service in ["", LomsServer::<LomsService>::NAME] {
        health.set_service_status(service, ServingStatus::NotServing).await;
        health.clear_service_status(service).await;
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
}

/// Wakes the machine when it wants to be woken. Between the steps of a backlog calls have their
/// turn, on this thread too.
async fn expire_on_time(sequencer: &Sequencer) -> Infallible {
    loop {
        match sequencer.tick() {
            Some(Duration::ZERO) => yield_now().await,
            Some(wait) => tokio::select! {
                () = sleep(wait) => {}
                () = sequencer.tick_needed() => {}
            },
            None => sequencer.tick_needed().await,
        }
    }
}
