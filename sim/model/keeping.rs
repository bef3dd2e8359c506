//! What is forgotten, and how much room there is.
//!
//! The machine removes forgotten orders little by little, and adds up what the others count for.
//! The model removes nothing: it looks at the times of all orders and adds up again each time.

use super::records::OrderRecord;
use super::{Bug, Model};
use crate::model::contract::{Refusal, Status};

/// What an order counts for in bytes, without its lines; a remembered key, without its own bytes.
const EACH: u64 = 48;

impl Model {
    /// Whether an order is forgotten at this time.
    pub(super) fn is_gone(&self, entry: &OrderRecord, at: u64) -> bool {
        let keep = match entry.status {
            Status::AwaitingPayment => return false,
            Status::Failed if self.has(Bug::FailedKeptAsOthers) => self.limits.keep,
            Status::Failed => self.limits.keep_failed,
            Status::Paid if self.has(Bug::PaidKeptForGood) => 0,
            Status::Cancelled | Status::Paid => self.limits.keep,
        };
        let ended = if self.has(Bug::KeptFromCreate) { entry.created_at } else { entry.updated_at };
        let age = at.saturating_sub(ended);
        let is_over = match self.bug {
            Some(Bug::ForgottenEarly) => age + 1 >= keep,
            Some(Bug::ForgottenLate) => age > keep,
            _ => age >= keep,
        };
        entry.gone || (keep > 0 && is_over)
    }

    /// How long a key is remembered; a key never outlives its order.
    pub(super) fn key_window(&self, failed: bool) -> u64 {
        let keep = if failed { self.limits.keep_failed } else { self.limits.keep };
        if failed && self.limits.retry_failed && !self.has(Bug::RetryIgnored) {
            0
        } else if keep == 0 || self.has(Bug::KeyOutlivesOrder) {
            self.window
        } else {
            keep.min(self.window)
        }
    }

    /// Whether the key of an order is remembered now.
    fn is_key_remembered(&self, entry: &OrderRecord) -> bool {
        let window = self.key_window(entry.status == Status::Failed);
        entry.key.is_some() && !entry.key_gone && self.now - entry.created_at < window
    }

    /// The rules are about to change: what they have made forgotten stays so.
    pub(super) fn forget_for_good(&mut self) {
        for place in 0..self.records.len() {
            let entry = self.records.entry(place);
            let gone = self.is_gone(entry, self.now) && !self.has(Bug::RulesBringOrdersBack);
            let key_gone = !self.is_key_remembered(entry) && !self.has(Bug::RulesBringKeysBack);
            let entry = self.records.entry_mut(place);
            entry.gone |= gone;
            entry.key_gone |= key_gone;
        }
    }

    /// Refuses a create if as many orders of the user await payment as the rules allow.
    pub(super) fn check_open_orders(&self, user: i64) -> Result<(), Refusal> {
        let most = usize::try_from(self.limits.open_orders).expect("usize has at least 32 bits");
        if most == 0 {
            return Ok(());
        }
        let of_all = self.has(Bug::OpenOrdersOfAllUsers);
        let open = (self.oldest..self.records.len()).filter(|&place| {
            let entry = self.records.entry(place);
            entry.status == Status::AwaitingPayment && (entry.user == user || of_all)
        });
        let open = open.count().saturating_sub(usize::from(self.has(Bug::OpenOrdersOneMore)));
        if open >= most { Err(Refusal::TooManyOpenOrders) } else { Ok(()) }
    }

    /// Refuses a create if its order and its key would count for more than the room that is left.
    pub(super) fn check_room(&mut self, fails: bool, key: Option<&str>) -> Result<(), Refusal> {
        let most = self.limits.max_bytes;
        if most == 0 {
            return Ok(());
        }
        while let Some(entry) = self.records.get(self.first_kept)
            && self.is_gone(entry, self.now)
            && !self.is_key_remembered(entry)
            && !self.has(Bug::RoomNeverComesBack)
        {
            self.first_kept += 1;
        }
        let key = key.filter(|_| self.key_window(fails) > 0);
        let key = key.map_or(0, |key| self.key_cost(key));
        let mut bytes = self.cost(self.demand.len(), fails) + key;
        for place in self.first_kept..self.records.len() {
            let entry = self.records.entry(place);
            if !self.is_gone(entry, self.now) || self.has(Bug::RoomNeverComesBack) {
                bytes += self.cost(self.records.lines(place).len(), entry.status == Status::Failed);
            }
            if self.is_key_remembered(entry) {
                bytes += entry.key.as_deref().map_or(0, |key| self.key_cost(key));
            }
        }
        let fits = match self.bug {
            Some(Bug::RoomOneByteLess) => bytes < most,
            _ => bytes <= most,
        };
        if fits { Ok(()) } else { Err(Refusal::NoRoom) }
    }

    fn cost(&self, lines: usize, failed: bool) -> u64 {
        let line = if failed && !self.has(Bug::FailedLinesAsOthers) { 12 } else { 8 };
        EACH + line * u64::try_from(lines).expect("64 bits")
    }

    fn key_cost(&self, key: &str) -> u64 {
        if self.has(Bug::KeysTakeNoRoom) {
            return 0;
        }
        EACH + u64::try_from(key.len()).expect("64 bits")
    }
}
