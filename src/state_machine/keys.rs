//! The remembered idempotency keys, each with the order that it made.
//!
//! A queue of keys by age, with a hash index that grows one bucket at a time. A key is forgotten
//! when its order reaches a certain age, even if it is still in the queue. A state has two of these
//! queues, because the keys of failed orders are forgotten at another age.

use super::command::IdempotencyKey;
use super::ids::{Span, Timestamp, UserId};
use super::storage::{Arena, Buckets, ByteQueue, Queue, Sizes, little_endian, scramble};

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the key is stored: a byte with its length, then its bytes.
    bytes: u64,
    /// When its order was created. Copied here because the order's record is not in any cache.
    created: Timestamp,
    order: u32,
    hash: u32,
}

/// A link to an entry. It holds the entry's hash, so that most entries that do not match are
/// skipped without reading them.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    hash: u32,
    /// The place of the entry plus one; 0 for none. There are fewer keys than orders, so 32 bits
    /// are enough.
    next: u32,
}

/// What a key counts for in bytes, beside its own.
const ENTRY_BYTES: u64 = 48;

/// The hash of a user's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash(u32);

/// All keys, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys<S: Sizes> {
    secret: u64,
    window: Span,
    /// When the oldest key is forgotten; `None` for never, and if there are no keys.
    oldest_end: Option<Timestamp>,
    entries: Queue<Entry, S>,
    /// For each entry the link to the next entry of its bucket. Stored apart from the entries, so
    /// that a lookup follows a chain without reading entries.
    links: Queue<Link, S>,
    bytes: ByteQueue<S>,
    /// The sum of the lengths of all keys.
    key_bytes: u64,
    buckets: Buckets,
    /// The first link of each bucket.
    heads: Arena<Link, S>,
}

impl<S: Sizes> Keys<S> {
    /// An empty index. A key is forgotten a `window` after the creation of its order. The `secret`
    /// makes the index unpredictable for clients.
    pub(super) fn new(window: Span, secret: u64) -> Self {
        Self { secret, window, ..Self::default() }
    }

    /// The order that this key made, if the key is remembered now and the order `matches`: it is
    /// the user's.
    pub(super) fn find(
        &self,
        KeyHash(hash): KeyHash,
        key: &IdempotencyKey,
        now: Timestamp,
        matches: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mut link = *self.heads.at(self.buckets.of(hash)?);
        while let Some(place) = self.follow(link) {
            if link.hash == hash {
                let entry = self.entries.at(place);
                if self.is_forgotten(entry.created, now) {
                    // The entries that follow are older.
                    return None;
                }
                if self.bytes_of(&entry) == key.as_bytes() && matches(entry.order) {
                    return Some(entry.order);
                }
            }
            link = self.links.at(place);
        }
        None
    }

    /// When the oldest key is forgotten; `None` for never, and if there are no keys.
    pub(super) fn oldest_end(&self) -> Option<Timestamp> {
        self.oldest_end
    }

    /// What a key counts for, in bytes: itself and its entry, its link and its bucket.
    pub(super) fn cost(key: &IdempotencyKey) -> u64 {
        let len = u64::try_from(key.as_bytes().len()).expect("a key has at most 255 bytes");
        len.checked_add(ENTRY_BYTES).expect("a key has at most 255 bytes")
    }

