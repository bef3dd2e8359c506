//! The planted bugs: each makes the model wrong in one way, so that a simulator that sees no
//! difference from the honest server is proved blind to it. A difference is a difference whichever
//! side has it, so the shipped code carries no switches.

macro_rules! bugs {
    ($($bug:ident $name:literal $story:literal)*) => {
        /// A bug to plant in the model. Those that real services shipped come first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Bug {
            $(#[doc = $story] $bug,)*
        }

        impl Bug {
            /// Every bug, in the order of the kill table.
            pub(crate) const ALL: &'static [Bug] = &[$(Bug::$bug,)*];

            /// The bug's name on the command line: lower case words joined by `-`.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            /// What goes wrong, in one line.
            pub(crate) fn description(self) -> &'static str {
                match self { $(Bug::$bug => $story,)* }
            }
        }
    };
}

bugs! {
    FailedCreateKeepsLines "failed-create-keeps-lines"
        "shipped by real services: a failed create keeps the lines before the short one reserved"
    PayReturnsStock "pay-returns-stock"
        "shipped by real services: pay releases the units instead of taking them from the total"
    ReservedSubtractedTwice "reserved-subtracted-twice"
        "shipped by real services: available is total less twice the reserved"
    CancelFailedReleases "cancel-failed-releases"
        "shipped by real services: cancelling a failed order releases units of other orders"
    ReleaseClamps "release-clamps"
        "shipped by real services: a second cancel releases again, clamped at zero"
    DoublePayTakesTwice "double-pay-takes-twice"
        "shipped by real services: a second pay takes the units once more"
    CountCutTo16Bits "count-cut-to-16-bits"
        "shipped by real services: stock is moved by the low 16 bits of the count"
    MissingOrderDone "missing-order-done"
        "shipped by real services: pay and cancel of an unknown order are answered OK"
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
        "a paid order can be cancelled, and its units come back"
    SecondCancelRefused "second-cancel-refused"
        "cancelling an order that the client cancelled is refused"
    CancelRewritesReason "cancel-rewrites-reason"
        "cancelling an expired order makes it cancelled by the client"
    CancelReleasesBase "cancel-releases-base"
        "a cancel gives back as many units of the base reservation too"
    LeakAfter64Cancels "leak-after-64-cancels"
        "from the 65th cancel on nothing is released"
    ExactFitRefused "exact-fit-refused"
        "the last available unit cannot be reserved"
    OneTooMany "one-too-many"
        "one unit more than available can be reserved"
    ExactFitRefusedOnLine2 "exact-fit-refused-on-line-2"
        "an exact fit is short on the second of four or more lines"
    DuplicatesCheckedSingly "duplicates-checked-singly"
        "lines of the same SKU are checked one by one, each against all that is available"
    CountSumWraps "count-sum-wraps"
        "lines of the same SKU that sum to more than u32 wrap round"
    LastLineSkipped "last-line-skipped"
        "the last of several lines is not reserved"
    IdReusedAfterFailure "id-reused-after-failure"
        "the order after a failed one takes its id"
    UnknownSkuRefused "unknown-sku-refused"
        "a create with an unknown SKU is refused instead of failed"
    ShortagesFirstOnly "shortages-first-only"
        "only the first short line is told"
    ShortageToldAfterTaking "shortage-told-after-taking"
        "a shortage tells what was available after an earlier line of the SKU was taken"
    FailedShownAwaiting "failed-shown-awaiting"
        "OrderInfo shows a failed order as awaiting payment"
    LinesInClientOrder "lines-in-client-order"
        "OrderInfo shows the lines in the client's order"
    LinesUnmerged "lines-unmerged"
        "OrderInfo shows lines of the same SKU apart"
    ExpiryEarly "expiry-early"
        "an order expires 1 ns before its deadline"
    ExpiryLate "expiry-late"
        "an order expires 1 ns after its deadline"
    ExpiryKeepsStock "expiry-keeps-stock"
        "an expired order's units stay reserved"
    ExpiryStampedNow "expiry-stamped-now"
        "an expired order's updated_at is when it was noticed, not its deadline"
    ExpiredPaySaysCancelled "expired-pay-says-cancelled"
        "paying an expired order is refused as paying a cancelled one is"
    InfoSeesExpired "info-sees-expired"
        "OrderInfo shows an order past its deadline as awaiting payment"
    StockSeesExpired "stock-sees-expired"
        "StocksInfo counts orders past their deadline"
    ZeroTimeoutExpires "zero-timeout-expires"
        "a payment timeout of 0 expires orders at once instead of never"
    DeadlineWraps "deadline-wraps"
        "a deadline past u64 wraps round, and the order expires at once"
    KeyForWrongUser "key-for-wrong-user"
        "a key is remembered whoever the user is"
    KeyForgottenOnFailure "key-forgotten-on-failure"
        "the key of a failed create is not remembered"
    KeyForgottenEarly "key-forgotten-early"
        "a key is forgotten 1 ns before its window ends"
    KeyForgottenLate "key-forgotten-late"
        "a key is remembered 1 ns past its window"
    RepeatProlongsKey "repeat-prolongs-key"
        "a repeat starts the key's window anew"
    OtherLinesAccepted "other-lines-accepted"
        "a known key with other lines is answered as a repeat"
    RepeatTellsStatusNow "repeat-tells-status-now"
        "a repeat tells the order's status of now, not the first answer's"
    RepeatReservesAgain "repeat-reserves-again"
        "a repeat reserves the first order's lines once more"
    EmptyKeyRemembered "empty-key-remembered"
        "the empty key is remembered like any other"
    KeyCutTo32Bytes "key-cut-to-32-bytes"
        "only the first 32 bytes of a key count"
    KeyOf64Refused "key-of-64-refused"
        "a key of 64 bytes is refused"
    MaxLinesAfterMerging "max-lines-after-merging"
        "lines are counted against the limit after merging"
    ItemsBeforeUser "items-before-user"
        "a create without lines from a bad user is refused for its lines"
    StockTellsTotal "stock-tells-total"
        "StocksInfo tells the total"
    StockForgetsBase "stock-forgets-base"
        "StocksInfo counts the base reservation as available"
}

impl Bug {
    /// The bug of this [`name`](Bug::name); none if there is no such bug.
    pub(crate) fn parse(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}
