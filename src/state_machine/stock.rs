//! The shelves: per SKU how much is in the building and how much of it is promised.

use std::fmt;

use super::arena::size;
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

/// What is on the shelf of one SKU now. Aligned so that no shelf lies across two cache lines: with
/// many SKUs, the way to the shelf is most of what a command costs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Shelf {
    /// `None` for a slot without a shelf.
    sku: Option<Sku>,
    total: u64,
    reserved: u64,
}

/// All shelves. Which SKUs there are is settled at the opening.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    opening: OpeningStock,
    /// A hash table with open addressing, of at least twice as many slots as SKUs.
    slots: Vec<Shelf>,
    /// One less than there are slots: all ones, in binary.
    mask: u32,
    /// Where the shelf of each record of `opening` stands.
    places: Vec<ShelfId>,
}

/// The place of a shelf, as [`Stock::find`] gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShelfId(u32);

impl Stock {
    pub(super) fn new(opening: &OpeningStock) -> Self {
        let records = opening.records();
        let slots = records.len().saturating_mul(2).next_power_of_two();
        let mut stock = Self {
            opening: opening.clone(),
            slots: vec![Shelf::default(); slots],
            // SKUs differ and 0 is none, so even all there are need no more than 2³² slots.
            mask: u32::try_from(slots.saturating_sub(1)).unwrap_or(u32::MAX),
            places: Vec::with_capacity(records.len()),
        };
        for &StockRecord { sku, total, reserved } in records {
            let place = stock.probe(sku);
            *stock.shelf_mut(place) = Shelf { sku: Some(sku), total, reserved };
            stock.places.push(place);
        }
        stock
    }

    /// Where the shelf of this SKU stands, or would stand.
    fn probe(&self, sku: Sku) -> ShelfId {
        let mut place = first_place(sku) & self.mask;
        // At least half of the slots are free, so this ends.
        loop {
            match self.shelf(ShelfId(place)).sku {
                Some(other) if other != sku => place = place.wrapping_add(1) & self.mask,
                Some(_) | None => return ShelfId(place),
            }
        }
    }

    /// The shelf of this SKU; `None` for one without a stock record.
    pub(super) fn find(&self, sku: Sku) -> Option<ShelfId> {
        let place = self.probe(sku);
        self.shelf(place).sku.map(|_| place)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn available(&self, shelf: ShelfId) -> u64 {
        let shelf = self.shelf(shelf);
        available(shelf.total, shelf.reserved)
    }

    /// Promises units that the caller has seen to be available.
    pub(super) fn reserve(&mut self, shelf: ShelfId, count: Count) {
        let shelf = self.shelf_mut(shelf);
        shelf.reserved = add(shelf.reserved, count);
        assert!(shelf.reserved <= shelf.total, "more is promised than there is: {shelf:?}");
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
        self.opening.records().iter().zip(&self.places).map(|(opening, place)| {
            let shelf = self.shelf(*place);
            StockView { opening: *opening, total: shelf.total, reserved: shelf.reserved }
        })
    }

    fn reserved_shelf(&mut self, sku: Sku) -> &mut Shelf {
        let shelf = self.find(sku).expect("what is reserved has a stock record");
        self.shelf_mut(shelf)
    }

    fn shelf(&self, ShelfId(place): ShelfId) -> &Shelf {
        self.slots.get(size(place)).expect("a probe stays within the slots")
    }

    fn shelf_mut(&mut self, ShelfId(place): ShelfId) -> &mut Shelf {
        self.slots.get_mut(size(place)).expect("a probe stays within the slots")
    }
}

/// Where to look for a SKU first, in a table of 2³² slots. The SKUs are the operator's own, so this
/// only has to spread what order there is in them.
fn first_place(sku: Sku) -> u32 {
    let word = u64::from(sku.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(word >> 32).expect("32 bits are left")
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
