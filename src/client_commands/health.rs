//! `loms health`: asks `grpc.health.v1.Health`, as a container's health check without a shell.

use std::time::Duration;

use loms::client::{ClientError, Credentials, Options, lazy_channel};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Request;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The service to ask for.
const SERVICE: &str = "loms.LOMS";

/// The default time limit of `--wait`.
const WAIT: Duration = Duration::from_secs(60);

/// The longest time limit. It keeps the arithmetic on `Instant` far from overflow.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The pause between two checks of `--wait`.
const PAUSE: Duration = Duration::from_millis(100);

/// Checks once, or with `wait` until the server is serving, for at most this time. Returns the last
/// status.
pub(super) async fn status(
    address: &str,
    credentials: &Credentials,
    wait: bool,
    timeout: Option<Duration>,
) -> Result<ServingStatus, ClientError> {
    let options = Options::default();
    let one_check = options.deadline;
    let limit = timeout.unwrap_or(if wait { WAIT } else { one_check }).min(YEAR);
    let deadline = Instant::now() + limit;
    let mut health = HealthClient::new(lazy_channel(address, options, credentials)?);
    let mut attempts = 1;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let status = check(&mut health, if wait { left.min(one_check) } else { left }).await;
        let is_serving = matches!(status, Ok(ServingStatus::Serving));
        let no_time_left = deadline.saturating_duration_since(Instant::now()) <= PAUSE;
        if is_serving || !wait || no_time_left {
            return status.map_err(|error| match error {
                ClientError::Unreachable { cause, .. } => {
                    ClientError::Unreachable { attempts, cause }
                }
                ClientError::DeadlineExceeded { last_cause, .. } => {
                    ClientError::DeadlineExceeded { deadline: limit, last_cause }
                }
                other @ (ClientError::Refused(_) | ClientError::Address { .. }) => other,
            });
        }
        sleep(PAUSE).await;
        attempts += 1;
    }
}

/// Asks once, for at most this long.
async fn check(
    health: &mut HealthClient<Channel>,
    limit: Duration,
) -> Result<ServingStatus, ClientError> {
    let mut request = Request::new(HealthCheckRequest { service: SERVICE.to_owned() });
    request.set_timeout(limit);
    match timeout_at(Instant::now() + limit, health.check(request)).await {
        Ok(Ok(answer)) => Ok(answer.get_ref().status()),
        Ok(Err(status)) => Err(ClientError::of_attempt(&status, limit)),
        Err(_elapsed) => Err(ClientError::DeadlineExceeded { deadline: limit, last_cause: None }),
    }
}
