//! Storage that grows without ever being copied whole, so that no single command pays for the
//! growth of the table: [`Arena`] only grows, [`Queue`] also loses its oldest.

use std::collections::VecDeque;
use std::num::{NonZeroU32, NonZeroU64};

/// Entries in the first chunk of an [`Arena`], which is small: so is a small world.
const FIRST_CHUNK: u64 = 1 << FIRST_CHUNK_LOG;
const FIRST_CHUNK_LOG: u32 = 4;

/// A list that grows chunk by chunk and is addressed by place, from 0 to 2³² − 2.
///
/// Each chunk is as large as all before it together and the first once more, so that there are
/// few, and the way to an entry leads through a table that is always in the cache. The part of
/// the last chunk that was never written takes addresses, not memory.
#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
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
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Whether another entry can be added.
    pub(super) fn has_room(&self) -> bool {
        self.len < u32::MAX
    }

    /// Adds an entry and tells its place.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let place = self.len;
        self.len = place.checked_add(1).expect("callers ask has_room first");
        // Only at its first place is a chunk still missing.
        let (chunk, within) = locate(place);
        if within == 0 {
            self.chunks.push(Vec::with_capacity(chunk_size(chunk)));
        }
        self.chunks.last_mut().expect("there is a chunk by now").push(value);
        place
    }

    /// The entry at this place, if there is one.
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, within) = locate(place);
        self.chunks.get(chunk)?.get(within)
    }

    /// The entry at a place that [`Arena::push`] gave out.
    pub(super) fn at(&self, place: u32) -> &T {
        self.get(place).expect("a place that was given out stays")
    }

    /// The entry at a place that [`Arena::push`] gave out, to change.
    pub(super) fn at_mut(&mut self, place: u32) -> &mut T {
        let (chunk, within) = locate(place);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(within))
            .expect("a place that was given out stays")
    }

    /// All entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

/// The chunk of a place of an [`Arena`], and the place within it.
fn locate(place: u32) -> (usize, usize) {
    let moved = u64::from(place).saturating_add(FIRST_CHUNK);
    let top = moved.ilog2();
    let within = usize::try_from(moved ^ 1_u64.rotate_left(top));
    (size(top.saturating_sub(FIRST_CHUNK_LOG)), within.expect("what is in memory is addressable"))
}

/// How many entries fit into this chunk of an [`Arena`].
fn chunk_size(chunk: usize) -> usize {
    usize::try_from(FIRST_CHUNK)
        .ok()
        .zip(u32::try_from(chunk).ok())
        .and_then(|(first, doublings)| first.checked_shl(doublings))
        .expect("there are at most 29 chunks")
}

/// Entries in a chunk of a [`Queue`]. Only a first chunk is ever copied as it grows, and it is
/// small.
const CHUNK: NonZeroU32 = NonZeroU32::MIN.saturating_add((1 << 12) - 1);

/// A queue that grows at the back and shrinks at the front, chunk by chunk. An entry keeps its
/// place, which counts from the first that was ever pushed.
#[derive(Clone, Debug)]
pub(super) struct Queue<T> {
    chunks: VecDeque<Vec<T>>,
    /// The place of the first entry of the first chunk: a multiple of [`CHUNK`].
    base: u64,
    /// The place of the oldest entry that is still in the queue.
    front: u64,
    /// The place that the next entry gets.
    back: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), base: 0, front: 0, back: 0 }
    }
}

impl<T: Copy> Queue<T> {
    /// The place of the oldest entry, or of the next one where the queue is empty.
    pub(super) fn front(&self) -> u64 {
        self.front
    }

    /// The place that the next entry gets.
    pub(super) fn back(&self) -> u64 {
        self.back
    }

    /// Adds an entry at the back and tells its place.
    pub(super) fn push(&mut self, value: T) -> u64 {
        let place = self.back;
        self.back = place.checked_add(1).expect("2⁶⁴ entries are never pushed");
        if let Some(chunk) = push_to(self.chunks.back_mut(), value) {
            self.chunks.push_back(chunk);
        }
        place
    }

    /// The entry at this place.
    pub(super) fn at(&self, place: u64) -> T {
        let (chunk, within) = self.locate(place);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within))
            .copied()
            .expect("a place that was given out stays until it is dropped")
    }

    /// The entry at this place, to change.
    pub(super) fn at_mut(&mut self, place: u64) -> &mut T {
        let (chunk, within) = self.locate(place);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(within))
            .expect("a place that was given out stays until it is dropped")
    }

    /// Drops the oldest entries, up to but without this place.
    pub(super) fn drop_until(&mut self, place: u64) {
        self.front = place.min(self.back);
        let chunk = u64::from(CHUNK.get());
        while self.front.saturating_sub(self.base) >= chunk && self.chunks.len() > 1 {
            self.chunks.pop_front();
            self.base = self.base.saturating_add(chunk);
        }
    }

    fn locate(&self, place: u64) -> (usize, usize) {
        let offset = place.checked_sub(self.base).expect("dropped entries are not asked for");
        let chunk = NonZeroU64::from(CHUNK);
        let to_size = |n| usize::try_from(n).expect("what is in memory is addressable");
        (to_size(offset / chunk), to_size(offset % chunk))
    }
}

impl Queue<u8> {
    /// Adds bytes at the back, side by side in one chunk, and tells the place of the first. There
    /// are fewer of them than a chunk has entries.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        if let Some(chunk) = self.chunks.back_mut()
            && size(CHUNK.get()).saturating_sub(chunk.len()) < bytes.len()
        {
            chunk.resize(size(CHUNK.get()), 0);
            self.back = self.back.next_multiple_of(u64::from(CHUNK.get()));
            self.chunks.push_back(Vec::with_capacity(size(CHUNK.get())));
        } else if self.chunks.is_empty() {
            self.chunks.push_back(Vec::new());
        }
        let place = self.back;
        self.chunks.back_mut().expect("there is a chunk by now").extend_from_slice(bytes);
        let len = u64::try_from(bytes.len()).expect("lengths fit 64 bits");
        self.back = place.checked_add(len).expect("2⁶⁴ bytes are never pushed");
        place
    }

    /// The bytes from this place to the end of its chunk.
    pub(super) fn bytes_from(&self, place: u64) -> &[u8] {
        let (chunk, within) = self.locate(place);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within..))
            .expect("a place that was given out stays until it is dropped")
    }
}

/// Adds to the last chunk. Where that is full, or there is none, the value stands in a new one,
/// which is given back.
fn push_to<T>(last: Option<&mut Vec<T>>, value: T) -> Option<Vec<T>> {
    match last {
        Some(chunk) if chunk.len() < size(CHUNK.get()) => {
            chunk.push(value);
            None
        }
        Some(_) => {
            let mut chunk = Vec::with_capacity(size(CHUNK.get()));
            chunk.push(value);
            Some(chunk)
        }
        // The first chunk grows as a Vec does: a small world stays small.
        None => Some(vec![value]),
    }
}

/// A `u32` as a size: no platform that this builds for has a smaller `usize`.
pub(super) fn size(n: u32) -> usize {
    usize::try_from(n).expect("usize holds 32 bits")
}
