//! Coverage marks: every branch of the contract that matters, and the matrix of status × call.
//! A run knows which it reached; a mark that nothing reaches is a hole in the simulator.

use crate::contract::{Answer, Call, Refusal, Status};
use crate::model::World;
use crate::plan::Kind;

/// Defines [`Mark`]: name on pages, and what it takes.
macro_rules! marks {
    ($($mark:ident $name:literal $story:literal,)*) => {
        /// Something that a run can reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Mark { $(#[doc = $story] $mark,)* }

        impl Mark {
            /// Every mark.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$mark,)*];

            /// As pages spell it.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$mark => $name,)* }
            }

            /// What it takes.
            #[must_use]
            pub(crate) const fn story(self) -> &'static str {
                match self { $(Self::$mark => $story,)* }
            }

            const fn bit(self) -> u128 {
                1 << (self as u32)
            }
        }
    };
}

marks! {
    CreateReserved "create-reserved" "every line fits",
    CreateFourLines "create-four-lines" "four SKUs in one order, all reserved",
    CreateExactFit "create-exact-fit" "a line takes all there is",
    CreateExactFitInside "create-exact-fit-inside" "a line that is not the first takes all there is",
    CreateBig "create-big" "a line of more than 65,535 units is reserved",
    CreateMostLines "create-most-lines" "exactly as many lines as the server takes",
    CreateMerged "create-merged" "lines of one SKU are reserved as one",
    CreateAfterExpiry "create-after-expiry" "stock that an expiry gives back is reserved at once",
    CreateNoDeadline "create-no-deadline" "a deadline past the end of time is none",
    CreateShortByOne "create-short-by-one" "one unit more than there is",
    CreateShortLater "create-short-later" "the first line fits, a later one does not",
    CreateShortTwice "create-short-twice" "two lines are short",
    CreateShortMerged "create-short-merged" "each line fits, their sum does not",
    CreateShortBase "create-short-base" "units reserved as the service opens cannot be had",
    CreateUnknownSku "create-unknown-sku" "a SKU without a stock record: failed, on record",
    CreateUserZero "create-user-zero" "user 0 is refused",
    CreateUserNegative "create-user-negative" "a user below 0 is refused",
    CreateNoItems "create-no-items" "a create without lines is refused",
    CreateTooManyItems "create-too-many-items" "one line too many is refused",
    CreateSkuZero "create-sku-zero" "SKU 0 is refused",
    CreateCountZero "create-count-zero" "count 0 is refused",
    CreateSumOverflow "create-sum-overflow" "lines that add up to more than 32 bits are refused",
    CreateKeyTooLong "create-key-too-long" "a key over 64 bytes is refused",
    CreateTwoRules "create-two-rules" "of several broken rules the strongest is told",
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
    PayAwaiting "pay-awaiting" "total and reserved go down",
    PayLastMoment "pay-last-moment" "a nanosecond before the deadline",
    PayDue "pay-due" "at the deadline it is too late",
    PayFailed "pay-failed" "a failed order cannot be paid",
    PayPaid "pay-paid" "a second payment takes nothing",
    PayCancelled "pay-cancelled" "a cancelled order cannot be paid",
    PayExpired "pay-expired" "an expired order cannot be paid",
    PayMissing "pay-missing" "there is no such order",
    PayInvalid "pay-invalid" "an id of 0 or below is refused",
    CancelAwaiting "cancel-awaiting" "reserved goes down",
    CancelDue "cancel-due" "it expires first, and then there is nothing to cancel",
    CancelFailed "cancel-failed" "a failed order holds nothing to give back",
    CancelPaid "cancel-paid" "what is sold is sold",
    CancelCancelled "cancel-cancelled" "a second cancellation gives nothing back",
    CancelExpired "cancel-expired" "as for one that was cancelled",
    CancelMissing "cancel-missing" "there is no such order",
    CancelInvalid "cancel-invalid" "an id of 0 or below is refused",
    InfoAwaiting "info-awaiting" "an order that awaits payment",
    InfoDue "info-due" "nobody sees an order past its deadline awaiting payment",
    InfoFailed "info-failed" "with what was short",
    InfoPaid "info-paid" "a paid order",
    InfoCancelled "info-cancelled" "with the reason",
    InfoExpired "info-expired" "with the reason",
    InfoMissing "info-missing" "there is no such order",
    InfoInvalid "info-invalid" "an id of 0 or below is refused",
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
    ManyCancels "many-cancels" "more than 64 cancellations in one run",
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
pub(crate) enum Standing {
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

impl Standing {
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
pub(crate) const fn cell(kind: Kind, standing: Standing) -> Option<Mark> {
    Some(match (kind, standing) {
        (Kind::Pay, Standing::Awaiting) => Mark::PayAwaiting,
        (Kind::Pay, Standing::Due) => Mark::PayDue,
        (Kind::Pay, Standing::Failed) => Mark::PayFailed,
        (Kind::Pay, Standing::Paid) => Mark::PayPaid,
        (Kind::Pay, Standing::Cancelled) => Mark::PayCancelled,
        (Kind::Pay, Standing::Expired) => Mark::PayExpired,
        (Kind::Pay, Standing::Missing) => Mark::PayMissing,
        (Kind::Pay, Standing::Invalid) => Mark::PayInvalid,
        (Kind::Cancel, Standing::Awaiting) => Mark::CancelAwaiting,
        (Kind::Cancel, Standing::Due) => Mark::CancelDue,
        (Kind::Cancel, Standing::Failed) => Mark::CancelFailed,
        (Kind::Cancel, Standing::Paid) => Mark::CancelPaid,
        (Kind::Cancel, Standing::Cancelled) => Mark::CancelCancelled,
        (Kind::Cancel, Standing::Expired) => Mark::CancelExpired,
        (Kind::Cancel, Standing::Missing) => Mark::CancelMissing,
        (Kind::Cancel, Standing::Invalid) => Mark::CancelInvalid,
        (Kind::Info, Standing::Awaiting) => Mark::InfoAwaiting,
        (Kind::Info, Standing::Due) => Mark::InfoDue,
        (Kind::Info, Standing::Failed) => Mark::InfoFailed,
        (Kind::Info, Standing::Paid) => Mark::InfoPaid,
        (Kind::Info, Standing::Cancelled) => Mark::InfoCancelled,
        (Kind::Info, Standing::Expired) => Mark::InfoExpired,
        (Kind::Info, Standing::Missing) => Mark::InfoMissing,
        (Kind::Info, Standing::Invalid) => Mark::InfoInvalid,
        (Kind::Create | Kind::Stock | Kind::Tick, _) => return None,
    })
}

/// What there was to see of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    /// The world's rules.
    pub(crate) world: &'a World,
    /// The moment, in nanoseconds since 1970.
    pub(crate) at: u64,
    /// The call.
    pub(crate) call: Call<'a>,
    /// Its answer.
    pub(crate) answer: &'a Answer,
    /// How the order stood that the call, or its answer, is about.
    pub(crate) before: Standing,
    /// Whether the call made an order.
    pub(crate) new_order: bool,
    /// Orders that expired.
    pub(crate) expired: usize,
    /// Whether they did so at different moments.
    pub(crate) in_turn: bool,
    /// When the order that the call is about was made.
    pub(crate) created: u64,
    /// What can be promised now, by ascending SKU as in the world.
    pub(crate) available: &'a [u64],
}

/// Sees calls and remembers the marks they reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    /// What was reached.
    pub(crate) reached: MarkSet,
    /// The first keys of the run: user, key and its order.
    keys: Vec<(i64, String)>,
    cancels: u32,
}

/// Keys that a [`Marker`] remembers: it looks through all of them at each create.
const KEYS: usize = 24;

impl Marker {
    /// Takes a call in.
    pub(crate) fn see(&mut self, sight: &Sight<'_>) {
        match sight.call {
            Call::Create { user, items, key } => self.see_create(sight, user, items, key),
            Call::Pay(_) => self.see_about(Kind::Pay, sight),
            Call::Cancel(_) => self.see_about(Kind::Cancel, sight),
            Call::Info(_) => self.see_about(Kind::Info, sight),
            Call::Stock(_) => self.see_stock(sight),
            Call::Tick => {
                self.reached.insert(match sight.expired {
                    0 => Mark::TickIdle,
                    1 => Mark::TickOne,
                    _ => Mark::TickSeveral,
                });
                self.mark_if(sight.in_turn, Mark::TickInTurn);
            }
        }
    }

    fn mark_if(&mut self, reached: bool, mark: Mark) {
        if reached {
            self.reached.insert(mark);
        }
    }

    fn see_about(&mut self, kind: Kind, sight: &Sight<'_>) {
        if let Some(mark) = cell(kind, sight.before) {
            self.reached.insert(mark);
        }
        if sight.before != Standing::Awaiting {
            return;
        }
        if kind == Kind::Cancel {
            self.cancels += 1;
            self.mark_if(self.cancels > 64, Mark::ManyCancels);
        }
        let deadline = sight.created.checked_add(sight.world.payment_timeout);
        if kind == Kind::Pay && deadline.is_some_and(|deadline| deadline - 1 == sight.at) {
            self.reached.insert(Mark::PayLastMoment);
        }
    }

    fn see_stock(&mut self, sight: &Sight<'_>) {
        match sight.answer {
            Answer::Stock(0) => self.reached.insert(Mark::StockNone),
            Answer::Stock(units) => {
                self.reached.insert(Mark::StockSome);
                self.mark_if(*units > u64::from(u32::MAX), Mark::StockBig);
                self.mark_if(sight.expired > 0, Mark::StockAfterExpiry);
            }
            Answer::Refused(Refusal::SkuNotFound) => self.reached.insert(Mark::StockUnknown),
            Answer::Refused(_) => self.reached.insert(Mark::StockZero),
            Answer::Created { .. } | Answer::Order(_) | Answer::Done => {}
        }
    }

    fn see_create(&mut self, sight: &Sight<'_>, user: i64, items: &[(u32, u32)], key: &str) {
        match sight.answer {
            Answer::Created { status, .. } => {
                if sight.new_order {
                    if !key.is_empty() {
                        self.see_new_key(user, key);
                    }
                    if *status == Status::AwaitingPayment {
                        self.see_reserved(sight, items);
                    } else {
                        self.see_short(sight, items);
                    }
                } else {
                    self.see_repeat(sight, items);
                }
            }
            Answer::Refused(refusal) => self.see_refused(sight, *refusal, user, items, key),
            Answer::Order(_) | Answer::Done | Answer::Stock(_) => {}
        }
    }

    fn see_new_key(&mut self, user: i64, key: &str) {
        self.mark_if(key.len() == 64, Mark::KeyLongest);
        if self.reached.has(Mark::KeyOfAnother) && self.reached.has(Mark::KeyForgotten) {
            return;
        }
        let mut known = false;
        for (owner, text) in &self.keys {
            if text == key {
                known |= *owner == user;
                let mark = if *owner == user { Mark::KeyForgotten } else { Mark::KeyOfAnother };
                self.reached.insert(mark);
            }
        }
        self.reached.insert(Mark::KeyFirst);
        if !known && self.keys.len() < KEYS {
            self.keys.push((user, key.to_owned()));
        }
    }

    fn see_repeat(&mut self, sight: &Sight<'_>, items: &[(u32, u32)]) {
        match sight.before {
            Standing::Awaiting => self.reached.insert(Mark::KeyRepeatedAwaiting),
            Standing::Failed => self.reached.insert(Mark::KeyRepeatedFailed),
            Standing::Paid => self.reached.insert(Mark::KeyRepeatedPaid),
            Standing::Cancelled => self.reached.insert(Mark::KeyRepeatedCancelled),
            Standing::Expired | Standing::Due => self.reached.insert(Mark::KeyRepeatedExpired),
            Standing::Missing | Standing::Invalid => {}
        }
        self.mark_if(has_duplicates(items), Mark::KeyRepeatedSplit);
    }

    fn see_reserved(&mut self, sight: &Sight<'_>, items: &[(u32, u32)]) {
        self.reached.insert(Mark::CreateReserved);
        let duplicates = items.len() > 1 && has_duplicates(items);
        self.mark_if(duplicates, Mark::CreateMerged);
        self.mark_if(!duplicates && items.len() >= 4, Mark::CreateFourLines);
        let most = usize::try_from(sight.world.max_lines).is_ok_and(|most| items.len() == most);
        self.mark_if(most, Mark::CreateMostLines);
        self.mark_if(items.iter().any(|item| item.1 > 65_535), Mark::CreateBig);
        self.mark_if(sight.expired > 0, Mark::CreateAfterExpiry);
        let deadline = sight.at.checked_add(sight.world.payment_timeout);
        self.mark_if(deadline.is_none(), Mark::CreateNoDeadline);
        if self.reached.has(Mark::CreateExactFitInside) {
            return;
        }
        let first = items.iter().map(|item| item.0).min();
        for (&(sku, ..), &left) in sight.world.stock.iter().zip(sight.available) {
            if left == 0 && items.iter().any(|item| item.0 == sku) {
                self.reached.insert(Mark::CreateExactFit);
                self.mark_if(first < Some(sku), Mark::CreateExactFitInside);
            }
        }
    }

    fn see_short(&mut self, sight: &Sight<'_>, items: &[(u32, u32)]) {
        let Answer::Created { shortages, .. } = sight.answer else { return };
        self.mark_if(shortages.len() > 1, Mark::CreateShortTwice);
        let first = items.iter().map(|item| item.0).min();
        self.mark_if(shortages.first().map(|short| short.sku) > first, Mark::CreateShortLater);
        for short in shortages {
            let Some(&(_, _, base)) = sight.world.stock.iter().find(|shelf| shelf.0 == short.sku)
            else {
                self.reached.insert(Mark::CreateUnknownSku);
                continue;
            };
            let missing = short.requested.saturating_sub(short.available);
            self.mark_if(missing == 1, Mark::CreateShortByOne);
            self.mark_if(missing <= base, Mark::CreateShortBase);
            let biggest =
                items.iter().filter(|item| item.0 == short.sku).map(|item| u64::from(item.1)).max();
            self.mark_if(biggest <= Some(short.available), Mark::CreateShortMerged);
        }
    }

    fn see_refused(
        &mut self,
        sight: &Sight<'_>,
        refusal: Refusal,
        user: i64,
        items: &[(u32, u32)],
        key: &str,
    ) {
        let most = usize::try_from(sight.world.max_lines).unwrap_or(usize::MAX);
        let broken = usize::from(user <= 0)
            + usize::from(items.is_empty() || items.len() > most)
            + items.iter().filter(|item| item.0 == 0 || item.1 == 0).count()
            + usize::from(key.len() > 64);
        self.mark_if(broken > 1, Mark::CreateTwoRules);
        self.reached.insert(match refusal {
            Refusal::InvalidUser if user == 0 => Mark::CreateUserZero,
            Refusal::InvalidUser => Mark::CreateUserNegative,
            Refusal::NoItems => Mark::CreateNoItems,
            Refusal::TooManyItems => Mark::CreateTooManyItems,
            Refusal::InvalidItemSku(_) => Mark::CreateSkuZero,
            Refusal::InvalidItemCount(_) => Mark::CreateCountZero,
            Refusal::CountOverflow(_) => Mark::CreateSumOverflow,
            Refusal::KeyTooLong => Mark::CreateKeyTooLong,
            Refusal::IdempotencyKeyReused(_) => Mark::KeyReused,
            Refusal::InvalidOrderId
            | Refusal::InvalidSku
            | Refusal::OrderNotFound
            | Refusal::SkuNotFound
            | Refusal::OrderNotAwaitingPayment(_)
            | Refusal::OrderExpired => return,
        });
    }
}

fn has_duplicates(items: &[(u32, u32)]) -> bool {
    items.iter().zip(1..).any(|(item, next)| items[next..].iter().any(|other| other.0 == item.0))
}
