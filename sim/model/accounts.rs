//! Accounts of each SKU that only grow. The stock is computed from them, so no stored value can
//! hide a wrong change.

/// The accounts of one SKU, in units.
///
/// `i128`, so that sums cannot overflow and a planted bug shows as a wrong, perhaps negative,
/// number instead of a panic.
#[derive(Clone, Debug)]
pub(super) struct SkuAccount {
    /// The SKU.
    pub(super) sku: u32,
    /// Total units at the start.
    pub(super) opening: i128,
    /// Base reservation: reserved at the start, for no order; never released.
    pub(super) base: i128,
    /// Units reserved for orders so far.
    pub(super) reserved_for_orders: i128,
    /// Units returned by cancelled and expired orders so far.
    pub(super) returned: i128,
    /// Units sold so far.
    pub(super) sold: i128,
}

impl SkuAccount {
    /// The accounts at the start.
    pub(super) fn new(sku: u32, total: u64, base: u64) -> Self {
        SkuAccount {
            sku,
            opening: i128::from(total),
            base: i128::from(base),
            reserved_for_orders: 0,
            returned: 0,
            sold: 0,
        }
    }

    /// Available units; a payment does not change them. None are available if the base is more than
    /// the total.
    pub(super) fn available(&self) -> i128 {
        if self.base > self.opening {
            return 0;
        }
        self.opening - self.base - self.reserved_for_orders + self.returned
    }

    /// Total units.
    pub(super) fn total(&self) -> i128 {
        self.opening - self.sold
    }

    /// Reserved units, including the base.
    pub(super) fn reserved(&self) -> i128 {
        self.base + self.reserved_for_orders - self.returned - self.sold
    }
}
