//! What the run knows about its orders, and the comparison with the orders that are read back. The
//! log takes 20 bytes per order: it does not store the lines, but generates them again.

use loms::client::code_name;
use loms::grpc::proto::{Item, OrderInfoResponse};
use tonic::Code;

use super::random::SplitMix64;

/// Generates the lines of orders.
#[derive(Clone, Debug)]
pub(crate) struct OrderGenerator {
    /// Distinct SKUs, at least `lines` of them.
    pub(crate) skus: Vec<u32>,
    /// Lines per order, at least 1, each with a different SKU.
    pub(crate) lines: usize,
    pub(crate) seed: u64,
    /// Whether each create has an idempotency key.
    pub(crate) keys: bool,
}

impl OrderGenerator {
    /// The lines of a create of this user, by ascending SKU. The same arguments give the same
    /// lines.
    pub(crate) fn lines_of(&self, user: i64, create: u32) -> Vec<Item> {
        let stream = (user.cast_unsigned() << 32) | u64::from(create);
        let mut random = SplitMix64::new(self.seed, stream);
        let mut chosen: Vec<usize> = Vec::with_capacity(self.lines);
        for _ in 0..self.lines {
            let mut index = random.index(&self.skus);
            while chosen.contains(&index) {
                index = (index + 1) % self.skus.len();
            }
            chosen.push(index);
        }
        let item = |index: &usize| Item { sku: self.skus[*index], count: 1 };
        let mut items: Vec<Item> = chosen.iter().map(item).collect();
        items.sort_unstable_by_key(|item| item.sku);
        items
    }
}

/// What the run knows about the status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedStatus {
    Awaiting,
    Failed,
    /// OrderPay was sent, and its outcome is unknown.
    PaySent,
    Paid,
    /// OrderPay was refused, which is correct only for an expired order.
    PayRefused,
    /// OrderCancel was sent, and its outcome is unknown.
    CancelSent,
    Cancelled,
    /// OrderCancel was refused, which is never correct.
    CancelRefused,
}

/// One order in the log.
#[derive(Clone, Copy, Debug)]
struct OrderRecord {
    id: i64,
    /// The number of the create among those of this user.
    create: u32,
    known: ExpectedStatus,
}

/// The index of an order in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderIndex(pub(crate) usize);

/// The orders of one user.
#[derive(Debug)]
pub(crate) struct OrderLog {
    user: i64,
    orders: Vec<OrderRecord>,
    /// Indexes of orders that await payment and that a worker may pay or cancel.
    awaiting: Vec<u32>,
}

/// The result of reading one order back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadResult {
    Correct,
    /// The server does not know the order.
    Missing(String),
    /// The read failed.
    Unread(String),
    Wrong(String),
}

