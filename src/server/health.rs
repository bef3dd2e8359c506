//! `grpc.health.v1.Health`: SERVING until the drain begins, then NOT_SERVING.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::codegen::tokio_stream::{self, Stream, StreamExt};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus::{
    self, NotServing, ServiceUnknown, Serving,
};
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::drain::Stopped;
use super::limits::WATCHES;
use crate::grpc::service::LomsService;

/// The health of the whole server (`""`) and of LOMS, which is the same.
pub(super) struct ServerHealth {
    /// The server is about to stop.
    stopped: Stopped,
    /// A permit for each watch.
    watches: Arc<Semaphore>,
}

impl ServerHealth {
    pub(super) fn new(stopped: Stopped) -> Self {
        Self { stopped, watches: Arc::new(Semaphore::new(WATCHES)) }
    }
}

#[tonic::async_trait]
impl Health for ServerHealth {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(request.get_ref()) {
            return Err(Status::not_found("service not registered"));
        }
        let stopped = self.stopped.now();
        Ok(Response::new(answer(if stopped { NotServing } else { Serving })))
    }

    /// A watch is a call in flight, and the drain waits for it. So the stream ends at the drain,
    /// after NOT_SERVING. An unknown service is SERVICE_UNKNOWN until then.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let Ok(permit) = Arc::clone(&self.watches).try_acquire_owned() else {
            let message = format!("there are {WATCHES} watches already; use Check");
            return Err(Status::resource_exhausted(message));
        };
        let known = is_known(request.get_ref());
        let first = match known {
            true => (!self.stopped.now()).then_some(Serving),
            false => Some(ServiceUnknown),
        };
        let drain = tokio_stream::once(self.stopped.clone()).then(Stopped::wait);
        let last = drain.filter_map(move |()| known.then_some(NotServing));
        let statuses = tokio_stream::iter(first).chain(last);
        Ok(Response::new(Box::pin(statuses.map(move |status| {
            let _while_watching = &permit;
            Ok(answer(status))
        }))))
    }
}

fn is_known(request: &HealthCheckRequest) -> bool {
    ["", LomsService::NAME].contains(&request.service.as_str())
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::super::drain::Stop;
    use super::*;

    async fn check(health: &ServerHealth, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(Request::new(request)).await;
        answer.map(|answer| answer.get_ref().status()).map_err(|refused| refused.code())
    }

    async fn watch(health: &ServerHealth, service: &str) -> Result<Vec<ServingStatus>, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let watch = health.watch(Request::new(request)).await.map_err(|refused| refused.code())?;
        Ok(watch.into_inner().map(|answer| answer.unwrap().status()).collect().await)
    }

    /// Also a watch that begins during the drain ends, so that the drain does not wait for it.
    #[tokio::test]
    async fn health_follows_the_drain() {
        let stop = Stop::default();
        let health = ServerHealth::new(stop.stopped());
        for service in ["", "loms.LOMS"] {
            assert_eq!(check(&health, service).await, Ok(Serving));
        }
        let (watched, ()) = tokio::join!(watch(&health, ""), async { drop(stop) });
        assert_eq!(watched, Ok(vec![Serving, NotServing]));
        for service in ["", "loms.LOMS"] {
            assert_eq!(check(&health, service).await, Ok(NotServing));
            assert_eq!(watch(&health, service).await, Ok(vec![NotServing]));
        }
        assert_eq!(check(&health, "another").await, Err(Code::NotFound));
        assert_eq!(watch(&health, "another").await, Ok(vec![ServiceUnknown]));
    }
}
