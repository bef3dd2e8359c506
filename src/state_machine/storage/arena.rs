//! [`Arena`]: a list that only grows and is never copied.

use std::marker::PhantomData;

use super::{Sizes, size};

/// A list that grows chunk by chunk. Its entries have places, from 0 to 2³² − 2.
///
/// The second chunk is twice as large as the first, the third twice as large as the second, and so
/// on. So there are few chunks, and the list of chunks is always in the cache. The part of the last
/// chunk that was never written takes address space, not memory.
#[derive(Clone, Debug)]
pub(in super::super) struct Arena<T, S: Sizes> {
    chunks: Vec<Vec<T>>,
    len: u32,
    sizes: PhantomData<S>,
}

impl<T, S: Sizes> Default for Arena<T, S> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0, sizes: PhantomData }
    }
}

impl<T, S: Sizes> Arena<T, S> {
    /// Adds an entry and returns its place.
    pub(in super::super) fn push(&mut self, value: T) -> u32 {
        let place = self.len;
        self.len = place.checked_add(1).expect("callers add at most 2³² − 1 entries");
        S::visit();
        // Only the first place of a chunk can lack its chunk.
        let (chunk, within) = Self::locate(place);
        if within == 0 {
            self.chunks.push(Vec::with_capacity(Self::chunk_len(chunk)));
        }
        self.chunks.last_mut().expect("there is a chunk by now").push(value);
        place
    }

    /// The entry at this place, if there is one.
    pub(in super::super) fn get(&self, place: u32) -> Option<&T> {
        S::visit();
        let (chunk, within) = Self::locate(place);
        self.chunks.get(chunk)?.get(within)
    }

    /// The entry at a place that [`Arena::push`] returned.
    pub(in super::super) fn at(&self, place: u32) -> &T {
        self.get(place).expect("entries are never removed")
    }

    /// The entry at a place that [`Arena::push`] returned, to change.
    pub(in super::super) fn at_mut(&mut self, place: u32) -> &mut T {
        S::visit();
        let (chunk, within) = Self::locate(place);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(within))
            .expect("entries are never removed")
    }

    /// The last entry, to change. There is one.
    pub(in super::super) fn last_mut(&mut self) -> &mut T {
        self.chunks.last_mut().and_then(|chunk| chunk.last_mut()).expect("an entry was added")
    }

    /// All entries, in order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The chunk of a place, and the place within it.
    #[inline(always)]
    fn locate(place: u32) -> (usize, usize) {
        // Shift all places by the size of the first chunk: then chunks start at powers of two. No
        // overflow: both numbers are far below 2⁶⁴.
        let moved = u64::from(place).wrapping_add(const { 1 << S::FIRST_CHUNK_LOG });
        let top = moved.ilog2();
        let within = usize::try_from(moved ^ 1_u64.rotate_left(top)).expect("below a chunk's end");
        // `top` is at least FIRST_CHUNK_LOG, since `moved` is at least the first chunk's length.
        (size(top.wrapping_sub(S::FIRST_CHUNK_LOG)), within)
    }

    /// How many entries fit into this chunk.
    fn chunk_len(chunk: usize) -> usize {
        u32::try_from(chunk)
            .ok()
            .and_then(|doublings| const { 1_usize << S::FIRST_CHUNK_LOG }.checked_shl(doublings))
            .expect("there are at most 33 chunks")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shipped, Tiny};
    use super::*;

    /// Entries are added and changed as in a `Vec`, across the ends of many chunks.
    #[test]
    fn an_arena_behaves_as_a_vec() {
        fn check<S: Sizes>() {
            let (mut arena, mut expected) = (Arena::<u64, S>::default(), Vec::new());
            for place in 0..5_000_u32 {
                assert_eq!(arena.get(place), None);
                assert_eq!(arena.push(u64::from(place)), place);
                expected.push(u64::from(place));
                *arena.last_mut() += 7;
                *expected.last_mut().unwrap() += 7;
                let middle = place / 2;
                *arena.at_mut(middle) *= 3;
                expected[size(middle)] *= 3;
                assert_eq!(arena.at(place), &expected[size(place)]);
                if place.is_multiple_of(500) {
                    assert!(arena.iter().eq(&expected));
                    assert!(
                        (0..=place).map(|place| arena.get(place)).eq(expected.iter().map(Some))
                    );
                }
            }
            assert!(arena.iter().eq(&expected));
        }
        check::<Shipped>();
        check::<Tiny>();
    }

    /// A chunk has room for all its entries from the start, so no push copies any.
    #[test]
    fn a_chunk_never_grows() {
        fn check<S: Sizes>() {
            let mut arena = Arena::<u64, S>::default();
            for place in 0..1_000 {
                arena.push(place);
                let last = arena.chunks.len() - 1;
                assert_eq!(arena.chunks[last].capacity(), Arena::<u64, S>::chunk_len(last));
            }
        }
        check::<Shipped>();
        check::<Tiny>();
    }

    /// The last places of 32 bits: `locate` must not overflow there.
    #[test]
    fn the_last_place_is_in_the_last_chunk() {
        fn check<S: Sizes>() {
            let (chunk, within) = Arena::<u8, S>::locate(u32::MAX - 1);
            assert!(within < Arena::<u8, S>::chunk_len(chunk));
            let before: usize = (0..chunk).map(Arena::<u8, S>::chunk_len).sum();
            assert_eq!(before + within, size(u32::MAX - 1));
        }
        check::<Shipped>();
        check::<Tiny>();
    }
}
