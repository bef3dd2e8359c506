//! [`LomsState`], and [`LomsState::apply`], the only function that changes it.

mod create;
mod keeping;
mod whole;

use std::collections::BTreeMap;

use super::command::{Command, Demand, Entry, IdempotencyKey, Line};
use super::event::{Event, Fact, Transition};
use super::ids::{OrderId, Sku, Timestamp, UserId, earlier};
use super::keys::{KeyHash, Keys};
use super::lifecycle::{Cause, OrderStatus};
use super::order::Order;
use super::orders::{Changed, OrderView, Orders};
use super::outcome::{Outcome, Rejection};
use super::record::OrderRecord;
use super::rules::Rules;
use super::stock::{OpeningStock, Stock, StockView};
use super::storage::{Shipped, Sizes, Slot};

/// How many forgotten orders and keys of each kind a command removes: more than it can add.
const REMOVALS: u32 = 2;

/// All orders and all stock. The same entries, applied to the same opening stock and rules, always
/// lead to the same state, with the same answers and the same events.
#[derive(Clone, Debug)]
pub struct LomsState<S: Sizes = Shipped> {
    rules: Rules,
    rules_since: Timestamp,
    now: Timestamp,
    index: u64,
    /// The index of the entry that is being applied.
    applying: u64,
    events: u64,
    stock: Stock<S>,
    orders: Orders<S>,
    /// The keys of orders that did not fail.
    keys: Keys<S>,
    failed_keys: Keys<S>,
    /// How many orders each user has that await payment; empty if the rules do not limit them.
    open: BTreeMap<UserId, u32>,
    /// The deadline of the oldest order that awaits payment.
    next_deadline: Option<Timestamp>,
    /// When the next order or key is forgotten.
    next_removal: Option<Timestamp>,
    /// Scratch buffer of a create: where the stock of each line is.
    slots: Vec<Slot>,
}

impl LomsState {
    /// A state with this opening stock and no orders, at time 0.
    ///
    /// The secret makes the hash index of idempotency keys unpredictable for clients. It affects
    /// speed only, never answers, and is not part of the digest.
    #[must_use]
    pub fn new(rules: Rules, opening: &OpeningStock, key_hash_secret: u64) -> Self {
        Self::with_sizes(rules, opening, key_hash_secret)
    }
}

impl<S: Sizes> LomsState<S> {
    /// As [`LomsState::new`], with the container sizes of the caller's choice.
    #[must_use]
    pub fn with_sizes(rules: Rules, opening: &OpeningStock, key_hash_secret: u64) -> Self {
        let stock: Vec<StockView> = opening
            .records()
            .iter()
            .map(|&opening| StockView { opening, total: opening.total, reserved: opening.reserved })
            .collect();
        Self::empty(rules, key_hash_secret, &stock).expect("an opening stock is valid")
    }

    /// A state with this stock and without orders.
    ///
    /// # Errors
    /// The SKU that appears twice.
    pub(super) fn empty(
        rules: Rules,
        key_hash_secret: u64,
        stock: &[StockView],
    ) -> Result<Self, Sku> {
        let mut state = Self {
            rules,
            rules_since: Timestamp::default(),
            now: Timestamp::default(),
            index: 0,
            applying: 0,
            events: 0,
            stock: Stock::with_room_for(stock.len()),
            orders: Orders::default(),
            keys: Keys::new(rules.key_window(), key_hash_secret),
            failed_keys: Keys::new(rules.failed_key_window(), key_hash_secret),
            open: BTreeMap::new(),
            next_deadline: None,
            next_removal: None,
            slots: Vec::new(),
        };
        for view in stock {
            let sku = view.opening.sku;
            if state.stock.find(sku).is_some() {
                return Err(sku);
            }
            state.stock.add(*view);
        }
        Ok(state)
    }

    /// Applies an entry: advances the time to that of the entry, expires the orders that are due
    /// by then, and executes the command. Appends an [`Event`] for each change.
    ///
    /// If there is no event, nothing but the time has changed, and the entry's index is still free:
    /// it is not an entry of the log.
    ///
    /// # Errors
    /// A [`Rejection`]: the command itself changed nothing.
    ///
    /// # Panics
    /// The entry's index is not the one after [`LomsState::index`].
    pub fn apply(&mut self, entry: &Entry, events: &mut Vec<Event>) -> Result<Outcome, Rejection> {
        let Entry { index, at, command } = entry;
        assert!(index.checked_sub(1) == Some(self.index), "{index} is not the next entry");
        if *at < self.now {
            return Err(Rejection::ClockWentBack { now: self.now, at: *at });
        }
        self.now = *at;
        self.applying = *index;
        if self.next_deadline.is_some_and(|deadline| deadline <= *at) {
            self.expire_due(events);
        }
        if self.next_removal.is_some_and(|end| end <= *at) {
            self.remove_some();
        }
        match command {
            Command::CreateOrder { user, demand, key } => {
                self.create(*user, demand, key.as_ref(), events)
            }
            Command::PayOrder(order) => self.pay(*order, events),
            Command::CancelOrder(order) => self.cancel(*order, events),
            Command::Tick => Ok(Outcome::Ticked),
            Command::ChangeRules(rules) => Ok(self.change_rules(*rules, events)),
        }
    }

