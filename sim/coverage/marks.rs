//! Coverage marks: every important branch of the contract, and every pair of call and order state.
//! A mark that no run reaches is a gap in the simulator.

use crate::plan::Kind;

/// The group of the marks that only large seeds reach.
const SIZES: &str = "sizes";

/// Defines [`Mark`]: the name on pages and a description.
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

            /// The name on pages.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self { $($(Self::$mark => $name,)*)* }
            }

            /// A one-line description.
            #[must_use]
            pub(crate) const fn description(self) -> &'static str {
                match self { $($(Self::$mark => $story,)*)* }
            }

            /// Whether only large seeds reach it.
            #[must_use]
            pub(crate) fn is_of_sizes(self) -> bool {
                let mut groups = Self::GROUPS.iter();
                groups.any(|(group, marks)| *group == SIZES && marks.contains(&self))
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
        CreateExactFit "create-exact-fit" "a line takes all available units",
        CreateExactFitInside "create-exact-fit-inside" "a later line takes all available units",
        CreateBig "create-big" "a line of more than 65,535 units is reserved",
        CreateMostLines "create-most-lines" "exactly the maximum number of lines",
        CreateMerged "create-merged" "lines of one SKU are merged and reserved",
        CreateAfterExpiry "create-after-expiry" "units of an order that expires now are reserved",
        CreateNoDeadline "create-no-deadline" "a deadline past the end of time: never expires",
    }
    "create_short" {
        CreateShortByOne "create-short-by-one" "one unit more than available",
        CreateShortLater "create-short-later" "the first line fits, a later one does not",
        CreateShortTwice "create-short-twice" "two lines are short",
        CreateShortMerged "create-short-merged" "each line fits, their sum does not",
        CreateShortBase "create-short-base" "the base reservation is not available",
        CreateUnknownSku "create-unknown-sku" "a SKU without a stock record: the order fails",
    }
    "create_refused" {
        CreateUserZero "create-user-zero" "user 0 is refused",
        CreateUserNegative "create-user-negative" "a user below 0 is refused",
        CreateNoItems "create-no-items" "a create without lines is refused",
        CreateTooManyItems "create-too-many-items" "one line too many is refused",
        CreateSkuZero "create-sku-zero" "SKU 0 is refused",
        CreateCountZero "create-count-zero" "count 0 is refused",
        CreateSumOverflow "create-sum-overflow" "lines whose sum is over 32 bits are refused",
        CreateKeyTooLong "create-key-too-long" "a key over 255 bytes is refused",
        CreateTwoRules "create-two-rules" "of several broken rules the strongest is reported",
    }
    "key" {
        KeyFirst "key-first" "a key seen for the first time",
        KeyLongest "key-longest" "a key of 255 bytes",
        KeyRepeatedAwaiting "key-repeated-awaiting" "a repeat: the same answer, nothing changes",
        KeyRepeatedFailed "key-repeated-failed" "a repeat of a failed create: the same shortages",
        KeyRepeatedPaid "key-repeated-paid" "a repeat after the order is paid",
        KeyRepeatedCancelled "key-repeated-cancelled" "a repeat after the order is cancelled",
        KeyRepeatedExpired "key-repeated-expired" "a repeat after the order has expired",
        KeyRepeatedSplit "key-repeated-split" "a repeat whose split lines are merged first",
        KeyReused "key-reused" "the same key with other lines is refused",
        KeyOfAnother "key-of-another" "the key of another user is independent",
        KeyForgotten "key-forgotten" "a key after its window creates a new order",
    }
    "pay" {
        PayAwaiting "pay-awaiting" "total and reserved go down",
        PayLastMoment "pay-last-moment" "one nanosecond before the deadline",
        PayDue "pay-due" "exactly at the deadline: expired",
        PayFailed "pay-failed" "a failed order cannot be paid",
        PayPaid "pay-paid" "a second payment changes nothing",
        PayCancelled "pay-cancelled" "a cancelled order cannot be paid",
        PayExpired "pay-expired" "an expired order cannot be paid",
        PayMissing "pay-missing" "there is no such order",
        PayInvalid "pay-invalid" "an id of 0 or below is refused",
    }
    "cancel" {
        CancelAwaiting "cancel-awaiting" "reserved goes down",
        CancelDue "cancel-due" "the order expires first; the cancel changes nothing",
        CancelFailed "cancel-failed" "a failed order cannot be cancelled",
        CancelPaid "cancel-paid" "a paid order cannot be cancelled",
        CancelCancelled "cancel-cancelled" "a second cancellation changes nothing",
        CancelExpired "cancel-expired" "cancelling an expired order changes nothing",
        CancelMissing "cancel-missing" "there is no such order",
        CancelInvalid "cancel-invalid" "an id of 0 or below is refused",
        ManyCancels "many-cancels" "more than 64 cancellations in one run",
    }
    "info" {
        InfoAwaiting "info-awaiting" "an order that awaits payment",
        InfoDue "info-due" "an order at its deadline is shown as expired",
        InfoFailed "info-failed" "a failed order, with its shortages",
        InfoPaid "info-paid" "a paid order",
        InfoCancelled "info-cancelled" "a cancelled order, with the reason",
        InfoExpired "info-expired" "an expired order, with the reason",
        InfoMissing "info-missing" "there is no such order",
        InfoInvalid "info-invalid" "an id of 0 or below is refused",
    }
    "stock_and_time" {
        StockSome "stock-some" "units are available",
        StockNone "stock-none" "no units are available",
        StockOverReserved "stock-over-reserved" "more is reserved at the start than there is",
        StockBig "stock-big" "more units than 32 bits",
        StockAfterExpiry "stock-after-expiry" "units of an order at its deadline are available",
        StockUnknown "stock-unknown" "a SKU without a stock record",
        StockZero "stock-zero" "SKU 0 is refused",
        TickIdle "tick-idle" "nothing is due",
        TickOne "tick-one" "one order expires",
        TickSeveral "tick-several" "several expire at once",
        TickInTurn "tick-in-turn" "orders with different deadlines expire, in order",
    }
    "rules" {
        RulesExpireNow "rules-expire-now" "a shorter timeout: an order past it expires at once",
        RulesShortened "rules-shortened" "a shorter timeout: an order expires earlier",
        RulesProlonged "rules-prolonged" "a longer timeout: an order expires later",
        RulesTimeoutOff "rules-timeout-off" "no timeout: an order waits without a deadline",
        RulesKeyForgotten "rules-key-forgotten" "a shorter window: a key is forgotten earlier",
        RulesKeyNotBack "rules-key-not-back" "a longer window brings no forgotten key back",
    }
    "forgotten" {
        PayForgotten "pay-forgotten" "paying a forgotten order: there is no such order",
        CancelForgotten "cancel-forgotten" "cancelling a forgotten order",
        InfoForgotten "info-forgotten" "a forgotten order",
        JustForgotten "just-forgotten" "an order exactly when its time is over",
        StillKept "still-kept" "a finished order in its last nanosecond",
        KeyRetried "key-retried" "the key of a failed order makes a new one in its window",
        NoRoom "no-room" "a create is refused for lack of room",
        RoomAgain "room-again" "an order is placed after that",
        OpenOrders "open-orders" "a user has too many open orders",
    }
    "sizes" {
        SizeOrders "size-orders" "more than 131,072 orders",
        SizeSkus "size-skus" "more than 500 SKUs in stock",
        SizeLines "size-lines" "more than 500 SKUs in one order, all reserved",
        SizeShortages "size-shortages" "more than 100 shortages in one answer",
        SizeKeys "size-keys" "more than 10,000 keys remembered at once",
        SizeDue "size-due" "more than 1,000 orders expire at once",
        SizeSparse "size-sparse" "between two orders that expire, 4,096 that do not",
    }
}

