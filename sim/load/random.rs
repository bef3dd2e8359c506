//! SplitMix64, a fast random number generator. The same seed and stream give the same numbers.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// Streams of the same seed are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix_bits(mix_bits(seed) ^ stream))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix_bits(self.0)
    }

    /// A number from 0 to `count` − 1, uniformly distributed. `count` must be above 0.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        let number = (u128::from(self.next()) * u128::from(count)) >> 64;
        u32::try_from(number).expect("less than the count")
    }

    /// A random index of a list that is not empty.
    pub(crate) fn index<T>(&mut self, list: &[T]) -> usize {
        let length = u32::try_from(list.len()).expect("lists have fewer than 2³² entries");
        usize::try_from(self.below(length)).expect("an index fits in usize")
    }
}

fn mix_bits(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