impl OrderLog {
    pub(crate) fn new(user: i64) -> Self {
        Self { user, orders: Vec::new(), awaiting: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.orders.iter().map(|order| order.id)
    }

    pub(crate) fn id(&self, index: OrderIndex) -> i64 {
        self.orders[index.0].id
    }

    /// Adds a placed order. [`Self::take_awaiting`] finds it only after [`Self::make_available`].
    pub(crate) fn add(&mut self, create: u32, id: i64, failed: bool) -> OrderIndex {
        let known = if failed { ExpectedStatus::Failed } else { ExpectedStatus::Awaiting };
        self.orders.push(OrderRecord { id, create, known });
        OrderIndex(self.orders.len() - 1)
    }

    /// From now on a worker may pay or cancel the order.
    pub(crate) fn make_available(&mut self, index: OrderIndex) {
        if self.orders[index.0].known == ExpectedStatus::Awaiting {
            self.awaiting
                .push(u32::try_from(index.0).expect("a user places fewer than 2³² orders"));
        }
    }

    /// Whether the order awaits payment, as far as this run knows.
    pub(crate) fn is_awaiting(&self, index: OrderIndex) -> bool {
        self.orders[index.0].known == ExpectedStatus::Awaiting
    }

    /// A random order.
    pub(crate) fn random_order(&self, random: &mut SplitMix64) -> Option<OrderIndex> {
        (!self.orders.is_empty()).then(|| OrderIndex(random.index(&self.orders)))
    }

    /// A random order that awaits payment. Each order is returned once.
    pub(crate) fn take_awaiting(&mut self, random: &mut SplitMix64) -> Option<OrderIndex> {
        if self.awaiting.is_empty() {
            return None;
        }
        let index = self.awaiting.swap_remove(random.index(&self.awaiting));
        Some(OrderIndex(usize::try_from(index).expect("an index fits in usize")))
    }

    pub(crate) fn pay_sent(&mut self, index: OrderIndex) {
        self.orders[index.0].known = ExpectedStatus::PaySent;
    }

    pub(crate) fn cancel_sent(&mut self, index: OrderIndex) {
        self.orders[index.0].known = ExpectedStatus::CancelSent;
    }

    /// Records the answer to a pay or a cancel.
    pub(crate) fn answered(&mut self, index: OrderIndex, code: Code) {
        let known = &mut self.orders[index.0].known;
        *known = match (*known, code) {
            (ExpectedStatus::PaySent, Code::Ok) => ExpectedStatus::Paid,
            (ExpectedStatus::CancelSent, Code::Ok) => ExpectedStatus::Cancelled,
            (ExpectedStatus::PaySent, code) if is_refusal(code) => ExpectedStatus::PayRefused,
            (ExpectedStatus::CancelSent, code) if is_refusal(code) => ExpectedStatus::CancelRefused,
            (unchanged, _) => unchanged,
        };
    }

    /// Compares an answer to OrderInfo with the log.
    pub(crate) fn compare(
        &self,
        index: OrderIndex,
        generator: &OrderGenerator,
        answer: &Result<OrderInfoResponse, Code>,
    ) -> ReadResult {
        let OrderRecord { id, create, known } = self.orders[index.0];
        let order = match answer {
            Ok(order) => order,
            Err(Code::NotFound) => {
                return ReadResult::Missing(format!("order {id} does not exist"));
            }
            Err(code) => {
                return ReadResult::Unread(format!(
                    "order {id} cannot be read: {}",
                    code_name(*code)
                ));
            }
        };
        if order.user != self.user {
            let (actual, expected) = (order.user, self.user);
            return ReadResult::Wrong(format!(
                "order {id} belongs to user {actual}, not {expected}"
            ));
        }
        let lines = generator.lines_of(self.user, create);
        if order.items != lines {
            let (actual, expected) = (Lines(&order.items), Lines(&lines));
            return ReadResult::Wrong(format!("order {id} has the lines {actual}, not {expected}"));
        }
        if is_possible(known, &order.status, &order.reason) {
            return ReadResult::Correct;
        }
        let (status, reason) = (&order.status, &order.reason);
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        ReadResult::Wrong(format!("order {id} is {status}{reason}, but {}", describe(known)))
    }
}

/// Whether the order may have this status and reason. An unpaid order may have expired.
fn is_possible(known: ExpectedStatus, status: &str, reason: &str) -> bool {
    let awaiting = (status, reason) == ("awaiting payment", "");
    let paid = (status, reason) == ("paid", "");
    let expired = (status, reason) == ("cancelled", "PAYMENT_TIMEOUT");
    let cancelled = expired || (status, reason) == ("cancelled", "CANCELLED_BY_CLIENT");
    match known {
        ExpectedStatus::Awaiting => awaiting || expired,
        ExpectedStatus::Failed => (status, reason) == ("failed", "OUT_OF_STOCK"),
        ExpectedStatus::PaySent => awaiting || paid || expired,
        ExpectedStatus::Paid => paid,
        ExpectedStatus::PayRefused => expired,
        ExpectedStatus::CancelSent => awaiting || cancelled,
        ExpectedStatus::Cancelled => cancelled,
        ExpectedStatus::CancelRefused => false,
    }
}

fn describe(known: ExpectedStatus) -> &'static str {
    match known {
        ExpectedStatus::Awaiting => "was placed and neither paid nor cancelled",
        ExpectedStatus::Failed => "was answered as failed",
        ExpectedStatus::PaySent => "may have been paid, and was not cancelled",
        ExpectedStatus::Paid => "was paid",
        ExpectedStatus::PayRefused => "its payment was refused",
        ExpectedStatus::CancelSent => "may have been cancelled, and was not paid",
        ExpectedStatus::Cancelled => "was cancelled",
        ExpectedStatus::CancelRefused => "its cancellation was refused",
    }
}

/// Whether the code means that the server refused the call. After any other code the outcome is
/// unknown.
pub(crate) fn is_refusal(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => false,
    }
}

/// `1002:1 1003:1`
struct Lines<'a>(&'a [Item]);

