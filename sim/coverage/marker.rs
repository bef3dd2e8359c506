//! Finds which marks a call reaches.

use loms::state_machine::{OrderId, OrderStatus, Sizes, Sku, Timestamp};

use crate::check::subject::Subject;
use crate::coverage::marks::{Mark, MarkSet, OrderState, cell};
use crate::model::World;
use crate::model::contract::{Answer, Call, Refusal, Status};
use crate::plan::Kind;

/// What can be observed of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation<'a, S: Sizes> {
    /// The world, with its rules.
    pub(crate) world: &'a World,
    /// The time, in nanoseconds since 1970.
    pub(crate) at: u64,
    /// The call.
    pub(crate) call: Call<'a>,
    /// Its answer.
    pub(crate) answer: &'a Answer,
    /// The state, before the call, of the order that the call or its answer is about.
    pub(crate) before: OrderState,
    /// Whether the call created an order.
    pub(crate) new_order: bool,
    /// Number of orders that expired.
    pub(crate) expired: usize,
    /// Whether they expired at different times.
    pub(crate) expired_at_different_times: bool,
    /// The longest distance between the ids of two that expired one after the other.
    pub(crate) widest_expiry_gap: i64,
    /// The subject, after the call.
    pub(crate) subject: &'a Subject<S>,
}

/// Observes calls and stores the marks that they reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    /// The marks reached so far.
    pub(crate) reached: MarkSet,
    /// The first keys of the run, with their users and times.
    keys: Vec<(i64, String, u64)>,
    cancels: u32,
    /// The time of a create with a key, and how many keys were new since then and within one
    /// window.
    new_keys: (u64, u32),
    /// The last change of the rules.
    change: Option<Change>,
    /// Whether a create was refused for lack of room.
    was_full: bool,
}

/// A change of the rules.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Its time.
    at: u64,
    /// The window before the change, and after it.
    window: [u64; 2],
    /// The payment timeout after it.
    timeout: u64,
}

/// How many keys a [`Marker`] stores: every create searches all of them.
const KEYS: usize = 24;

impl Marker {
    /// Observes a call.
    pub(crate) fn observe<S: Sizes>(&mut self, observation: &Observation<'_, S>) {
        self.mark_if(observation.expired > 1_000, Mark::SizeDue);
        self.mark_if(observation.widest_expiry_gap > 4_096, Mark::SizeSparse);
        match observation.call {
            Call::Create { user, items, key } => self.observe_create(observation, user, items, key),
            Call::Pay(_) => self.observe_about(Kind::Pay, observation),
            Call::Cancel(_) => self.observe_about(Kind::Cancel, observation),
            Call::Info(_) => self.observe_about(Kind::Info, observation),
            Call::Stock(_) => self.observe_stock(observation),
            Call::Tick => {
                self.reached.insert(match observation.expired {
                    0 => Mark::TickIdle,
                    1 => Mark::TickOne,
                    _ => Mark::TickSeveral,
                });
                self.mark_if(observation.expired_at_different_times, Mark::TickInTurn);
            }
            Call::ChangeRules { timeout, window, .. } => {
                self.observe_change(observation, timeout, window);
            }
        }
    }

    fn mark_if(&mut self, reached: bool, mark: Mark) {
        if reached {
            self.reached.insert(mark);
        }
    }

    fn timeout<S: Sizes>(&self, observation: &Observation<'_, S>) -> u64 {
        self.change.map_or(observation.world.payment_timeout, |change| change.timeout)
    }

    fn window<S: Sizes>(&self, observation: &Observation<'_, S>) -> u64 {
        self.change.map_or(observation.world.idempotency_window, |change| change.window[1])
    }

