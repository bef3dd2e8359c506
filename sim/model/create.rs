//! OrderCreate: which refusal wins, merged lines, shortages and idempotency keys.

use super::records::{self, OrderRecord};
use super::{Bug, Model, id_of, units};
use crate::model::contract::{Answer, Refusal, Shortage, Status};

/// Maximum length of an idempotency key, in bytes.
const KEY_BYTES: usize = 255;

impl Model {
    /// Checks everything that depends on the request alone, and stores the merged lines in
    /// `demand`. From the strongest refusal to the weakest: the user, no lines, too many lines, the
    /// first invalid line in the client's order (SKU before count), a sum over `u32` (of the lowest
    /// such SKU), the key.
    pub(super) fn validate(
        &mut self,
        user: i64,
        items: &[(u32, u32)],
        key: &str,
    ) -> Result<(), Refusal> {
        if self.has(Bug::ItemsBeforeUser) && items.is_empty() {
            return Err(Refusal::NoItems);
        }
        if user <= 0 {
            return Err(Refusal::InvalidUser);
        }
        if items.is_empty() {
            return Err(Refusal::NoItems);
        }
        if items.len() > self.max_lines && !self.has(Bug::MaxLinesAfterMerging) {
            return Err(Refusal::TooManyItems);
        }
        for (place, &(sku, count)) in (0..).zip(items) {
            if sku == 0 {
                return Err(Refusal::InvalidItemSku(place));
            }
            if count == 0 {
                return Err(Refusal::InvalidItemCount(place));
            }
        }
        self.merge(items)?;
        if self.demand.len() > self.max_lines {
            return Err(Refusal::TooManyItems);
        }
        if key.len() + usize::from(self.has(Bug::KeyOf255Refused)) > KEY_BYTES {
            return Err(Refusal::KeyTooLong);
        }
        Ok(())
    }

    /// Merges the lines of each SKU, by ascending SKU.
    fn merge(&mut self, items: &[(u32, u32)]) -> Result<(), Refusal> {
        let wraps = self.has(Bug::CountSumWraps);
        let mut over = None;
        self.demand.clear();
        self.demand.extend_from_slice(items);
        self.demand.sort_unstable();
        self.demand.dedup_by(|next, kept| {
            if next.0 != kept.0 {
                return false;
            }
            match kept.1.checked_add(next.1) {
                Some(sum) => kept.1 = sum,
                None if wraps => kept.1 = kept.1.wrapping_add(next.1),
                None => over = over.or(Some(next.0)),
            }
            true
        });
        over.map_or(Ok(()), |sku| Err(Refusal::CountOverflow(sku)))
    }

    /// Creates an order, or returns the answer for the order that has this key.
    pub(super) fn create(
        &mut self,
        user: i64,
        items: &[(u32, u32)],
        key: &str,
    ) -> Result<Answer, Refusal> {
        let cut = if self.has(Bug::KeyCutTo32Bytes) { 32 } else { KEY_BYTES };
        let key = &key[..key.floor_char_boundary(cut)];
        let keyed = !key.is_empty() || self.has(Bug::EmptyKeyStored);
        let owner = if self.has(Bug::KeyForWrongUser) { 0 } else { user };
        let key_hash = if keyed { records::hash(owner, key) } else { 0 };
        if keyed && let Some(first) = self.remembered(user, key, key_hash) {
            return self.repeat(first);
        }
        self.check_open_orders(user)?;
        let shortages = self.shortages(items)?;
        self.check_room(!shortages.is_empty(), keyed.then_some(key))?;
        if self.has(Bug::IdReusedAfterFailure) {
            self.forget_failed();
        }
        // Nothing below can fail.
        let mut entry = OrderRecord::new(user, self.now, &shortages);
        entry.key = keyed.then(|| key.into());
        entry.key_hash = key_hash;
        let status = entry.status;
        let place = self.records.push(entry, &self.demand);
        self.book(place, self.lines_reserved(&shortages), |account, units| {
            account.reserved_for_orders += units
        });
        self.transitions += 2;
        self.find_oldest();
        self.keep_as_sent(place, items);
        Ok(Answer::Created { order: id_of(place), status, shortages })
    }

    /// How many lines of the demand are reserved: all of them, or none if one is short.
    fn lines_reserved(&self, shortages: &[Shortage]) -> usize {
        let lines = self.demand.len();
        match shortages.first() {
            Some(first) if self.has(Bug::FailedCreateKeepsLines) => {
                self.demand.partition_point(|line| line.0 < first.sku)
            }
            Some(_) => 0,
            None if self.has(Bug::LastLineSkipped) && lines > 1 => lines - 1,
            None => lines,
        }
    }

