//! A server made of the model, correct or with one planted bug.

use std::sync::Mutex;
use std::time::SystemTime;

use loms::grpc::proto::loms_server::Loms;
use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, Shortage,
    StocksInfoRequest, StocksInfoResponse,
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status, async_trait};
use tonic_types::{ErrorDetails, StatusExt};

use crate::model::contract::{Answer, Call, OrderInfo, Reason, Refusal};
use crate::model::{Model, World};
use crate::mutation::planted_bugs::Bug;

pub(super) struct ModelServer(Mutex<Model>);

impl ModelServer {
    pub(super) fn open(world: &World, bug: Option<Bug>) -> Self {
        Self(Mutex::new(Model::new(world, bug)))
    }

    fn answer(&self, call: Call<'_>) -> Result<Answer, Status> {
        let mut model = self.0.lock().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server has the real clock")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let answer = model.answer(u64::try_from(now.as_nanos()).unwrap(), call);
        if let Answer::Refused(refusal) = answer {
            return Err(refused(refusal, call));
        }
        Ok(answer)
    }
}

fn refused(refusal: Refusal, call: Call<'_>) -> Status {
    let order = match call {
        Call::Info(order) | Call::Pay(order) | Call::Cancel(order) => order,
        Call::Create { .. } | Call::Stock(_) | Call::Tick | Call::ChangeRules { .. } => 0,
    };
    let (mut about, mut status_now) = (order, "");
    if let Refusal::OrderNotAwaitingPayment(status) = refusal {
        status_now = status.name();
    }
    if let Refusal::IdempotencyKeyReused(order) = refusal {
        about = order;
    }
    let facts = [("order_id", about.to_string()), ("status", status_now.to_owned())];
    let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
    let mut details = ErrorDetails::new();
    details.set_error_info(refusal.reason(), "loms", facts);
    if let Some(field) = refusal.field() {
        details.add_bad_request_violation(field, "no");
    }
    Status::with_error_details(refusal.code(), refusal.to_string(), details)
}

fn shortages(shortages: &[crate::model::contract::Shortage]) -> Vec<Shortage> {
    let wire = |short: &crate::model::contract::Shortage| Shortage {
        sku: short.sku,
        requested: short.requested,
        available: short.available,
    };
    shortages.iter().map(wire).collect()
}

fn info(info: &OrderInfo) -> OrderInfoResponse {
    let stamp = |nanos: u64| Timestamp {
        seconds: i64::try_from(nanos / 1_000_000_000).unwrap(),
        nanos: i32::try_from(nanos % 1_000_000_000).unwrap(),
    };
    let reason = match info.reason {
        Reason::None => "",
        Reason::OutOfStock => "OUT_OF_STOCK",
        Reason::CancelledByClient => "CANCELLED_BY_CLIENT",
        Reason::PaymentTimeout => "PAYMENT_TIMEOUT",
    };
    OrderInfoResponse {
        status: info.status.name().to_owned(),
        user: info.user,
        items: info.items.iter().map(|&(sku, count)| Item { sku, count }).collect(),
        created_at: Some(stamp(info.created_at)),
        updated_at: Some(stamp(info.updated_at)),
        reason: reason.to_owned(),
        shortages: shortages(&info.shortages),
    }
}

#[async_trait]
impl Loms for ModelServer {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        let OrderCreateRequest { user, items, idempotency_key } = request.into_inner();
        let items: Vec<_> = items.iter().map(|item| (item.sku, item.count)).collect();
        let call = Call::Create { user, items: &items, key: &idempotency_key };
        let Answer::Created { order, status, shortages: short } = self.answer(call)? else {
            unreachable!("a create creates")
        };
        let (status, shortages) = (status.name().to_owned(), shortages(&short));
        Ok(Response::new(OrderCreateResponse { order_id: order, status, shortages }))
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        let answer = self.answer(Call::Info(request.get_ref().order_id))?;
        let Answer::Order(order) = answer else { unreachable!("OrderInfo returns an order") };
        Ok(Response::new(info(&order)))
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        self.answer(Call::Pay(request.get_ref().order_id))?;
        Ok(Response::new(OrderPayResponse {}))
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        self.answer(Call::Cancel(request.get_ref().order_id))?;
        Ok(Response::new(OrderCancelResponse {}))
    }

    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let answer = self.answer(Call::Stock(request.get_ref().sku))?;
        let Answer::Stock(count) = answer else { unreachable!("StocksInfo returns units") };
        Ok(Response::new(StocksInfoResponse { count }))
    }
}
