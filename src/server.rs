//! Serves LOMS with health and reflection. The caller provides the listener and the shutdown.

mod access;
mod activity;
mod auth;
mod call;
mod certificate;
mod connection;
mod drain;
mod frames;
mod health;
pub mod limits;
mod rates;
mod reloaded;
mod repeated;
mod socket;
mod tls;
mod workers;

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb;
use tracing::info;

use crate::grpc::proto::FILE_DESCRIPTOR_SET;
use crate::grpc::protocol;
use crate::grpc::service::{LomsService, ServiceOptions};
use crate::sequencer::Sequencer;
pub use access::Access;
pub use call::CallKind;
pub use drain::{DRAIN, Drained, LINGER, Stop};
use health::ServerHealth;
use limits::Limits;
pub use rates::RateLimits;
pub use tls::TlsFiles;
pub use workers::{Serving, serve as serve_on};

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Number of threads, one of which is the caller's.
    pub threads: NonZeroUsize,
    /// The settings of the service.
    pub service: ServiceOptions,
    /// What clients can take from the server.
    pub limits: Limits,
    /// Who may call the server.
    pub access: Access,
}

impl ServerOptions {
    /// The defaults, on this many threads.
    #[must_use]
    pub fn on(threads: NonZeroUsize) -> Self {
        let (service, limits) = (ServiceOptions::default(), Limits::default());
        Self { threads, service, limits, access: Access::default() }
    }
}

/// Serves until `shutdown` completes. Then health becomes NOT_SERVING, no new call is accepted, and
/// calls in flight have [`DRAIN`] to finish. During all this, orders expire on time, with or
/// without calls.
///
/// The same happens when a worker ends before the shutdown, except that the result is an error.
///
/// # Errors
/// Reflection could not be set up, the system has no threads left, or a worker ended before the
/// shutdown. The error names the worker and its reason.
pub async fn serve(
    listener: TcpListener,
    sequencer: Arc<Sequencer>,
    options: ServerOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained> {
    let loms = LomsService::new(Arc::clone(&sequencer), options.service);
    serve_calls(listener, sequencer, options, loms, shutdown).await
}

/// Like [`serve`], but `loms` answers the calls of `loms.LOMS`.
///
/// # Errors
/// See [`serve`].
pub async fn serve_calls<L>(
    listener: TcpListener,
    sequencer: Arc<Sequencer>,
    options: ServerOptions,
    loms: L,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Drained>
where
    L: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
    L: Clone + Unpin + Send + 'static,
{
    let (stop, not_serving) = (Stop::default(), Stop::default());
    let health = ServerHealth::new(not_serving.stopped());
    let others = health_and_reflection(health).map_err(io::Error::other)?;
    let serving = Serving {
        threads: options.threads,
        service: Services { loms, others },
        kind_of,
        limits: options.limits,
        access: options.access,
    };
    let delay = options.limits.stop_delay;
    let shutdown = async move {
        shutdown.await;
        drop(not_serving);
        if !delay.is_zero() {
            info!(?delay, "health is NOT_SERVING; the server stops after this delay");
            tokio::time::sleep(delay).await;
        }
        info!("stopping: calls in flight have {} s to finish", DRAIN.as_secs());
    };
    tokio::select! {
        biased;
        served = serve_on(listener, serving, stop, shutdown) => served,
        never = sequencer.expire_on_time() => match never {},
    }
}

/// How the calls of each path send their requests.
fn kind_of(path: &str) -> CallKind {
    match path {
        "/grpc.health.v1.Health/Watch" => CallKind::Watch,
        _ if is_of_loms(path) => CallKind::Unary,
        _ => CallKind::Stream,
    }
}

fn is_of_loms(path: &str) -> bool {
    let method = path.strip_prefix('/');
    method
        .and_then(|path| path.strip_prefix(LomsService::NAME))
        .is_some_and(|method| method.starts_with('/'))
}

/// The largest request to health and reflection, in bytes.
const MAX_REQUEST_BYTES: usize = 4 << 10;

/// Health, and reflection in the versions 1 and 1alpha, which older tools need.
fn health_and_reflection(health: ServerHealth) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET)
    };
    let health = HealthServer::new(health)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let v1 = reflection()
        .build_v1()?
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let v1alpha = reflection()
        .build_v1alpha()?
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    Ok(Routes::new(health).add_service(v1).add_service(v1alpha).prepare())
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
        if let Some(refusal) = protocol::refuse(&request) {
            return Box::pin(async { Ok(refusal) });
        }
        if is_of_loms(request.uri().path()) {
            self.loms.call(request)
        } else {
            Box::pin(self.others.call(request))
        }
    }
}
