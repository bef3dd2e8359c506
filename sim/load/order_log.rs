//! What this run knows of its orders, and whether what is read back agrees with it. An order takes
//! 20 bytes here: its lines are not kept but drawn again, by the number of its create.

use loms::client::code_name;
use loms::grpc::proto::{Item, OrderInfoResponse};
use tonic::Code;

use super::random::SplitMix64;

/// What can be ordered, and how much of it at once.
#[derive(Clone, Debug)]
pub(crate) struct OrderGenerator {
    /// Each once; at least as many as `lines`.
    pub(crate) skus: Vec<u32>,
    /// Distinct SKUs of an order, from 1.
    pub(crate) lines: usize,
    pub(crate) seed: u64,
    /// Whether each create has an idempotency key of its own.
    pub(crate) keys: bool,
}

impl OrderGenerator {
    /// The lines of a user's order, by ascending SKU; the same whenever they are asked for.
    pub(crate) fn lines_of(&self, user: i64, create: u32) -> Vec<Item> {
        let stream = (user.cast_unsigned() << 32) | u64::from(create);
        let mut draw = SplitMix64::new(self.seed, stream);
        let mut places: Vec<usize> = Vec::with_capacity(self.lines);
        for _ in 0..self.lines {
            let mut place = draw.place(&self.skus);
            while places.contains(&place) {
                place = (place + 1) % self.skus.len();
            }
            places.push(place);
        }
        let item = |place: &usize| Item { sku: self.skus[*place], count: 1 };
        let mut items: Vec<Item> = places.iter().map(item).collect();
        items.sort_unstable_by_key(|item| item.sku);
        items
    }
}

/// An order as far as this run knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedStatus {
    Awaiting,
    Failed,
    /// OrderPay was sent, and nothing is known of what came of it.
    PaySent,
    Paid,
    /// Refused, which is right only for an order that had expired.
    PayRefused,
    /// OrderCancel was sent, and nothing is known of what came of it.
    CancelSent,
    Cancelled,
    /// Refused, which is never right.
    CancelRefused,
}

#[derive(Clone, Copy, Debug)]
struct OrderRecord {
    id: i64,
    /// The number of its create among those of this user.
    create: u32,
    known: ExpectedStatus,
}

/// The place of an order in its order_log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderIndex(pub(crate) usize);

/// The orders of one user.
#[derive(Debug)]
pub(crate) struct OrderLog {
    user: i64,
    orders: Vec<OrderRecord>,
    /// Places of orders that await payment and that nobody is about to pay or cancel.
    awaiting: Vec<u32>,
}

