//! Chance from a seed: SplitMix64, which costs a call next to nothing. The same seed and stream
//! are the same draws for ever.

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// Streams of one seed have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(scramble(scramble(seed) ^ stream))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// Evenly from 0 to `count` − 1. `count` is above 0.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        let drawn = (u128::from(self.next()) * u128::from(count)) >> 64;
        u32::try_from(drawn).expect("less than the count")
    }

    /// A place in a list that is not empty.
    pub(crate) fn place<T>(&mut self, list: &[T]) -> usize {
        let length = u32::try_from(list.len()).expect("no list here has 2³² entries");
        usize::try_from(self.below(length)).expect("a place in a list")
    }
}

fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
