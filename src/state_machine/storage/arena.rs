//! [`Arena`]: a list that only grows and is never copied.

use super::size;

/// Entries in the first chunk, as a power of two. Small, because most states in tests are small.
const FIRST_CHUNK_LOG: u32 = 4;
const FIRST_CHUNK: u64 = 1 << FIRST_CHUNK_LOG;

/// A list that grows chunk by chunk. Its entries have places, from 0 to 2³² − 2.
///
/// The second chunk is twice as large as the first, the third twice as large as the second, and so
/// on. So there are few chunks, and the list of chunks is always in the cache. The part of the last
/// chunk that was never written takes address space, not memory.
#[derive(Clone, Debug)]
pub(in super::super) struct Arena<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Arena<T> {
    /// How many entries there are.
    pub(in super::super) fn len(&self) -> u32 {
        self.len
    }

    /// Whether another entry can be added.
    pub(in super::super) fn has_room(&self) -> bool {
        self.len < u32::MAX
    }

    /// Adds an entry and returns its place.
    pub(in super::super) fn push(&mut self, value: T) -> u32 {
        let place = self.len;
        self.len = place.checked_add(1).expect("callers check has_room first");
        // Only the first place of a chunk can lack its chunk.
        let (chunk, within) = locate(place);
        if within == 0 {
            self.chunks.push(Vec::with_capacity(chunk_len(chunk)));
        }
        self.chunks.last_mut().expect("there is a chunk by now").push(value);
        place
    }

    /// The entry at this place, if there is one.
    pub(in super::super) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, within) = locate(place);
        self.chunks.get(chunk)?.get(within)
    }

    /// The entry at a place that [`Arena::push`] returned.
    pub(in super::super) fn at(&self, place: u32) -> &T {
        self.get(place).expect("entries are never removed")
    }

    /// The entry at a place that [`Arena::push`] returned, to change.
    pub(in super::super) fn at_mut(&mut self, place: u32) -> &mut T {
        let (chunk, within) = locate(place);
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
}

/// The chunk of a place, and the place within it.
fn locate(place: u32) -> (usize, usize) {
    // Shift all places by the size of the first chunk: then chunks start at powers of two. No
    // overflow: both numbers are far below 2⁶⁴.
    let moved = u64::from(place).wrapping_add(FIRST_CHUNK);
    let top = moved.ilog2();
    let within = usize::try_from(moved ^ 1_u64.rotate_left(top));
    // `top` is at least FIRST_CHUNK_LOG, since `moved` is at least FIRST_CHUNK.
    (size(top.wrapping_sub(FIRST_CHUNK_LOG)), within.expect("what is in memory is addressable"))
}

/// How many entries fit into this chunk.
fn chunk_len(chunk: usize) -> usize {
    usize::try_from(FIRST_CHUNK)
        .ok()
        .zip(u32::try_from(chunk).ok())
        .and_then(|(first, doublings)| first.checked_shl(doublings))
        .expect("there are at most 29 chunks")
}
