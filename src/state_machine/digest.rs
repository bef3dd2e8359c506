//! A fingerprint of the whole state. It depends on the values alone, in a fixed order, so it is the
//! same in every build and on every computer.

use std::fmt;

use super::lifecycle::{Cause, OrderStatus};
use super::rules::Rules;
use super::state::LomsState;
use super::storage::{Sizes, little_endian, scramble};

/// A 128-bit fingerprint of a state. Equal states have equal digests. Different states have
/// different digests with overwhelming probability, but the function is not cryptographic: an
/// attacker can construct collisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(u64, u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

impl<S: Sizes> LomsState<S> {
    /// The fingerprint of everything that decides answers: rules, time, stock, orders, keys.
    ///
    /// Two states with equal digests answer all commands equally. The digest does not include the
    /// index of the last entry, so that extra ticks do not change it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        digester.rules(self.rules());
        digester.word(self.rules_since().as_nanos());
        digester.word(self.now().as_nanos());
        digester.word(self.events());
        digester.length(self.stock_len());
        for stock in self.stock() {
            digester.word(u64::from(stock.opening.sku.get()));
            digester.word(stock.opening.total);
            digester.word(stock.opening.reserved);
            digester.word(stock.total);
            digester.word(stock.reserved);
        }
        digester.word(u64::from(self.orders_placed()));
        digester.length(self.orders().count());
        for order in self.orders() {
            digester.word(order.id().get().cast_unsigned());
            digester.word(order.user().get().cast_unsigned());
            digester.word(code_of(order.status(), order.cause()));
            digester.word(order.created().as_nanos());
            digester.word(order.updated().as_nanos());
            digester.length(order.lines().len());
            for line in order.lines() {
                digester.word(u64::from(line.sku.get()));
                digester.word(u64::from(line.count.get()));
            }
            digester.length(order.shortages().count());
            for shortage in order.shortages() {
                digester.word(u64::from(shortage.sku.get()));
                digester.word(shortage.available);
            }
        }
        digester.length(self.keys().count());
        for (order, key) in self.keys() {
            digester.word(order.get().cast_unsigned());
            digester.bytes(key.as_bytes());
        }
        digester.finish()
    }
}

/// A status with its cause, as a number that never changes: digests are compared across versions.
fn code_of(status: OrderStatus, cause: Cause) -> u64 {
    match (status, cause) {
        (OrderStatus::New, _) => 1,
        (OrderStatus::AwaitingPayment, _) => 2,
        (OrderStatus::Failed, _) => 3,
        (OrderStatus::Paid, _) => 4,
        (OrderStatus::Cancelled, Cause::PaymentTimeout) => 6,
        (OrderStatus::Cancelled, _) => 5,
    }
}

/// Takes words and returns a [`Digest`].
#[derive(Clone, Copy, Debug)]
struct Digester {
    left: u64,
    right: u64,
}

impl Digester {
    fn new() -> Self {
        // The fractions of the square roots of 2 and 3: constants without a hidden purpose.
        Self { left: 0x6a09_e667_f3bc_c908, right: 0xbb67_ae85_84ca_a73b }
    }

    fn rules(&mut self, rules: Rules) {
        let Rules {
            payment_timeout,
            idempotency_window,
            keep,
            keep_failed,
            retry_failed,
            max_bytes,
            open_orders,
        } = rules;
        for span in [payment_timeout, idempotency_window, keep, keep_failed] {
            self.word(span.as_nanos());
        }
        self.word(u64::from(retry_failed));
        self.word(max_bytes);
        self.word(u64::from(open_orders));
    }

    fn word(&mut self, word: u64) {
        self.left = scramble(self.left ^ word);
        self.right = scramble(self.right.rotate_left(23) ^ word ^ self.left);
    }

    /// A list starts with its length, so that no two lists of lists give the same words.
    fn length(&mut self, length: usize) {
        self.word(u64::try_from(length).expect("lengths fit 64 bits"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        for chunk in bytes.chunks(8) {
            self.word(little_endian(chunk));
        }
    }

    fn finish(self) -> Digest {
        Digest(scramble(self.left), scramble(self.right ^ self.left))
    }
}
