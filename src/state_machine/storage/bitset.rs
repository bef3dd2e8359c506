//! [`BitSet`]: a set of places, whose first member is found without a scan.

use super::Arena;

/// Summaries that the bits of 2³² places need, at 64 to a word.
const SUMMARIES: usize = 5;

/// A set of places, from 0 to 2³² − 2, with a bit for each place that was added.
///
/// Above the bits are summaries: a bit of the first says whether a word of the bits is not zero, a
/// bit of the second whether a word of the first is not zero, and so on. So inserting, removing and
/// finding the next member touch at most one word a level on the way up and one on the way down,
/// however sparse the set is. The summaries take 1/63 of the memory of the bits.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct BitSet {
    bits: Arena<u64>,
    summaries: [Arena<u64>; SUMMARIES],
    len: u32,
    first: Option<u32>,
}

impl BitSet {
    /// Adds a place, the next after those added before. It is not a member.
    #[inline]
    pub(in super::super) fn push(&mut self) {
        let place = self.len;
        self.len = place.checked_add(1).expect("callers add at most 2³² − 1 places");
        if place.is_multiple_of(u64::BITS) {
            self.push_words(place);
        }
    }

    /// Adds the words that begin at this place.
    #[cold]
    fn push_words(&mut self, mut place: u32) {
        for level in std::iter::once(&mut self.bits).chain(&mut self.summaries) {
            if !place.is_multiple_of(u64::BITS) {
                return;
            }
            level.push(0);
            place /= u64::BITS;
        }
    }

    /// Makes the place that was added last a member. Returns whether it is the lowest.
    #[inline]
    pub(in super::super) fn insert_last(&mut self) -> bool {
        let place = self.len.checked_sub(1).expect("a place was added");
        let is_lowest = self.first.is_none();
        if is_lowest {
            self.first = Some(place);
        }
        let word = self.bits.last_mut();
        let was_empty = *word == 0;
        *word |= bit(place);
        if was_empty {
            self.summarize(place / u64::BITS);
        }
        is_lowest
    }

    /// Marks a word of the bits as not empty, in all summaries.
    #[cold]
    fn summarize(&mut self, mut place: u32) {
        for level in &mut self.summaries {
            let word = level.at_mut(place / u64::BITS);
            let was_empty = *word == 0;
            *word |= bit(place);
            if !was_empty {
                return;
            }
            place /= u64::BITS;
        }
    }

    /// Removes a member. Returns whether it was the lowest.
    #[inline]
    pub(in super::super) fn remove(&mut self, place: u32) -> bool {
        let word = self.bits.at_mut(place / u64::BITS);
        *word &= !bit(place);
        let bits = *word;
        if bits == 0 {
            self.unsummarize(place / u64::BITS);
        }
        let was_lowest = self.first == Some(place);
        if was_lowest {
            // There is no member before it, so the first of its word is the next one.
            self.first = match bits {
                0 => self.next_by_summaries(place / u64::BITS),
                _ => Some(member(place / u64::BITS, bits)),
            };
        }
        was_lowest
    }

    /// Marks a word of the bits as empty, in all summaries that it concerns.
    #[cold]
    fn unsummarize(&mut self, mut place: u32) {
        for level in &mut self.summaries {
            let word = level.at_mut(place / u64::BITS);
            *word &= !bit(place);
            if *word != 0 {
                return;
            }
            place /= u64::BITS;
        }
    }

    /// The lowest member.
    pub(in super::super) fn first(&self) -> Option<u32> {
        self.first
    }

    /// All members, in ascending order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.first, |place| self.next(place.checked_add(1)?))
    }

    /// The lowest member at or after this place.
    #[inline]
    fn next(&self, from: u32) -> Option<u32> {
        let word = from / u64::BITS;
        let bits = self.bits.get(word)? & !bit(from).wrapping_sub(1);
        if bits != 0 {
            return Some(member(word, bits));
        }
        self.next_by_summaries(word)
    }

    /// The lowest member in a word after this one.
    #[cold]
    fn next_by_summaries(&self, word: u32) -> Option<u32> {
        let mut at = word;
        for (height, level) in self.summaries.iter().enumerate() {
            at = at.checked_add(1).expect("a word's number is far below 2³²");
            let word = at / u64::BITS;
            let bits = level.get(word)? & !bit(at).wrapping_sub(1);
            if bits != 0 {
                // Go down: take the lowest bit of each word that the bit above represents.
                let (below, _) = self.summaries.split_at(height);
                let down = |word, level: &Arena<u64>| member(word, *level.at(word));
                let word = below.iter().rev().fold(member(word, bits), down);
                return Some(down(word, &self.bits));
            }
            at = word;
        }
        None
    }
}

/// The place of the lowest bit that is set in a word.
fn member(word: u32, bits: u64) -> u32 {
    word.wrapping_mul(u64::BITS) | bits.trailing_zeros()
}

fn bit(place: u32) -> u64 {
    1_u64.rotate_left(place % u64::BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn members(set: &BitSet) -> Vec<u32> {
        set.iter().collect()
    }

    /// Every pair of places around the ends of words, at each level that 300,000 places have.
    #[test]
    fn next_member_is_found_across_words_and_levels() {
        let ends = [1, 64, 4_096, 262_144];
        let places: BTreeSet<u32> =
            ends.iter().flat_map(|end| [end - 1, *end, end + 1]).chain([0, 299_999]).collect();
        let mut all = BitSet::default();
        for place in 0..300_000 {
            all.push();
            if places.contains(&place) {
                all.insert_last();
            }
        }
        assert_eq!(members(&all), places.iter().copied().collect::<Vec<_>>());
        for low in &places {
            for high in places.range(low + 1..) {
                let mut set = all.clone();
                places.iter().filter(|place| ![low, high].contains(place)).for_each(|place| {
                    set.remove(*place);
                });
                assert_eq!(members(&set), [*low, *high]);
                set.remove(*low);
                assert_eq!(set.first(), Some(*high), "after {low} was removed");
                set.remove(*high);
                assert_eq!(set.first(), None, "after {high} was removed");
            }
        }
    }

    /// A fixed pseudo-random program against a `BTreeSet`.
    #[test]
    fn a_set_behaves_as_a_btree_set() {
        let (mut set, mut expected) = (BitSet::default(), BTreeSet::new());
        let mut random = 1_u64;
        for len in 1..20_000_u32 {
            set.push();
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 62 != 0 {
                set.insert_last();
                expected.insert(len - 1);
            }
            // Half of the removals are of the first member, as expiry does it.
            let place = u32::try_from((random >> 32) % u64::from(len)).expect("below len");
            let removed = if random & 1 == 0 { expected.first().copied() } else { Some(place) };
            if let Some(place) = removed.filter(|place| expected.remove(place)) {
                set.remove(place);
            }
            assert_eq!(set.first(), expected.first().copied());
            if len % 1_000 == 0 {
                assert_eq!(members(&set), expected.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
