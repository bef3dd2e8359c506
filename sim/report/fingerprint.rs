//! Sixty-four bits for a list of words, the same on every build and machine: two lists that
//! differ have different ones, as good as surely.

use std::fmt::{self, Display};

use crate::model::contract::{Answer, OrderInfo, Reason, Refusal, Shortage, Status};

/// The fingerprint of what was taken in so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        // The fraction of the square root of 5: nothing up the sleeve.
        Self(0x3c6e_f372_fe94_f82b)
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Fingerprint {
    /// The fingerprint as a number.
    #[must_use]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Takes a word in.
    pub(crate) fn word(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    /// Takes an answer in.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Created { order, status, shortages } => {
                self.word(1);
                self.word(order.cast_unsigned());
                self.word(status_code(*status));
                self.shortages(shortages);
            }
            Answer::Order(OrderInfo {
                status,
                user,
                items,
                created_at,
                updated_at,
                reason,
                shortages,
            }) => {
                self.word(2);
                self.word(status_code(*status) << 8 | reason_code(*reason));
                self.word(user.cast_unsigned());
                for &(sku, count) in items {
                    self.word(u64::from(sku) << 32 | u64::from(count));
                }
                self.word(*created_at);
                self.word(*updated_at);
                self.shortages(shortages);
            }
            Answer::Done => self.word(3),
            Answer::Stock(units) => {
                self.word(4);
                self.word(*units);
            }
            Answer::Refused(refusal) => {
                self.word(5);
                let (code, fact) = refusal_code(*refusal);
                self.word(code << 32 | fact);
            }
        }
    }

    fn shortages(&mut self, shortages: &[Shortage]) {
        for &Shortage { sku, requested, available } in shortages {
            self.word(u64::from(sku));
            self.word(requested);
            self.word(available);
        }
    }
}

/// Numbers that stay, and the fact that goes with the refusal.
fn refusal_code(refusal: Refusal) -> (u64, u64) {
    match refusal {
        Refusal::InvalidUser => (1, 0),
        Refusal::NoItems => (2, 0),
        Refusal::TooManyItems => (3, 0),
        Refusal::InvalidItemSku(line) => (4, u64::from(line)),
        Refusal::InvalidItemCount(line) => (5, u64::from(line)),
        Refusal::CountOverflow(sku) => (6, u64::from(sku)),
        Refusal::KeyTooLong => (7, 0),
        Refusal::InvalidOrderId => (8, 0),
        Refusal::InvalidSku => (9, 0),
        Refusal::OrderNotFound => (10, 0),
        Refusal::SkuNotFound => (11, 0),
        Refusal::OrderNotAwaitingPayment(status) => (12, status_code(status)),
        Refusal::OrderExpired => (13, 0),
        Refusal::IdempotencyKeyReused(order) => (14, order.cast_unsigned()),
    }
}

fn status_code(status: Status) -> u64 {
    match status {
        Status::AwaitingPayment => 1,
        Status::Failed => 2,
        Status::Paid => 3,
        Status::Cancelled => 4,
    }
}

fn reason_code(reason: Reason) -> u64 {
    match reason {
        Reason::None => 0,
        Reason::OutOfStock => 1,
        Reason::CancelledByClient => 2,
        Reason::PaymentTimeout => 3,
    }
}
