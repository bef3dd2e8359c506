//! The stock: for each SKU how many units are in the warehouse, and how many of them are reserved.

use std::collections::BTreeMap;
use std::fmt;

use super::command::Line;
use super::ids::{Count, Sku};
use super::storage::{Sizes, Slot, Table};

/// The stock of one SKU as it was first recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockRecord {
    /// The SKU.
    pub sku: Sku,
    /// Units in the warehouse, reserved ones included.
    pub total: u64,
    /// Units that are reserved outside LOMS. No order can release them. More than `total` if the
    /// other system has promised more than there is: then nothing is available.
    pub reserved: u64,
}

/// The stock that a state starts with: each SKU once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpeningStock(Vec<StockRecord>);

impl OpeningStock {
    /// The opening stock of these records, which may be in any order.
    ///
    /// # Errors
    /// A SKU appears twice.
    pub fn new(mut records: Vec<StockRecord>) -> Result<Self, DuplicateSku> {
        records.sort_by_key(|record| record.sku);
        match records.array_windows().find(|[one, next]| one.sku == next.sku) {
            Some([duplicate, _]) => Err(DuplicateSku(duplicate.sku)),
            None => Ok(Self(records)),
        }
    }

    /// The records, by ascending SKU.
    #[must_use]
    pub fn records(&self) -> &[StockRecord] {
        &self.0
    }
}

/// The lowest SKU that appears twice in the records of an [`OpeningStock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateSku(pub Sku);

impl fmt::Display for DuplicateSku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKU {} appears twice", self.0)
    }
}

/// The stock of one SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockView {
    /// The SKU as it was first recorded.
    pub opening: StockRecord,
    /// Units in the warehouse now.
    pub total: u64,
    /// Reserved units, by orders or outside LOMS.
    pub reserved: u64,
}

impl StockView {
    /// Units that can still be reserved.
    #[must_use]
    pub fn available(&self) -> u64 {
        available(self.total, self.reserved)
    }
}

/// The numbers that change with every order.
#[derive(Clone, Copy, Debug, Default)]
struct Units {
    total: u64,
    reserved: u64,
}

/// The stock of all SKUs.
#[derive(Clone, Debug)]
pub(super) struct Stock<S: Sizes> {
    units: Table<Units, S>,
    /// The first record of every SKU. Stored apart, because commands do not need it.
    opening: BTreeMap<Sku, StockRecord>,
}

impl<S: Sizes> Stock<S> {
    /// An empty stock, with room for this many SKUs.
    pub(super) fn with_room_for(skus: usize) -> Self {
        Self { units: Table::with_room_for(skus), opening: BTreeMap::new() }
    }

    /// Adds a SKU that has no record yet.
    pub(super) fn add(&mut self, view: StockView) {
        let StockView { opening, total, reserved } = view;
        self.units.insert(opening.sku.key(), Units { total, reserved });
        self.opening.insert(opening.sku, opening);
    }

    /// Where the stock of this SKU is; `None` for a SKU without a record.
    #[inline(always)]
    pub(super) fn find(&self, sku: Sku) -> Option<Slot> {
        self.units.find(sku.key())
    }

    /// How many SKUs there are.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Units that can still be reserved.
    #[inline(always)]
    pub(super) fn available(&self, slot: Slot) -> u64 {
        let units = self.units.at(slot);
        available(units.total, units.reserved)
    }

    /// Reserves units that are available.
    #[inline(always)]
    pub(super) fn reserve(&mut self, slot: Slot, count: Count) {
        let units = self.units.at_mut(slot);
        units.reserved = add(units.reserved, count);
        assert!(units.reserved <= units.total, "more is reserved than there is: {units:?}");
    }

    /// Releases units that were reserved for an order.
    #[inline(always)]
    pub(super) fn release(&mut self, Line { sku, count }: Line) {
        let units = self.reserved_units(sku);
        units.reserved = subtract(units.reserved, count);
    }

    /// Deducts units that were reserved for an order.
    #[inline(always)]
    pub(super) fn deduct(&mut self, Line { sku, count }: Line) {
        let units = self.reserved_units(sku);
        units.reserved = subtract(units.reserved, count);
        units.total = subtract(units.total, count);
    }

    /// All SKUs, ascending.
    pub(super) fn views(&self) -> impl Iterator<Item = StockView> {
        self.opening.values().map(|opening| self.view_of(opening))
    }

    /// The stock of this SKU; `None` for a SKU without a record.
    pub(super) fn view(&self, sku: Sku) -> Option<StockView> {
        self.opening.get(&sku).map(|opening| self.view_of(opening))
    }

    fn view_of(&self, opening: &StockRecord) -> StockView {
        let slot = self.find(opening.sku).expect("every recorded SKU is in the table");
        let Units { total, reserved } = *self.units.at(slot);
        StockView { opening: *opening, total, reserved }
    }

    #[inline(always)]
    fn reserved_units(&mut self, sku: Sku) -> &mut Units {
        self.units.get_mut(sku.key()).expect("a SKU of a reserved line has a record")
    }
}

/// Only a record that starts with more reserved than there is has less than zero left. No order can
/// reserve units of it.
fn available(total: u64, reserved: u64) -> u64 {
    total.saturating_sub(reserved)
}

fn add(units: u64, count: Count) -> u64 {
    units.checked_add(u64::from(count.get())).expect("no more is reserved than there is")
}

fn subtract(units: u64, count: Count) -> u64 {
    units.checked_sub(u64::from(count.get())).expect("an order holds what it reserved")
}
