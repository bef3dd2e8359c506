//! The orders of a state that is restored from its parts.

use super::{Demand, Order, OrderRecord, OrderStatus, OrderView, Orders, Sizes};

impl<S: Sizes> Orders<S> {
    /// Stores an order as it was read from another state. It is in no list of finished orders until
    /// [`Orders::restore_lists`].
    ///
    /// # Errors
    /// What is wrong with the order.
    pub(in super::super) fn restore(&mut self, order: Order) -> Result<(), &'static str> {
        let Order { id, user, status, cause, created, updated, lines, shortages } = order;
        let place = id.place().filter(|place| self.has_room() && *place >= self.len());
        self.skip_to(place.ok_or("its id is not above that of the order before it")?);
        let demand = Demand::from_merged(lines)
            .ok_or("it has no lines, or they are not by ascending SKU")?;
        let fails = status == OrderStatus::Failed;
        if !fails && !shortages.is_empty() {
            return Err("it has a shortage without having failed");
        }
        if shortages.iter().any(|short| short.available >= u64::from(short.requested.get())) {
            return Err("a shortage has enough units available");
        }
        let mut available = Vec::new();
        let mut shortages = shortages.into_iter().peekable();
        for line in demand.lines() {
            let short =
                shortages.next_if(|short| short.sku == line.sku && short.requested == line.count);
            available.push(short.map_or(u64::from(line.count.get()), |short| short.available));
        }
        if shortages.next().is_some() {
            return Err("a shortage is not a line of it");
        }
        let place = self.push(user, &demand, created, fails.then_some(&available));
        let record = self.records.at_mut(u64::from(place));
        (record.status, record.cause, record.updated) = (status, cause, updated);
        if status == OrderStatus::AwaitingPayment {
            self.awaiting.insert_last();
        }
        Ok(())
    }

    /// Lets the next order have this place, which is not below [`Orders::len`].
    pub(in super::super) fn skip_to(&mut self, place: u32) {
        while self.len() < place {
            let skipped = self.records.push(OrderRecord::removed());
            self.records.release(skipped, 1);
            self.awaiting.push();
        }
    }

    /// Makes the lists of finished orders, once all orders are restored.
    pub(in super::super) fn restore_lists(&mut self) {
        let finished = |view: &OrderView<'_, S>| match view.status() {
            OrderStatus::New | OrderStatus::AwaitingPayment => None,
            status @ (OrderStatus::Failed | OrderStatus::Paid | OrderStatus::Cancelled) => {
                Some((view.updated(), view.order, status))
            }
        };
        let mut orders: Vec<_> = self.views().filter_map(|view| finished(&view)).collect();
        orders.sort_unstable_by_key(|&(updated, order, _)| (updated, order));
        for (_, order, status) in orders {
            self.finish(order, status);
        }
    }
}