    fn observe_change<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        timeout: u64,
        window: u64,
    ) {
        let at = observation.at;
        let (old, old_window) = (self.timeout(observation), self.window(observation));
        if (old, old_window) == (timeout, window) {
            return;
        }
        let state = &observation.subject.state;
        let shorter = timeout != 0 && (old == 0 || timeout < old);
        let longer = old != 0 && timeout > old;
        if shorter && observation.expired > 0 && !self.reached.has(Mark::RulesExpireNow) {
            // Orders that were already due by the old timeout do not count.
            let early = state.orders().any(|order| {
                let age = at - order.created().as_nanos();
                order.updated().as_nanos() == at && age > timeout && (old == 0 || age < old)
            });
            self.mark_if(early, Mark::RulesExpireNow);
        }
        let waits = state.next_deadline().is_some();
        self.mark_if(shorter && waits, Mark::RulesShortened);
        self.mark_if(longer && waits, Mark::RulesProlonged);
        if timeout == 0 && old != 0 && !self.reached.has(Mark::RulesTimeoutOff) {
            let waits = state.orders().any(|order| order.status() == OrderStatus::AwaitingPayment);
            self.mark_if(waits, Mark::RulesTimeoutOff);
        }
        self.change = Some(Change { at, window: [old_window, window], timeout });
    }

    /// A key that was seen before makes a new order. Records whether the change of the rules is the
    /// reason.
    fn observe_forgotten<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        user: i64,
        key: &str,
    ) {
        let Some(Change { at, window: [before, since], .. }) = self.change else { return };
        let seen = self.keys.iter().find(|(owner, text, _)| (*owner, &**text) == (user, key));
        let Some(&(_, _, seen)) = seen else { return };
        let age = observation.at - seen;
        self.mark_if(since < before && seen < at && age < before, Mark::RulesKeyForgotten);
        let gone = seen < at && at - seen >= before;
        self.mark_if(gone && before > 0 && age < since, Mark::RulesKeyNotBack);
    }

    fn observe_about<S: Sizes>(&mut self, kind: Kind, observation: &Observation<'_, S>) {
        if let Some(mark) = cell(kind, observation.before) {
            self.reached.insert(mark);
        }
        if kind == Kind::Info {
            self.observe_end(observation);
        }
        if observation.before != OrderState::Awaiting {
            return;
        }
        if kind == Kind::Cancel {
            self.cancels += 1;
            self.mark_if(self.cancels > 64, Mark::ManyCancels);
        }
        if kind == Kind::Pay && !self.reached.has(Mark::PayLastMoment) {
            let (Call::Pay(order) | Call::Cancel(order)) = observation.call else { return };
            let view = OrderId::new(order).and_then(|id| observation.subject.state.order(id));
            let deadline = view
                .and_then(|view| view.created().as_nanos().checked_add(self.timeout(observation)));
            let last_moment = deadline.is_some() && deadline == observation.at.checked_add(1);
            self.mark_if(last_moment, Mark::PayLastMoment);
        }
    }

    /// An OrderInfo just before or just after its order is forgotten.
    fn observe_end<S: Sizes>(&mut self, observation: &Observation<'_, S>) {
        let (Call::Info(order), Some(before)) = (observation.call, observation.at.checked_sub(1))
        else {
            return;
        };
        let state = &observation.subject.state;
        let is_kept = |at| OrderId::new(order).is_some_and(|id| state.order_at(id, at).is_some());
        let [before, now, after] = [before, observation.at, observation.at.saturating_add(1)]
            .map(|at| is_kept(Timestamp::from_nanos(at)));
        self.mark_if(before && !now, Mark::JustForgotten);
        self.mark_if(now && !after, Mark::StillKept);
    }

    fn observe_stock<S: Sizes>(&mut self, observation: &Observation<'_, S>) {
        match observation.answer {
            Answer::Stock(0) => {
                self.reached.insert(Mark::StockNone);
                let Call::Stock(asked) = observation.call else { return };
                let mut stock = observation.world.stock.iter();
                let over = stock.any(|&(sku, total, base)| sku == asked && base > total);
                self.mark_if(over, Mark::StockOverReserved);
            }
            Answer::Stock(units) => {
                self.reached.insert(Mark::StockSome);
                self.mark_if(*units > u64::from(u32::MAX), Mark::StockBig);
                self.mark_if(observation.expired > 0, Mark::StockAfterExpiry);
            }
            Answer::Refused(Refusal::SkuNotFound) => self.reached.insert(Mark::StockUnknown),
            Answer::Refused(_) => self.reached.insert(Mark::StockZero),
            Answer::Created { .. } | Answer::Order(_) | Answer::Done => {}
        }
    }

    fn observe_create<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        user: i64,
        items: &[(u32, u32)],
        key: &str,
    ) {
        match observation.answer {
            Answer::Created { order, status, .. } => {
                if observation.new_order {
                    self.mark_if(self.was_full, Mark::RoomAgain);
                    self.mark_if(*order > 1 << 17, Mark::SizeOrders);
                    self.mark_if(observation.world.stock.len() > 500, Mark::SizeSkus);
                    if !key.is_empty() {
                        self.observe_new_key(observation, user, key);
                    }
                    if *status == Status::AwaitingPayment {
                        self.observe_reserved(observation, items);
                    } else {
                        self.observe_short(observation, items);
                    }
                } else {
                    self.observe_repeat(observation, items);
                }
            }
            Answer::Refused(refusal) => {
                self.observe_refused(observation, *refusal, user, items, key)
            }
            Answer::Order(_) | Answer::Done | Answer::Stock(_) => {}
        }
    }

    fn observe_new_key<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        user: i64,
        key: &str,
    ) {
        self.mark_if(key.len() == 255, Mark::KeyLongest);
        let window = self.window(observation);
        match &mut self.new_keys {
            (since, count) if observation.at - *since < window => *count += 1,
            other => *other = (observation.at, 1),
        }
        self.mark_if(self.new_keys.1 > 10_000, Mark::SizeKeys);
        self.observe_forgotten(observation, user, key);
        let rules = observation.subject.state.rules();
        let no_retry = rules.keep_failed.as_nanos() == 0 && !rules.retry_failed;
        let all_seen = self.reached.has(Mark::KeyOfAnother) && self.reached.has(Mark::KeyForgotten);
        if all_seen && (no_retry || self.reached.has(Mark::KeyRetried)) {
            return;
        }
        let mut known = false;
        for (owner, text, seen) in &self.keys {
            let age = observation.at - seen;
            let keep = rules.keep.as_nanos();
            let is_kept = self.change.is_none() && (keep == 0 || age < keep);
            if text == key && *owner == user && age < window && is_kept {
                // Only the key of a failed order is not remembered for that long.
                self.reached.insert(Mark::KeyRetried);
            }
            if text == key {
                known |= *owner == user;
                let mark = if *owner == user { Mark::KeyForgotten } else { Mark::KeyOfAnother };
                // Without a window no key is stored, so none can be removed.
                if window > 0 {
                    self.reached.insert(mark);
                }
            }
        }
        self.reached.insert(Mark::KeyFirst);
        if !known && self.keys.len() < KEYS {
            self.keys.push((user, key.to_owned(), observation.at));
        }
    }

    fn observe_repeat<S: Sizes>(&mut self, observation: &Observation<'_, S>, items: &[(u32, u32)]) {
        match observation.before {
            OrderState::Awaiting => self.reached.insert(Mark::KeyRepeatedAwaiting),
            OrderState::Failed => self.reached.insert(Mark::KeyRepeatedFailed),
            OrderState::Paid => self.reached.insert(Mark::KeyRepeatedPaid),
            OrderState::Cancelled => self.reached.insert(Mark::KeyRepeatedCancelled),
            OrderState::Expired | OrderState::Due => self.reached.insert(Mark::KeyRepeatedExpired),
            OrderState::Forgotten | OrderState::Missing | OrderState::Invalid => {}
        }
        if !self.reached.has(Mark::KeyRepeatedSplit) {
            self.mark_if(has_duplicates(items), Mark::KeyRepeatedSplit);
        }
    }

    fn observe_reserved<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        items: &[(u32, u32)],
    ) {
        self.reached.insert(Mark::CreateReserved);
        if items.len() > 500 && !self.reached.has(Mark::SizeLines) {
            self.mark_if(distinct(items) > 500, Mark::SizeLines);
        }
        if !self.reached.has(Mark::CreateMerged) || !self.reached.has(Mark::CreateFourLines) {
            let duplicates = items.len() > 1 && has_duplicates(items);
            self.mark_if(duplicates, Mark::CreateMerged);
            self.mark_if(!duplicates && items.len() >= 4, Mark::CreateFourLines);
        }
        let most =
            usize::try_from(observation.world.max_lines).is_ok_and(|most| items.len() == most);
        self.mark_if(most, Mark::CreateMostLines);
        self.mark_if(items.iter().any(|item| item.1 > 65_535), Mark::CreateBig);
        self.mark_if(observation.expired > 0, Mark::CreateAfterExpiry);
        let deadline = observation.at.checked_add(self.timeout(observation));
        self.mark_if(deadline.is_none(), Mark::CreateNoDeadline);
        if self.reached.has(Mark::CreateExactFitInside) {
            return;
        }
        let first = items.iter().map(|item| item.0).min();
        for &(sku, _) in items {
            let left = Sku::new(sku).and_then(|sku| observation.subject.state.available(sku));
            if left == Some(0) {
                self.reached.insert(Mark::CreateExactFit);
                self.mark_if(first < Some(sku), Mark::CreateExactFitInside);
            }
        }
    }

    fn observe_short<S: Sizes>(&mut self, observation: &Observation<'_, S>, items: &[(u32, u32)]) {
        let Answer::Created { shortages, .. } = observation.answer else { return };
        self.mark_if(shortages.len() > 1, Mark::CreateShortTwice);
        self.mark_if(shortages.len() > 100, Mark::SizeShortages);
        let first = items.iter().map(|item| item.0).min();
        self.mark_if(shortages.first().map(|short| short.sku) > first, Mark::CreateShortLater);
        // If each SKU has one line, no shortage is of a sum.
        let split = !self.reached.has(Mark::CreateShortMerged) && has_duplicates(items);
        for short in shortages {
            let stock = &observation.world.stock;
            let Ok(place) = stock.binary_search_by_key(&short.sku, |&(sku, ..)| sku) else {
                self.reached.insert(Mark::CreateUnknownSku);
                continue;
            };
            let (_, _, base) = stock[place];
            let missing = short.requested - short.available;
            self.mark_if(missing == 1, Mark::CreateShortByOne);
            self.mark_if(missing <= base, Mark::CreateShortBase);
            if !split {
                continue;
            }
            let biggest =
                items.iter().filter(|item| item.0 == short.sku).map(|item| u64::from(item.1)).max();
            self.mark_if(biggest <= Some(short.available), Mark::CreateShortMerged);
        }
    }

    fn observe_refused<S: Sizes>(
        &mut self,
        observation: &Observation<'_, S>,
        refusal: Refusal,
        user: i64,
        items: &[(u32, u32)],
        key: &str,
    ) {
        let most = usize::try_from(observation.world.max_lines).unwrap_or(usize::MAX);
        let broken = usize::from(user <= 0)
            + usize::from(items.is_empty() || items.len() > most)
            + items.iter().filter(|item| item.0 == 0 || item.1 == 0).count()
            + usize::from(key.len() > 255);
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
            Refusal::TooManyOpenOrders => Mark::OpenOrders,
            Refusal::NoRoom => {
                self.was_full = true;
                Mark::NoRoom
            }
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
    // Comparing all pairs is faster for a few lines, and takes too long for hundreds.
    if items.len() > 32 {
        return distinct(items) < items.len();
    }
    items.iter().zip(1..).any(|(item, next)| items[next..].iter().any(|other| other.0 == item.0))
}

/// Number of different SKUs.
fn distinct(items: &[(u32, u32)]) -> usize {
    let mut skus: Vec<u32> = items.iter().map(|item| item.0).collect();
    skus.sort_unstable();
    skus.dedup();
    skus.len()
}
