//! The audit: derives everything that the model stores for speed from the orders alone, and
//! compares.

use super::records::OrderRecord;
use super::{Model, id_of};
use crate::model::contract::{Reason, Status};

/// Units of one SKU, by the status of the orders that contain them.
#[derive(Clone, Copy, Default)]
struct Derived {
    awaiting: i128,
    paid: i128,
    cancelled: i128,
}

impl Model {
    /// Derives the stock, the next order to expire, the keys and the number of transitions from the
    /// orders, and checks each order.
    ///
    /// # Errors
    /// A description of the first difference. Only a planted bug causes one.
    pub(crate) fn audit(&self) -> Result<(), String> {
        // Beside the accounts, and in the same order. A search in a list of numbers is faster than
        // one in the accounts or in a map: this is done for each line of each order.
        let skus: Vec<u32> = self.accounts.iter().map(|account| account.sku).collect();
        let mut derived = vec![Derived::default(); skus.len()];
        self.audit_orders(&skus, &mut derived)?;
        self.audit_stock(&derived)
    }

    /// Checks each order, and adds the units of its lines to what is derived for each SKU. One
    /// pass: the orders of a large run do not fit the cache.
    fn audit_orders(&self, skus: &[u32], derived: &mut [Derived]) -> Result<(), String> {
        let mut transitions = self.rule_changes;
        let mut oldest = self.records.len();
        let mut created_at = 0;
        for place in 0..self.records.len() {
            let entry = self.records.entry(place);
            let id = id_of(place);
            self.audit_order(place, entry).map_err(|what| format!("order {id}: {what}"))?;
            check(created_at <= entry.created_at, || format!("order {id}: before the last"))?;
            created_at = entry.created_at;
            self.derive(place, entry.status, skus, derived)?;
            self.audit_key(place, entry)?;
            transitions += match entry.status {
                Status::AwaitingPayment | Status::Failed => 2,
                Status::Paid | Status::Cancelled => 3,
            };
            if entry.status == Status::AwaitingPayment {
                oldest = oldest.min(place);
            }
        }
        check(oldest == self.oldest, || format!("oldest awaiting: {oldest}, not {}", self.oldest))?;
        check(transitions == self.transitions, || {
            format!("transitions: {transitions}, not {}", self.transitions)
        })
    }

    fn audit_order(&self, place: usize, entry: &OrderRecord) -> Result<(), String> {
        let (created_at, updated_at) = (entry.created_at, entry.updated_at);
        let deadline = self.deadline(created_at);
        // An order that ended before the rules changed had another deadline.
        let other_rules = updated_at < self.rules_since
            || (updated_at == self.rules_since && entry.status != Status::AwaitingPayment);
        let legal = match (entry.status, entry.reason) {
            (Status::AwaitingPayment, Reason::None) => {
                updated_at == created_at && deadline.is_none_or(|deadline| deadline > self.now)
            }
            (Status::Failed, Reason::OutOfStock) => updated_at == created_at,
            (Status::Paid, Reason::None) | (Status::Cancelled, Reason::CancelledByClient) => {
                let in_time = deadline.is_none_or(|deadline| deadline > updated_at);
                updated_at >= created_at && (in_time || other_rules)
            }
            (Status::Cancelled, Reason::PaymentTimeout) => {
                deadline == Some(updated_at) || other_rules
            }
            _ => false,
        };
        check(legal && updated_at <= self.now, || {
            format!("{:?} for {:?} at {updated_at}", entry.status, entry.reason)
        })?;
        let lines = self.records.lines(place);
        let ascending = lines.windows(2).all(|two| two[0].0 < two[1].0);
        check(!lines.is_empty() && ascending, || "lines not by ascending SKU".to_owned())?;
        check(entry.shortages.is_empty() == (entry.status != Status::Failed), || {
            "failed without shortages, or short without having failed".to_owned()
        })?;
        let mut short = entry.shortages.iter().map(|short| (short.sku, short.requested));
        let mut asked = lines.iter().map(|&(sku, count)| (sku, u64::from(count)));
        // Both are sorted by SKU, so one pass finds all shortages among the lines.
        check(short.all(|short| asked.any(|line| line == short)), || {
            "a shortage that is no line of the order".to_owned()
        })?;
        check(entry.shortages.iter().all(|short| short.requested > short.available), || {
            "a shortage with enough available".to_owned()
        })
    }

    /// Adds the units of an order.
    fn derive(
        &self,
        place: usize,
        status: Status,
        skus: &[u32],
        derived: &mut [Derived],
    ) -> Result<(), String> {
        if status == Status::Failed {
            return Ok(());
        }
        for &(sku, count) in self.records.lines(place) {
            let of = skus.binary_search(&sku).ok().map(|place| &mut derived[place]);
            let of = of.ok_or_else(|| format!("units held of unknown SKUs: {sku}"))?;
            match status {
                Status::AwaitingPayment => of.awaiting += i128::from(count),
                Status::Paid => of.paid += i128::from(count),
                Status::Cancelled => of.cancelled += i128::from(count),
                Status::Failed => {}
            }
        }
        Ok(())
    }

    fn audit_stock(&self, derived: &[Derived]) -> Result<(), String> {
        for (account, of) in self.accounts.iter().zip(derived) {
            let derived = (account.opening - of.paid, account.base + of.awaiting);
            let kept = (account.total(), account.reserved());
            check(derived == kept, || {
                format!("SKU {}: total, reserved {derived:?}, not {kept:?}", account.sku)
            })?;
            let left = (account.opening - account.base).max(0);
            let held = of.awaiting + of.paid;
            check(0 <= held && held <= left && account.available() == left - held, || {
                format!("SKU {}: {} available of {kept:?}", account.sku, account.available())
            })?;
            check(account.returned == of.cancelled && account.sold == of.paid, || {
                format!("SKU {}: returned {}, sold {}", account.sku, account.returned, account.sold)
            })?;
        }
        Ok(())
    }

    /// The index finds the newest order with this key.
    fn audit_key(&self, place: usize, entry: &OrderRecord) -> Result<(), String> {
        let Some(key) = entry.key.as_deref() else { return Ok(()) };
        let same =
            |other: &OrderRecord| other.user == entry.user && other.key.as_deref() == Some(key);
        let found = self.records.newest_with_key(entry.key_hash, same);
        // Each order with this key finds one that has it and is not older: so all of them find the
        // newest one.
        check(found.is_some_and(|found| found >= place), || {
            format!("key {key:?} of user {}: order at {place}, not {found:?}", entry.user)
        })
    }
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
