//! The orders that expire in one call.

/// The orders that expired in one call so far.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    /// The orders, in the order of their expiry.
    pub(crate) orders: Vec<i64>,
    /// When the last of them expired.
    last: Option<u64>,
    /// Whether they expired at different times.
    pub(crate) at_different_times: bool,
}

impl Expiries {
    /// Adds an order that expired at this time.
    pub(crate) fn note(&mut self, order: i64, time: u64) {
        self.at_different_times |= self.last.is_some_and(|last| last != time);
        self.last = Some(time);
        self.orders.push(order);
    }
}
