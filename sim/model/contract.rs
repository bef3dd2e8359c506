//! The API as the model and every layer use it: a [`Call`] is a request, perhaps invalid; an
//! [`Answer`] is the full response.

pub(crate) use crate::model::refusal::Refusal;
pub(crate) use crate::model::status::{Reason, Status};

/// A request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    /// OrderCreate.
    Create {
        /// The user.
        user: i64,
        /// SKU and count, in the client's order; a SKU may appear more than once.
        items: &'a [(u32, u32)],
        /// The idempotency key; empty for none.
        key: &'a str,
    },
    /// OrderInfo.
    Info(i64),
    /// OrderPay.
    Pay(i64),
    /// OrderCancel.
    Cancel(i64),
    /// StocksInfo.
    Stock(u32),
    /// Not a request: time moves forward and due orders expire.
    Tick,
    /// Not a request: the operator changes the rules.
    ChangeRules {
        /// The payment timeout in nanoseconds; 0 means that orders never expire.
        timeout: u64,
        /// The idempotency window in nanoseconds; 0 means that keys are not stored.
        window: u64,
        /// How long finished orders are kept, and how much room there is.
        limits: Limits,
    },
}

/// How long finished orders are kept, and how much room there is. 0 means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long paid and cancelled orders are kept, in nanoseconds.
    pub(crate) keep: u64,
    /// How long failed orders are kept, in nanoseconds.
    pub(crate) keep_failed: u64,
    /// Whether the keys of failed orders are not stored.
    pub(crate) retry_failed: bool,
    /// What orders and keys may count for, in bytes.
    pub(crate) max_bytes: u64,
    /// How many orders of a user may await payment.
    pub(crate) open_orders: u32,
}

/// The response to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// OrderCreate: a new order, or the first answer again for a repeated create.
    Created {
        /// The id of the order.
        order: i64,
        /// The status after the create: awaiting payment or failed.
        status: Status,
        /// Every line that exceeds the available units, by ascending SKU.
        shortages: Vec<Shortage>,
    },
    /// OrderInfo.
    Order(OrderInfo),
    /// OrderPay, OrderCancel and Tick: an empty response.
    Done,
    /// StocksInfo: the available units.
    Stock(u64),
    /// The call was refused and changed nothing.
    Refused(Refusal),
}

/// The response of OrderInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderInfo {
    /// The status.
    pub(crate) status: Status,
    /// The user who created the order.
    pub(crate) user: i64,
    /// SKU and count, merged, by ascending SKU.
    pub(crate) items: Vec<(u32, u32)>,
    /// Nanoseconds since 1970.
    pub(crate) created_at: u64,
    /// Time of the last status change, in nanoseconds since 1970.
    pub(crate) updated_at: u64,
    /// The reason why the order failed or was cancelled.
    pub(crate) reason: Reason,
    /// Every line that exceeded the available units at the create, by ascending SKU.
    pub(crate) shortages: Vec<Shortage>,
}

/// A line that exceeds the available units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The SKU.
    pub(crate) sku: u32,
    /// Requested units, over all lines of the SKU.
    pub(crate) requested: u64,
    /// Available units.
    pub(crate) available: u64,
}
