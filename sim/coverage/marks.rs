//! Coverage marks: every branch of the contract that matters, and the matrix of status × call.
//! A run knows which it reached; a mark that nothing reaches is a hole in the simulator.

use crate::plan::Kind;

/// Defines [`Mark`]: name on pages, and what it takes.
macro_rules! marks {
    ($($group:literal { $($mark:ident $name:literal $story:literal,)* })*) => {
        /// Something that a run can reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Mark { $($(#[doc = $story] $mark,)*)* }

        impl Mark {
            /// Every mark.
            pub(crate) const ALL: &'static [Self] = &[$($(Self::$mark,)*)*];

            /// Every mark, by the page that shows it.
            pub(crate) const GROUPS: &'static [(&'static str, &'static [Self])] =
                &[$(($group, &[$(Self::$mark,)*]),)*];

            /// As pages spell it.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self { $($(Self::$mark => $name,)*)* }
            }

            /// What it takes.
            #[must_use]
            pub(crate) const fn description(self) -> &'static str {
                match self { $($(Self::$mark => $story,)*)* }
            }

            const fn bit(self) -> u128 {
                1 << (self as u32)
            }
        }
    };
}

marks! {
    "create" {
        CreateReserved "create-reserved" "every line fits",
        CreateFourLines "create-four-lines" "four SKUs in one order, all reserved",
        CreateExactFit "create-exact-fit" "a line takes all there is",
        CreateExactFitInside "create-exact-fit-inside" "a line not the first takes all there is",
        CreateBig "create-big" "a line of more than 65,535 units is reserved",
        CreateMostLines "create-most-lines" "exactly as many lines as the server takes",
        CreateMerged "create-merged" "lines of one SKU are reserved as one",
        CreateAfterExpiry "create-after-expiry" "what an expiry gives back is reserved at once",
        CreateNoDeadline "create-no-deadline" "a deadline past the end of time is none",
    }
    "create_short" {
        CreateShortByOne "create-short-by-one" "one unit more than there is",
        CreateShortLater "create-short-later" "the first line fits, a later one does not",
        CreateShortTwice "create-short-twice" "two lines are short",
        CreateShortMerged "create-short-merged" "each line fits, their sum does not",
        CreateShortBase "create-short-base" "units reserved as the service opens cannot be had",
        CreateUnknownSku "create-unknown-sku" "a SKU without a stock record: failed, on record",
    }
    "create_refused" {
        CreateUserZero "create-user-zero" "user 0 is refused",
        CreateUserNegative "create-user-negative" "a user below 0 is refused",
        CreateNoItems "create-no-items" "a create without lines is refused",
        CreateTooManyItems "create-too-many-items" "one line too many is refused",
        CreateSkuZero "create-sku-zero" "SKU 0 is refused",
        CreateCountZero "create-count-zero" "count 0 is refused",
        CreateSumOverflow "create-sum-overflow" "lines whose sum is over 32 bits are refused",
        CreateKeyTooLong "create-key-too-long" "a key over 64 bytes is refused",
        CreateTwoRules "create-two-rules" "of several broken rules the strongest is told",
    }
    "key" {
        KeyFirst "key-first" "a key seen for the first time",
        KeyLongest "key-longest" "a key of 64 bytes",
        KeyRepeatedAwaiting "key-repeated-awaiting" "a repeat: the same answer, nothing changes",
        KeyRepeatedFailed "key-repeated-failed" "a repeat of a failed create: the same shortages",
        KeyRepeatedPaid "key-repeated-paid" "a repeat once the order is paid",
        KeyRepeatedCancelled "key-repeated-cancelled" "a repeat once the order is cancelled",
        KeyRepeatedExpired "key-repeated-expired" "a repeat once the order has expired",
        KeyRepeatedSplit "key-repeated-split" "a repeat whose lines of one SKU are merged first",
        KeyReused "key-reused" "the same key with other lines is refused",
        KeyOfAnother "key-of-another" "another user's key is nobody's business",
        KeyForgotten "key-forgotten" "a key past its window makes a new order",
    }
    "pay" {
        PayAwaiting "pay-awaiting" "total and reserved go down",
        PayLastMoment "pay-last-moment" "a nanosecond before the deadline",
        PayDue "pay-due" "at the deadline it is too late",
        PayFailed "pay-failed" "a failed order cannot be paid",
        PayPaid "pay-paid" "a second payment takes nothing",
        PayCancelled "pay-cancelled" "a cancelled order cannot be paid",
        PayExpired "pay-expired" "an expired order cannot be paid",
        PayMissing "pay-missing" "there is no such order",
        PayInvalid "pay-invalid" "an id of 0 or below is refused",
    }
    "cancel" {
        CancelAwaiting "cancel-awaiting" "reserved goes down",
        CancelDue "cancel-due" "it expires first, and then there is nothing to cancel",
        CancelFailed "cancel-failed" "a failed order holds nothing to give back",
        CancelPaid "cancel-paid" "what is sold is sold",
        CancelCancelled "cancel-cancelled" "a second cancellation gives nothing back",
        CancelExpired "cancel-expired" "as for one that was cancelled",
        CancelMissing "cancel-missing" "there is no such order",
        CancelInvalid "cancel-invalid" "an id of 0 or below is refused",
        ManyCancels "many-cancels" "more than 64 cancellations in one run",
    }
    "info" {
        InfoAwaiting "info-awaiting" "an order that awaits payment",
        InfoDue "info-due" "nobody sees an order past its deadline awaiting payment",
        InfoFailed "info-failed" "with what was short",
        InfoPaid "info-paid" "a paid order",
        InfoCancelled "info-cancelled" "with the reason",
        InfoExpired "info-expired" "with the reason",
        InfoMissing "info-missing" "there is no such order",
        InfoInvalid "info-invalid" "an id of 0 or below is refused",
    }
    "stock_and_time" {
        StockSome "stock-some" "units that can be promised",
        StockNone "stock-none" "nothing is left to promise",
        StockBig "stock-big" "more than 32 bits of units",
        StockAfterExpiry "stock-after-expiry" "nobody sees stock held past a deadline",
        StockUnknown "stock-unknown" "a SKU without a stock record",
        StockZero "stock-zero" "SKU 0 is refused",
        TickIdle "tick-idle" "nothing is due",
        TickOne "tick-one" "one order expires",
        TickSeveral "tick-several" "several expire at once",
        TickInTurn "tick-in-turn" "orders of different deadlines expire, in their turn",
    }
    "rules" {
        RulesExpireNow "rules-expire-now" "a shorter timeout: an order past it expires at once",
        RulesShortened "rules-shortened" "a shorter timeout: an order expires earlier",
        RulesProlonged "rules-prolonged" "a longer timeout: an order expires later",
        RulesTimeoutOff "rules-timeout-off" "no timeout: an order waits without a deadline",
        RulesKeyForgotten "rules-key-forgotten" "a shorter window: a key is forgotten earlier",
        RulesKeyNotBack "rules-key-not-back" "a longer window brings no forgotten key back",
    }
}

