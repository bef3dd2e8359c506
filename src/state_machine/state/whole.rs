//! Access to the whole state, for `restore` and `invariants`.

use super::{IdempotencyKey, LomsState, Order, OrderId, OrderStatus, Sizes, Timestamp};

/// For `restore`.
impl<S: Sizes> LomsState<S> {
    pub(in super::super) fn set_position(
        &mut self,
        rules_since: Timestamp,
        now: Timestamp,
        index: u64,
        events: u64,
    ) {
        (self.rules_since, self.now, self.index, self.events) = (rules_since, now, index, events);
    }

    pub(in super::super) fn restore_order(&mut self, order: Order) -> Result<(), &'static str> {
        self.orders.restore(order)
    }

    /// Ends the restore of the orders. `placed` is how many were ever placed.
    pub(in super::super) fn restore_count(&mut self, placed: u32) -> Result<(), &'static str> {
        if placed < self.orders.len() {
            return Err("fewer orders were placed than there are");
        }
        self.orders.skip_to(placed);
        self.orders.restore_lists();
        self.open = self.counted_open_orders();
        self.update_next_deadline();
        Ok(())
    }

    pub(in super::super) fn restore_key(
        &mut self,
        order: OrderId,
        key: &IdempotencyKey,
    ) -> Result<(), &'static str> {
        let (place, record) = self.orders.get(order).ok_or("a key belongs to no stored order")?;
        let (user, created) = (record.user, record.created);
        let keys = match record.status {
            OrderStatus::Failed => &mut self.failed_keys,
            OrderStatus::New
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Cancelled => &mut self.keys,
        };
        if keys.newest_order().is_some_and(|newest| newest >= place) {
            return Err("the keys are not in the order of their orders");
        }
        let hash = keys.hash(user, key);
        keys.insert(hash, key, place, created);
        Ok(())
    }

    /// Ends the restore.
    pub(in super::super) fn restore_end(&mut self) {
        self.update_next_removal();
    }
}

/// For `invariants`.
impl<S: Sizes> LomsState<S> {
    pub(in super::super) fn awaiting(&self) -> impl Iterator<Item = OrderId> {
        self.orders.awaiting().map(OrderId::at_place)
    }

    pub(in super::super) fn oldest_deadline(&self) -> Option<Timestamp> {
        self.orders.oldest_awaiting().and_then(|order| self.deadline(order))
    }

    pub(in super::super) fn key_index_is_sound(&self) -> bool {
        [&self.keys, &self.failed_keys].iter().all(|keys| keys.indexed() == keys.len())
    }

    pub(in super::super) fn lists_are_sound(&self) -> bool {
        self.orders.check_lists()
    }

    pub(in super::super) fn open_orders_are_sound(&self) -> bool {
        self.open == self.counted_open_orders()
    }
}
