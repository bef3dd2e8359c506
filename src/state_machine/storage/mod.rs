//! Containers with a bounded worst case: none of them copies itself to grow, so no single command
//! is slow because of growth. They know nothing of orders and stock.
//!
//! | module | content |
//! |---|---|
//! | `arena` | a list that only grows |
//! | `pages` | a list that grows at the back, and frees the pages that are no longer used |
//! | `queue` | a list that grows at the back and shrinks at the front |
//! | `bitset` | a set of places that finds its first member without a scan |
//! | `table` | a hash table of fixed size, and an ordered map for later entries |
//! | `hash` | hash functions, and which bucket a hash belongs to |
//! | `sizes` | the sizes of all containers |

mod arena;
mod bitset;
mod hash;
mod pages;
mod queue;
mod sizes;
mod table;
#[cfg(test)]
pub(super) mod testing;

pub(super) use arena::Arena;
pub(super) use bitset::BitSet;
pub(super) use hash::{Buckets, little_endian, scramble};
pub(super) use pages::Pages;
pub(super) use queue::{ByteQueue, Queue};
pub use sizes::{Shipped, Sizes, Tiny};
pub(super) use table::{Slot, Table};

/// A `u32` as a size. No platform that LOMS builds for has a smaller `usize`.
pub(super) fn size(n: u32) -> usize {
    usize::try_from(n).expect("usize has at least 32 bits")
}
