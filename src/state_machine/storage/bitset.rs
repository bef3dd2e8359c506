//! [`BitSet`]: a set of places, whose first member is found without a scan.

use super::{Arena, Sizes};

/// A set of places, from 0 to 2³² − 2, with a bit for each place that was added.
///
/// Above the bits are summaries: a bit of the first says whether a word of the bits is not zero, a
/// bit of the second whether a word of the first is not zero, and so on. So inserting, removing and
/// finding the next member touch at most one word a level on the way up and one on the way down,
/// however sparse the set is. The summaries take 1/63 of the memory of the bits.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct BitSet<S: Sizes> {
    bits: Arena<u64, S>,
    /// As many as are needed for the last one to have one word; at most 5 with words of 64 bits.
    summaries: Vec<Arena<u64, S>>,
    len: u32,
    first: Option<u32>,
}

impl<S: Sizes> BitSet<S> {
    /// Places in a word.
    const WORD: u32 = 1 << S::WORD_LOG;

    /// Adds a place, the next after those added before. It is not a member.
    #[inline]
    pub(in super::super) fn push(&mut self) {
        let place = self.len;
        self.len = place.checked_add(1).expect("callers add at most 2³² − 1 places");
        if place.is_multiple_of(Self::WORD) {
            self.push_words();
        }
    }

    /// Adds a word to the bits, and what it needs to the summaries.
    #[cold]
    #[inline(never)]
    fn push_words(&mut self) {
        let mut added = self.bits.push(0);
        let mut below = &self.bits;
        for level in &mut self.summaries {
            if !added.is_multiple_of(Self::WORD) {
                return;
            }
            added = level.push(0);
            below = level;
        }
        // A level with more than one word needs a summary.
        if added == 1 {
            let mut summary = Arena::default();
            summary.push(u64::from(*below.at(0) != 0));
            self.summaries.push(summary);
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
        *word |= Self::bit(place);
        if was_empty {
            self.summarize(Self::word_of(place));
        }
        is_lowest
    }

    /// Marks a word of the bits as not empty, in all summaries.
    #[cold]
    #[inline(never)]
    fn summarize(&mut self, mut place: u32) {
        for level in &mut self.summaries {
            let word = level.at_mut(Self::word_of(place));
            let was_empty = *word == 0;
            *word |= Self::bit(place);
            if !was_empty {
                return;
            }
            place = Self::word_of(place);
        }
    }

    /// Removes a member. Returns whether it was the lowest.
    #[inline]
    pub(in super::super) fn remove(&mut self, place: u32) -> bool {
        let word = self.bits.at_mut(Self::word_of(place));
        *word &= !Self::bit(place);
        let bits = *word;
        if bits == 0 {
            self.unsummarize(Self::word_of(place));
        }
        let was_lowest = self.first == Some(place);
        if was_lowest {
            // There is no member before it, so the first of its word is the next one.
            self.first = match bits {
                0 => self.next_by_summaries(Self::word_of(place)),
                _ => Some(Self::member(Self::word_of(place), bits)),
            };
        }
        was_lowest
    }

    /// Marks a word of the bits as empty, in all summaries that it concerns.
    #[cold]
    #[inline(never)]
    fn unsummarize(&mut self, mut place: u32) {
        for level in &mut self.summaries {
            let word = level.at_mut(Self::word_of(place));
            *word &= !Self::bit(place);
            if *word != 0 {
                return;
            }
            place = Self::word_of(place);
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
        let word = Self::word_of(from);
        let bits = self.bits.get(word)? & !Self::bit(from).wrapping_sub(1);
        if bits != 0 {
            return Some(Self::member(word, bits));
        }
        self.next_by_summaries(word)
    }

    /// The lowest member in a word after this one.
    #[cold]
    #[inline(never)]
    fn next_by_summaries(&self, word: u32) -> Option<u32> {
        let mut at = word;
        for (height, level) in self.summaries.iter().enumerate() {
            at = at.checked_add(1).expect("a word's number is far below 2³²");
            let word = Self::word_of(at);
            let bits = level.get(word)? & !Self::bit(at).wrapping_sub(1);
            if bits != 0 {
                // Go down: take the lowest bit of each word that the bit above represents.
                let (below, _) = self.summaries.split_at(height);
                let down = |word, level: &Arena<u64, S>| Self::member(word, *level.at(word));
                let word = below.iter().rev().fold(Self::member(word, bits), down);
                return Some(down(word, &self.bits));
            }
            at = word;
        }
        None
    }

    /// The word of a place.
    #[inline(always)]
    fn word_of(place: u32) -> u32 {
        place.wrapping_shr(S::WORD_LOG)
    }

    /// The place of the lowest bit that is set in a word.
    #[inline(always)]
    fn member(word: u32, bits: u64) -> u32 {
        word.wrapping_shl(S::WORD_LOG) | bits.trailing_zeros()
    }

    #[inline(always)]
    fn bit(place: u32) -> u64 {
        1_u64.rotate_left(place & const { Self::WORD - 1 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::testing::Random;
    use super::super::{Shipped, Tiny};
    use super::*;

    fn members<S: Sizes>(set: &BitSet<S>) -> Vec<u32> {
        set.iter().collect()
    }

    /// Every pair of places around the ends of words, at each level that 300,000 places have.
    #[test]
    fn next_member_is_found_across_words_and_levels() {
        fn check<S: Sizes>() {
            let ends = [1, 64, 4_096, 262_144];
            let places: BTreeSet<u32> =
                ends.iter().flat_map(|end| [end - 1, *end, end + 1]).chain([0, 299_999]).collect();
            let mut all = BitSet::<S>::default();
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
        check::<Shipped>();
        check::<Tiny>();
    }

    /// A random program against a `BTreeSet`; from dense sets to very sparse ones.
    #[test]
    fn a_set_behaves_as_a_btree_set() {
        fn check<S: Sizes>(one_of: u64) {
            let (mut set, mut expected) = (BitSet::<S>::default(), BTreeSet::new());
            let mut random = Random::new(one_of);
            for len in 1..20_000_u32 {
                set.push();
                if random.below(one_of) == 0 {
                    assert_eq!(set.insert_last(), expected.is_empty());
                    expected.insert(len - 1);
                }
                // Half of the removals are of the first member, as expiry does it.
                let first = expected.first().copied();
                let nth = usize::try_from(random.below(expected.len().max(1) as u64)).unwrap();
                let any = expected.iter().nth(nth.min(64)).copied();
                let removed = if random.below(2) == 0 { first } else { any };
                if let Some(place) = removed.filter(|_| random.below(one_of) == 0) {
                    assert_eq!(set.remove(place), Some(place) == first);
                    expected.remove(&place);
                }
                assert_eq!(set.first(), expected.first().copied());
                if len % 1_000 == 0 {
                    assert_eq!(members(&set), expected.iter().copied().collect::<Vec<_>>());
                }
            }
        }
        fn check_all<S: Sizes>() {
            for one_of in [1, 2, 10, 200, 5_000] {
                check::<S>(one_of);
            }
        }
        check_all::<Shipped>();
        check_all::<Tiny>();
    }
}
