//! Queues that grow at the back and shrink at the front: [`Queue`] of entries, [`ByteQueue`] of
//! byte strings.

use std::collections::VecDeque;
use std::marker::PhantomData;

use super::{Sizes, size};

/// A queue that grows and shrinks chunk by chunk. An entry keeps its place, which counts from the
/// first entry that was ever pushed.
///
/// Only the first chunk of a queue is ever copied as it grows, and it is small.
#[derive(Clone, Debug)]
pub(in super::super) struct Queue<T, S: Sizes> {
    chunks: VecDeque<Vec<T>>,
    /// The place of the first entry of the first chunk: a multiple of the length of a chunk.
    base: u64,
    /// The place of the oldest entry that is still in the queue.
    front: u64,
    /// The place that the next entry gets.
    back: u64,
    sizes: PhantomData<S>,
}

impl<T, S: Sizes> Default for Queue<T, S> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), base: 0, front: 0, back: 0, sizes: PhantomData }
    }
}

impl<T: Copy, S: Sizes> Queue<T, S> {
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
        S::visit();
        let place = self.back;
        self.back = place.checked_add(1).expect("2⁶⁴ entries are never pushed");
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < size(S::QUEUE_CHUNK) => chunk.push(value),
            Some(_) => {
                let mut chunk = Vec::with_capacity(size(S::QUEUE_CHUNK));
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
        S::visit();
        let (chunk, within) = locate(place, self.base, S::QUEUE_CHUNK);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within))
            .copied()
            .expect("a place stays valid until it is dropped")
    }

    /// The entry at this place, to change.
    pub(in super::super) fn at_mut(&mut self, place: u64) -> &mut T {
        S::visit();
        let (chunk, within) = locate(place, self.base, S::QUEUE_CHUNK);
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(within))
            .expect("a place stays valid until it is dropped")
    }

    /// Drops the entries before this place.
    pub(in super::super) fn drop_until(&mut self, place: u64) {
        self.front = place.min(self.back);
        self.base = drop_chunks(&mut self.chunks, self.base, self.front, S::QUEUE_CHUNK);
    }
}

/// A queue of byte strings. Each string is contiguous in memory, so the end of a chunk can stay
/// unused.
#[derive(Clone, Debug)]
pub(in super::super) struct ByteQueue<S: Sizes> {
    chunks: VecDeque<Vec<u8>>,
    /// The place of the first byte of the first chunk: a multiple of the length of a chunk.
    base: u64,
    sizes: PhantomData<S>,
}

impl<S: Sizes> Default for ByteQueue<S> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), base: 0, sizes: PhantomData }
    }
}

impl<S: Sizes> ByteQueue<S> {
    /// Adds a byte and the bytes after it at the back, as one string, and returns its place. It has
    /// at most as many bytes as a chunk.
    pub(in super::super) fn push(&mut self, first: u8, rest: &[u8]) -> u64 {
        S::visit();
        let fits = |chunk: &Vec<u8>| {
            let len = chunk.len().checked_add(1).and_then(|len| len.checked_add(rest.len()));
            len.is_some_and(|len| len <= size(S::BYTES_CHUNK))
        };
        match self.chunks.back() {
            Some(chunk) if fits(chunk) => {}
            Some(_) => self.chunks.push_back(Vec::with_capacity(size(S::BYTES_CHUNK))),
            // The first chunk grows like a Vec, so that a state with few keys stays small.
            None => self.chunks.push_back(Vec::new()),
        }
        let chunks_before = self.chunks.len().checked_sub(1).expect("there is a chunk by now");
        let chunk = self.chunks.back_mut().expect("there is a chunk by now");
        let start = [chunks_before, chunk.len()].map(|n| u64::try_from(n).expect("fits 64 bits"));
        chunk.push(first);
        chunk.extend_from_slice(rest);
        let [chunks_before, within] = start;
        let place = chunks_before.checked_mul(u64::from(S::BYTES_CHUNK));
        let place = place.and_then(|place| place.checked_add(self.base)?.checked_add(within));
        place.expect("2⁶⁴ bytes are never pushed")
    }

    /// The bytes from this place to the end of its chunk.
    pub(in super::super) fn bytes_from(&self, place: u64) -> &[u8] {
        S::visit();
        let (chunk, within) = locate(place, self.base, S::BYTES_CHUNK);
        self.chunks
            .get(chunk)
            .and_then(|chunk| chunk.get(within..))
            .expect("a place stays valid until it is dropped")
    }

