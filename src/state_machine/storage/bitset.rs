//! [`BitSet`]: a set of places, whose first member is found without a scan.

use super::Arena;

/// Levels that 2³² places need, at 64 to a word.
const LEVELS: usize = 6;

/// A set of places, from 0 to 2³² − 2, with a bit for each place that was added.
///
/// Above the bits are summaries: a bit of level `n + 1` says whether a word of level `n` has any
/// bit set. So inserting, removing and finding the next member touch at most one word a level on
/// the way up and one on the way down, however sparse the set is. The summaries take 1/63 of the
/// memory of the bits.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct BitSet {
    levels: [Arena<u64>; LEVELS],
    len: u32,
    first: Option<u32>,
}

impl BitSet {
    /// Adds a place, the next after those added before. It is not a member.
    #[inline]
    pub(in super::super) fn push(&mut self) {
        let mut place = self.len;
        self.len = place.checked_add(1).expect("callers add at most 2³² − 1 places");
        for level in &mut self.levels {
            if place % u64::BITS != 0 {
                return;
            }
            level.push(0);
            place /= u64::BITS;
        }
    }

    /// Makes a place a member.
    #[inline]
    pub(in super::super) fn insert(&mut self, place: u32) {
        self.first = Some(self.first.map_or(place, |first| first.min(place)));
        let mut place = place;
        for level in &mut self.levels {
            let word = level.at_mut(place / u64::BITS);
            let was_empty = *word == 0;
            *word |= bit(place);
            if !was_empty {
                return;
            }
            place /= u64::BITS;
        }
    }

    /// Removes a member.
    #[inline]
    pub(in super::super) fn remove(&mut self, place: u32) {
        let mut at = place;
        for level in &mut self.levels {
            let word = level.at_mut(at / u64::BITS);
            *word &= !bit(at);
            if *word != 0 {
                break;
            }
            at /= u64::BITS;
        }
        if self.first == Some(place) {
            self.first = self.next(place);
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
    fn next(&self, from: u32) -> Option<u32> {
        let mut at = from;
        for (height, level) in self.levels.iter().enumerate() {
            let word = at / u64::BITS;
            let bits = level.get(word)? & !bit(at).wrapping_sub(1);
            if bits != 0 {
                return Some(self.lowest_below(height, member(word, bits)));
            }
            at = word.checked_add(1).expect("a word's number is far below 2³²");
        }
        None
    }

    /// The lowest member that a set bit of this level stands for.
    fn lowest_below(&self, height: usize, bit: u32) -> u32 {
        let (below, _) = self.levels.split_at(height);
        below.iter().rev().fold(bit, |word, level| member(word, *level.at(word)))
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
        let mut set = BitSet::default();
        (0..300_000).for_each(|_| set.push());
        let ends = [1, 64, 4_096, 262_144];
        let places: Vec<u32> = ends
            .iter()
            .flat_map(|end| [end - 1, *end, end + 1])
            .chain([0, 299_999])
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        for (number, low) in places.iter().enumerate() {
            for high in &places[number + 1..] {
                set.insert(*high);
                set.insert(*low);
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
                set.insert(len - 1);
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
