//! The accounts: per SKU, accounts that only ever grow. What is left follows from them, so there is
//! no running figure that one wrong entry could hide behind another.

/// The accounts of one SKU, in units.
///
/// Signed and wide: sums of counts cannot overflow, and a planted bug shows as a wrong, perhaps
/// negative, figure instead of a panic.
#[derive(Clone, Debug)]
pub(super) struct SkuAccount {
    /// Whose accounts these are.
    pub(super) sku: u32,
    /// In the building at the start.
    pub(super) opening: i128,
    /// Promised outside all orders; no order can release it.
    pub(super) base: i128,
    /// Ever promised to an order.
    pub(super) promised: i128,
    /// Ever taken back from an order, cancelled or expired.
    pub(super) returned: i128,
    /// Ever paid for.
    pub(super) sold: i128,
}

impl SkuAccount {
    /// A account before any order.
    pub(super) fn new(sku: u32, total: u64, base: u64) -> Self {
        SkuAccount {
            sku,
            opening: i128::from(total),
            base: i128::from(base),
            promised: 0,
            returned: 0,
            sold: 0,
        }
    }

    /// What can still be promised: paying does not change it.
    pub(super) fn available(&self) -> i128 {
        self.opening - self.base - self.promised + self.returned
    }

    /// What is in the building.
    pub(super) fn total(&self) -> i128 {
        self.opening - self.sold
    }

    /// What is promised, the base included.
    pub(super) fn reserved(&self) -> i128 {
        self.base + self.promised - self.returned - self.sold
    }
}