    /// Drops the strings before this place.
    pub(in super::super) fn drop_until(&mut self, place: u64) {
        self.base = drop_chunks(&mut self.chunks, self.base, place, S::BYTES_CHUNK);
    }
}

/// The chunk of a place, and the place within it.
#[inline(always)]
fn locate(place: u64, base: u64, chunk_len: u32) -> (usize, usize) {
    let offset = place.checked_sub(base).expect("dropped entries are not read");
    let to_size = |n| usize::try_from(n).expect("what is in memory is addressable");
    let chunk = offset.checked_div(u64::from(chunk_len)).expect("a chunk has entries");
    let within = offset.checked_rem(u64::from(chunk_len)).expect("a chunk has entries");
    (to_size(chunk), to_size(within))
}

/// Drops the chunks that end before this place, except the last one. Returns the new base.
fn drop_chunks<T>(chunks: &mut VecDeque<Vec<T>>, base: u64, place: u64, chunk_len: u32) -> u64 {
    let mut base = base;
    let len = u64::from(chunk_len);
    // The base is a multiple of the length of a chunk.
    while chunks.len() > 1 && place.checked_sub(base).is_some_and(|ahead| ahead >= len) {
        chunks.pop_front();
        base = base.checked_add(len).expect("the base is below the front");
    }
    base
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::super::{Shipped, Tiny};
    use super::*;

    /// A random program of pushes, changes and drops, against a `VecDeque`.
    #[test]
    fn a_queue_behaves_as_a_vec_deque() {
        fn check<S: Sizes>() {
            let (mut queue, mut expected) = (Queue::<u64, S>::default(), VecDeque::new());
            let (mut random, mut front) = (Random::new(1), 0_u64);
            for turn in 0..40_000_u64 {
                // It grows to thousands of entries, and becomes empty several times.
                let drops = if turn % 16_000 < 12_000 { 1 } else { 4 };
                if random.below(4) < drops {
                    let until = front + random.below(4).min(queue.len());
                    queue.drop_until(until);
                    expected.drain(..usize::try_from(until - front).unwrap());
                    front = until;
                } else {
                    assert_eq!(queue.push(turn), front + expected.len() as u64);
                    expected.push_back(turn);
                }
                assert_eq!((queue.front(), queue.len()), (front, expected.len() as u64));
                assert_eq!(queue.back(), queue.front() + queue.len());
                if let Some(last) = expected.len().checked_sub(1) {
                    let within = random.below(expected.len() as u64);
                    let index = usize::try_from(within).unwrap();
                    *queue.at_mut(front + within) += 1;
                    expected[index] += 1;
                    assert_eq!(queue.at(front + within), expected[index]);
                    assert_eq!(queue.at(front), expected[0]);
                    assert_eq!(queue.at(front + last as u64), expected[last]);
                }
            }
        }
        check::<Shipped>();
        check::<Tiny>();
    }

    /// Dropped chunks are freed: the memory of a queue follows its length.
    #[test]
    fn a_queue_frees_dropped_chunks() {
        fn check<S: Sizes>() {
            let (mut queue, mut bytes) = (Queue::<u64, S>::default(), ByteQueue::<S>::default());
            for turn in 0..20_000 {
                let (entry, string) = (queue.push(turn), bytes.push(b'a', b" key of twenty bytes"));
                queue.drop_until(entry);
                bytes.drop_until(string);
                assert!(queue.chunks.len() <= 2 && bytes.chunks.len() <= 2);
            }
        }
        check::<Shipped>();
        check::<Tiny>();
    }

    /// Strings of every length that a key can have, with its length byte, come back unchanged.
    #[test]
    fn a_byte_queue_returns_what_was_pushed() {
        fn check<S: Sizes>() {
            let (mut queue, mut expected) = (ByteQueue::<S>::default(), VecDeque::new());
            let mut random = Random::new(2);
            for turn in 0..20_000_u64 {
                let byte = u8::try_from(turn % 251).unwrap();
                let string = vec![byte; usize::try_from(1 + random.below(256)).unwrap()];
                expected.push_back((queue.push(byte, &string[1..]), string));
                if random.below(3) > 0 && turn > 6_000 {
                    expected.pop_front();
                    if let Some((place, _)) = expected.front() {
                        queue.drop_until(*place);
                    }
                }
                let ends = [expected.front(), expected.back(), expected.get(expected.len() / 2)];
                for (place, string) in ends.into_iter().flatten() {
                    assert!(queue.bytes_from(*place).starts_with(string), "{place}");
                }
            }
        }
        check::<Shipped>();
        check::<Tiny>();
    }
}
