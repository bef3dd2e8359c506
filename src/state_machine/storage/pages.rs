//! [`Pages`]: a list that grows at the back, and frees its memory page by page.

use std::marker::PhantomData;

use super::{Sizes, size};

/// A list that grows page by page. An entry keeps its place, which counts from the first entry that
/// was ever added. Entries are released in any order, and a page is freed when it is full and all
/// its entries are released.
///
/// Only the first page is ever copied as it grows. The list of pages is copied when it doubles; it
/// is about a thousand times smaller than the entries.
#[derive(Clone, Debug)]
pub(in super::super) struct Pages<T, S: Sizes> {
    pages: Vec<Page<T>>,
    /// How many pages came before the first of `pages`; they are freed.
    before: u64,
    /// How many of the first of `pages` are freed.
    freed: usize,
    len: u64,
    sizes: PhantomData<S>,
}

#[derive(Clone, Debug)]
struct Page<T> {
    /// Empty once the page is freed.
    entries: Vec<T>,
    /// How many of the entries are released.
    released: u32,
}

impl<T, S: Sizes> Default for Pages<T, S> {
    fn default() -> Self {
        Self { pages: Vec::new(), before: 0, freed: 0, len: 0, sizes: PhantomData }
    }
}

impl<T: Copy, S: Sizes> Pages<T, S> {
    /// Entries in a page.
    const PAGE: u32 = 1 << S::PAGE_LOG;

    /// How many entries were added: the place of the next one.
    #[inline(always)]
    pub(in super::super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds an entry and returns its place.
    #[inline(always)]
    pub(in super::super) fn push(&mut self, value: T) -> u64 {
        let place = self.len;
        self.len = place.checked_add(1).expect("2⁶⁴ entries are never added");
        S::visit();
        if within(place, Self::PAGE) == 0 {
            self.push_page();
        }
        self.pages.last_mut().expect("there is a page by now").entries.push(value);
        place
    }

    #[cold]
    #[inline(never)]
    fn push_page(&mut self) {
        // The first page grows like a Vec, so that a small state stays small.
        let room = if self.len == 1 { 0 } else { size(Self::PAGE) };
        self.pages.push(Page { entries: Vec::with_capacity(room), released: 0 });
    }

    /// The entry at this place, if it was added and its page is not freed.
    #[inline(always)]
    pub(in super::super) fn get(&self, place: u64) -> Option<&T> {
        S::visit();
        self.pages.get(self.page(place))?.entries.get(within(place, Self::PAGE))
    }

    /// The entry at the place of an entry that is not released.
    #[inline(always)]
    pub(in super::super) fn at(&self, place: u64) -> &T {
        self.get(place).expect("an entry stays until it is released")
    }

    /// The entry at the place of an entry that is not released, to change.
    #[inline(always)]
    pub(in super::super) fn at_mut(&mut self, place: u64) -> &mut T {
        S::visit();
        let page = self.page(place);
        self.pages
            .get_mut(page)
            .and_then(|page| page.entries.get_mut(within(place, Self::PAGE)))
            .expect("an entry stays until it is released")
    }

    /// Releases this many entries from this place on. None of them is released yet.
    pub(in super::super) fn release(&mut self, place: u64, count: u32) {
        let mut place = place;
        let mut left = count;
        while left > 0 {
            S::visit();
            let index = self.page(place);
            let page = self.pages.get_mut(index).expect("an entry stays until it is released");
            let start = u32::try_from(within(place, Self::PAGE)).expect("pages are small");
            let rest = Self::PAGE.checked_sub(start).expect("it is within the page");
            let here = rest.min(left);
            page.released = page.released.checked_add(here).expect("at most a page");
            if page.released == Self::PAGE {
                page.entries = Vec::new();
            }
            assert!(page.released <= Self::PAGE, "an entry was released twice");
            left = left.checked_sub(here).expect("it is at most what is left");
            place = place.checked_add(u64::from(here)).expect("places are below 2⁶⁴");
        }
        self.drop_first_pages();
    }

    /// Drops the freed pages before the first one that is not, once they are half of all pages. So
    /// each page is moved about once in the life of the list.
    fn drop_first_pages(&mut self) {
        let more = self.pages.iter().skip(self.freed);
        let more = more.take_while(|page| page.released == Self::PAGE).count();
        self.freed = self.freed.checked_add(more).expect("there are as many pages");
        if self.freed > self.pages.len() / 2 {
            self.pages.drain(..self.freed);
            let freed = u64::try_from(self.freed).expect("fits 64 bits");
            self.before = self.before.checked_add(freed).expect("fewer pages than entries");
            self.freed = 0;
        }
    }

    /// All entries of the pages that are not freed, with their places, in order. Some of them may
    /// be released.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        (self.before..).zip(&self.pages).flat_map(|(number, page)| {
            let first = number.checked_mul(u64::from(Self::PAGE)).expect("it is a place");
            (first..).zip(&page.entries)
        })
    }

    /// The index of the page of a place: beyond the last one for a place before the first one.
    #[inline(always)]
    fn page(&self, place: u64) -> usize {
        let number = place.wrapping_shr(S::PAGE_LOG);
        usize::try_from(number.wrapping_sub(self.before)).unwrap_or(usize::MAX)
    }
}

