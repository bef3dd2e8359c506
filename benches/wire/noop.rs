//! The no-op: a server of the same contract that answers every call with a constant. The
//! difference between its cost and that of LOMS is the cost of the work of LOMS.

use loms::grpc::proto::loms_server::Loms;
use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status, async_trait};

pub(crate) struct Noop;

#[async_trait]
impl Loms for Noop {
    async fn order_create(
        &self,
        _: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        Ok(Response::new(OrderCreateResponse {
            order_id: 1_000_000,
            status: "awaiting payment".to_owned(),
            shortages: Vec::new(),
        }))
    }

    async fn order_info(
        &self,
        _: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        let time = Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 };
        Ok(Response::new(OrderInfoResponse {
            status: "awaiting payment".to_owned(),
            user: 1_000,
            items: vec![Item { sku: 1_002, count: 2 }, Item { sku: 773_297_411, count: 1 }],
            created_at: Some(time),
            updated_at: Some(time),
            reason: String::new(),
            shortages: Vec::new(),
        }))
    }

    async fn order_pay(
        &self,
        _: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        Ok(Response::new(OrderPayResponse {}))
    }

    async fn order_cancel(
        &self,
        _: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        Ok(Response::new(OrderCancelResponse {}))
    }

    async fn stocks_info(
        &self,
        _: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        Ok(Response::new(StocksInfoResponse { count: 1_000_000 }))
    }
}