impl std::fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, item) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{}:{}", item.sku, item.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator() -> OrderGenerator {
        OrderGenerator { skus: (1..=9).collect(), lines: 2, seed: 1, keys: false }
    }

    fn shown(status: &str, reason: &str, create: u32) -> OrderInfoResponse {
        OrderInfoResponse {
            status: status.to_owned(),
            user: 7,
            items: generator().lines_of(7, create),
            reason: reason.to_owned(),
            ..OrderInfoResponse::default()
        }
    }

    fn compare(order_log: &OrderLog, index: OrderIndex, answer: OrderInfoResponse) -> String {
        match order_log.compare(index, &generator(), &Ok(answer)) {
            ReadResult::Correct => "correct".to_owned(),
            ReadResult::Wrong(text) => text,
            other @ (ReadResult::Missing(_) | ReadResult::Unread(_)) => format!("{other:?}"),
        }
    }

    #[test]
    fn lines_have_distinct_skus_even_if_the_order_has_all_of_them() {
        let generator = OrderGenerator { lines: 9, ..generator() };
        for create in 0..100 {
            let lines = generator.lines_of(1, create);
            let skus: Vec<u32> = lines.iter().map(|item| item.sku).collect();
            assert_eq!(skus, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }

    #[test]
    fn unpaid_order_awaits_payment_or_has_expired() {
        let mut order_log = OrderLog::new(7);
        let index = order_log.add(0, 41, false);
        assert_eq!(compare(&order_log, index, shown("awaiting payment", "", 0)), "correct");
        assert_eq!(compare(&order_log, index, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "correct");
        assert_eq!(
            compare(&order_log, index, shown("cancelled", "CANCELLED_BY_CLIENT", 0)),
            "order 41 is cancelled (CANCELLED_BY_CLIENT), \
             but was placed and neither paid nor cancelled"
        );
        assert_eq!(
            compare(&order_log, index, shown("paid", "", 0)),
            "order 41 is paid, but was placed and neither paid nor cancelled"
        );
    }

    #[test]
    fn paid_order_is_paid_and_lost_pay_may_have_paid_it() {
        let mut order_log = OrderLog::new(7);
        let index = order_log.add(0, 41, false);
        order_log.pay_sent(index);
        assert_eq!(compare(&order_log, index, shown("awaiting payment", "", 0)), "correct");
        assert_eq!(compare(&order_log, index, shown("paid", "", 0)), "correct");
        order_log.answered(index, Code::Unavailable);
        assert_eq!(compare(&order_log, index, shown("awaiting payment", "", 0)), "correct");
        order_log.answered(index, Code::Ok);
        assert_eq!(compare(&order_log, index, shown("paid", "", 0)), "correct");
        assert_eq!(
            compare(&order_log, index, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but was paid"
        );
    }

    #[test]
    fn refused_pay_is_correct_only_for_an_expired_order() {
        let mut order_log = OrderLog::new(7);
        let index = order_log.add(0, 41, false);
        order_log.pay_sent(index);
        order_log.answered(index, Code::FailedPrecondition);
        assert_eq!(compare(&order_log, index, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "correct");
        assert_eq!(
            compare(&order_log, index, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but its payment was refused"
        );
    }

    #[test]
    fn missing_order_and_order_of_another_user_are_found() {
        let mut order_log = OrderLog::new(7);
        let index = order_log.add(0, 41, false);
        let result = |answer| order_log.compare(index, &generator(), &answer);
        assert_eq!(
            result(Err(Code::NotFound)),
            ReadResult::Missing("order 41 does not exist".to_owned())
        );
        assert_eq!(
            result(Err(Code::Unavailable)),
            ReadResult::Unread("order 41 cannot be read: UNAVAILABLE".to_owned())
        );
        let order = OrderInfoResponse { user: 8, ..shown("awaiting payment", "", 0) };
        assert_eq!(compare(&order_log, index, order), "order 41 belongs to user 8, not 7");
        let mut order = shown("awaiting payment", "", 0);
        order.items[0] = Item { sku: 1, count: 2 };
        order.items[1] = Item { sku: 9, count: 1 };
        let text = compare(&order_log, index, order);
        assert!(text.starts_with("order 41 has the lines 1:2 9:1, not "), "{text}");
    }

    #[test]
    fn awaiting_order_is_taken_once_and_a_failed_one_never() {
        let mut order_log = OrderLog::new(7);
        let failed = order_log.add(0, 40, true);
        let good = order_log.add(1, 41, false);
        order_log.make_available(failed);
        order_log.make_available(good);
        let mut random = SplitMix64::new(1, 0);
        assert_eq!(order_log.take_awaiting(&mut random), Some(good));
        assert_eq!(order_log.take_awaiting(&mut random), None);
    }
}
