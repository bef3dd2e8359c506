//! The contract's words as every layer and the model use them: a [`Call`] is what a client sends,
//! raw and perhaps wrong; an [`Answer`] is what it gets back, in full.

pub(crate) use crate::model::refusal::Refusal;

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

impl Status {
    /// Every status.
    pub(crate) const ALL: [Self; 4] =
        [Self::AwaitingPayment, Self::Failed, Self::Paid, Self::Cancelled];

    /// The text of the API.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AwaitingPayment => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }

    /// A number that never changes: fingerprints depend on it.
    #[must_use]
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::AwaitingPayment => 1,
            Self::Failed => 2,
            Self::Paid => 3,
            Self::Cancelled => 4,
        }
    }
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

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 4] =
        [Self::None, Self::OutOfStock, Self::CancelledByClient, Self::PaymentTimeout];

    /// The text of the API; empty for none.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::OutOfStock => "OUT_OF_STOCK",
            Self::CancelledByClient => "CANCELLED_BY_CLIENT",
            Self::PaymentTimeout => "PAYMENT_TIMEOUT",
        }
    }

    /// A number that never changes: fingerprints depend on it.
    #[must_use]
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::OutOfStock => 1,
            Self::CancelledByClient => 2,
            Self::PaymentTimeout => 3,
        }
    }
}
