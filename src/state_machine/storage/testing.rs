//! Pseudo-random numbers for the property tests of the containers.

/// A fixed sequence of pseudo-random numbers: the upper halves of the linear congruential generator
/// of Knuth's MMIX.
#[derive(Debug)]
pub(in super::super) struct Random(u64);

impl Random {
    /// The sequence with this seed.
    pub(in super::super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below this bound.
    pub(in super::super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 32) % bound
    }
}
