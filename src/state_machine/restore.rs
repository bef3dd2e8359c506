//! Converts a state to its parts (a snapshot), and parts to a state.

use super::command::IdempotencyKey;
use super::ids::{OrderId, Timestamp};
use super::invariants::Violation;
use super::order::Order;
use super::rules::Rules;
use super::state::LomsState;
use super::stock::StockView;
use super::storage::Sizes;

/// All parts of a state. The lists are iterators, so that a large state can be
/// written and read without a second copy of it in memory.
#[derive(Clone, Debug)]
pub struct Parts<S, O, K> {
    /// The current rules.
    pub rules: Rules,
    /// When these rules were set.
    pub rules_since: Timestamp,
    /// The time of the last command.
    pub now: Timestamp,
    /// The index of the last entry that changed the state; 0 for none.
    pub index: u64,
    /// The sequence number of the last event; 0 for none.
    pub events: u64,
    /// The stock of each SKU, by ascending SKU.
    pub stock: S,
    /// How many orders were ever placed: the id of the last one.
    pub orders_placed: u32,
    /// Every order that is not forgotten, by ascending id.
    pub orders: O,
    /// Every key that is remembered, oldest first, with the order that it made.
    pub keys: K,
}

impl<Z: Sizes> LomsState<Z> {
    /// The parts of this state.
    pub fn parts(
        &self,
    ) -> Parts<
        impl Iterator<Item = StockView>,
        impl Iterator<Item = Order>,
        impl Iterator<Item = (OrderId, IdempotencyKey)>,
    > {
        Parts {
            rules: self.rules(),
            rules_since: self.rules_since(),
            now: self.now(),
            index: self.index(),
            events: self.events(),
            stock: self.stock(),
            orders_placed: self.orders_placed(),
            orders: self.orders().map(|order| order.to_order()),
            keys: self.keys(),
        }
    }

    /// The state that consists of these parts. It has the digest of the state that they were read
    /// from, and gives the same answer to every later command.
    ///
    /// # Errors
    /// The parts are not those of any state: the first [`Violation`] found.
    pub fn restore(
        parts: Parts<
            impl IntoIterator<Item = StockView>,
            impl IntoIterator<Item = Order>,
            impl IntoIterator<Item = (OrderId, IdempotencyKey)>,
        >,
        key_hash_secret: u64,
    ) -> Result<Self, Violation> {
        let Parts { rules, rules_since, now, index, events, stock, .. } = parts;
        let Parts { orders_placed, orders, keys, .. } = parts;
        let stock: Vec<StockView> = stock.into_iter().collect();
        let mut state = Self::empty(rules, key_hash_secret, &stock)
            .map_err(|sku| Violation::DuplicateSku { sku })?;
        state.set_position(rules_since, now, index, events);
        for order in orders {
            let id = order.id;
            state.restore_order(order).map_err(|what| Violation::Order { order: id, what })?;
        }
        let index = |what| Violation::Index { what };
        state.restore_count(orders_placed).map_err(index)?;
        for (order, key) in keys {
            state.restore_key(order, &key).map_err(index)?;
        }
        state.restore_end();
        state.check_invariants()?;
        Ok(state)
    }
}