/// What came of reading an order back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadResult {
    Right,
    /// The server says that there is no such order.
    Missing(String),
    /// The server did not say.
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

    pub(crate) fn id(&self, place: OrderIndex) -> i64 {
        self.orders[place.0].id
    }

    /// An order was placed. It is open to [`Self::take_awaiting`] only after [`Self::offer`].
    pub(crate) fn placed(&mut self, create: u32, id: i64, failed: bool) -> OrderIndex {
        let known = if failed { ExpectedStatus::Failed } else { ExpectedStatus::Awaiting };
        self.orders.push(OrderRecord { id, create, known });
        OrderIndex(self.orders.len() - 1)
    }

    /// Anyone may pay or cancel it.
    pub(crate) fn offer(&mut self, place: OrderIndex) {
        if self.orders[place.0].known == ExpectedStatus::Awaiting {
            self.awaiting.push(u32::try_from(place.0).expect("a user places fewer than 2³²"));
        }
    }

    /// Whether it can still be paid, unless it has expired.
    pub(crate) fn is_awaiting(&self, place: OrderIndex) -> bool {
        self.orders[place.0].known == ExpectedStatus::Awaiting
    }

    /// Any order.
    pub(crate) fn draw(&self, draw: &mut SplitMix64) -> Option<OrderIndex> {
        (!self.orders.is_empty()).then(|| OrderIndex(draw.place(&self.orders)))
    }

    /// An order that awaits payment; it is given out once.
    pub(crate) fn take_awaiting(&mut self, draw: &mut SplitMix64) -> Option<OrderIndex> {
        if self.awaiting.is_empty() {
            return None;
        }
        let place = self.awaiting.swap_remove(draw.place(&self.awaiting));
        Some(OrderIndex(usize::try_from(place).expect("it was a place")))
    }

    pub(crate) fn pay_sent(&mut self, place: OrderIndex) {
        self.orders[place.0].known = ExpectedStatus::PaySent;
    }

    pub(crate) fn cancel_sent(&mut self, place: OrderIndex) {
        self.orders[place.0].known = ExpectedStatus::CancelSent;
    }

    /// What came of a pay or a cancel that was sent.
    pub(crate) fn answered(&mut self, place: OrderIndex, code: Code) {
        let known = &mut self.orders[place.0].known;
        *known = match (*known, code) {
            (ExpectedStatus::PaySent, Code::Ok) => ExpectedStatus::Paid,
            (ExpectedStatus::CancelSent, Code::Ok) => ExpectedStatus::Cancelled,
            (ExpectedStatus::PaySent, code) if is_refusal(code) => ExpectedStatus::PayRefused,
            (ExpectedStatus::CancelSent, code) if is_refusal(code) => ExpectedStatus::CancelRefused,
            (unknown, _) => unknown,
        };
    }

    /// Holds what OrderInfo says of an order against what is known of it.
    pub(crate) fn judge(
        &self,
        place: OrderIndex,
        generator: &OrderGenerator,
        answer: &Result<OrderInfoResponse, Code>,
    ) -> ReadResult {
        let OrderRecord { id, create, known } = self.orders[place.0];
        let order = match answer {
            Ok(order) => order,
            Err(Code::NotFound) => return ReadResult::Missing(format!("order {id} is not there")),
            Err(code) => {
                return ReadResult::Unread(format!(
                    "order {id} cannot be read: {}",
                    code_name(*code)
                ));
            }
        };
        if order.user != self.user {
            let (is, should) = (order.user, self.user);
            return ReadResult::Wrong(format!("order {id} is of user {is}, not {should}"));
        }
        let lines = generator.lines_of(self.user, create);
        if order.items != lines {
            let (is, should) = (Lines(&order.items), Lines(&lines));
            return ReadResult::Wrong(format!("order {id} has the lines {is}, not {should}"));
        }
        if may_be(known, &order.status, &order.reason) {
            return ReadResult::Right;
        }
        let (status, reason) = (&order.status, &order.reason);
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        ReadResult::Wrong(format!("order {id} is {status}{reason}, but {}", told(known)))
    }
}

/// Whether an order of which this much is known may be read back like that. Single that nobody paid
/// may have expired.
fn may_be(known: ExpectedStatus, status: &str, reason: &str) -> bool {
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

fn told(known: ExpectedStatus) -> &'static str {
    match known {
        ExpectedStatus::Awaiting => "was placed and neither paid nor cancelled",
        ExpectedStatus::Failed => "was answered as failed",
        ExpectedStatus::PaySent => "was perhaps paid, and not cancelled",
        ExpectedStatus::Paid => "was paid",
        ExpectedStatus::PayRefused => "its payment was refused",
        ExpectedStatus::CancelSent => "was perhaps cancelled, and not paid",
        ExpectedStatus::Cancelled => "was cancelled",
        ExpectedStatus::CancelRefused => "its cancelling was refused",
    }
}