/// The marks that one run or many runs reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MarkSet(u128);

const _: () = assert!(Mark::ALL.len() <= 128, "a set of marks is 128 bits");

impl MarkSet {
    /// Whether this mark was reached.
    #[must_use]
    pub(crate) const fn has(self, mark: Mark) -> bool {
        self.0 & mark.bit() != 0
    }

    /// Adds a mark.
    pub(crate) const fn insert(&mut self, mark: Mark) {
        self.0 |= mark.bit();
    }

    /// The marks of both sets.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many marks there are.
    #[must_use]
    pub(crate) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The marks that were not reached.
    pub(crate) fn missing(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |&mark| !self.has(mark))
    }
}

/// The state of an order before a call, as the contract distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderState {
    /// It awaits payment.
    Awaiting,
    /// It awaits payment, and its deadline is not after the time of this call.
    Due,
    /// It failed.
    Failed,
    /// It is paid.
    Paid,
    /// A client cancelled it.
    Cancelled,
    /// It expired.
    Expired,
    /// It was forgotten some time after it ended.
    Forgotten,
    /// There is no such order.
    Missing,
    /// The id is 0 or below.
    Invalid,
}

impl OrderState {
    /// Every state, in the order of the matrix.
    pub(crate) const ALL: [Self; 9] = [
        Self::Awaiting,
        Self::Due,
        Self::Failed,
        Self::Paid,
        Self::Cancelled,
        Self::Expired,
        Self::Forgotten,
        Self::Missing,
        Self::Invalid,
    ];

    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Due => "due",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
        }
    }
}

