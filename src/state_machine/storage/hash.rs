//! Hash functions, and linear hashing (Litwin 1980): which bucket a hash belongs to while a table
//! grows one bucket at a time.

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit affects every output
/// bit.
pub(in super::super) const fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Up to eight bytes as one word.
pub(in super::super) fn little_endian(chunk: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(chunk) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// The number of buckets of a table that grows by linear hashing.
///
/// Bucket `n` is made by dividing the bucket whose number is `n` without its highest bit. Hashes
/// select a bucket by their low bits, so that only the entries of the divided bucket move.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Buckets {
    count: u32,
    /// All ones, as many as the highest bucket number has bits.
    mask: u32,
}

impl Buckets {
    /// How many buckets there are.
    pub(in super::super) fn count(self) -> u32 {
        self.count
    }

    /// The bucket that this hash belongs to; `None` while there are no buckets.
    #[inline(always)]
    pub(in super::super) fn of(self, hash: u32) -> Option<u32> {
        let bucket = hash & self.mask;
        if bucket < self.count {
            return Some(bucket);
        }
        // That bucket has not been made yet: its entries are still in the one to be divided.
        if self.count == 0 { None } else { Some(bucket & (self.mask >> 1)) }
    }

    /// Adds a bucket. Returns its number, and that of the bucket to divide; `None` for the first
    /// bucket, which is empty.
    pub(in super::super) fn add(&mut self) -> (u32, Option<u32>) {
        let added = self.count;
        self.count = added.checked_add(1).expect("callers add fewer than 2³² buckets");
        let Some(top) = added.checked_ilog2() else {
            return (added, None);
        };
        self.mask |= added;
        (added, Some(added & !1_u32.rotate_left(top)))
    }
}
