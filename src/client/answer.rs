//! What LOMS answers, in plain types.

use std::fmt;
use std::time::SystemTime;

use crate::grpc::proto;

/// One line of an order. Nothing is checked here: the server says what it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Stock keeping unit; LOMS refuses 0.
    pub sku: u32,
    /// Units; LOMS refuses 0.
    pub count: u32,
}

/// A line that could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What was short.
    pub sku: u32,
    /// Units asked for, over all lines of the SKU.
    pub requested: u64,
    /// Units that could have been promised at that moment; 0 for a SKU without a stock record.
    pub available: u64,
}

/// What became of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPlaced {
    /// The order's id, above 0; a failed order has one too.
    pub order_id: i64,
    /// [`OrderStatus::AwaitingPayment`] or [`OrderStatus::Failed`].
    pub status: OrderStatus,
    /// Every short line, by ascending SKU; empty unless the order failed. Only the first of them
    /// where the server is set to refuse failed orders and there are many: [`Order::shortages`]
    /// has them all.
    pub shortages: Vec<Shortage>,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where the order is in its life.
    pub status: OrderStatus,
    /// The buyer.
    pub user: i64,
    /// By ascending SKU, each SKU once.
    pub items: Vec<Item>,
    /// When the order was placed; `None` where the server does not say.
    pub created_at: Option<SystemTime>,
    /// When the status was last set; `None` where the server does not say.
    pub updated_at: Option<SystemTime>,
    /// Why the order failed or was cancelled; `None` for any other order.
    pub reason: Option<Reason>,
    /// Every line that was short at the create, by ascending SKU.
    pub shortages: Vec<Shortage>,
}

/// Where an order is in its life. Shown as the wire spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// `new`: placed, and nothing decided yet. LOMS decides in the same step, so that no answer
    /// of today's server holds it.
    New,
    /// `awaiting payment`: every line is reserved.
    AwaitingPayment,
    /// `failed`: a line was short, and nothing is reserved.
    Failed,
    /// `paid`: the stock has left.
    Paid,
    /// `cancelled`: the stock can be promised again.
    Cancelled,
    /// A status that this client does not know: a newer server's. Kept as it came, so that a
    /// cart goes on working and its logs say what it saw.
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

/// Why an order failed or was cancelled. Shown as the wire spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `OUT_OF_STOCK`: a line was short.
    OutOfStock,
    /// `CANCELLED_BY_CLIENT`.
    CancelledByClient,
    /// `PAYMENT_TIMEOUT`: nobody paid in time.
    PaymentTimeout,
    /// A reason that this client does not know: a newer server's, as it came.
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
        // A moment that the system's clock cannot show is as good as none.
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
