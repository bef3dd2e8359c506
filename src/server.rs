//! Serving: the service with its health and reflection, from a listener that it is handed until a
//! shutdown that it is told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::codegen::tokio_stream::StreamExt;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tracing::{info, warn};

use crate::grpc::proto::FILE_DESCRIPTOR_SET;
use crate::grpc::proto::loms_server::LomsServer;
use crate::grpc::service::{LomsService, ServiceOptions};
use crate::sequencer::Sequencer;

/// How long calls in flight may take to finish once the shutdown has been told.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The largest request that is read, in bytes: gRPC's own default. An order of 1,000 lines has
/// less than 16 KiB.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// How long nothing is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server that did start came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call in flight was answered.
    Fully,
    /// Some had to be dropped after [`DRAIN`].
    CutShort,
}

/// Serves until `shutdown`; then health turns NOT_SERVING, no new call is taken, and calls in
/// flight have [`DRAIN`] to finish. Orders expire on time meanwhile, calls or no calls.
///
/// # Errors
/// Health or reflection could not be set up, or the listener failed.
pub async fn serve(
    listener: TcpListener,
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
    // Without it small answers wait for the acknowledgement of the ones before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).then(pause_on_failure);

    let (told, when_told) = oneshot::channel();
    let stopping = async move {
        shutdown.await;
        info!("stopping: calls in flight have {} s to finish", DRAIN.as_secs());
        end_health(&mut health).await;
        // The receiver is gone only where serving has ended by itself.
        let _ = told.send(());
    };
    let server = Server::builder()
        .add_service(health_service)
        .add_service(reflection)
        .add_service(loms)
        .serve_with_incoming_shutdown(incoming, stopping);
    tokio::select! {
        biased;
        served = server => served.map(|()| Drained::Fully).map_err(io::Error::other),
        () = drain_is_over(when_told) => {
            warn!("calls still in flight after {} s are dropped", DRAIN.as_secs());
            Ok(Drained::CutShort)
        }
        never = expire_on_time(&sequencer) => match never {},
    }
}

/// What could not be accepted is mostly so for want of file descriptors, and would be tried again,
/// and fail again, without end: a pause lets connections close and leaves time for other work.
async fn pause_on_failure<T>(connection: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &connection {
        warn!(%error, "a connection cannot be accepted");
        sleep(ACCEPT_PAUSE).await;
    }
    connection
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

async fn drain_is_over(when_told: oneshot::Receiver<()>) {
    match when_told.await {
        Ok(()) => sleep(DRAIN).await,
        // Serving has ended by itself, and its result is what counts.
        Err(_) => std::future::pending().await,
    }
}

/// Wakes the machine when it wants to be woken.
async fn expire_on_time(sequencer: &Sequencer) -> std::convert::Infallible {
    loop {
        match sequencer.tick() {
            Some(wait) => sleep(wait).await,
            None => sequencer.deadline_set().await,
        }
    }
}
