//! [`LomsState`], and [`LomsState::apply`], the only function that changes it.

use super::command::{Command, Demand, Entry, IdempotencyKey};
use super::event::{Event, Fact, Transition};
use super::ids::{OrderId, Sku, Timestamp, UserId};
use super::keys::{KeyHash, Keys};
use super::lifecycle::{Cause, OrderStatus};
use super::orders::{Order, OrderView, Orders};
use super::outcome::{Outcome, Rejection, Shortage};
use super::rules::Rules;
use super::stock::{OpeningStock, Stock, StockView};
use super::storage::{Shipped, Sizes, Slot};

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
    keys: Keys<S>,
    /// The deadline of the oldest order that awaits payment.
    next_deadline: Option<Timestamp>,
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
            keys: Keys::new(rules.idempotency_window, key_hash_secret),
            next_deadline: None,
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
        if self.keys.oldest_end().is_some_and(|end| end <= *at) {
            self.keys.remove_some(*at);
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

    /// The order with this id.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderView<'_, S>> {
        self.orders.view(id.place()?)
    }

    /// All orders, by ascending id.
    pub fn orders(&self) -> impl Iterator<Item = OrderView<'_, S>> {
        self.orders.views()
    }

    /// How many orders are stored: the id of the last one.
    #[must_use]
    pub fn order_count(&self) -> u32 {
        self.orders.len()
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
        let remembered = self
            .keys
            .iter()
            .filter(|(order, _)| !self.keys.is_forgotten(self.orders.at(*order).created, self.now));
        remembered.map(|(order, key)| {
            let key = IdempotencyKey::new(key).expect("stored keys are valid");
            (OrderId::at_place(order), key)
        })
    }

    #[inline(never)]
    fn create(
        &mut self,
        user: UserId,
        demand: &Demand,
        key: Option<&IdempotencyKey>,
        events: &mut Vec<Event>,
    ) -> Result<Outcome, Rejection> {
        let key = key.map(|key| (self.keys.hash(user, key), key));
        if let Some(first) = key.and_then(|(hash, key)| self.remembered(user, hash, key)) {
            return self.repeat(first, demand);
        }
        if !self.orders.has_room_for(demand) {
            return Err(Rejection::Full);
        }
        self.slots.clear();
        let enough = demand.lines().iter().all(|line| {
            let slot = self.stock.find(line.sku);
            self.slots.extend(slot);
            slot.is_some_and(|slot| self.stock.available(slot) >= u64::from(line.count.get()))
        });
        // Nothing below can fail.
        let order = self.orders.push(user, demand, self.now);
        let id = OrderId::at_place(order);
        self.emit_change(order, None, OrderStatus::New, Cause::Placement, self.now, events);
        if let Some((hash, key)) = key {
            self.keys.insert(hash, key, order, self.now);
        }
        if enough {
            for (line, slot) in demand.lines().iter().zip(&self.slots) {
                self.stock.reserve(*slot, line.count);
            }
            let (to, cause) = (OrderStatus::AwaitingPayment, Cause::Reservation);
            self.set_status(order, to, cause, self.now, events);
            Ok(Outcome::Reserved(id))
        } else {
            let shortages = self.fail(order, demand, events);
            Ok(Outcome::OutOfStock { order: id, shortages })
        }
    }

    /// Fails a new order for lack of stock, and returns its shortages.
    #[inline(never)]
    fn fail(&mut self, order: u32, demand: &Demand, events: &mut Vec<Event>) -> Vec<Shortage> {
        let mut shortages = Vec::new();
        for (line, place) in demand.lines().iter().zip(0..) {
            let available = self.available(line.sku).unwrap_or(0);
            if available < u64::from(line.count.get()) {
                self.orders.push_shortage(order, place, available);
                shortages.push(Shortage { sku: line.sku, requested: line.count, available });
            }
        }
        self.set_status(order, OrderStatus::Failed, Cause::OutOfStock, self.now, events);
        shortages
    }

    /// A create whose key is remembered: the first create's answer, or a refusal if the lines
    /// differ.
    fn repeat(&self, first: u32, demand: &Demand) -> Result<Outcome, Rejection> {
        let view = self.orders.view(first).expect("the order of a key is stored");
        let order = view.id();
        if !view.lines().eq(demand.lines().iter().copied()) {
            return Err(Rejection::KeyReused { order });
        }
        let answered = match view.status() {
            OrderStatus::Failed => OrderStatus::Failed,
            OrderStatus::New
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Cancelled => OrderStatus::AwaitingPayment,
        };
        Ok(Outcome::Repeated { order, answered, shortages: view.shortages().collect() })
    }

    #[inline(never)]
    fn pay(&mut self, id: OrderId, events: &mut Vec<Event>) -> Result<Outcome, Rejection> {
        let (order, record) = self.orders.get(id).ok_or(Rejection::UnknownOrder(id))?;
        match (record.status, record.cause) {
            (OrderStatus::AwaitingPayment, _) => {}
            (OrderStatus::Paid, _) => return Ok(Outcome::AlreadyPaid),
            (OrderStatus::Cancelled, Cause::PaymentTimeout) => {
                return Err(Rejection::OrderExpired(id));
            }
            (status, _) => return Err(Rejection::NotAwaitingPayment { order: id, status }),
        }
        // Nothing below can fail.
        self.orders.lines(record).for_each(|line| self.stock.deduct(line.sku, line.count));
        self.set_status(order, OrderStatus::Paid, Cause::Payment, self.now, events);
        Ok(Outcome::Paid)
    }

    #[inline(never)]
    fn cancel(&mut self, id: OrderId, events: &mut Vec<Event>) -> Result<Outcome, Rejection> {
        let (order, record) = self.orders.get(id).ok_or(Rejection::UnknownOrder(id))?;
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
        self.keys.set_window(self.now, rules.idempotency_window);
        self.rules = rules;
        self.rules_since = self.now;
        self.emit(self.now, Fact::Rules(rules), events);
        self.update_next_deadline();
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
        let lines = self.orders.lines(self.orders.at(order));
        lines.for_each(|line| self.stock.release(line.sku, line.count));
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
        let (from, oldest_changed) = self.orders.set_status(order, to, cause, at);
        if oldest_changed {
            self.update_next_deadline();
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

    /// The order that this user's key made, if the key is still remembered.
    fn remembered(&self, user: UserId, hash: KeyHash, key: &IdempotencyKey) -> Option<u32> {
        self.keys.find(hash, key, |order| {
            let record = self.orders.at(order);
            record.user == user && !self.keys.is_forgotten(record.created, self.now)
        })
    }
}

/// For `restore`.
impl<S: Sizes> LomsState<S> {
    pub(super) fn set_position(
        &mut self,
        rules_since: Timestamp,
        now: Timestamp,
        index: u64,
        events: u64,
    ) {
        (self.rules_since, self.now, self.index, self.events) = (rules_since, now, index, events);
    }

    pub(super) fn restore_order(&mut self, order: Order) -> Result<(), &'static str> {
        self.orders.restore(order)?;
        self.update_next_deadline();
        Ok(())
    }

    pub(super) fn restore_key(
        &mut self,
        order: OrderId,
        key: &IdempotencyKey,
    ) -> Result<(), &'static str> {
        let (place, record) = self.orders.get(order).ok_or("a key belongs to no stored order")?;
        if self.keys.newest_order().is_some_and(|newest| newest >= place) {
            return Err("the keys are not in the order of their orders");
        }
        let hash = self.keys.hash(record.user, key);
        self.keys.insert(hash, key, place, record.created);
        Ok(())
    }
}

/// For `invariants`.
impl<S: Sizes> LomsState<S> {
    pub(super) fn awaiting(&self) -> impl Iterator<Item = OrderId> {
        self.orders.awaiting().map(OrderId::at_place)
    }

    pub(super) fn oldest_deadline(&self) -> Option<Timestamp> {
        self.orders.oldest_awaiting().and_then(|order| self.deadline(order))
    }

    pub(super) fn key_index_is_sound(&self) -> bool {
        self.keys.indexed() == self.keys.len()
    }
}
