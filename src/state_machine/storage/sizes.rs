//! [`Sizes`]: the sizes of all containers of a state, in one place.

use std::fmt;

/// The sizes of the containers of a state. They affect speed and memory, never an answer: the same
/// entries give the same answers and digests with any sizes.
pub trait Sizes: Clone + Copy + Default + fmt::Debug + Send + Sync + 'static {
    /// Entries in the first chunk of an arena, as a power of two. Small, because most states in
    /// tests are small.
    const FIRST_CHUNK_LOG: u32;
    /// Entries in a page of a list that frees its memory, as a power of two. A page is freed when
    /// the last of its entries is released, so an entry that stays can hold the memory of a page.
    const PAGE_LOG: u32;
    /// Entries in a chunk of a queue.
    const QUEUE_CHUNK: u32;
    /// Bytes in a chunk of a queue of byte strings: at least 256, a key of 255 bytes and its
    /// length.
    const BYTES_CHUNK: u32;
    /// Places that a word of a bit set holds, as a power of two: 1 to 6.
    const WORD_LOG: u32;
    /// How many SKUs the hash table has room for, at most. Further ones are in an ordered map.
    const TABLE_ENTRIES: usize;
    /// Bits of the hash of an idempotency key: 1 to 32.
    const KEY_HASH_BITS: u32;

    /// Called for each entry that a container reads, writes or skips. Tests count these calls to
    /// bound the cost of a command.
    #[inline(always)]
    fn visit() {}
}

/// The sizes of the product.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shipped;

impl Sizes for Shipped {
    const FIRST_CHUNK_LOG: u32 = 4;
    const PAGE_LOG: u32 = 10;
    const QUEUE_CHUNK: u32 = 1 << 12;
    const BYTES_CHUNK: u32 = 1 << 12;
    const WORD_LOG: u32 = 6;
    const TABLE_ENTRIES: usize = usize::MAX;
    const KEY_HASH_BITS: u32 = 32;
}

/// The smallest sizes. With them, small programs cross the boundaries that the product crosses only
/// after thousands of orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tiny;

impl Sizes for Tiny {
    const FIRST_CHUNK_LOG: u32 = 0;
    const PAGE_LOG: u32 = 1;
    const QUEUE_CHUNK: u32 = 2;
    const BYTES_CHUNK: u32 = 260;
    const WORD_LOG: u32 = 1;
    const TABLE_ENTRIES: usize = 1;
    const KEY_HASH_BITS: u32 = 2;
}
