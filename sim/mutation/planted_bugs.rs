//! Planted bugs: each makes the model wrong in one way. A simulator that sees no difference between
//! the correct server and this model would also miss the same bug in the server. So the server's
//! code needs no switches.

macro_rules! bugs {
    ($($bug:ident $name:literal $story:literal)*) => {
        /// A bug that can be planted in the model. The first ones were found in real services.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Bug {
            $(#[doc = $story] $bug,)*
        }

        impl Bug {
            /// Every bug, in the order of the kill table.
            pub(crate) const ALL: &'static [Bug] = &[$(Bug::$bug,)*];

            /// The name on the command line: lower-case words joined by `-`.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            /// A one-line description.
            pub(crate) fn description(self) -> &'static str {
                match self { $(Bug::$bug => $story,)* }
            }
        }
    };
}

bugs! {
    FailedCreateKeepsLines "failed-create-keeps-lines"
        "seen in real services: a failed create keeps the lines before the short one reserved"
    PayReturnsStock "pay-returns-stock"
        "seen in real services: pay releases the units instead of taking them from the total"
    ReservedSubtractedTwice "reserved-subtracted-twice"
        "seen in real services: available is total less twice the reserved"
    CancelFailedReleases "cancel-failed-releases"
        "seen in real services: cancelling a failed order releases units of other orders"
    ReleaseClamps "release-clamps"
        "seen in real services: a second cancel releases again, clamped at zero"
    DoublePayTakesTwice "double-pay-takes-twice"
        "seen in real services: a second pay takes the units once more"
    CountCutTo16Bits "count-cut-to-16-bits"
        "seen in real services: stock is moved by the low 16 bits of the count"
    MissingOrderDone "missing-order-done"
        "seen in real services: pay and cancel of an unknown order are answered OK"
    PayAfterCancel "pay-after-cancel"
        "a cancelled order can be paid"
    PayAfterExpiry "pay-after-expiry"
        "an expired order can be paid"
    PayKeepsReserved "pay-keeps-reserved"
        "pay lowers the total and leaves the units reserved"
    SecondPayRefused "second-pay-refused"
        "paying a paid order is refused"
    UpdatedAtKeptOnPay "updated-at-kept-on-pay"
        "pay leaves updated_at as it was"
    CancelPaidAllowed "cancel-paid-allowed"
        "a paid order can be cancelled, and its units return to the stock"
    SecondCancelRefused "second-cancel-refused"
        "cancelling an order that the client cancelled is refused"
    CancelRewritesReason "cancel-rewrites-reason"
        "cancelling an expired order makes it cancelled by the client"
    CancelReleasesBase "cancel-releases-base"
        "a cancel also releases as many units of the base reservation"
    LeakAfter64Cancels "leak-after-64-cancels"
        "after 64 cancels nothing is released"
    ExactFitRefused "exact-fit-refused"
        "the last available unit cannot be reserved"
    OneTooMany "one-too-many"
        "one unit more than available can be reserved"
    ExactFitRefusedOnLine2 "exact-fit-refused-on-line-2"
        "an exact fit on the second of four or more lines is short"
    DuplicatesCheckedSingly "duplicates-checked-singly"
        "lines of the same SKU are checked one by one, each against all available units"
    CountSumWraps "count-sum-wraps"
        "a sum of lines of one SKU over u32 wraps around"
    LastLineSkipped "last-line-skipped"
        "the last of several lines is not reserved"
    IdReusedAfterFailure "id-reused-after-failure"
        "the order after a failed one takes its id"
    UnknownSkuRefused "unknown-sku-refused"
        "a create with an unknown SKU is refused instead of failed"
    ShortagesFirstOnly "shortages-first-only"
        "only the first short line is reported"
    ShortageAfterReserving "shortage-after-reserving"
        "a shortage reports what is available after an earlier line of the SKU is reserved"
    FailedShownAwaiting "failed-shown-awaiting"
        "OrderInfo shows a failed order as awaiting payment"
    LinesInClientOrder "lines-in-client-order"
        "OrderInfo shows the lines in the client's order"
    LinesUnmerged "lines-unmerged"
        "OrderInfo shows lines of the same SKU unmerged"
    ExpiryEarly "expiry-early"
        "an order expires 1 ns before its deadline"
    ExpiryLate "expiry-late"
        "an order expires 1 ns after its deadline"
    ExpiryKeepsStock "expiry-keeps-stock"
        "an expired order's units stay reserved"
    ExpiryStampedNow "expiry-stamped-now"
        "the updated_at of an expired order is the time of the next call, not its deadline"
    ExpiredPaySaysCancelled "expired-pay-says-cancelled"
        "paying an expired order is refused like paying a cancelled order"
    InfoSeesExpired "info-sees-expired"
        "OrderInfo shows an order past its deadline as awaiting payment"
    StockSeesExpired "stock-sees-expired"
        "StocksInfo counts orders past their deadline"
    ZeroTimeoutExpires "zero-timeout-expires"
        "a payment timeout of 0 expires orders at once instead of never"
    DeadlineWraps "deadline-wraps"
        "a deadline over u64 wraps around, and the order expires at once"
    RulesCountFromChange "rules-count-from-change"
        "a new payment timeout counts from the change, not from the create"
    RulesExpireInPast "rules-expire-in-past"
        "an order that a shorter timeout expires is stamped with a time before the change"
    RulesExpireLate "rules-expire-late"
        "a shorter timeout expires orders only at the next call"
    RulesSameIsChange "rules-same-is-change"
        "a change to the present rules is an event"
    RulesBringKeysBack "rules-bring-keys-back"
        "a longer window brings forgotten keys back"
    ForgottenEarly "forgotten-early"
        "an order is forgotten 1 ns before it was kept long enough"
    ForgottenLate "forgotten-late"
        "an order is forgotten 1 ns too late"
    KeptFromCreate "kept-from-create"
        "the time that an order is kept counts from its create, not from its end"
    FailedKeptAsOthers "failed-kept-as-others"
        "a failed order is kept as long as a paid one"
    PaidKeptForGood "paid-kept-for-good"
        "paid orders are never forgotten"
    RulesBringOrdersBack "rules-bring-orders-back"
        "a longer time to keep brings forgotten orders back"
    KeyOutlivesOrder "key-outlives-order"
        "a key is remembered for its window, though its order is forgotten"
    RetryIgnored "retry-ignored"
        "a repeated create returns the failed order, though failed creates can be retried"
    RoomOneByteLess "room-one-byte-less"
        "an order that fills the room exactly is refused"
    RoomNeverComesBack "room-never-comes-back"
        "forgotten orders still take room"
    KeysTakeNoRoom "keys-take-no-room"
        "keys are not counted against the room"
    FailedLinesAsOthers "failed-lines-as-others"
        "a line of a failed order counts for no more than another"
    OpenOrdersOneMore "open-orders-one-more"
        "a user can have one open order more than allowed"
    OpenOrdersOfAllUsers "open-orders-of-all-users"
        "the open orders of all users are counted together"
    KeyForWrongUser "key-for-wrong-user"
        "a key is stored without its user"
    KeyForgottenOnFailure "key-forgotten-on-failure"
        "the key of a failed create is not stored"
    KeyForgottenEarly "key-forgotten-early"
        "a key is removed 1 ns before its window ends"
    KeyForgottenLate "key-forgotten-late"
        "a key is kept 1 ns after its window"
    RepeatProlongsKey "repeat-prolongs-key"
        "a repeat restarts the key's window"
    OtherLinesAccepted "other-lines-accepted"
        "a known key with other lines is answered as a repeat"
    RepeatReturnsStatusNow "repeat-returns-status-now"
        "a repeat returns the present status of the order instead of the first answer"
    RepeatReservesAgain "repeat-reserves-again"
        "a repeat reserves the first order's lines once more"
    EmptyKeyStored "empty-key-stored"
        "the empty key is stored like any other"
    KeyCutTo32Bytes "key-cut-to-32-bytes"
        "only the first 32 bytes of a key are compared"
    KeyOf255Refused "key-of-255-refused"
        "a key of 255 bytes is refused"
    MaxLinesAfterMerging "max-lines-after-merging"
        "lines are counted against the limit after merging"
    ItemsBeforeUser "items-before-user"
        "a create without lines from a bad user is refused for its lines"
    StockReturnsTotal "stock-returns-total"
        "StocksInfo returns the total"
    StockForgetsBase "stock-forgets-base"
        "StocksInfo counts the base reservation as available"
}

impl Bug {
    /// The bug with this [`name`](Bug::name), if there is one.
    pub(crate) fn parse(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}
