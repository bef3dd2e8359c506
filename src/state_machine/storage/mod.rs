//! Containers with a bounded worst case: none of them copies itself to grow, so no single command
//! is slow because of growth. They know nothing of orders and stock.
//!
//! | module | content |
//! |---|---|
//! | `arena` | a list that only grows |
//! | `queue` | a list that grows at the back and shrinks at the front |
//! | `bitset` | a set of places that finds its first member without a scan |
//! | `table` | a hash table of fixed size, and an ordered map for later entries |
//! | `hash` | hash functions, and which bucket a hash belongs to |
//! | `sizes` | the sizes of all containers |

mod arena;
mod bitset;
mod hash;
mod queue;
mod sizes;
mod table;

pub(super) use arena::Arena;
pub(super) use bitset::BitSet;
pub(super) use hash::{Buckets, little_endian, scramble};
pub(super) use queue::{ByteQueue, Queue};
pub use sizes::{Shipped, Sizes, Tiny};
pub(super) use table::{Slot, Table};

/// A `u32` as a size. No platform that LOMS builds for has a smaller `usize`.
pub(super) fn size(n: u32) -> usize {
    usize::try_from(n).expect("usize has at least 32 bits")
}

/// For the tests of the containers.
#[cfg(test)]
pub(super) mod testing {
    /// Calls a generic test with the shipped sizes and with tiny ones.
    macro_rules! with_all_sizes {
        ($test:ident) => {
            $test::<crate::state_machine::storage::Shipped>();
            $test::<crate::state_machine::storage::Tiny>();
        };
    }
    pub(in crate::state_machine) use with_all_sizes;

    /// A fixed sequence of pseudo-random numbers: the linear congruential generator of Knuth's MMIX,
    /// of which the upper half is used.
    #[derive(Debug)]
    pub(in crate::state_machine) struct Random(pub(in crate::state_machine) u64);

    impl Random {
        /// The next number below this bound.
        pub(in crate::state_machine) fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 32) % bound
        }
    }
}
