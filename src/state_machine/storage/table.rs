//! [`Table`]: a hash table of fixed size, and an ordered map for later entries.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::{Arena, Sizes, size};

/// An entry, or an empty place. Aligned so that no entry spans two cache lines: in a large table,
/// reading the entry is most of the cost of a lookup.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Node<V> {
    key: Option<NonZeroU32>,
    value: V,
}

/// Where an entry is: its place in the hash table or, counted on from there, among the further
/// entries. It stays valid.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Slot(usize);

/// A map from keys that are chosen by the operator (not by clients: the hash is not secret).
/// Entries are never removed.
///
/// The entries that the table is made for are in a hash table with open addressing, at most half
/// full. It never grows, because growth would copy it. Further entries are found by an ordered map,
/// which takes longer (about 0.1 µs with 100,000 of them) and grows in small steps.
#[derive(Clone, Debug)]
pub(in super::super) struct Table<V, S: Sizes> {
    places: Vec<Node<V>>,
    /// The number of places minus 1: in binary all ones.
    mask: u32,
    /// Entries in `places`.
    taken: usize,
    further: Arena<V, S>,
    /// Where each further entry is in `further`.
    by_key: BTreeMap<NonZeroU32, u32>,
}

impl<V: Copy + Default, S: Sizes> Table<V, S> {
    /// An empty table that is made for this many entries.
    pub(in super::super) fn with_room_for(entries: usize) -> Self {
        let entries = entries.min(S::TABLE_ENTRIES);
        let places = entries.checked_mul(2).expect("at most 2³² entries").next_power_of_two();
        Self {
            places: vec![Node::default(); places],
            // There are at most 2³² − 1 keys, because 0 is not a key. So 2³² places suffice.
            mask: places.checked_sub(1).map_or(0, |last| u32::try_from(last).unwrap_or(u32::MAX)),
            taken: 0,
            further: Arena::default(),
            by_key: BTreeMap::new(),
        }
    }

    /// How many entries there are.
    pub(in super::super) fn len(&self) -> usize {
        self.taken.checked_add(self.by_key.len()).expect("fewer than 2³² keys exist")
    }

    /// Where the entry of this key is, if there is one.
    #[inline(always)]
    pub(in super::super) fn find(&self, key: NonZeroU32) -> Option<Slot> {
        let place = self.probe(key);
        match self.node(place).key {
            Some(_) => Some(Slot(size(place))),
            None if self.by_key.is_empty() => None,
            None => self.find_further(key),
        }
    }

    #[cold]
    fn find_further(&self, key: NonZeroU32) -> Option<Slot> {
        S::visit();
        let place = self.by_key.get(&key)?;
        Some(Slot(self.places.len().checked_add(size(*place)).expect("both are below 2³³")))
    }

    /// The entry at a slot.
    #[inline(always)]
    pub(in super::super) fn at(&self, Slot(slot): Slot) -> &V {
        match self.places.get(slot) {
            Some(node) => &node.value,
            None => self.further.at(self.place_in_further(slot)),
        }
    }

    /// The entry of this key, to change, if there is one.
    #[inline(always)]
    pub(in super::super) fn get_mut(&mut self, key: NonZeroU32) -> Option<&mut V> {
        let place = self.probe(key);
        let node = self.places.get_mut(size(place)).expect("a probe stays within the table");
        match node.key {
            Some(_) => Some(&mut node.value),
            None => self.by_key.get(&key).map(|place| self.further.at_mut(*place)),
        }
    }

    /// The entry at a slot, to change.
    #[inline(always)]
    pub(in super::super) fn at_mut(&mut self, Slot(slot): Slot) -> &mut V {
        if slot < self.places.len() {
            return &mut self.places.get_mut(slot).expect("just compared").value;
        }
        let place = self.place_in_further(slot);
        self.further.at_mut(place)
    }

    /// The place among the further entries of a slot that is not in the hash table.
    fn place_in_further(&self, slot: usize) -> u32 {
        let place = slot.checked_sub(self.places.len()).and_then(|place| u32::try_from(place).ok());
        place.expect("slots count on from the places")
    }

    /// Adds an entry. Its key must not be in the table yet.
    pub(in super::super) fn insert(&mut self, key: NonZeroU32, value: V) {
        assert!(self.find(key).is_none(), "key {key} is in the table already");
        if self.taken < self.places.len() / 2 {
            let place = self.probe(key);
            *self.node_mut(place) = Node { key: Some(key), value };
            self.taken = self.taken.checked_add(1).expect("fewer entries than places");
        } else {
            let place = self.further.push(value);
            self.by_key.insert(key, place);
        }
    }

    /// The place of this key, or the empty place where it would be.
    #[inline(always)]
    fn probe(&self, key: NonZeroU32) -> u32 {
        let mut place = spread(key) & self.mask;
        // At least half of the places are empty, so this ends.
        loop {
            match self.node(place).key {
                Some(other) if other != key => place = place.wrapping_add(1) & self.mask,
                Some(_) | None => return place,
            }
        }
    }

    #[inline(always)]
    fn node(&self, place: u32) -> &Node<V> {
        S::visit();
        self.places.get(size(place)).expect("a probe stays within the table")
    }

    #[inline(always)]
    fn node_mut(&mut self, place: u32) -> &mut Node<V> {
        self.places.get_mut(size(place)).expect("a probe stays within the table")
    }
}

/// Fibonacci hashing (Knuth 6.4): the upper half of the product with the golden ratio. It spreads
/// consecutive keys over all hashes.
fn spread(key: NonZeroU32) -> u32 {
    let word = u64::from(key.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(word >> 32).expect("32 bits are left")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Shipped, Tiny};
    use super::*;

    fn key(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("keys of the tests are above 0")
    }

    /// Consecutive keys, distant keys and keys with equal hashes are all found, in a table that was
    /// made for none, for some and for all of them.
    #[test]
    fn every_key_is_found_whatever_the_table_was_made_for() {
        every_key_is_found::<Shipped>();
        every_key_is_found::<Tiny>();
    }

    fn every_key_is_found<S: Sizes>() {
        for (step, room) in [(1, 0), (1, 64), (65_536, 0), (0x9e37_79b1, 1), (1 << 24, 3_000)] {
            let mut table = Table::<_, S>::with_room_for(room);
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
    fn a_slot_stays_valid_while_entries_are_added() {
        a_slot_stays_valid::<Shipped>();
        a_slot_stays_valid::<Tiny>();
    }

    fn a_slot_stays_valid<S: Sizes>() {
        let mut table = Table::<_, S>::with_room_for(100);
        let mut slots = Vec::new();
        for number in 1..2_000 {
            table.insert(key(number), 0_u64);
            slots.push((number, table.find(key(number)).expect("just inserted")));
        }
        for (number, slot) in &slots {
            *table.at_mut(*slot) = u64::from(*number);
        }
        for (number, slot) in slots {
            assert_eq!(*table.at(slot), u64::from(number));
        }
    }
}
