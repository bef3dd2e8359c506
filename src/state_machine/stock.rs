//! The shelves: per SKU how much is in the building and how much of it is promised.

use std::fmt;

use super::arena::size;
use super::digest::scramble;
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

/// One SKU on the shelves, to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockView {
    /// What the machine opened with.
    pub opening: StockRecord,
    /// Units in the building now.
    pub total: u64,
    /// Units of it that are promised now, the opening's own promises among them.
    pub reserved: u64,
}

impl StockView {
    /// Units that can still be promised.
    #[must_use]
    pub fn available(&self) -> u64 {
        available(self.total, self.reserved)
    }
}

/// What is on the shelf of one SKU now.
#[derive(Clone, Copy, Debug)]
struct Shelf {
    sku: Sku,
    total: u64,
    reserved: u64,
}

/// All shelves. Which SKUs there are is settled at the opening.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    opening: OpeningStock,
    /// By ascending SKU, as in `opening`.
    shelves: Vec<Shelf>,
    /// Where a SKU's shelf stands: open addressing over at least twice as many slots as shelves.
    /// Its order is never seen.
    slots: Vec<u32>,
}

/// A slot of the index that names no shelf.
const EMPTY: u32 = u32::MAX;

/// The place of a shelf, as [`Stock::find`] gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShelfId(u32);

impl Stock {
    pub(super) fn new(opening: &OpeningStock) -> Self {
        let shelves: Vec<Shelf> = opening
            .records()
            .iter()
            .map(|&StockRecord { sku, total, reserved }| Shelf { sku, total, reserved })
            .collect();
        let count = shelves.len().saturating_mul(2).next_power_of_two();
        let mut stock = Self { opening: opening.clone(), shelves, slots: vec![EMPTY; count] };
        // SKUs differ and none is 0, so there are fewer than 2³² shelves and none has place EMPTY.
        for (shelf, record) in (0..EMPTY).zip(opening.records()) {
            let free = stock.slot_of(record.sku);
            *stock.slots.get_mut(free).expect("a probe ends within the index") = shelf;
        }
        stock
    }

    /// The slot that names the shelf of this SKU, or the free one where it would stand.
    fn slot_of(&self, sku: Sku) -> usize {
        let mask = self.slots.len().saturating_sub(1);
        let hash = scramble(u64::from(sku.get())) >> 32;
        let mut slot = usize::try_from(hash).expect("32 bits fit") & mask;
        loop {
            let shelf = self.slots.get(slot).copied().expect("a probe ends within the index");
            let hit = self.shelves.get(size(shelf)).is_none_or(|shelf| shelf.sku == sku);
            if hit {
                return slot;
            }
            slot = slot.wrapping_add(1) & mask;
        }
    }

    /// The shelf of this SKU; `None` for one without a stock record.
    pub(super) fn find(&self, sku: Sku) -> Option<ShelfId> {
        self.slots.get(self.slot_of(sku)).copied().filter(|&shelf| shelf != EMPTY).map(ShelfId)
    }

    pub(super) fn available(&self, shelf: ShelfId) -> u64 {
        let shelf = self.shelf(shelf);
        available(shelf.total, shelf.reserved)
    }

    /// Promises units that the caller has seen to be available.
    pub(super) fn reserve(&mut self, shelf: ShelfId, count: Count) {
        let shelf = self.shelf_mut(shelf);
        shelf.reserved = add(shelf.reserved, count);
        assert!(shelf.reserved <= shelf.total, "SKU {} is promised beyond its stock", shelf.sku);
    }

    /// Takes back what was reserved for an order.
    pub(super) fn release(&mut self, sku: Sku, count: Count) {
        let shelf = self.reserved_shelf(sku);
        shelf.reserved = subtract(shelf.reserved, count);
    }

    /// Lets what was reserved for an order leave the building.
    pub(super) fn deduct(&mut self, sku: Sku, count: Count) {
        let shelf = self.reserved_shelf(sku);
        shelf.reserved = subtract(shelf.reserved, count);
        shelf.total = subtract(shelf.total, count);
    }

    pub(super) fn views(&self) -> impl Iterator<Item = StockView> {
        self.opening.records().iter().zip(&self.shelves).map(|(opening, shelf)| StockView {
            opening: *opening,
            total: shelf.total,
            reserved: shelf.reserved,
        })
    }

    fn reserved_shelf(&mut self, sku: Sku) -> &mut Shelf {
        let shelf = self.find(sku).expect("what is reserved has a stock record");
        self.shelf_mut(shelf)
    }

    fn shelf(&self, ShelfId(shelf): ShelfId) -> &Shelf {
        self.shelves.get(size(shelf)).expect("shelves stay")
    }

    fn shelf_mut(&mut self, ShelfId(shelf): ShelfId) -> &mut Shelf {
        self.shelves.get_mut(size(shelf)).expect("shelves stay")
    }
}

fn available(total: u64, reserved: u64) -> u64 {
    total.checked_sub(reserved).expect("no more is promised than there is")
}

fn add(units: u64, count: Count) -> u64 {
    units.checked_add(u64::from(count.get())).expect("no more is promised than there is")
}

fn subtract(units: u64, count: Count) -> u64 {
    units.checked_sub(u64::from(count.get())).expect("an order holds what it reserved")
}