    /// The time of the last command.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The index of the last entry that changed the state; 0 for none.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The sequence number of the last event; 0 for none.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The current rules.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// When the current rules were set.
    #[must_use]
    pub fn rules_since(&self) -> Timestamp {
        self.rules_since
    }

    /// When the next order expires, unless it is paid or cancelled before. The caller applies a
    /// [`Command::Tick`] at this time at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_deadline
    }

    /// The latest time, up to `at`, by which at most `most` orders expire; later only if more
    /// orders than that expire at the same time. A caller uses it to expire a large backlog in
    /// small steps.
    ///
    /// Looks only at orders that expire by the time that it returns, and at one more.
    #[must_use]
    #[inline(never)]
    pub fn expiry_horizon(&self, at: Timestamp, most: usize) -> Timestamp {
        let Some(first) = self.next_deadline.filter(|deadline| *deadline <= at) else {
            return at;
        };
        let mut due = self.orders.awaiting().map_while(|order| {
            // An order without a deadline is never due.
            self.deadline(order).filter(|deadline| *deadline <= at)
        });
        match due.nth(most) {
            None => at,
            Some(beyond) if beyond == first => beyond,
            Some(beyond) => {
                let before = beyond.as_nanos().checked_sub(1);
                Timestamp::from_nanos(before.expect("it is after the first deadline"))
            }
        }
    }

    /// The order with this id; `None` also for an order that is forgotten.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderView<'_, S>> {
        self.order_at(id, self.now)
    }

    /// As [`LomsState::order`], at a time that is not before that of the last command.
    #[must_use]
    pub fn order_at(&self, id: OrderId, at: Timestamp) -> Option<OrderView<'_, S>> {
        let order = self.orders.view(id.place()?)?;
        self.rules.keeps(order.status(), order.updated(), at).then_some(order)
    }

    /// All orders that are not forgotten, by ascending id.
    pub fn orders(&self) -> impl Iterator<Item = OrderView<'_, S>> {
        let is_kept =
            |order: &OrderView<'_, S>| self.rules.keeps(order.status(), order.updated(), self.now);
        self.orders.views().filter(is_kept)
    }

    /// How many orders were ever placed: the id of the last one.
    #[must_use]
    pub fn orders_placed(&self) -> u32 {
        self.orders.len()
    }

    /// What the stored orders and keys count for, in bytes; see [`Rules::max_bytes`]. Forgotten
    /// ones count until they are removed, which happens at the latest when their room is needed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let keys = self.keys.bytes().checked_add(self.failed_keys.bytes());
        keys.and_then(|keys| keys.checked_add(self.orders.bytes())).expect("memory is smaller")
    }

    /// How many units of this SKU can still be reserved; `None` for a SKU without a stock record.
    #[must_use]
    pub fn available(&self, sku: Sku) -> Option<u64> {
        self.stock.find(sku).map(|slot| self.stock.available(slot))
    }

    /// The stock of all SKUs, by ascending SKU.
    pub fn stock(&self) -> impl Iterator<Item = StockView> {
        self.stock.views()
    }

    /// The stock of this SKU; `None` for a SKU without a stock record.
    #[must_use]
    pub fn stock_of(&self, sku: Sku) -> Option<StockView> {
        self.stock.view(sku)
    }

    /// How many SKUs have a stock record.
    #[must_use]
    pub fn stock_len(&self) -> usize {
        self.stock.len()
    }

    /// The idempotency keys that are remembered, oldest first, with the orders that they made.
    pub fn keys(&self) -> impl Iterator<Item = (OrderId, IdempotencyKey)> {
        let mut keys = self.keys.remembered(self.now).peekable();
        let mut failed = self.failed_keys.remembered(self.now).peekable();
        let merged = std::iter::from_fn(move || match (keys.peek(), failed.peek()) {
            (Some((order, _)), Some((failed_order, _))) if order > failed_order => failed.next(),
            (None, _) => failed.next(),
            (Some(_), _) => keys.next(),
        });
        merged.map(|(order, key)| {
            let key = IdempotencyKey::new(key).expect("stored keys are valid");
            (OrderId::at_place(order), key)
        })
    }

    #[inline(never)]
    fn pay(&mut self, id: OrderId, events: &mut Vec<Event>) -> Result<Outcome, Rejection> {
        let found = kept(&self.orders, &self.rules, id, self.now);
        let (order, record) = found.ok_or(Rejection::UnknownOrder(id))?;
        match (record.status, record.cause) {
            (OrderStatus::AwaitingPayment, _) => {}
            (OrderStatus::Paid, _) => return Ok(Outcome::AlreadyPaid),
            (OrderStatus::Cancelled, Cause::PaymentTimeout) => {
                return Err(Rejection::OrderExpired(id));
            }
            (status, _) => return Err(Rejection::NotAwaitingPayment { order: id, status }),
        }
        // Nothing below can fail.
        match record.lines_within() {
            Some((first, second)) => {
                self.stock.deduct(first);
                if let Some(second) = second {
                    self.stock.deduct(second);
                }
            }
            None => self.orders.lines(record).for_each(|line| self.stock.deduct(line)),
        }
        self.set_status(order, OrderStatus::Paid, Cause::Payment, self.now, events);
        Ok(Outcome::Paid)
    }

    #[inline(never)]
    fn cancel(&mut self, id: OrderId, events: &mut Vec<Event>) -> Result<Outcome, Rejection> {
        let found = kept(&self.orders, &self.rules, id, self.now);
        let (order, record) = found.ok_or(Rejection::UnknownOrder(id))?;
        match record.status {
            OrderStatus::AwaitingPayment => {}
            OrderStatus::Cancelled => return Ok(Outcome::AlreadyCancelled),
            status @ (OrderStatus::New | OrderStatus::Failed | OrderStatus::Paid) => {
                return Err(Rejection::NotAwaitingPayment { order: id, status });
            }
        }
        // Nothing below can fail.
        self.release(order, Cause::CancelledByClient, self.now, events);
        Ok(Outcome::Cancelled)
    }

    #[inline(never)]
    fn change_rules(&mut self, rules: Rules, events: &mut Vec<Event>) -> Outcome {
        if rules == self.rules {
            return Outcome::RulesUnchanged;
        }
        // What is forgotten under the present rules stays so.
        while self.remove_forgotten(u32::MAX) {}
        self.keys.set_window(rules.key_window());
        self.failed_keys.set_window(rules.failed_key_window());
        self.rules = rules;
        self.rules_since = self.now;
        self.emit(self.now, Fact::Rules(rules), events);
        self.open = self.counted_open_orders();
        self.update_next_deadline();
        self.update_next_removal();
        self.expire_due(events);
        Outcome::RulesChanged
    }

    /// Expires the orders that are due by now. Deadlines are in the order of ids (see
    /// [`Rules::deadline`]), so the oldest awaiting order is always the next.
    fn expire_due(&mut self, events: &mut Vec<Event>) {
        while let Some(deadline) = self.next_deadline.filter(|deadline| *deadline <= self.now) {
            self.expire_oldest(deadline, events);
        }
    }

    #[inline(never)]
    fn expire_oldest(&mut self, deadline: Timestamp, events: &mut Vec<Event>) {
        let order = self.orders.oldest_awaiting().expect("the deadline is an order's");
        self.release(order, Cause::PaymentTimeout, deadline, events);
    }

    /// Cancels an order: what it reserved is available again.
    #[inline(always)]
    fn release(&mut self, order: u32, cause: Cause, at: Timestamp, events: &mut Vec<Event>) {
        let record = self.orders.at(order);
        match record.lines_within() {
            Some((first, second)) => {
                self.stock.release(first);
                if let Some(second) = second {
                    self.stock.release(second);
                }
            }
            None => self.orders.lines(record).for_each(|line| self.stock.release(line)),
        }
        self.set_status(order, OrderStatus::Cancelled, cause, at, events);
    }

    #[inline(always)]
    fn set_status(
        &mut self,
        order: u32,
        to: OrderStatus,
        cause: Cause,
        at: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let Changed { from, oldest_awaiting, first_finished } =
            self.orders.set_status(order, to, cause, at);
        if oldest_awaiting {
            self.update_next_deadline();
        }
        if first_finished {
            self.next_removal = earlier(self.next_removal, self.rules.kept_until(to, at));
        }
        if self.rules.open_orders > 0 {
            self.count_open_order(order, from, to);
        }
        self.emit_change(order, Some(from), to, cause, at, events);
    }

    #[inline(always)]
    fn emit_change(
        &mut self,
        order: u32,
        from: Option<OrderStatus>,
        to: OrderStatus,
        cause: Cause,
        at: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let order = OrderId::at_place(order);
        self.emit(at, Fact::Order(Transition { order, from, to, cause }), events);
    }

    #[inline(always)]
    fn emit(&mut self, at: Timestamp, fact: Fact, events: &mut Vec<Event>) {
        let sequence = self.events.checked_add(1).expect("2⁶⁴ events never happen");
        self.events = sequence;
        self.index = self.applying;
        events.push(Event { sequence, at, fact });
    }

    fn update_next_deadline(&mut self) {
        self.next_deadline = self.oldest_deadline();
    }

    fn deadline(&self, order: u32) -> Option<Timestamp> {
        self.rules.deadline(self.orders.at(order).created, self.rules_since)
    }
}

/// The order with this id, unless it is forgotten at this time.
#[inline(always)]
fn kept<'a, S: Sizes>(
    orders: &'a Orders<S>,
    rules: &Rules,
    id: OrderId,
    at: Timestamp,
) -> Option<(u32, &'a OrderRecord)> {
    orders.get(id).filter(|(_, record)| rules.keeps(record.status, record.updated, at))
}
