//! The idempotency keys that are still remembered: which order each of them made.
//!
//! A queue of keys by age, with a hash index that grows one bucket at a time (linear hashing,
//! Litwin 1980), so that no create pays for the growth of a table. A key is out of date by its
//! order's age, whether or not it has been dropped yet; keys that are out of date are dropped
//! little by little.

use super::arena::{Arena, Queue};
use super::command::IdempotencyKey;
use super::digest::{little_endian, scramble};
use super::ids::{Span, Timestamp, UserId};

/// How many keys that are out of date one command drops: more than it can add.
const DROPS: u32 = 2;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the key's bytes stand, after a byte that tells how many they are.
    bytes: u64,
    /// When its order was placed; here too, since a record that old is far from any cache.
    created: Timestamp,
    order: u32,
    hash: u32,
}

/// Leads to an entry, and tells its hash so that it need not be fetched to be passed over.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    hash: u32,
    /// The place of the entry plus one; 0 for none. There are fewer entries than orders ever
    /// stored, so 32 bits do.
    next: u32,
}

/// A user's key as the index knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u32);

/// All keys, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    secret: u64,
    window: Span,
    /// When the oldest key is out of date; `None` for never, and where there is no key.
    oldest_end: Option<Timestamp>,
    entries: Queue<Entry>,
    /// For each entry what comes after it in its bucket's chain: apart, and so small that chains
    /// are walked and divided without fetching an entry.
    links: Queue<Link>,
    bytes: Queue<u8>,
    buckets: Arena<Link>,
}

impl Keys {
    /// None yet. Each will be out of date a `window` after its order was placed; the `secret`
    /// spreads them over the index.
    pub(super) fn new(window: Span, secret: u64) -> Self {
        Self { secret, window, ..Self::default() }
    }

    /// The newest order that this key made and that `matches`; the caller looks at user and age.
    pub(super) fn find(
        &self,
        KeyHash(hash): KeyHash,
        key: &IdempotencyKey,
        matches: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mut link = *self.buckets.get(self.bucket_of(hash)?)?;
        while let Some(place) = self.follow(link) {
            if link.hash == hash {
                let entry = self.entries.at(place);
                if self.bytes_of(&entry) == key.as_bytes() && matches(entry.order) {
                    return Some(entry.order);
                }
            }
            link = self.links.at(place);
        }
        None
    }

    /// When the oldest key is out of date; `None` for never, and where there is no key.
    pub(super) fn oldest_end(&self) -> Option<Timestamp> {
        self.oldest_end
    }

    /// Remembers that this key made this order now, after the orders of all other keys.
    pub(super) fn insert(
        &mut self,
        KeyHash(hash): KeyHash,
        key: &IdempotencyKey,
        order: u32,
        now: Timestamp,
    ) {
        if self.len() == 0 {
            self.oldest_end = now.checked_add(self.window);
        }
        let mut bytes = [0; 1 + IdempotencyKey::MAX_BYTES];
        let (key, (len, rest)) = (key.as_bytes(), bytes.split_first_mut().expect("65 bytes"));
        *len = u8::try_from(key.len()).expect("a key has at most 64 bytes");
        let (told, _) = rest.split_at_mut(key.len());
        told.copy_from_slice(key);
        let (bytes, _) = bytes.split_at(key.len().saturating_add(1));
        let bytes = self.bytes.push_bytes(bytes);
        // As many buckets as keys, so that a chain has one link on average.
        if u64::from(self.buckets.len()) <= self.len() {
            self.split();
        }
        let bucket = self.bucket_of(hash).expect("there is a bucket by now");
        let head = self.buckets.at_mut(bucket);
        let place = self.entries.push(Entry { bytes, created: now, order, hash });
        self.links.push(*head);
        let next = u32::try_from(place).ok().and_then(|place| place.checked_add(1));
        let next = next.expect("there are fewer keys than orders, and fewer than 2³² of those");
        *head = Link { hash, next };
    }