/// The marks that a run, or many, reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MarkSet(u128);

const _: () = assert!(Mark::ALL.len() <= 128, "a set of marks is 128 bits");

impl MarkSet {
    /// Whether this mark was reached.
    #[must_use]
    pub(crate) const fn has(self, mark: Mark) -> bool {
        self.0 & mark.bit() != 0
    }

    /// This mark was reached.
    pub(crate) const fn insert(&mut self, mark: Mark) {
        self.0 |= mark.bit();
    }

    /// All that either reached.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many were reached.
    #[must_use]
    pub(crate) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The marks that were not.
    pub(crate) fn missing(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |&mark| !self.has(mark))
    }
}

/// How an order stands before a call, as far as the contract tells orders apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderState {
    /// It awaits payment.
    Awaiting,
    /// It awaits payment, and its time ends with this call.
    Due,
    /// It failed.
    Failed,
    /// It is paid.
    Paid,
    /// A client cancelled it.
    Cancelled,
    /// It expired.
    Expired,
    /// There is no such order.
    Missing,
    /// There can be no such order.
    Invalid,
}

impl OrderState {
    /// Every standing, as the matrix lists them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Awaiting,
        Self::Due,
        Self::Failed,
        Self::Paid,
        Self::Cancelled,
        Self::Expired,
        Self::Missing,
        Self::Invalid,
    ];

    /// As pages spell it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Due => "due",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
        }
    }
}

/// The cell of the matrix; none for calls that are not about an order.
#[must_use]
pub(crate) const fn cell(kind: Kind, standing: OrderState) -> Option<Mark> {
    Some(match (kind, standing) {
        (Kind::Pay, OrderState::Awaiting) => Mark::PayAwaiting,
        (Kind::Pay, OrderState::Due) => Mark::PayDue,
        (Kind::Pay, OrderState::Failed) => Mark::PayFailed,
        (Kind::Pay, OrderState::Paid) => Mark::PayPaid,
        (Kind::Pay, OrderState::Cancelled) => Mark::PayCancelled,
        (Kind::Pay, OrderState::Expired) => Mark::PayExpired,
        (Kind::Pay, OrderState::Missing) => Mark::PayMissing,
        (Kind::Pay, OrderState::Invalid) => Mark::PayInvalid,
        (Kind::Cancel, OrderState::Awaiting) => Mark::CancelAwaiting,
        (Kind::Cancel, OrderState::Due) => Mark::CancelDue,
        (Kind::Cancel, OrderState::Failed) => Mark::CancelFailed,
        (Kind::Cancel, OrderState::Paid) => Mark::CancelPaid,
        (Kind::Cancel, OrderState::Cancelled) => Mark::CancelCancelled,
        (Kind::Cancel, OrderState::Expired) => Mark::CancelExpired,
        (Kind::Cancel, OrderState::Missing) => Mark::CancelMissing,
        (Kind::Cancel, OrderState::Invalid) => Mark::CancelInvalid,
        (Kind::Info, OrderState::Awaiting) => Mark::InfoAwaiting,
        (Kind::Info, OrderState::Due) => Mark::InfoDue,
        (Kind::Info, OrderState::Failed) => Mark::InfoFailed,
        (Kind::Info, OrderState::Paid) => Mark::InfoPaid,
        (Kind::Info, OrderState::Cancelled) => Mark::InfoCancelled,
        (Kind::Info, OrderState::Expired) => Mark::InfoExpired,
        (Kind::Info, OrderState::Missing) => Mark::InfoMissing,
        (Kind::Info, OrderState::Invalid) => Mark::InfoInvalid,
        (Kind::Create | Kind::Stock | Kind::Tick | Kind::Rules, _) => return None,
    })
}
