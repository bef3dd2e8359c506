//! The service `loms.LOMS`, one method for each call: validate and convert the request, submit it
//! to the sequencer, convert the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, async_trait};

use super::convert;
use super::proto::loms_server::Loms;
use super::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use super::status;
use crate::sequencer::{Present, Sequenced, Sequencer};
use crate::state_machine::{Command, OrderStatus, Rejection};

/// Response metadata of answers, and of refusals by the state machine: the index of the last entry
/// that the answer depends on, or 0 if there is none. A command that changes something has its own
/// index. Reads, refusals and repeated creates change nothing; they have the index of the last
/// entry before them. An answer shows the effects of exactly the entries up to its index.
pub const COMMAND_INDEX: &str = "loms-command-index";

/// How long a call waits while a backlog expires. The target is that no call waits longer than
/// 5 ms. Timers are late while the cores are busy with the backlog, so this is shorter.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// How an OrderCreate is answered that fails for lack of stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCreate {
    /// OK, with the status `failed`.
    #[default]
    Ok,
    /// FAILED_PRECONDITION, with the response among the details.
    FailedPrecondition,
}

/// The settings of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The most lines that an OrderCreate may have, counted before merging.
    pub max_lines: u16,
    /// How a failed create is answered.
    pub failed_create: FailedCreate,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { max_lines: 1_000, failed_create: FailedCreate::Ok }
    }
}

/// The service `loms.LOMS`.
#[derive(Clone, Debug)]
pub struct LomsService {
    sequencer: Arc<Sequencer>,
    options: ServiceOptions,
}

impl LomsService {
    /// The service of this sequencer.
    #[must_use]
    pub fn new(sequencer: Arc<Sequencer>, options: ServiceOptions) -> Self {
        Self { sequencer, options }
    }

    /// The state at the present time. While a backlog expires, the call waits up to [`MAX_WAIT`]
    /// and is then refused.
    async fn present(&self) -> Result<Present<'_>, Status> {
        if let Ok(present) = self.sequencer.present() {
            return Ok(present);
        }
        let later = self.sequencer.present_after_backlog();
        timeout(MAX_WAIT, later).await.map_err(|_elapsed| status::behind())
    }
}

#[async_trait]
impl Loms for LomsService {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        let OrderCreateRequest { user, items, idempotency_key } = request.into_inner();
        let items = items.iter().map(|item| (item.sku, item.count));
        let create = convert::order_create(user, items, &idempotency_key, self.options.max_lines)?;
        let answer = self.present().await?.submit(create);
        respond(answer.map(|result| {
            let created = convert::order_created(result?);
            let failed = created.status == OrderStatus::Failed.as_str();
            match self.options.failed_create {
                FailedCreate::FailedPrecondition if failed => Err(status::out_of_stock(created)),
                FailedCreate::Ok | FailedCreate::FailedPrecondition => Ok(created),
            }
        }))
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        let id = convert::order_id(request.into_inner().order_id)?;
        let answer = self.present().await?.order(id);
        respond(answer.map(|order| {
            let order = order.ok_or(Rejection::UnknownOrder(id))?;
            Ok(convert::order_info(order))
        }))
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        let order = convert::order_id(request.into_inner().order_id)?;
        let answer = self.present().await?.submit(Command::PayOrder(order));
        respond(answer.map(|result| {
            result?;
            Ok(OrderPayResponse {})
        }))
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        let order = convert::order_id(request.into_inner().order_id)?;
        let answer = self.present().await?.submit(Command::CancelOrder(order));
        respond(answer.map(|result| {
            result?;
            Ok(OrderCancelResponse {})
        }))
    }

    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let sku = convert::sku(request.into_inner().sku)?;
        let answer = self.present().await?.available(sku);
        respond(answer.map(|available| match available {
            Some(count) => Ok(StocksInfoResponse { count }),
            None => Err(status::sku_not_found(sku)),
        }))
    }
}

/// A response, or a refusal, with the command index in its metadata.
fn respond<T>(answer: Sequenced<Result<T, Status>>) -> Result<Response<T>, Status> {
    let mut index = MetadataValue::from(answer.index);
    // Most answers have an index of their own, so HTTP/2's header compression would gain nothing
    // from keeping it in its tables. A sensitive header is not kept.
    index.set_sensitive(true);
    match answer.value {
        Ok(message) => {
            let mut response = Response::new(message);
            response.metadata_mut().insert(COMMAND_INDEX, index);
            Ok(response)
        }
        Err(mut refusal) => {
            refusal.metadata_mut().insert(COMMAND_INDEX, index);
            Err(refusal)
        }
    }
}
