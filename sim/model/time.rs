//! Time: when orders expire and keys are forgotten, changes of the rules, and log entries.

use super::{Bug, Model};
use crate::model::contract::{Answer, Limits, Reason, Refusal, Status};

impl Model {
    /// Executes a command. Time passes first; if the command then changes something, this is a log
    /// entry of its own.
    pub(super) fn command(
        &mut self,
        at: u64,
        execute: impl FnOnce(&mut Self) -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        self.pass(at);
        self.now = at;
        let before = self.transitions;
        let result = execute(self);
        self.entries += u64::from(self.transitions != before);
        result
    }

    /// Moves time forward: due orders expire, by deadline and then by id.
    pub(crate) fn pass(&mut self, now: u64) {
        assert!(now >= self.now, "time went backwards, from {} to {now}", self.now);
        let before = (self.now, self.transitions);
        self.now = now;
        self.expire();
        if self.transitions == before.1 {
            // Nothing has expired, so the model's time does not move.
            self.now = before.0;
        } else {
            self.entries += 1;
        }
    }

    /// Expires all orders that are due now.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        while let Some(deadline) = self.next_deadline()
            && self.is_due(deadline)
        {
            let place = self.oldest;
            if !self.has(Bug::ExpiryKeepsStock) {
                self.book_all(place, |account, units| account.returned += units);
            }
            let when = if self.has(Bug::ExpiryStampedNow) { now } else { deadline };
            self.set(place, Status::Cancelled, Reason::PaymentTimeout, when);
        }
    }

    /// The rules change now. The new timeout counts from an order's create, but no order expires
    /// earlier than now. Keys and orders that are already forgotten stay forgotten.
    pub(super) fn change_rules(&mut self, timeout: u64, window: u64, limits: Limits) {
        let same = (timeout, window, limits) == (self.timeout, self.window, self.limits);
        if same && !self.has(Bug::RulesSameIsChange) {
            return;
        }
        self.forget_for_good();
        (self.timeout, self.window, self.rules_since) = (timeout, window, self.now);
        self.limits = limits;
        self.transitions += 1;
        self.rule_changes += 1;
        if !self.has(Bug::RulesExpireLate) {
            self.expire();
        }
    }

    /// Deadline of the next order to expire; `None` if no order awaits payment or the deadline is
    /// past the end of time.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadline(self.records.get(self.oldest)?.created_at)
    }

    /// The deadlines of the orders that await payment and expire, soonest first.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = u64> {
        self.awaiting().map_while(|order| {
            self.with_order(order, |fields| self.deadline(fields.created_at)).flatten()
        })
    }

    /// Deadline of an order created at this time; `None` if it never expires or the deadline is
    /// past the end of time.
    pub(super) fn deadline(&self, created_at: u64) -> Option<u64> {
        if self.timeout == 0 && !self.has(Bug::ZeroTimeoutExpires) {
            return None;
        }
        if self.has(Bug::DeadlineWraps) {
            return Some(created_at.wrapping_add(self.timeout));
        }
        if self.has(Bug::RulesCountFromChange) {
            return created_at.max(self.rules_since).checked_add(self.timeout);
        }
        let deadline = created_at.checked_add(self.timeout)?;
        let changed = if self.has(Bug::RulesExpireInPast) { 0 } else { self.rules_since };
        Some(deadline.max(changed))
    }

    /// Whether an order with this deadline expires now.
    pub(super) fn is_due(&self, deadline: u64) -> bool {
        if self.has(Bug::ExpiryEarly) {
            return deadline.saturating_sub(1) <= self.now;
        }
        if self.has(Bug::ExpiryLate) {
            return deadline < self.now;
        }
        deadline <= self.now
    }

    /// The time of the last command, or of the last call that made orders expire if it was later.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Number of entries in the server's log, which is the index of the last one.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }
}