/// The mark of a pair; `None` for calls that are not about an order.
#[must_use]
pub(crate) const fn cell(kind: Kind, state: OrderState) -> Option<Mark> {
    Some(match (kind, state) {
        (Kind::Pay, OrderState::Awaiting) => Mark::PayAwaiting,
        (Kind::Pay, OrderState::Due) => Mark::PayDue,
        (Kind::Pay, OrderState::Failed) => Mark::PayFailed,
        (Kind::Pay, OrderState::Paid) => Mark::PayPaid,
        (Kind::Pay, OrderState::Cancelled) => Mark::PayCancelled,
        (Kind::Pay, OrderState::Expired) => Mark::PayExpired,
        (Kind::Pay, OrderState::Forgotten) => Mark::PayForgotten,
        (Kind::Pay, OrderState::Missing) => Mark::PayMissing,
        (Kind::Pay, OrderState::Invalid) => Mark::PayInvalid,
        (Kind::Cancel, OrderState::Awaiting) => Mark::CancelAwaiting,
        (Kind::Cancel, OrderState::Due) => Mark::CancelDue,
        (Kind::Cancel, OrderState::Failed) => Mark::CancelFailed,
        (Kind::Cancel, OrderState::Paid) => Mark::CancelPaid,
        (Kind::Cancel, OrderState::Cancelled) => Mark::CancelCancelled,
        (Kind::Cancel, OrderState::Expired) => Mark::CancelExpired,
        (Kind::Cancel, OrderState::Forgotten) => Mark::CancelForgotten,
        (Kind::Cancel, OrderState::Missing) => Mark::CancelMissing,
        (Kind::Cancel, OrderState::Invalid) => Mark::CancelInvalid,
        (Kind::Info, OrderState::Awaiting) => Mark::InfoAwaiting,
        (Kind::Info, OrderState::Due) => Mark::InfoDue,
        (Kind::Info, OrderState::Failed) => Mark::InfoFailed,
        (Kind::Info, OrderState::Paid) => Mark::InfoPaid,
        (Kind::Info, OrderState::Cancelled) => Mark::InfoCancelled,
        (Kind::Info, OrderState::Expired) => Mark::InfoExpired,
        (Kind::Info, OrderState::Forgotten) => Mark::InfoForgotten,
        (Kind::Info, OrderState::Missing) => Mark::InfoMissing,
        (Kind::Info, OrderState::Invalid) => Mark::InfoInvalid,
        (Kind::Create | Kind::Stock | Kind::Tick | Kind::Rules, _) => return None,
    })
}
