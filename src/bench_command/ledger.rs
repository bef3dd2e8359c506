//! What this run knows of its orders, and whether what is read back agrees with it. An order takes
//! 20 bytes here: its lines are not kept but drawn again, by the number of its create.

use loms::client::code_name;
use loms::grpc::proto::{Item, OrderInfoResponse};
use tonic::Code;

use super::draw::Draw;

/// What can be ordered, and how much of it at once.
#[derive(Clone, Debug)]
pub(crate) struct Assortment {
    /// Each once; at least as many as `lines`.
    pub(crate) skus: Vec<u32>,
    /// Distinct SKUs of an order, from 1.
    pub(crate) lines: usize,
    pub(crate) seed: u64,
    /// Whether each create has an idempotency key of its own.
    pub(crate) keys: bool,
}

impl Assortment {
    /// The lines of a user's order, by ascending SKU; the same whenever they are asked for.
    pub(crate) fn lines_of(&self, user: i64, create: u32) -> Vec<Item> {
        let stream = (user.cast_unsigned() << 32) | u64::from(create);
        let mut draw = Draw::new(self.seed, stream);
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
enum Known {
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
struct Placed {
    id: i64,
    /// The number of its create among those of this user.
    create: u32,
    known: Known,
}

/// The place of an order in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) usize);

/// The orders of one user.
#[derive(Debug)]
pub(crate) struct Ledger {
    user: i64,
    orders: Vec<Placed>,
    /// Places of orders that await payment and that nobody is about to pay or cancel.
    awaiting: Vec<u32>,
}

/// What came of reading an order back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// The server says that there is no such order.
    Missing(String),
    /// The server did not say.
    Unread(String),
    Wrong(String),
}

impl Ledger {
    pub(crate) fn new(user: i64) -> Self {
        Self { user, orders: Vec::new(), awaiting: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.orders.iter().map(|order| order.id)
    }

    pub(crate) fn id(&self, place: Place) -> i64 {
        self.orders[place.0].id
    }

    /// An order was placed. It is open to [`Self::take_awaiting`] only after [`Self::offer`].
    pub(crate) fn placed(&mut self, create: u32, id: i64, failed: bool) -> Place {
        let known = if failed { Known::Failed } else { Known::Awaiting };
        self.orders.push(Placed { id, create, known });
        Place(self.orders.len() - 1)
    }

    /// Anyone may pay or cancel it.
    pub(crate) fn offer(&mut self, place: Place) {
        if self.orders[place.0].known == Known::Awaiting {
            self.awaiting.push(u32::try_from(place.0).expect("a user places fewer than 2³²"));
        }
    }

    /// Whether it can still be paid, unless it has expired.
    pub(crate) fn is_awaiting(&self, place: Place) -> bool {
        self.orders[place.0].known == Known::Awaiting
    }

    /// Any order.
    pub(crate) fn draw(&self, draw: &mut Draw) -> Option<Place> {
        (!self.orders.is_empty()).then(|| Place(draw.place(&self.orders)))
    }

    /// An order that awaits payment; it is given out once.
    pub(crate) fn take_awaiting(&mut self, draw: &mut Draw) -> Option<Place> {
        if self.awaiting.is_empty() {
            return None;
        }
        let place = self.awaiting.swap_remove(draw.place(&self.awaiting));
        Some(Place(usize::try_from(place).expect("it was a place")))
    }

    pub(crate) fn pay_sent(&mut self, place: Place) {
        self.orders[place.0].known = Known::PaySent;
    }

    pub(crate) fn cancel_sent(&mut self, place: Place) {
        self.orders[place.0].known = Known::CancelSent;
    }

    /// What came of a pay or a cancel that was sent.
    pub(crate) fn answered(&mut self, place: Place, code: Code) {
        let known = &mut self.orders[place.0].known;
        *known = match (*known, code) {
            (Known::PaySent, Code::Ok) => Known::Paid,
            (Known::CancelSent, Code::Ok) => Known::Cancelled,
            (Known::PaySent, code) if is_refusal(code) => Known::PayRefused,
            (Known::CancelSent, code) if is_refusal(code) => Known::CancelRefused,
            (unknown, _) => unknown,
        };
    }

    /// Holds what OrderInfo says of an order against what is known of it.
    pub(crate) fn judge(
        &self,
        place: Place,
        assortment: &Assortment,
        answer: &Result<OrderInfoResponse, Code>,
    ) -> Verdict {
        let Placed { id, create, known } = self.orders[place.0];
        let order = match answer {
            Ok(order) => order,
            Err(Code::NotFound) => return Verdict::Missing(format!("order {id} is not there")),
            Err(code) => {
                return Verdict::Unread(format!("order {id} cannot be read: {}", code_name(*code)));
            }
        };
        if order.user != self.user {
            let (is, should) = (order.user, self.user);
            return Verdict::Wrong(format!("order {id} is of user {is}, not {should}"));
        }
        let lines = assortment.lines_of(self.user, create);
        if order.items != lines {
            let (is, should) = (Lines(&order.items), Lines(&lines));
            return Verdict::Wrong(format!("order {id} has the lines {is}, not {should}"));
        }
        if may_be(known, &order.status, &order.reason) {
            return Verdict::Right;
        }
        let (status, reason) = (&order.status, &order.reason);
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        Verdict::Wrong(format!("order {id} is {status}{reason}, but {}", told(known)))
    }
}

/// Whether an order of which this much is known may be read back like that. One that nobody paid
/// may have expired.
fn may_be(known: Known, status: &str, reason: &str) -> bool {
    let awaiting = (status, reason) == ("awaiting payment", "");
    let paid = (status, reason) == ("paid", "");
    let expired = (status, reason) == ("cancelled", "PAYMENT_TIMEOUT");
    let cancelled = expired || (status, reason) == ("cancelled", "CANCELLED_BY_CLIENT");
    match known {
        Known::Awaiting => awaiting || expired,
        Known::Failed => (status, reason) == ("failed", "OUT_OF_STOCK"),
        Known::PaySent => awaiting || paid || expired,
        Known::Paid => paid,
        Known::PayRefused => expired,
        Known::CancelSent => awaiting || cancelled,
        Known::Cancelled => cancelled,
        Known::CancelRefused => false,
    }
}

fn told(known: Known) -> &'static str {
    match known {
        Known::Awaiting => "was placed and neither paid nor cancelled",
        Known::Failed => "was answered as failed",
        Known::PaySent => "was perhaps paid, and not cancelled",
        Known::Paid => "was paid",
        Known::PayRefused => "its payment was refused",
        Known::CancelSent => "was perhaps cancelled, and not paid",
        Known::Cancelled => "was cancelled",
        Known::CancelRefused => "its cancelling was refused",
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

    fn assortment() -> Assortment {
        Assortment { skus: (1..=9).collect(), lines: 2, seed: 1, keys: false }
    }

    fn shown(status: &str, reason: &str, create: u32) -> OrderInfoResponse {
        OrderInfoResponse {
            status: status.to_owned(),
            user: 7,
            items: assortment().lines_of(7, create),
            reason: reason.to_owned(),
            ..OrderInfoResponse::default()
        }
    }

    fn verdict(ledger: &Ledger, place: Place, answer: OrderInfoResponse) -> String {
        match ledger.judge(place, &assortment(), &Ok(answer)) {
            Verdict::Right => "right".to_owned(),
            Verdict::Wrong(what) => what,
            other @ (Verdict::Missing(_) | Verdict::Unread(_)) => format!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_distinct_skus_also_when_the_order_takes_all_there_are() {
        let assortment = Assortment { lines: 9, ..assortment() };
        for create in 0..100 {
            let lines = assortment.lines_of(1, create);
            let skus: Vec<u32> = lines.iter().map(|item| item.sku).collect();
            assert_eq!(skus, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }

    #[test]
    fn order_that_nobody_touched_awaits_payment_or_has_expired() {
        let mut ledger = Ledger::new(7);
        let place = ledger.placed(0, 41, false);
        assert_eq!(verdict(&ledger, place, shown("awaiting payment", "", 0)), "right");
        assert_eq!(verdict(&ledger, place, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "right");
        assert_eq!(
            verdict(&ledger, place, shown("cancelled", "CANCELLED_BY_CLIENT", 0)),
            "order 41 is cancelled (CANCELLED_BY_CLIENT), \
             but was placed and neither paid nor cancelled"
        );
        assert_eq!(
            verdict(&ledger, place, shown("paid", "", 0)),
            "order 41 is paid, but was placed and neither paid nor cancelled"
        );
    }

    #[test]
    fn paid_order_is_paid_and_one_whose_pay_was_lost_may_be() {
        let mut ledger = Ledger::new(7);
        let place = ledger.placed(0, 41, false);
        ledger.pay_sent(place);
        assert_eq!(verdict(&ledger, place, shown("awaiting payment", "", 0)), "right");
        assert_eq!(verdict(&ledger, place, shown("paid", "", 0)), "right");
        ledger.answered(place, Code::Unavailable);
        assert_eq!(verdict(&ledger, place, shown("awaiting payment", "", 0)), "right");
        ledger.answered(place, Code::Ok);
        assert_eq!(verdict(&ledger, place, shown("paid", "", 0)), "right");
        assert_eq!(
            verdict(&ledger, place, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but was paid"
        );
    }

    #[test]
    fn refused_pay_is_forgiven_only_where_the_order_had_expired() {
        let mut ledger = Ledger::new(7);
        let place = ledger.placed(0, 41, false);
        ledger.pay_sent(place);
        ledger.answered(place, Code::FailedPrecondition);
        assert_eq!(verdict(&ledger, place, shown("cancelled", "PAYMENT_TIMEOUT", 0)), "right");
        assert_eq!(
            verdict(&ledger, place, shown("awaiting payment", "", 0)),
            "order 41 is awaiting payment, but its payment was refused"
        );
    }

    #[test]
    fn order_that_is_lost_or_is_somebody_elses_is_seen() {
        let mut ledger = Ledger::new(7);
        let place = ledger.placed(0, 41, false);
        let judge = |answer| ledger.judge(place, &assortment(), &answer);
        assert_eq!(
            judge(Err(Code::NotFound)),
            Verdict::Missing("order 41 is not there".to_owned())
        );
        assert_eq!(
            judge(Err(Code::Unavailable)),
            Verdict::Unread("order 41 cannot be read: UNAVAILABLE".to_owned())
        );
        let order = OrderInfoResponse { user: 8, ..shown("awaiting payment", "", 0) };
        assert_eq!(verdict(&ledger, place, order), "order 41 is of user 8, not 7");
        let mut order = shown("awaiting payment", "", 0);
        order.items[0] = Item { sku: 1, count: 2 };
        order.items[1] = Item { sku: 9, count: 1 };
        let told = verdict(&ledger, place, order);
        assert!(told.starts_with("order 41 has the lines 1:2 9:1, not "), "{told}");
    }

    #[test]
    fn awaiting_order_is_given_out_once_and_a_failed_one_never() {
        let mut ledger = Ledger::new(7);
        let failed = ledger.placed(0, 40, true);
        let good = ledger.placed(1, 41, false);
        ledger.offer(failed);
        ledger.offer(good);
        let mut draw = Draw::new(1, 0);
        assert_eq!(ledger.take_awaiting(&mut draw), Some(good));
        assert_eq!(ledger.take_awaiting(&mut draw), None);
    }
}
