//! The answers of LOMS as plain Rust types.

use std::fmt;
use std::time::SystemTime;

use crate::grpc::proto;

/// One line of an order. The client checks nothing; the server validates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Stock keeping unit; LOMS refuses 0.
    pub sku: u32,
    /// Units; LOMS refuses 0.
    pub count: u32,
}

/// A SKU that could not be reserved in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The SKU.
    pub sku: u32,
    /// Requested units, the sum over all lines of the SKU.
    pub requested: u64,
    /// Available units at that moment; 0 for a SKU without a stock record.
    pub available: u64,
}

/// The result of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPlaced {
    /// The id of the order, above 0. A failed order has an id too.
    pub order_id: i64,
    /// [`OrderStatus::AwaitingPayment`] or [`OrderStatus::Failed`].
    pub status: OrderStatus,
    /// The shortages, by ascending SKU; empty unless the order failed. A server that refuses failed
    /// creates sends only the first 150 of them; [`Order::shortages`] has all.
    pub shortages: Vec<Shortage>,
}

/// An order at the time of the read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The status.
    pub status: OrderStatus,
    /// The buyer.
    pub user: i64,
    /// By ascending SKU, each SKU once.
    pub items: Vec<Item>,
    /// When the order was placed; `None` if the server does not send it.
    pub created_at: Option<SystemTime>,
    /// When the status last changed; `None` if the server does not send it.
    pub updated_at: Option<SystemTime>,
    /// Why the order failed or was cancelled; `None` for any other order.
    pub reason: Option<Reason>,
    /// All shortages of a failed order, by ascending SKU.
    pub shortages: Vec<Shortage>,
}

/// The status of an order. Its text is the one on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// `new`: placed, not yet reserved. This version of the server reserves in the same step, so no
    /// answer has this status.
    New,
    /// `awaiting payment`: every line is reserved.
    AwaitingPayment,
    /// `failed`: a line was short of stock. Nothing is reserved.
    Failed,
    /// `paid`: the stock is deducted.
    Paid,
    /// `cancelled`: the stock is released.
    Cancelled,
    /// A status that this client does not know, from a newer server: the text on the wire.
    Unknown(String),
}

impl OrderStatus {
    fn from_wire(text: String) -> Self {
        match text.as_str() {
            "new" => Self::New,
            "awaiting payment" => Self::AwaitingPayment,
            "failed" => Self::Failed,
            "paid" => Self::Paid,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown(text),
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::AwaitingPayment => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Unknown(text) => text,
        })
    }
}

/// Why an order failed or was cancelled. Its text is the one on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `OUT_OF_STOCK`: a line was short of stock.
    OutOfStock,
    /// `CANCELLED_BY_CLIENT`.
    CancelledByClient,
    /// `PAYMENT_TIMEOUT`: the order expired before it was paid.
    PaymentTimeout,
    /// A reason that this client does not know, from a newer server: the text on the wire.
    Unknown(String),
}

impl Reason {
    fn from_wire(text: String) -> Option<Self> {
        match text.as_str() {
            "" => None,
            "OUT_OF_STOCK" => Some(Self::OutOfStock),
            "CANCELLED_BY_CLIENT" => Some(Self::CancelledByClient),
            "PAYMENT_TIMEOUT" => Some(Self::PaymentTimeout),
            _ => Some(Self::Unknown(text)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfStock => "OUT_OF_STOCK",
            Self::CancelledByClient => "CANCELLED_BY_CLIENT",
            Self::PaymentTimeout => "PAYMENT_TIMEOUT",
            Self::Unknown(text) => text,
        })
    }
}

impl Item {
    pub(super) fn to_wire(self) -> proto::Item {
        proto::Item { sku: self.sku, count: self.count }
    }
}

impl OrderPlaced {
    pub(super) fn from_wire(answer: proto::OrderCreateResponse) -> Self {
        Self {
            order_id: answer.order_id,
            status: OrderStatus::from_wire(answer.status),
            shortages: shortages(&answer.shortages),
        }
    }
}

impl Order {
    pub(super) fn from_wire(answer: proto::OrderInfoResponse) -> Self {
        // A time outside the range of `SystemTime` becomes `None`.
        let moment = |stamp: Option<prost_types::Timestamp>| stamp?.try_into().ok();
        Self {
            status: OrderStatus::from_wire(answer.status),
            user: answer.user,
            items: answer.items.iter().map(|i| Item { sku: i.sku, count: i.count }).collect(),
            created_at: moment(answer.created_at),
            updated_at: moment(answer.updated_at),
            reason: Reason::from_wire(answer.reason),
            shortages: shortages(&answer.shortages),
        }
    }
}

fn shortages(wire: &[proto::Shortage]) -> Vec<Shortage> {
    let plain = |short: &proto::Shortage| Shortage {
        sku: short.sku,
        requested: short.requested,
        available: short.available,
    };
    wire.iter().map(plain).collect()
}