/// Whether a code says that the server decided against the call. All others leave open whether it
/// took effect.
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

    fn verdict(order_log: &OrderLog, place: OrderIndex, answer: OrderInfoResponse) -> String {
        match order_log.judge(place, &generator(), &Ok(answer)) {
            ReadResult::Right => "right".to_owned(),
            ReadResult::Wrong(what) => what,
            other @ (ReadResult::Missing(_) | ReadResult::Unread(_)) => format!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_distinct_skus_also_when_the_order_takes_all_there_are() {
        let generator = OrderGenerator { lines: 9, ..generator() };
        for create in 0..100 {
            let lines = generator.lines_of(1, create);
            let skus: Vec<u32> = lines.iter().map(|item| item.sku).collect();
            assert_eq!(skus, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }

    #[test]
    fn order_that_nobody_touched_awaits_payment_or_has_expired() {
        let mut order_log = OrderLog::new(7);
        let place = order_log.placed(0, 41, false);
        assert_eq!(verdict(&order_log, place, shown("awaiting payment", "", 0)), "right");
        assert_eq!(verdict(&order_log, place, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "right");
        assert_eq!(
            verdict(&order_log, place, shown("cancelled", "CANCELLED_BY_CLIENT", 0)),
            "order 41 is cancelled (CANCELLED_BY_CLIENT), \
             but was placed and neither paid nor cancelled"
        );
        assert_eq!(
            verdict(&order_log, place, shown("paid", "", 0)),
            "order 41 is paid, but was placed and neither paid nor cancelled"
        );
    }

    #[test]
    fn paid_order_is_paid_and_one_whose_pay_was_lost_may_be() {
        let mut order_log = OrderLog::new(7);
        let place = order_log.placed(0, 41, false);
        order_log.pay_sent(place);
        assert_eq!(verdict(&order_log, place, shown("awaiting payment", "", 0)), "right");
        assert_eq!(verdict(&order_log, place, shown("paid", "", 0)), "right");
        order_log.answered(place, Code::Unavailable);
        assert_eq!(verdict(&order_log, place, shown("awaiting payment", "", 0)), "right");
        order_log.answered(place, Code::Ok);
        assert_eq!(verdict(&order_log, place, shown("paid", "", 0)), "right");
        assert_eq!(
            verdict(&order_log, place, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but was paid"
        );
    }

    #[test]
    fn refused_pay_is_forgiven_only_where_the_order_had_expired() {
        let mut order_log = OrderLog::new(7);
        let place = order_log.placed(0, 41, false);
        order_log.pay_sent(place);
        order_log.answered(place, Code::FailedPrecondition);
        assert_eq!(verdict(&order_log, place, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "right");
        assert_eq!(
            verdict(&order_log, place, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but its payment was refused"
        );
    }

    #[test]
    fn order_that_is_lost_or_is_somebody_elses_is_seen() {
        let mut order_log = OrderLog::new(7);
        let place = order_log.placed(0, 41, false);
        let judge = |answer| order_log.judge(place, &generator(), &answer);
        assert_eq!(
            judge(Err(Code::NotFound)),
            ReadResult::Missing("order 41 is not there".to_owned())
        );
        assert_eq!(
            judge(Err(Code::Unavailable)),
            ReadResult::Unread("order 41 cannot be read: UNAVAILABLE".to_owned())
        );
        let order = OrderInfoResponse { user: 8, ..shown("awaiting payment", "", 0) };
        assert_eq!(verdict(&order_log, place, order), "order 41 is of user 8, not 7");
        let mut order = shown("awaiting payment", "", 0);
        order.items[0] = Item { sku: 1, count: 2 };
        order.items[1] = Item { sku: 9, count: 1 };
        let told = verdict(&order_log, place, order);
        assert!(told.starts_with("order 41 has the lines 1:2 9:1, not "), "{told}");
    }

    #[test]
    fn awaiting_order_is_given_out_once_and_a_failed_one_never() {
        let mut order_log = OrderLog::new(7);
        let failed = order_log.placed(0, 40, true);
        let good = order_log.placed(1, 41, false);
        order_log.offer(failed);
        order_log.offer(good);
        let mut draw = SplitMix64::new(1, 0);
        assert_eq!(order_log.take_awaiting(&mut draw), Some(good));
        assert_eq!(order_log.take_awaiting(&mut draw), None);
    }
}
