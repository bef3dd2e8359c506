//! One method per call of the contract: convert, submit, convert.

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
use crate::sequencer::{Behind, Sequenced, Sequencer};
use crate::state_machine::{Action, LomsState, OrderStatus, Outcome, Rejection};

/// Response metadata, on answers and on refusals by the machine: the command's place in the one
/// order in which the machine took all commands and reads, from 1. Later places saw the effects
/// of earlier ones.
pub const COMMAND_INDEX: &str = "loms-command-index";

/// How long a call waits for a machine that is behind. No call is to wait for more than 5 ms, and
/// timers are late by some themselves, the more so where the cores are busy with what is due.
const PATIENCE: Duration = Duration::from_millis(1);

/// What an OrderCreate is answered whose order failed for want of stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedCreate {
    /// OK, with the status `failed`.
    #[default]
    Ok,
    /// FAILED_PRECONDITION, with what would have been the response among the details.
    FailedPrecondition,
}

/// What can be set about the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The most lines that an OrderCreate may have, counted as they came.
    pub max_lines: u16,
    /// How a failed order is told.
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
    /// The service over this machine.
    #[must_use]
    pub fn new(sequencer: Arc<Sequencer>, options: ServiceOptions) -> Self {
        Self { sequencer, options }
    }

    /// What the machine answers at the present time. Where it is behind, the call waits a little
    /// for it to catch up, and is turned away then.
    async fn ask<T>(
        &self,
        attempt: impl Fn(&Sequencer) -> Result<Sequenced<T>, Behind>,
    ) -> Result<Sequenced<T>, Status> {
        if let Ok(answer) = attempt(&self.sequencer) {
            return Ok(answer);
        }
        let later = async {
            loop {
                let caught_up = self.sequencer.caught_up();
                match attempt(&self.sequencer) {
                    Ok(answer) => return answer,
                    Err(Behind) => caught_up.await,
                }
            }
        };
        timeout(PATIENCE, later).await.map_err(|_elapsed| status::behind())
    }

    /// Submits a payment or a cancellation, whose answers tell nothing but that it is so.
    async fn settle(&self, action: Action<'_>) -> Result<Sequenced<Result<(), Status>>, Status> {
        let submit = |sequencer: &Sequencer| sequencer.submit(action, |result, _| result);
        // A refusal is worded once the lock is free again.
        Ok(self.ask(submit).await?.map(|result| result.map(drop).map_err(Status::from)))
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
        let action = Action::CreateOrder {
            user: create.user,
            demand: &create.demand,
            key: create.key.as_ref(),
        };
        let answer = self.ask(|sequencer| sequencer.submit(action, created)).await?;
        respond(answer.map(|created| {
            let created = created?;
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
        let order = convert::order_id(request.into_inner().order_id)?;
        let look = |state: &LomsState| state.order(order).map(|order| convert::order_info(&order));
        let answer = self.ask(|sequencer| sequencer.read(look)).await?;
        respond(answer.map(|info| info.ok_or_else(|| Rejection::UnknownOrder(order).into())))
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        let order = convert::order_id(request.into_inner().order_id)?;
        let paid = self.settle(Action::PayOrder(order)).await?;
        respond(paid.map(|result| result.map(|()| OrderPayResponse {})))
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        let order = convert::order_id(request.into_inner().order_id)?;
        let cancelled = self.settle(Action::CancelOrder(order)).await?;
        respond(cancelled.map(|result| result.map(|()| OrderCancelResponse {})))
    }

    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let sku = convert::sku(request.into_inner().sku)?;
        let answer = self.ask(|sequencer| sequencer.read(|state| state.available(sku))).await?;
        respond(answer.map(|available| match available {
            Some(count) => Ok(StocksInfoResponse { count }),
            None => Err(status::sku_not_found(sku)),
        }))
    }
}

/// What a create is answered, read from the state that it left.
fn created(
    result: Result<Outcome, Rejection>,
    state: &LomsState,
) -> Result<OrderCreateResponse, Rejection> {
    let (order, answered) = match result? {
        Outcome::Reserved(order) => (order, OrderStatus::AwaitingPayment),
        Outcome::OutOfStock(order) => (order, OrderStatus::Failed),
        Outcome::Repeated { order, answered } => (order, answered),
        outcome @ (Outcome::Paid
        | Outcome::AlreadyPaid
        | Outcome::Cancelled
        | Outcome::AlreadyCancelled
        | Outcome::Ticked) => unreachable!("a create never comes to {outcome:?}"),
    };
    let order = state.order(order).expect("a create's order is on record");
    Ok(convert::order_created(&order, answered))
}

/// An answer as the wire takes it, with its place in the order of all commands.
fn respond<T>(answer: Sequenced<Result<T, Status>>) -> Result<Response<T>, Status> {
    let mut index = MetadataValue::from(answer.index);
    // No two answers have the same: keeping it in the tables of HTTP/2's header compression, for
    // the next answer to refer to, would be work in vain. This is how a header asks not to be.
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
