//! [`Table`]: a hash table that grows one bucket at a time, by linear hashing.

use std::num::NonZeroU32;

use super::hash::Buckets;
use super::{Arena, size};

/// An entry, or an empty bucket. Aligned so that no entry spans two cache lines: in a large table,
/// fetching the entry is most of what a look-up costs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Node<V> {
    /// `None` for an empty bucket, and for a free overflow node.
    key: Option<NonZeroU32>,
    /// The next node of the bucket: its place in `overflow` plus one; 0 at the end.
    next: u32,
    value: V,
}

/// Where an entry is. Valid until the next insertion.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Slot {
    /// In this bucket itself.
    Bucket(u32),
    /// In this overflow node.
    Overflow(u32),
}

/// A map from keys that are chosen by the operator (not by clients: the hash is not secret).
/// Entries are never removed. There are at least twice as many buckets as entries, so that most
/// entries are in the bucket itself; the others are chained behind it.
#[derive(Clone, Debug)]
pub(in super::super) struct Table<V> {
    buckets: Buckets,
    /// The buckets that the table was made with, in one piece.
    first: Vec<Node<V>>,
    /// The buckets that were added since.
    more: Arena<Node<V>>,
    overflow: Arena<Node<V>>,
    /// The first free overflow node: its place plus one; 0 for none.
    free: u32,
    len: u32,
}

impl<V: Copy + Default> Table<V> {
    /// An empty table with room for this many entries.
    pub(in super::super) fn with_room_for(entries: usize) -> Self {
        let buckets = entries.checked_mul(2).expect("at most 2³² entries").next_power_of_two();
        let buckets = Buckets::power_of_two(buckets.ilog2().min(31));
        Self {
            buckets,
            first: vec![Node::default(); size(buckets.count())],
            more: Arena::default(),
            overflow: Arena::default(),
            free: 0,
            len: 0,
        }
    }

    /// How many entries there are.
    pub(in super::super) fn len(&self) -> usize {
        size(self.len)
    }

