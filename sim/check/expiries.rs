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
    /// The longest distance between the ids of two orders that expired one after the other.
    pub(crate) widest_gap: i64,
}

impl Expiries {
    /// Adds an order that expired at this time.
    pub(crate) fn note(&mut self, order: i64, time: u64) {
        self.at_different_times |= self.last.is_some_and(|last| last != time);
        self.last = Some(time);
        let gap = self.orders.last().map_or(0, |last| order - last);
        self.widest_gap = self.widest_gap.max(gap);
        self.orders.push(order);
    }
}
