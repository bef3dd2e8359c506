//! The shelves: per SKU how much is in the building and how much of it is promised.

use std::fmt;

use super::ids::{Count, Sku};

/// One SKU as the service opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockRecord {
    /// The SKU.
    pub sku: Sku,
    /// Units in the building, promised ones too.
    pub total: u64,
    /// Units of it that are promised elsewhere. No order of ours can release them.
    pub reserved: u64,
}

/// The stock that a machine opens with: each SKU once, nothing promised that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpeningStock(Vec<StockRecord>);

impl OpeningStock {
    /// These records, in any order.
    ///
    /// # Errors
    /// A SKU stands twice, or more of one is reserved than there is; the lowest such SKU is named.
    pub fn new(mut records: Vec<StockRecord>) -> Result<Self, OpeningStockError> {
        records.sort_by_key(|record| record.sku);
        let mut previous = None;
        for record in &records {
            if previous == Some(record.sku) {
                return Err(OpeningStockError::SkuTwice(record.sku));
            }
            if record.reserved > record.total {
                return Err(OpeningStockError::OverReserved(*record));
            }
            previous = Some(record.sku);
        }
        Ok(Self(records))
    }

    /// The records, by ascending SKU.
    #[must_use]
    pub fn records(&self) -> &[StockRecord] {
        &self.0
    }
}

/// Why records do not make an [`OpeningStock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStockError {
    /// Two records speak of this SKU.
    SkuTwice(Sku),
    /// This record reserves more than there is.
    OverReserved(StockRecord),
}

impl fmt::Display for OpeningStockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SkuTwice(sku) => write!(f, "SKU {sku} stands there twice"),
            Self::OverReserved(StockRecord { sku, total, reserved }) => {
                write!(f, "SKU {sku} has {reserved} reserved of a total of {total}")
            }
        }
    }
}
