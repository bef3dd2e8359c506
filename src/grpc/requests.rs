//! Request messages as they are on the wire. Protobuf cuts an integer to the type of its field
//! without an error. So the 32-bit fields have 64 bits here, and [`convert`](super::convert)
//! refuses what does not fit. The generated messages are for clients.

use prost::Message;

/// OrderCreateRequest.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OrderCreate {
    #[prost(int64, tag = "1")]
    pub(super) user: i64,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<Item>,
    #[prost(string, tag = "3")]
    pub(super) idempotency_key: String,
}

/// Item.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Item {
    #[prost(uint64, tag = "1")]
    pub(super) sku: u64,
    #[prost(uint64, tag = "2")]
    pub(super) count: u64,
}

/// OrderInfoRequest, OrderPayRequest and OrderCancelRequest.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct OrderId {
    #[prost(int64, tag = "1")]
    pub(super) order_id: i64,
}

/// StocksInfoRequest.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sku {
    #[prost(uint64, tag = "1")]
    pub(super) sku: u64,
}
