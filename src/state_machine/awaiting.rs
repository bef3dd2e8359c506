//! Which orders await payment, and which of them is the oldest.

use super::arena::size;

/// Words in a chunk: 4 KiB, for 32,768 orders.
const WORDS: u32 = 512;

/// Orders in a chunk.
const ORDERS: u32 = WORDS.saturating_mul(u64::BITS);

/// A bit an order, and the first that is set.
#[derive(Clone, Debug, Default)]
pub(super) struct AwaitingSet {
    chunks: Vec<Box<Chunk>>,
    /// Moves forward only, so that all searches together pass over each order once.
    first: Option<u32>,
}

type Chunk = [u64; 512];

impl AwaitingSet {
    /// Adds an order, which is newer than all that were ever added.
    pub(super) fn insert(&mut self, order: u32) {
        while self.chunks.len() <= size(order / ORDERS) {
            self.chunks.push(Box::new([0; 512]));
        }
        *self.word_mut(order) |= bit(order);
        if self.first.is_none() {
            self.first = Some(order);
        }
    }

    /// Takes out an order that is in the set.
    pub(super) fn remove(&mut self, order: u32) {
        let word = self.word_mut(order);
        *word &= !bit(order);
        if self.first == Some(order) {
            self.first = self.next(order);
        }
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<u32> {
        self.first
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.first, |order| self.next(order.checked_add(1)?))
    }

    /// The first order of the set at or after this place.
    fn next(&self, from: u32) -> Option<u32> {
        let (chunk, word) = locate(from);
        let bits = self.chunks.get(chunk)?[word] & !bit(from).saturating_sub(1);
        if bits != 0 {
            return Some((from & !(u64::BITS - 1)) | bits.trailing_zeros());
        }
        self.next_word(from)
    }

    /// The first order of the set in a later word than this order's.
    fn next_word(&self, order: u32) -> Option<u32> {
        let mut word = (order / u64::BITS).saturating_add(1);
        loop {
            let chunk = self.chunks.get(size(word / WORDS))?;
            let rest = chunk.get(size(word % WORDS)..)?;
            if let Some((bits, number)) = rest.iter().zip(word..).find(|(bits, _)| **bits != 0) {
                return Some(number.saturating_mul(u64::BITS) | bits.trailing_zeros());
            }
            word = (word / WORDS).saturating_add(1).saturating_mul(WORDS);
        }
    }

    fn word_mut(&mut self, order: u32) -> &mut u64 {
        let (chunk, word) = locate(order);
        &mut self.chunks.get_mut(chunk).expect("an order that was added has its chunk")[word]
    }
}

/// The chunk of an order's bit, and the word within it.
fn locate(order: u32) -> (usize, usize) {
    (size(order / ORDERS), size(order / u64::BITS % WORDS))
}

fn bit(order: u32) -> u64 {
    1_u64.rotate_left(order % u64::BITS)
}
