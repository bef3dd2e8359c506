//! All orders by id, without gaps, with their lines and an index of their keys. Records are never
//! removed, not even those of forgotten orders.

use crate::model::contract::{Reason, Shortage, Status};

/// Marks the end of a list of records.
const NONE: u32 = u32::MAX;

/// One order; [`OrderRecords`] stores its lines.
#[derive(Clone, Debug)]
pub(super) struct OrderRecord {
    pub(super) user: i64,
    pub(super) status: Status,
    pub(super) reason: Reason,
    /// Nanoseconds since 1970.
    pub(super) created_at: u64,
    /// Nanoseconds since 1970.
    pub(super) updated_at: u64,
    /// Not empty if and only if the order failed.
    pub(super) shortages: Box<[Shortage]>,
    pub(super) key: Option<Box<str>>,
    /// [`hash`] of the user and the key, if there is a key.
    pub(super) key_hash: u32,
    /// Forgotten under earlier rules.
    pub(super) gone: bool,
    /// Its key was forgotten under earlier rules.
    pub(super) key_gone: bool,
    /// The previous record in the same bucket of the key index.
    older: u32,
    /// End of its lines in the list of all lines; they start at the end of the previous record's
    /// lines.
    lines_end: usize,
}

impl OrderRecord {
    /// A new order without a key.
    pub(super) fn new(user: i64, at: u64, shortages: &[Shortage]) -> Self {
        let failed = !shortages.is_empty();
        OrderRecord {
            user,
            status: if failed { Status::Failed } else { Status::AwaitingPayment },
            reason: if failed { Reason::OutOfStock } else { Reason::None },
            created_at: at,
            updated_at: at,
            shortages: shortages.into(),
            key: None,
            key_hash: 0,
            gone: false,
            key_gone: false,
            older: NONE,
            lines_end: 0,
        }
    }
}

/// All orders. The *place* of an order is its index from 0; its id is the place plus 1.
#[derive(Clone, Debug)]
pub(super) struct OrderRecords {
    entries: Vec<OrderRecord>,
    lines: Vec<(u32, u32)>,
    /// The newest record with a key, for each bucket. The number of buckets is a power of two.
    heads: Vec<u32>,
}

impl OrderRecords {
    /// No orders.
    pub(super) fn new() -> Self {
        OrderRecords { entries: Vec::new(), lines: Vec::new(), heads: vec![NONE; 16] }
    }

    /// Makes room for this many orders.
    pub(super) fn reserve(&mut self, orders: usize) {
        self.entries.reserve(orders);
        self.lines.reserve(orders);
    }

    /// Number of orders.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The record at this place, if there is one.
    pub(super) fn get(&self, place: usize) -> Option<&OrderRecord> {
        self.entries.get(place)
    }

    /// The record at a place below [`len`](OrderRecords::len).
    pub(super) fn entry(&self, place: usize) -> &OrderRecord {
        &self.entries[place]
    }

    /// The record at a place below [`len`](OrderRecords::len), to set its status.
    pub(super) fn entry_mut(&mut self, place: usize) -> &mut OrderRecord {
        &mut self.entries[place]
    }

    /// The order's lines: merged, by ascending SKU.
    pub(super) fn lines(&self, place: usize) -> &[(u32, u32)] {
        let start = place.checked_sub(1).map_or(0, |before| self.entries[before].lines_end);
        &self.lines[start..self.entries[place].lines_end]
    }

    /// Adds an order and returns its place.
    pub(super) fn push(&mut self, mut entry: OrderRecord, lines: &[(u32, u32)]) -> usize {
        let place = self.entries.len();
        self.lines.extend_from_slice(lines);
        entry.lines_end = self.lines.len();
        self.entries.push(entry);
        if place == self.heads.len() {
            self.grow_index();
        } else {
            self.index(place);
        }
        place
    }

    /// Removes the newest record; only a planted bug does this.
    pub(super) fn remove_newest(&mut self) {
        if let Some(entry) = self.entries.pop() {
            if entry.key.is_some() {
                let bucket = self.bucket(entry.key_hash);
                self.heads[bucket] = entry.older;
            }
            self.lines.truncate(self.entries.last().map_or(0, |last| last.lines_end));
        }
    }

    /// The newest order whose key has this hash and that `matches`.
    pub(super) fn newest_with_key(
        &self,
        key_hash: u32,
        matches: impl Fn(&OrderRecord) -> bool,
    ) -> Option<usize> {
        let mut next = self.heads[self.bucket(key_hash)];
        while next != NONE {
            let place = usize::try_from(next).expect("usize has at least 32 bits");
            let entry = &self.entries[place];
            if entry.key_hash == key_hash && matches(entry) {
                return Some(place);
            }
            next = entry.older;
        }
        None
    }

    fn index(&mut self, place: usize) {
        if self.entries[place].key.is_none() {
            return;
        }
        let bucket = self.bucket(self.entries[place].key_hash);
        let newest = u32::try_from(place).expect("a run has fewer than u32::MAX orders");
        self.entries[place].older = std::mem::replace(&mut self.heads[bucket], newest);
    }

    fn grow_index(&mut self) {
        let buckets = self.heads.len() * 4;
        self.heads.clear();
        self.heads.resize(buckets, NONE);
        for place in 0..self.entries.len() {
            self.index(place);
        }
    }

    fn bucket(&self, key_hash: u32) -> usize {
        usize::try_from(key_hash).expect("usize has at least 32 bits") & (self.heads.len() - 1)
    }
}

/// A hash of a user and a key, the same on every machine.
pub(super) fn hash(owner: i64, key: &str) -> u32 {
    // An odd multiplier (the golden ratio) that mixes every input bit into the upper half.
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = owner.cast_unsigned().wrapping_mul(MIX);
    for chunk in key.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
    }
    u32::try_from(sum >> 32).expect("half a u64 fits u32")
}
