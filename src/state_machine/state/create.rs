//! The creation of an order.

use super::{
    Cause, Demand, Event, IdempotencyKey, KeyHash, Line, LomsState, OrderId, OrderStatus, Outcome,
    Rejection, Sizes, UserId, earlier,
};

impl<S: Sizes> LomsState<S> {
    #[inline(never)]
    pub(super) fn create(
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
        if self.rules.open_orders > 0 && self.open_orders(user) >= self.rules.open_orders {
            return Err(Rejection::TooManyOpenOrders);
        }
        if !self.orders.has_room() {
            return Err(Rejection::Full);
        }
        self.slots.clear();
        let enough = demand.lines().iter().all(|line| {
            let slot = self.stock.find(line.sku);
            self.slots.extend(slot);
            slot.is_some_and(|slot| self.stock.available(slot) >= u64::from(line.count.get()))
        });
        if self.rules.max_bytes > 0 && !self.make_room(demand, key.map(|(_, key)| key), !enough) {
            return Err(Rejection::NoRoom);
        }
        // Nothing below can fail.
        if !enough {
            return Ok(self.fail(user, demand, key, events));
        }
        let order = self.orders.push(user, demand, self.now, None);
        let id = OrderId::at_place(order);
        self.emit_change(order, None, OrderStatus::New, Cause::Placement, self.now, events);
        self.remember(key, order, false);
        for (line, slot) in demand.lines().iter().zip(&self.slots) {
            self.stock.reserve(*slot, line.count);
        }
        let (to, cause) = (OrderStatus::AwaitingPayment, Cause::Reservation);
        self.set_status(order, to, cause, self.now, events);
        Ok(Outcome::Reserved(id))
    }

    /// Places an order that fails for lack of stock.
    #[inline(never)]
    fn fail(
        &mut self,
        user: UserId,
        demand: &Demand,
        key: Option<(KeyHash, &IdempotencyKey)>,
        events: &mut Vec<Event>,
    ) -> Outcome {
        let of_line = |line: &Line| self.available(line.sku).unwrap_or(0);
        let available: Vec<u64> = demand.lines().iter().map(of_line).collect();
        let order = self.orders.push(user, demand, self.now, Some(&available));
        self.emit_change(order, None, OrderStatus::New, Cause::Placement, self.now, events);
        self.remember(key, order, true);
        self.set_status(order, OrderStatus::Failed, Cause::OutOfStock, self.now, events);
        let view = self.orders.view(order).expect("it was just stored");
        Outcome::OutOfStock { order: view.id(), shortages: view.shortages().collect() }
    }

    /// Remembers that this key made this order, which is the newest.
    #[inline(always)]
    fn remember(&mut self, key: Option<(KeyHash, &IdempotencyKey)>, order: u32, fails: bool) {
        let keys = if fails { &mut self.failed_keys } else { &mut self.keys };
        if let Some((hash, key)) = key
            && keys.remembers()
        {
            keys.insert(hash, key, order, self.now);
            self.next_removal = earlier(self.next_removal, keys.oldest_end());
        }
    }

    /// A create whose key is remembered: the first create's answer, or a refusal if the lines
    /// differ.
    fn repeat(&self, first: u32, demand: &Demand) -> Result<Outcome, Rejection> {
        let view = self.orders.view(first).expect("a key never outlives its order");
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

    /// The order that this user's key made, if the key is still remembered.
    fn remembered(&self, user: UserId, hash: KeyHash, key: &IdempotencyKey) -> Option<u32> {
        let is_users = |order| self.orders.at(order).user == user;
        let found = self.keys.find(hash, key, self.now, is_users);
        found.or_else(|| self.failed_keys.find(hash, key, self.now, is_users))
    }
}
