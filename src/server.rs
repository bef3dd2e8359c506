//! Serves LOMS with health and reflection. The caller provides the listener and the shutdown.

mod drain;
mod health;
mod workers;

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tracing::{info, warn};

use crate::grpc::proto::FILE_DESCRIPTOR_SET;
use crate::grpc::proto::loms_server::LomsServer;
use crate::grpc::service::{LomsService, ServiceOptions};
use crate::sequencer::Sequencer;
pub use drain::{DRAIN, Drained, Stop};
use health::ServerHealth;
pub use workers::serve as serve_on;

/// The largest request that is read, in bytes: the default of gRPC. An order of 1,000 lines has
/// less than 16 KiB.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Serves on this many threads, one of which is the caller's, until `shutdown` completes. Then
/// health becomes NOT_SERVING, no new call is accepted, and calls in flight have [`DRAIN`] to
/// finish. During all this, orders expire on time, with or without calls.
///
/// The same happens when a worker ends before the shutdown, except that the result is an error.
///
/// # Errors
/// Reflection could not be set up, the system has no threads left, or a worker ended before the
/// shutdown. The error names the worker and its reason.
pub async fn serve(
    listener: TcpListener,
    threads: NonZeroUsize,
    sequencer: Arc<Sequencer>,
    options: ServiceOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained> {
    let loms = LomsServer::new(LomsService::new(Arc::clone(&sequencer), options))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    serve_calls(listener, threads, sequencer, loms, shutdown).await
}

/// Like [`serve`], but `loms` answers the calls of `loms.LOMS`.
///
/// # Errors
/// See [`serve`].
pub async fn serve_calls<L>(
    listener: TcpListener,
    threads: NonZeroUsize,
    sequencer: Arc<Sequencer>,
    loms: L,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained>
where
    L: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
    L: Clone + Send + 'static,
{
    let stop = Stop::default();
    let health = HealthServer::new(ServerHealth { stopped: stop.stopped() });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(io::Error::other)?;
    let others = Routes::new(health).add_service(reflection).prepare();

    let shutdown = async {
        shutdown.await;
        info!("stopping: calls in flight have {} s to finish", DRAIN.as_secs());
    };
    tokio::select! {
        biased;
        served = serve_on(listener, threads, Services { loms, others }, stop, shutdown) => {
            if let Ok(Drained::CutShort) = served {
                warn!("calls still in flight after {} s are dropped", DRAIN.as_secs());
            }
            served
        }
        never = sequencer.expire_on_time() => match never {},
    }
}

type Answering = BoxFuture<Response<Body>, Infallible>;

/// All services. Calls of LOMS skip the router that health and reflection use.
#[derive(Clone)]
struct Services<L> {
    loms: L,
    others: Routes,
}

impl<L> Service<Request<Body>> for Services<L>
where
    L: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Both are always ready.
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
