//! The contract's words as every layer and the model use them: a [`Call`] is what a client sends,
//! raw and perhaps wrong; an [`Answer`] is what it gets back, in full.

/// A call as a client makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    /// OrderCreate.
    Create {
        /// The buyer.
        user: i64,
        /// SKU and count, in the client's order, a SKU perhaps more than once.
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
    /// Not a call of the wire: time passes, and what is due expires.
    Tick,
    /// Not a call of the wire: the operator changes the rules.
    ChangeRules {
        /// The payment timeout in nanoseconds; 0 for ever.
        timeout: u64,
        /// The idempotency window in nanoseconds; 0 not at all.
        window: u64,
    },
}

/// What a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// OrderCreate: on record, or the first order's answer again.
    Created {
        /// The order.
        order: i64,
        /// As the create left it: awaiting payment or failed.
        status: Status,
        /// Every short line, by ascending SKU.
        shortages: Vec<Shortage>,
    },
    /// OrderInfo.
    Order(OrderInfo),
    /// OrderPay, OrderCancel and Tick: nothing to tell.
    Done,
    /// StocksInfo: units that can still be promised.
    Stock(u64),
    /// Any call: refused, nothing changed.
    Refused(Refusal),
}

/// All that OrderInfo tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderInfo {
    /// Where the order is.
    pub(crate) status: Status,
    /// Whose it is.
    pub(crate) user: i64,
    /// SKU and count, merged, by ascending SKU.
    pub(crate) items: Vec<(u32, u32)>,
    /// Nanoseconds since 1970.
    pub(crate) created_at: u64,
    /// Nanoseconds since 1970: when the status was last set.
    pub(crate) updated_at: u64,
    /// Why it ended as it did.
    pub(crate) reason: Reason,
    /// Every line that was short at the create, by ascending SKU.
    pub(crate) shortages: Vec<Shortage>,
}

/// A line that could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// What was short.
    pub(crate) sku: u32,
    /// Units asked for, over all lines of the SKU.
    pub(crate) requested: u64,
    /// Units that could have been promised.
    pub(crate) available: u64,
}

/// Where an order is in its life, as the wire tells it (`new` is over before any answer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// `awaiting payment`.
    AwaitingPayment,
    /// `failed`.
    Failed,
    /// `paid`.
    Paid,
    /// `cancelled`.
    Cancelled,
}

/// The `reason` of OrderInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Empty.
    None,
    /// `OUT_OF_STOCK`.
    OutOfStock,
    /// `CANCELLED_BY_CLIENT`.
    CancelledByClient,
    /// `PAYMENT_TIMEOUT`.
    PaymentTimeout,
}

/// Why a call was refused: the ErrorInfo reason with the facts that go with it. The gRPC code
/// follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// INVALID_ARGUMENT: the user is 0 or below.
    InvalidUser,
    /// INVALID_ARGUMENT: there is no line.
    NoItems,
    /// INVALID_ARGUMENT: more lines than the server takes, counted before merging.
    TooManyItems,
    /// INVALID_ARGUMENT: the line at this place, from 0, has SKU 0.
    InvalidItemSku(u32),
    /// INVALID_ARGUMENT: the line at this place, from 0, has count 0.
    InvalidItemCount(u32),
    /// INVALID_ARGUMENT: the lines of this SKU add up to more than `u32`.
    CountOverflow(u32),
    /// INVALID_ARGUMENT: the key is longer than 64 bytes.
    KeyTooLong,
    /// INVALID_ARGUMENT: the order id is 0 or below.
    InvalidOrderId,
    /// INVALID_ARGUMENT: StocksInfo of SKU 0.
    InvalidSku,
    /// NOT_FOUND: no such order.
    OrderNotFound,
    /// NOT_FOUND: no stock record.
    SkuNotFound,
    /// FAILED_PRECONDITION: the order is in this status, and cannot go where the call leads.
    OrderNotAwaitingPayment(Status),
    /// FAILED_PRECONDITION: the order was not paid in time.
    OrderExpired,
    /// ALREADY_EXISTS: the user gave this key to other lines, in this order.
    IdempotencyKeyReused(i64),
}
