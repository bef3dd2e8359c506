//! What is forgotten, how much room there is, and how many orders of a user await payment.

use std::collections::BTreeMap;

use super::{
    Demand, IdempotencyKey, Keys, LomsState, OrderStatus, Orders, REMOVALS, Sizes, UserId, earlier,
};

impl<S: Sizes> LomsState<S> {
    /// Removes forgotten orders and keys until there is room for this order with its key. Returns
    /// whether there is. Removes no more than it needs, so the cost is bounded by the size of the
    /// order.
    #[inline(never)]
    pub(super) fn make_room(
        &mut self,
        demand: &Demand,
        key: Option<&IdempotencyKey>,
        fails: bool,
    ) -> bool {
        let lines = u32::try_from(demand.lines().len()).expect("a demand has at most 2¹⁶ lines");
        let keys = if fails { &self.failed_keys } else { &self.keys };
        let key = key.filter(|_| keys.remembers()).map_or(0, Keys::<S>::cost);
        let cost = Orders::<S>::cost(lines, fails).checked_add(key).expect("45 bits");
        let most = self.rules.max_bytes;
        let mut is_done = true;
        while is_done && self.bytes().checked_add(cost).is_none_or(|all| all > most) {
            is_done = self.remove_forgotten(1);
        }
        is_done
    }

    #[inline(never)]
    pub(super) fn remove_some(&mut self) {
        self.remove_forgotten(REMOVALS);
        self.update_next_removal();
    }

    /// Removes orders and keys that are forgotten by now, at most this many of each kind. Returns
    /// whether it removed any.
    pub(super) fn remove_forgotten(&mut self, most: u32) -> bool {
        let keys = self.keys.remove_forgotten(self.now, most);
        let failed_keys = self.failed_keys.remove_forgotten(self.now, most);
        let orders = self.orders.remove_forgotten(&self.rules, self.now, most);
        keys || failed_keys || orders
    }

    pub(super) fn update_next_removal(&mut self) {
        let keys = earlier(self.keys.oldest_end(), self.failed_keys.oldest_end());
        self.next_removal = earlier(keys, self.orders.next_end(&self.rules));
    }

    pub(super) fn open_orders(&self, user: UserId) -> u32 {
        self.open.get(&user).copied().unwrap_or(0)
    }

    /// Counts an order that starts or ceases to await payment.
    #[inline(never)]
    pub(super) fn count_open_order(&mut self, order: u32, from: OrderStatus, to: OrderStatus) {
        let user = self.orders.at(order).user;
        let open = self.open_orders(user);
        let open = if to == OrderStatus::AwaitingPayment {
            open.checked_add(1).expect("there are fewer than 2³² orders")
        } else if from == OrderStatus::AwaitingPayment {
            open.checked_sub(1).expect("it was counted")
        } else {
            return;
        };
        if open == 0 {
            self.open.remove(&user);
        } else {
            self.open.insert(user, open);
        }
    }

    /// The orders of each user that await payment, if the rules limit them.
    pub(super) fn counted_open_orders(&self) -> BTreeMap<UserId, u32> {
        let mut open = BTreeMap::new();
        if self.rules.open_orders == 0 {
            return open;
        }
        for order in self.orders.awaiting() {
            let count: &mut u32 = open.entry(self.orders.at(order).user).or_default();
            *count = count.checked_add(1).expect("there are fewer than 2³² orders");
        }
        open
    }
}