    /// What all stored keys count for, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.len().checked_mul(ENTRY_BYTES);
        entries.and_then(|entries| entries.checked_add(self.key_bytes)).expect("memory is smaller")
    }

    /// Whether keys are remembered at all.
    pub(super) fn remembers(&self) -> bool {
        self.window != Span::default()
    }

    /// Stores that this key made this order at this time. The order is newer than those of all
    /// other keys. The caller has checked [`Keys::remembers`].
    pub(super) fn insert(
        &mut self,
        KeyHash(hash): KeyHash,
        key: &IdempotencyKey,
        order: u32,
        created: Timestamp,
    ) {
        if self.len() == 0 {
            self.oldest_end = created.checked_add(self.window);
        }
        let key = key.as_bytes();
        let len = u8::try_from(key.len()).expect("a key has at most 255 bytes");
        let bytes = self.bytes.push(len, key);
        self.key_bytes = self.key_bytes.checked_add(u64::from(len)).expect("memory is smaller");
        // As many buckets as keys, so that a chain has one link on average.
        if u64::from(self.buckets.count()) <= self.len() {
            self.split();
        }
        let bucket = self.buckets.of(hash).expect("there is a bucket by now");
        let head = self.heads.at_mut(bucket);
        let place = self.entries.push(Entry { bytes, created, order, hash });
        self.links.push(*head);
        let next = u32::try_from(place).ok().and_then(|place| place.checked_add(1));
        let next = next.expect("there are fewer keys than orders, and fewer than 2³² of those");
        *head = Link { hash, next };
    }

    /// Removes keys that are forgotten by now, at most this many. Returns whether it removed any.
    pub(super) fn remove_forgotten(&mut self, now: Timestamp, most: u32) -> bool {
        for removed in 0..most {
            if self.oldest_end.is_none_or(|end| end > now) {
                return removed > 0;
            }
            self.remove_oldest();
        }
        true
    }

    /// Changes the window for all keys. The caller has removed those that are forgotten by now, so
    /// that they stay forgotten.
    pub(super) fn set_window(&mut self, window: Span) {
        self.window = window;
        self.update_oldest_end();
    }

    /// Whether a key is forgotten now, if its order was created at this time.
    fn is_forgotten(&self, created: Timestamp, now: Timestamp) -> bool {
        // If the end cannot be represented, the key is never forgotten.
        created.checked_add(self.window).is_some_and(|end| end <= now)
    }

    /// Removes the oldest key. There is one.
    fn remove_oldest(&mut self) {
        let oldest = self.entries.front();
        let bytes = self.entries.at(oldest).bytes;
        let len = self.bytes.bytes_from(bytes).first().expect("a key is stored after its length");
        let left = self.key_bytes.checked_sub(u64::from(*len));
        self.key_bytes = left.expect("its length was added");
        self.bytes.drop_until(bytes);
        let next = oldest.checked_add(1).expect("places are below 2³²");
        self.entries.drop_until(next);
        self.links.drop_until(next);
        self.update_oldest_end();
    }

    fn update_oldest_end(&mut self) {
        self.oldest_end = match self.len() {
            0 => None,
            _ => self.entries.at(self.entries.front()).created.checked_add(self.window),
        };
    }

    /// The keys that are remembered now, oldest first, with the orders that they made.
    pub(super) fn remembered(&self, now: Timestamp) -> impl Iterator<Item = (u32, &[u8])> {
        let entries = (self.entries.front()..self.entries.back()).map(|at| self.entries.at(at));
        entries
            .filter(move |entry| !self.is_forgotten(entry.created, now))
            .map(|entry| (entry.order, self.bytes_of(&entry)))
    }

    /// The order that the newest key made.
    pub(super) fn newest_order(&self) -> Option<u32> {
        let newest = self.entries.back().checked_sub(1);
        newest.filter(|_| self.len() > 0).map(|place| self.entries.at(place).order)
    }

    /// How many keys can be found through the index: all of them, unless there is a bug.
    pub(super) fn indexed(&self) -> u64 {
        let mut count: u64 = 0;
        for (bucket, &head) in (0..).zip(self.heads.iter()) {
            let mut link = head;
            while let Some(place) = self.follow(link) {
                let entry = self.entries.at(place);
                if self.buckets.of(link.hash) == Some(bucket) && link.hash == entry.hash {
                    count = count.checked_add(1).expect("there are fewer than 2³² keys");
                }
                link = self.links.at(place);
            }
        }
        count
    }

    /// How many keys there are, including forgotten ones that have not been removed yet.
    pub(super) fn len(&self) -> u64 {
        self.entries.len()
    }

    /// The place of the entry of a link; `None` at the end of the chain, and if the entry was
    /// removed. Chains go from new to old, so all entries after a removed one are removed too:
    /// the removal of the oldest key does not have to change its chain.
    fn follow(&self, link: Link) -> Option<u64> {
        link.next.checked_sub(1).map(u64::from).filter(|place| *place >= self.entries.front())
    }

    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        let stored = self.bytes.bytes_from(entry.bytes).split_first();
        let (len, rest) = stored.expect("a key is stored after its length");
        rest.split_at(usize::from(*len)).0
    }

    /// The hash of a user's key.
    pub(super) fn hash(&self, user: UserId, key: &IdempotencyKey) -> KeyHash {
        let mut hash = scramble(self.secret ^ user.get().cast_unsigned());
        for chunk in key.as_bytes().chunks(8) {
            hash = scramble(hash.wrapping_add(self.secret) ^ little_endian(chunk));
        }
        let hash = hash >> const { u64::BITS - S::KEY_HASH_BITS };
        KeyHash(u32::try_from(hash).expect("at most 32 bits are left"))
    }

    /// Adds a bucket, and moves entries into it from the bucket that it divides.
    fn split(&mut self) {
        let (added, divided) = self.buckets.add();
        self.heads.push(Link::default());
        let Some(divided) = divided else {
            return;
        };
        let mut link = std::mem::take(self.heads.at_mut(divided));
        // Both chains keep their order, newest first: each entry goes behind the last of its chain.
        let (mut stay, mut go) = (None, None);
        while let Some(place) = self.follow(link) {
            let (bucket, last) = if self.buckets.of(link.hash) == Some(added) {
                (added, &mut go)
            } else {
                (divided, &mut stay)
            };
            match last.replace(place) {
                None => *self.heads.at_mut(bucket) = link,
                Some(last) => *self.links.at_mut(last) = link,
            }
            link = self.links.at(place);
            *self.links.at_mut(place) = Link::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::storage::testing::Random;
    use super::super::storage::{Shipped, Tiny};
    use super::*;

    /// A random program against a `BTreeMap`: keys are inserted, found, forgotten by age, and
    /// forgotten at once when the window changes.
    #[test]
    fn keys_behave_as_a_map_of_the_newest_orders() {
        behave_as_a_map::<Shipped>();
        behave_as_a_map::<Tiny>();
    }

    fn behave_as_a_map<S: Sizes>() {
        let mut window = 3_000_u64;
        let mut keys = Keys::<S>::new(Span::from_nanos(window), 0x5ec2e7);
        let mut expected: BTreeMap<(i64, Vec<u8>), (u32, u64)> = BTreeMap::new();
        let mut random = Random::new(3);
        let mut users = Vec::new();
        for now in 0..30_000_u64 {
            let time = Timestamp::from_nanos(now);
            // Thousands of keys at first, then a few.
            if now == 15_000 {
                // At most one key was added in a nanosecond.
                assert!(keys.len() <= 2 * window, "{} keys are still stored", keys.len());
                window = 40;
                keys.remove_forgotten(time, u32::MAX);
                keys.set_window(Span::from_nanos(window));
            }
            keys.remove_forgotten(time, 2);
            let user = i64::try_from(1 + random.below(3)).unwrap();
            let text = format!(
                "{:0width$}",
                random.below(4_000),
                width = 1 + usize::from(now % 7 == 0) * 60
            );
            let key = IdempotencyKey::new(text.as_bytes()).unwrap();
            let hash = keys.hash(UserId::new(user).unwrap(), &key);
            let is_users = |order: u32| users[usize::try_from(order).unwrap()] == user;
            let found = keys.find(hash, &key, time, is_users);
            let remembered = expected.get(&(user, text.clone().into_bytes()));
            let remembered = remembered.filter(|(_, created)| created + window > now);
            assert_eq!(found, remembered.map(|(order, _)| *order), "{text} at {now}");
            if found.is_none() {
                let order = u32::try_from(users.len()).unwrap();
                users.push(user);
                keys.insert(hash, &key, order, time);
                expected.insert((user, text.into_bytes()), (order, now));
            }
            if now % 1_000 == 0 {
                assert_eq!(keys.indexed(), keys.len());
                let alive = expected.values().filter(|(_, created)| created + window > now).count();
                assert!(keys.len() >= alive as u64, "{} of {alive} keys are left", keys.len());
            }
        }
        assert!(keys.len() <= 2 * 40, "{} forgotten keys are still stored", keys.len());
    }
}
