//! What expires in one call.

/// The orders that expired in one call.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    /// The orders, in the order of their expiry.
    pub(crate) orders: Vec<i64>,
    last: Option<u64>,
    /// Whether two of them expired at different times.
    pub(crate) in_turn: bool,
}

impl Expiries {
    /// Adds an order that expired at this time.
    pub(crate) fn note(&mut self, order: i64, time: u64) {
        self.in_turn |= self.last.is_some_and(|last| last != time);
        self.last = Some(time);
        self.orders.push(order);
    }
}
