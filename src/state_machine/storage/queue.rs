//! Queues that grow at the back and shrink at the front: [`Queue`] of entries, [`ByteQueue`] of
//! byte strings.

use std::collections::VecDeque;

use super::size;

/// Entries in a chunk. Only the first chunk of a queue is ever copied as it grows, and it is small.
const CHUNK: u64 = 1 << 12;

/// A queue that grows and shrinks chunk by chunk. An entry keeps its place, which counts from the
/// first entry that was ever pushed.
#[derive(Clone, Debug)]
pub(in super::super) struct Queue<T> {
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
    /// The place of the oldest entry, or of the next one if the queue is empty.
    pub(in super::super) fn front(&self) -> u64 {
        self.front
    }

    /// The place that the next entry gets.
    pub(in super::super) fn back(&self) -> u64 {
        self.back
    }

    /// How many entries there are.
    pub(in super::super) fn len(&self) -> u64 {
        self.back.checked_sub(self.front).expect("the front never passes the back")
    }

    /// Adds an entry at the back and returns its place.
    pub(in super::super) fn push(&mut self, value: T) -> u64 {
        let place = self.back;
        self.back = place.checked_add(1).expect("2⁶⁴ entries are never pushed");
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < chunk_len() => chunk.push(value),
            Some(_) => {
                let mut chunk = Vec::with_capacity(chunk_len());
                chunk.push(value);
                self.chunks.push_back(chunk);
            }
            // The first chunk grows like a Vec, so that a state with few keys stays small.
            None => self.chunks.push_back(vec![value]),
        }
        place
    }

    /// The entry at this place.
    pub(in super::super) fn at(&self, place: u64) -> T {
        let (chunk, within) = self.locate(place);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within))
            .copied()
            .expect("a place stays valid until it is dropped")
    }

    /// The entry at this place, to change.
    pub(in super::super) fn at_mut(&mut self, place: u64) -> &mut T {
        let (chunk, within) = self.locate(place);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(within))
            .expect("a place stays valid until it is dropped")
    }

    /// Drops the entries before this place.
    pub(in super::super) fn drop_until(&mut self, place: u64) {
        self.front = place.min(self.back);
        while self.chunks.len() > 1 && self.front / CHUNK > self.base / CHUNK {
            self.chunks.pop_front();
            self.base = self.base.checked_add(CHUNK).expect("the base is below the front");
        }
    }

    fn locate(&self, place: u64) -> (usize, usize) {
        let offset = place.checked_sub(self.base).expect("dropped entries are not read");
        let to_size = |n| usize::try_from(n).expect("what is in memory is addressable");
        (to_size(offset / CHUNK), to_size(offset % CHUNK))
    }
}

/// A queue of byte strings. Each string is contiguous in memory.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct ByteQueue(Queue<u8>);

impl ByteQueue {
    /// Adds a string at the back and returns its place. It has fewer bytes than a chunk.
    pub(in super::super) fn push(&mut self, bytes: &[u8]) -> u64 {
        let queue = &mut self.0;
        if let Some(chunk) = queue.chunks.back_mut()
            && chunk_len().checked_sub(chunk.len()).is_none_or(|room| room < bytes.len())
        {
            chunk.resize(chunk_len(), 0);
            queue.back = queue.back.next_multiple_of(CHUNK);
            queue.chunks.push_back(Vec::with_capacity(chunk_len()));
        } else if queue.chunks.is_empty() {
            queue.chunks.push_back(Vec::new());
        }
        let place = queue.back;
        queue.chunks.back_mut().expect("there is a chunk by now").extend_from_slice(bytes);
        let len = u64::try_from(bytes.len()).expect("lengths fit 64 bits");
        queue.back = place.checked_add(len).expect("2⁶⁴ bytes are never pushed");
        place
    }

    /// The bytes from this place to the end of its chunk.
    pub(in super::super) fn bytes_from(&self, place: u64) -> &[u8] {
        let (chunk, within) = self.0.locate(place);
        self.0
            .chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within..))
            .expect("a place stays valid until it is dropped")
    }

    /// Drops the strings before this place.
    pub(in super::super) fn drop_until(&mut self, place: u64) {
        self.0.drop_until(place);
    }
}

fn chunk_len() -> usize {
    size(u32::try_from(CHUNK).expect("a small constant"))
}
