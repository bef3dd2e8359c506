//! A fingerprint of the whole state, the same on every build and machine: it is made of the
//! values alone, in a fixed order, never of addresses, layout or spare room.

use std::fmt;

/// 128 bits that stand for a whole state. Equal states have equal digests; that different states
/// have different ones is as good as certain, but for somebody who sets out to make them equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(u64, u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

/// Takes words in and gives a [`Digest`] out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digester {
    left: u64,
    right: u64,
}

impl Digester {
    pub(super) fn new() -> Self {
        // The fractions of the square roots of 2 and 3: nothing up the sleeve.
        Self { left: 0x6a09_e667_f3bc_c908, right: 0xbb67_ae85_84ca_a73b }
    }

    pub(super) fn word(&mut self, word: u64) {
        self.left = scramble(self.left ^ word);
        self.right = scramble(self.right.rotate_left(23) ^ word ^ self.left);
    }

    /// A list says its length first, so that no two lists of lists look alike.
    pub(super) fn length(&mut self, length: usize) {
        self.word(u64::try_from(length).expect("lengths fit 64 bits"));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        for chunk in bytes.chunks(8) {
            self.word(little_endian(chunk));
        }
    }

    pub(super) fn finish(self) -> Digest {
        Digest(scramble(self.left), scramble(self.right ^ self.left))
    }
}

/// Up to eight bytes as one word.
pub(super) fn little_endian(chunk: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(chunk) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit
/// of the output.
pub(super) const fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
