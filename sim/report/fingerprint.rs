//! A 64-bit hash of a list of words, the same on every build and machine.

use std::fmt::{self, Display};

use crate::model::contract::{Answer, OrderInfo, Shortage};

/// A fingerprint of everything added so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        // The fraction of the square root of 5, an arbitrary constant.
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

    /// Adds a word.
    pub(crate) fn word(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    /// Adds an answer.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Created { order, status, shortages } => {
                self.word(1);
                self.word(order.cast_unsigned());
                self.word(status.number());
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
                self.word(status.number() << 8 | reason.number());
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
                self.word(refusal.kind().number() << 32 | refusal.fact());
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