    /// Every line of the demand that exceeds the available units, by ascending SKU.
    fn shortages(&self, items: &[(u32, u32)]) -> Result<Vec<Shortage>, Refusal> {
        let mut shortages = Vec::new();
        for (place, &(sku, count)) in self.demand.iter().enumerate() {
            let account = self.account(sku);
            if account.is_none() && self.has(Bug::UnknownSkuRefused) {
                return Err(Refusal::SkuNotFound);
            }
            let mut available = account.map_or(0, |account| self.available(account));
            if !self.is_short(place, count, available, items) {
                continue;
            }
            if self.has(Bug::ShortageAfterReserving) {
                let mut lines = items.iter().filter(|line| line.0 == sku);
                let first = lines.next().map_or(0, |line| i128::from(line.1));
                if lines.next().is_some() && first <= available {
                    available -= first;
                }
            }
            if shortages.is_empty() || !self.has(Bug::ShortagesFirstOnly) {
                let available = self.reported(available);
                shortages.push(Shortage { sku, requested: u64::from(count), available });
            }
        }
        Ok(shortages)
    }

    /// Whether the line at this index, with this count, exceeds the available units.
    fn is_short(&self, place: usize, count: u32, available: i128, items: &[(u32, u32)]) -> bool {
        let requested = units(self.bug, count);
        match self.bug {
            Some(Bug::ExactFitRefused) => requested >= available,
            Some(Bug::OneTooMany) => requested > available + 1,
            Some(Bug::ExactFitRefusedOnLine2) if place == 1 && self.demand.len() >= 4 => {
                requested >= available
            }
            Some(Bug::DuplicatesCheckedSingly) => {
                let sku = self.demand[place].0;
                items.iter().any(|line| line.0 == sku && i128::from(line.1) > available)
            }
            _ => requested > available,
        }
    }

    /// The order that the key of this user refers to now.
    pub(super) fn remembered(&self, user: i64, key: &str, key_hash: u32) -> Option<usize> {
        let anyone = self.has(Bug::KeyForWrongUser);
        let newest = self.records.newest_with_key(key_hash, |entry| {
            (entry.user == user || anyone) && entry.key.as_deref() == Some(key)
        })?;
        let entry = self.records.entry(newest);
        if entry.key_gone {
            return None;
        }
        if entry.status == Status::Failed && self.has(Bug::KeyForgottenOnFailure) {
            return None;
        }
        let mut since = entry.created_at;
        if self.has(Bug::RepeatProlongsKey) {
            since = self.quirks.repeated.get(&newest).copied().unwrap_or(since);
        }
        let age = self.now - since;
        let window = self.key_window(entry.status == Status::Failed);
        let remembered = match self.bug {
            Some(Bug::KeyForgottenEarly) => age < window.saturating_sub(1),
            Some(Bug::KeyForgottenLate) => age <= window,
            _ => age < window,
        };
        remembered.then_some(newest)
    }

    /// Answers a repeated create as the first one was answered.
    fn repeat(&mut self, first: usize) -> Result<Answer, Refusal> {
        if self.records.lines(first) != self.demand && !self.has(Bug::OtherLinesAccepted) {
            return Err(Refusal::IdempotencyKeyReused(id_of(first)));
        }
        if self.has(Bug::RepeatProlongsKey) {
            self.quirks.repeated.insert(first, self.now);
        }
        if self.has(Bug::RepeatReservesAgain) {
            self.book_all(first, |account, units| account.reserved_for_orders += units);
        }
        let entry = self.records.entry(first);
        let shortages = entry.shortages.to_vec();
        let status = match shortages.first() {
            _ if self.has(Bug::RepeatReturnsStatusNow) => entry.status,
            Some(_) => Status::Failed,
            None => Status::AwaitingPayment,
        };
        Ok(Answer::Created { order: id_of(first), status, shortages })
    }

    fn forget_failed(&mut self) {
        let newest = self.records.len().checked_sub(1);
        if newest.is_some_and(|newest| self.records.entry(newest).status == Status::Failed) {
            self.records.remove_newest();
            self.oldest = self.oldest.min(self.records.len());
        }
    }

    /// Stores the lines as the client sent them; only planted bugs show these.
    fn keep_as_sent(&mut self, place: usize, items: &[(u32, u32)]) {
        let sent = match self.bug {
            Some(Bug::LinesUnmerged) => {
                let mut sent = items.to_vec();
                sent.sort_by_key(|line| line.0);
                sent
            }
            Some(Bug::LinesInClientOrder) => {
                let mut sent = self.demand.clone();
                sent.sort_by_key(|line| items.iter().position(|item| item.0 == line.0));
                sent
            }
            _ => return,
        };
        self.quirks.as_sent.insert(place, sent);
    }
}