    /// Where the entry of this key is, if there is one.
    #[inline(always)]
    pub(in super::super) fn find(&self, key: NonZeroU32) -> Option<Slot> {
        let bucket = self.bucket_of(key);
        let node = self.bucket(bucket);
        match node.key {
            Some(other) if other == key => Some(Slot::Bucket(bucket)),
            Some(_) => self.find_behind(node.next, key),
            None => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn find_behind(&self, mut next: u32, key: NonZeroU32) -> Option<Slot> {
        while let Some(place) = next.checked_sub(1) {
            let node = self.overflow.at(place);
            if node.key == Some(key) {
                return Some(Slot::Overflow(place));
            }
            next = node.next;
        }
        None
    }

    /// The entry at a slot that [`Table::find`] returned.
    #[inline(always)]
    pub(in super::super) fn at(&self, slot: Slot) -> &V {
        match slot {
            Slot::Bucket(bucket) => &self.bucket(bucket).value,
            Slot::Overflow(place) => &self.overflow.at(place).value,
        }
    }

    /// The entry at a slot that [`Table::find`] returned, to change.
    #[inline(always)]
    pub(in super::super) fn at_mut(&mut self, slot: Slot) -> &mut V {
        match slot {
            Slot::Bucket(bucket) => &mut self.bucket_mut(bucket).value,
            Slot::Overflow(place) => &mut self.overflow.at_mut(place).value,
        }
    }

    /// Adds an entry. Its key must not be in the table yet.
    pub(in super::super) fn insert(&mut self, key: NonZeroU32, value: V) {
        assert!(self.find(key).is_none(), "key {key} is in the table already");
        self.len = self.len.checked_add(1).expect("fewer than 2³² keys exist");
        // Two buckets an entry.
        for _ in 0..2 {
            if self.buckets.count() / 2 < self.len {
                self.split();
            }
        }
        self.put(key, value);
    }

    /// Adds a bucket, and moves into it what belongs there from the bucket that it divides.
    fn split(&mut self) {
        if self.buckets.count() == u32::MAX {
            return;
        }
        let (_, divided) = self.buckets.add();
        self.more.push(Node::default());
        let divided = divided.expect("a table is made with a bucket");
        let mut node = std::mem::take(self.bucket_mut(divided));
        while let Some(key) = node.key {
            let next = node.next;
            self.put(key, node.value);
            let Some(place) = next.checked_sub(1) else {
                return;
            };
            node = *self.overflow.at(place);
            *self.overflow.at_mut(place) = Node { next: self.free, ..Node::default() };
            self.free = next;
        }
    }

    /// Puts an entry into its bucket, or behind it where that is taken.
    fn put(&mut self, key: NonZeroU32, value: V) {
        let bucket = self.bucket_of(key);
        let head = *self.bucket(bucket);
        if head.key.is_none() {
            *self.bucket_mut(bucket) = Node { key: Some(key), next: 0, value };
            return;
        }
        let node = Node { key: Some(key), next: head.next, value };
        let link = match self.free.checked_sub(1) {
            Some(place) => {
                let link = self.free;
                self.free = self.overflow.at(place).next;
                *self.overflow.at_mut(place) = node;
                link
            }
            None => self.overflow.push(node).checked_add(1).expect("fewer than 2³² entries"),
        };
        self.bucket_mut(bucket).next = link;
    }

    #[inline(always)]
    fn bucket_of(&self, key: NonZeroU32) -> u32 {
        self.buckets.of(spread(key)).expect("a table is made with a bucket")
    }

    #[inline(always)]
    fn bucket(&self, bucket: u32) -> &Node<V> {
        match self.first.get(size(bucket)) {
            Some(node) => node,
            None => self.more.at(self.place_in_more(bucket)),
        }
    }

    #[inline(always)]
    fn bucket_mut(&mut self, bucket: u32) -> &mut Node<V> {
        let place = size(bucket);
        if place < self.first.len() {
            self.first.get_mut(place).expect("just compared")
        } else {
            self.more.at_mut(self.place_in_more(bucket))
        }
    }

    fn place_in_more(&self, bucket: u32) -> u32 {
        let first = u32::try_from(self.first.len()).expect("at most 2³¹ buckets");
        bucket.checked_sub(first).expect("the other buckets come after the first ones")
    }
}

/// Spreads keys that follow each other over all hashes: the upper half of a product with the
/// golden ratio (Fibonacci hashing, Knuth 6.4).
fn spread(key: NonZeroU32) -> u32 {
    let word = u64::from(key.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(word >> 32).expect("32 bits are left")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("keys of the tests are above 0")
    }

    /// Keys in a row, keys far apart, and keys that share a bucket all have to be found again at
    /// every size that the table grows through.
    #[test]
    fn a_growing_table_finds_every_key() {
        for (step, room) in [(1, 0), (1, 64), (65_536, 0), (0x9e37_79b1, 1), (1 << 24, 0)] {
            let mut table = Table::with_room_for(room);
            let mut expected = BTreeMap::new();
            let mut number = 1_u32;
            for value in 0_u64..3_000 {
                number = number.wrapping_add(step).max(1);
                if expected.insert(number, value).is_some() {
                    continue;
                }
                table.insert(key(number), value);
                if value < 300 || value.is_power_of_two() {
                    for (number, value) in &expected {
                        let slot = table.find(key(*number)).expect("every key is found");
                        assert_eq!(table.at(slot), value, "key {number}");
                    }
                }
            }
            assert_eq!(table.len(), expected.len());
            let absent = (1..10_000).filter(|number| !expected.contains_key(number));
            for number in absent {
                assert!(table.find(key(number)).is_none(), "{number} was never inserted");
            }
        }
    }

    #[test]
    fn a_changed_entry_stays_changed_while_the_table_grows() {
        let mut table = Table::with_room_for(0);
        for number in 1..2_000 {
            table.insert(key(number), 0_u64);
            let slot = table.find(key(number)).expect("just inserted");
            *table.at_mut(slot) = u64::from(number);
        }
        for number in 1..2_000 {
            let slot = table.find(key(number)).expect("inserted before");
            assert_eq!(*table.at(slot), u64::from(number));
        }
    }
}
