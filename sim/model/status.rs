//! The status of an order, and the reason for it, as the API returns them.

/// The status of an order in the API (`new` never appears in a response).
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
