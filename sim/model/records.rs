//! The ledger: every order on record, by id without a gap, with its lines and the index of its
//! keys. Entries are never removed; only a status with its reason and time is ever rewritten.

use crate::model::contract::{Reason, Shortage, Status};

/// No entry, as [`OrderRecord::older`] and the index's heads have it.
const NONE: u32 = u32::MAX;

/// One order on record; its lines are kept by the [`OrderRecords`].
#[derive(Clone, Debug)]
pub(super) struct OrderRecord {
    pub(super) user: i64,
    pub(super) status: Status,
    pub(super) reason: Reason,
    /// Nanoseconds since 1970.
    pub(super) created_at: u64,
    /// Nanoseconds since 1970.
    pub(super) updated_at: u64,
    /// Not empty exactly where the create failed.
    pub(super) shortages: Box<[Shortage]>,
    pub(super) key: Option<Box<str>>,
    /// [`hash`] of the key's owner and the key, if there is one.
    pub(super) key_hash: u32,
    /// The entry before this one in its bucket of the key index.
    older: u32,
    /// Where its lines end; they start where those of the entry before end.
    lines_end: usize,
}

impl OrderRecord {
    /// An order at the time of its create, without a key.
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
            older: NONE,
            lines_end: 0,
        }
    }
}

/// All orders. A *place* counts entries from 0; the order's id is the place plus 1.
#[derive(Clone, Debug)]
pub(super) struct OrderRecords {
    entries: Vec<OrderRecord>,
    lines: Vec<(u32, u32)>,
    /// Per bucket the newest entry with a key; a power of two of them, so that a mask finds one.
    heads: Vec<u32>,
}

impl OrderRecords {
    /// A ledger without orders.
    pub(super) fn new() -> Self {
        OrderRecords { entries: Vec::new(), lines: Vec::new(), heads: vec![NONE; 16] }
    }

    /// How many orders there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at the place, if there is one.
    pub(super) fn get(&self, place: usize) -> Option<&OrderRecord> {
        self.entries.get(place)
    }

    /// The entry at a place below [`len`](OrderRecords::len).
    pub(super) fn entry(&self, place: usize) -> &OrderRecord {
        &self.entries[place]
    }

    /// The entry at a place below [`len`](OrderRecords::len), to set its status.
    pub(super) fn entry_mut(&mut self, place: usize) -> &mut OrderRecord {
        &mut self.entries[place]
    }

    /// The order's lines: merged, by ascending SKU.
    pub(super) fn lines(&self, place: usize) -> &[(u32, u32)] {
        let start = place.checked_sub(1).map_or(0, |before| self.entries[before].lines_end);
        &self.lines[start..self.entries[place].lines_end]
    }

    /// Enters an order, and tells its place.
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

    /// Strikes the newest entry: only a planted bug does that.
    pub(super) fn strike_newest(&mut self) {
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

/// A hash of a key and whose it is, the same on every machine.
pub(super) fn hash(owner: i64, key: &str) -> u32 {
    // An odd multiplier, the golden ratio's bits: it spreads every input bit to the upper half.
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = owner.cast_unsigned().wrapping_mul(MIX);
    for chunk in key.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
    }
    u32::try_from(sum >> 32).expect("half a u64 fits u32")
}