    /// Drops some of the oldest keys, if they are out of date by now.
    #[inline(never)]
    pub(super) fn drop_some(&mut self, now: Timestamp) {
        for _ in 0..DROPS {
            if self.oldest_end.is_none_or(|end| end > now) {
                return;
            }
            let place = self.entries.front();
            self.bytes.drop_until(self.entries.at(place).bytes);
            self.entries.drop_until(place.saturating_add(1));
            self.links.drop_until(place.saturating_add(1));
            self.oldest_end = match self.len() {
                0 => None,
                // A moment past the end of time is none.
                _ => self.entries.at(self.entries.front()).created.checked_add(self.window),
            };
        }
    }

    /// The keys, oldest first, with the orders that they made.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (self.entries.front()..self.entries.back()).map(|place| {
            let entry = self.entries.at(place);
            (entry.order, self.bytes_of(&entry))
        })
    }

    /// How many keys the index leads to; all of them, if it is sound.
    pub(super) fn indexed(&self) -> u64 {
        let mut count: u64 = 0;
        for (bucket, &head) in (0..).zip(self.buckets.iter()) {
            let mut link = head;
            while let Some(place) = self.follow(link) {
                let entry = self.entries.at(place);
                if self.bucket_of(link.hash) == Some(bucket) && link.hash == entry.hash {
                    count = count.saturating_add(1);
                }
                link = self.links.at(place);
            }
        }
        count
    }

    /// How many keys there are, those that are out of date but not yet dropped among them.
    pub(super) fn len(&self) -> u64 {
        self.entries.back().saturating_sub(self.entries.front())
    }

    /// The place of the entry that a link leads to; `None` at the end of the chain. That is also
    /// where the entry has been dropped: chains go from new to old, so that nothing behind it is
    /// left. Dropping the oldest key needs no look at its chain for that.
    fn follow(&self, link: Link) -> Option<u64> {
        link.next.checked_sub(1).map(u64::from).filter(|place| *place >= self.entries.front())
    }

    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        let stored = self.bytes.bytes_from(entry.bytes).split_first();
        let (len, rest) = stored.expect("a key's length stands before it");
        rest.split_at(usize::from(*len)).0
    }

    pub(super) fn hash(&self, user: UserId, key: &IdempotencyKey) -> KeyHash {
        let mut hash = scramble(self.secret ^ user.get().cast_unsigned());
        for chunk in key.as_bytes().chunks(8) {
            hash = scramble(hash.wrapping_add(self.secret) ^ little_endian(chunk));
        }
        KeyHash(u32::try_from(hash >> 32).expect("32 bits are left"))
    }

    /// The bucket of this hash; `None` while there is no bucket at all.
    fn bucket_of(&self, hash: u32) -> Option<u32> {
        let last = self.buckets.len().checked_sub(1)?;
        // As many low bits as the last bucket's number has; and one fewer for a bucket that is
        // still to come.
        let mask = u32::MAX.checked_shr(last.leading_zeros()).unwrap_or(0);
        let bucket = hash & mask;
        Some(if bucket > last { bucket & (mask >> 1) } else { bucket })
    }

    /// Adds a bucket, and moves into it what belongs there from the bucket that it divides.
    fn split(&mut self) {
        let added = self.buckets.push(Link::default());
        let Some(top) = added.checked_ilog2() else {
            return;
        };
        let divided = added & !1_u32.rotate_left(top);
        let mut link = *self.buckets.at(divided);
        *self.buckets.at_mut(divided) = Link::default();
        // Each bucket keeps its order, newest first: entries are put behind the last of theirs.
        let (mut stay, mut go) = (None, None);
        while let Some(place) = self.follow(link) {
            let (bucket, last) = if self.bucket_of(link.hash) == Some(added) {
                (added, &mut go)
            } else {
                (divided, &mut stay)
            };
            match last.replace(place) {
                None => *self.buckets.at_mut(bucket) = link,
                Some(last) => *self.links.at_mut(last) = link,
            }
            link = self.links.at(place);
            *self.links.at_mut(place) = Link::default();
        }
    }
}