/// A place within its page.
#[inline(always)]
fn within(place: u64, page: u32) -> usize {
    let mask = u64::from(page.wrapping_sub(1));
    usize::try_from(place & mask).expect("pages are small")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::testing::Random;
    use super::super::{Shipped, Tiny};
    use super::*;

    /// A random program against a map: entries stay until they are released, in any order, and the
    /// memory of released ones is freed.
    #[test]
    fn pages_behave_as_a_map() {
        fn check<S: Sizes>() {
            let (mut pages, mut expected) = (Pages::<u64, S>::default(), BTreeMap::new());
            let mut random = Random::new(5);
            for turn in 0..60_000_u64 {
                assert_eq!(pages.push(turn), turn);
                expected.insert(turn, turn);
                // It grows to 20,000 entries, and then most turns release more than they add.
                let most = if turn < 20_000 { 2 } else { 6 };
                for _ in 0..random.below(most) {
                    let from = random.below(turn + 1);
                    let Some((&place, _)) = expected.range(from..).next() else { continue };
                    let run = (place..place + 3).take_while(|next| expected.contains_key(next));
                    let count = u32::try_from(run.count()).unwrap();
                    pages.release(place, count);
                    (place..place + u64::from(count)).for_each(|next| {
                        expected.remove(&next);
                    });
                }
                if let Some((&place, value)) = expected.range(random.below(turn + 1)..).next() {
                    assert_eq!(pages.at(place), value);
                    *pages.at_mut(place) += 7;
                    *expected.get_mut(&place).unwrap() += 7;
                    assert_eq!(pages.get(place), expected.get(&place));
                }
                assert_eq!(pages.get(turn + 1), None);
                if turn.is_multiple_of(5_000) {
                    let all: BTreeMap<u64, u64> = pages.iter().map(|(at, v)| (at, *v)).collect();
                    assert!(expected.iter().all(|(place, value)| all.get(place) == Some(value)));
                }
            }
            // A stored page has an entry that is not released, or is the last.
            let page = |place: u64| place / u64::from(Pages::<u64, S>::PAGE);
            let used: BTreeSet<u64> =
                expected.keys().chain([&59_999]).map(|at| page(*at)).collect();
            let mut stored = pages.iter().map(|(place, _)| page(place));
            assert!(stored.all(|page| used.contains(&page)), "a page without entries is stored");
        }
        check::<Shipped>();
        check::<Tiny>();
    }

    /// Entries that are released in the order in which they were added leave one page at most.
    #[test]
    fn released_pages_are_freed() {
        fn check<S: Sizes>() {
            let mut pages = Pages::<u64, S>::default();
            for turn in 0..20_000 {
                let place = pages.push(turn);
                pages.release(place, 1);
                assert!(pages.pages.len() <= 1, "{} pages", pages.pages.len());
            }
        }
        check::<Shipped>();
        check::<Tiny>();
    }
}
