//! Invariants of the whole state: they hold after every sequence of entries.

use std::fmt;

use super::ids::{OrderId, Sku, Timestamp};
use super::lifecycle::{Cause, OrderStatus};
use super::orders::OrderView;
use super::state::LomsState;
use super::stock::StockView;
use super::storage::Sizes;

/// A contradiction in a state: a bug of the state machine, or damaged parts passed to a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A SKU has two stock records.
    DuplicateSku {
        /// The SKU.
        sku: Sku,
    },
    /// Orders have reserved or bought more units than the opening stock leaves for them.
    OverReserved {
        /// The SKU.
        sku: Sku,
    },
    /// `reserved` is not the opening reservation plus the units of orders that await payment.
    WrongReserved {
        /// The SKU.
        sku: Sku,
        /// The stock's `reserved`.
        reserved: u64,
        /// What it should be.
        expected: u128,
    },
    /// `total` is not the opening total minus what was paid.
    WrongTotal {
        /// The SKU.
        sku: Sku,
        /// The stock's `total`.
        total: u64,
        /// Units of paid orders.
        paid: u128,
    },
    /// An order that was reserved has a SKU without a stock record.
    UnknownSku {
        /// The order.
        order: OrderId,
        /// The SKU.
        sku: Sku,
    },
    /// An order contradicts itself.
    Order {
        /// The order.
        order: OrderId,
        /// What is wrong.
        what: &'static str,
    },
    /// An index or a counter contradicts the data that it is made of.
    Index {
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateSku { sku } => write!(f, "SKU {sku} has two stock records"),
            Self::OverReserved { sku } => {
                write!(f, "SKU {sku}: orders hold more than there is")
            }
            Self::WrongReserved { sku, reserved, expected } => {
                write!(f, "SKU {sku}: reserved is {reserved}, but the orders add up to {expected}")
            }
            Self::WrongTotal { sku, total, paid } => {
                write!(f, "SKU {sku}: a total of {total} does not match {paid} paid units")
            }
            Self::UnknownSku { order, sku } => {
                write!(f, "order {order} reserves SKU {sku}, which has no stock record")
            }
            Self::Order { order, what } => write!(f, "order {order}: {what}"),
            Self::Index { what } => write!(f, "{what}"),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Claims {
    awaiting: u128,
    paid: u128,
}

impl<S: Sizes> LomsState<S> {
    /// Checks the whole state, order by order and SKU by SKU.
    ///
    /// # Errors
    /// The first [`Violation`] found. If the state machine has no bug, there is none.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        // By ascending SKU.
        let mut claims: Vec<(StockView, Claims)> =
            self.stock().map(|view| (view, Claims::default())).collect();
        let mut previous = None;
        let mut transitions: u64 = 0;
        let mut kept: u32 = 0;
        for order in self.orders() {
            let order_changed = check_order(self, &order, previous)?;
            transitions = transitions.checked_add(order_changed).expect("few for each order");
            kept = kept.checked_add(1).expect("there are fewer than 2³² orders");
            previous = Some(order.created());
            if matches!(order.status(), OrderStatus::AwaitingPayment | OrderStatus::Paid) {
                add_claims(&order, &mut claims)?;
            }
        }
        if self.events() < transitions {
            return Err(Violation::Index { what: "the orders have more events than the machine" });
        }
        check_stock(&claims, kept == self.orders_placed())?;
        check_indexes(self)
    }
}

/// Adds what an order has reserved or bought.
fn add_claims<S: Sizes>(
    order: &OrderView<'_, S>,
    claims: &mut [(StockView, Claims)],
) -> Result<(), Violation> {
    order.lines().try_for_each(|line| {
        let place = claims.binary_search_by_key(&line.sku, |(view, _)| view.opening.sku);
        let claim = place.ok().and_then(|place| claims.get_mut(place));
        let Some((_, claim)) = claim else {
            return Err(Violation::UnknownSku { order: order.id(), sku: line.sku });
        };
        let claimed = match order.status() {
            OrderStatus::AwaitingPayment => &mut claim.awaiting,
            OrderStatus::Paid => &mut claim.paid,
            OrderStatus::New | OrderStatus::Failed | OrderStatus::Cancelled => return Ok(()),
        };
        let sum = claimed.checked_add(u128::from(line.count.get()));
        *claimed = sum.expect("2⁶⁴ lines of 32 bits fit 128 bits");
        Ok(())
    })
}

fn check_stock(stock: &[(StockView, Claims)], all_kept: bool) -> Result<(), Violation> {
    for (StockView { opening, total, reserved }, claims) in stock.iter().copied() {
        let sku = opening.sku;
        let held = claims.awaiting.checked_add(claims.paid).expect("both are far below 2¹²⁷");
        // The opening stock can be reserved in excess by another system. Then no order holds any.
        let most = opening.total.saturating_sub(opening.reserved);
        if held > u128::from(most) {
            return Err(Violation::OverReserved { sku });
        }
        let expected = claims.awaiting.checked_add(u128::from(opening.reserved));
        let expected = expected.expect("both are far below 2¹²⁷");
        if u128::from(reserved) != expected {
            return Err(Violation::WrongReserved { sku, reserved, expected });
        }
        // Orders that are forgotten were perhaps paid.
        let sold = u128::from(opening.total).checked_sub(u128::from(total));
        if sold.is_none_or(|sold| sold < claims.paid || (all_kept && sold != claims.paid)) {
            return Err(Violation::WrongTotal { sku, total, paid: claims.paid });
        }
    }
    Ok(())
}

/// Checks one order; `previous` is when the order before it was created. Returns how often its
/// status has changed.
fn check_order<S: Sizes>(
    state: &LomsState<S>,
    order: &OrderView<'_, S>,
    previous: Option<Timestamp>,
) -> Result<u64, Violation> {
    let matching = match order.status() {
        OrderStatus::New => false,
        OrderStatus::AwaitingPayment => order.cause() == Cause::Reservation,
        OrderStatus::Failed => order.cause() == Cause::OutOfStock,
        OrderStatus::Paid => order.cause() == Cause::Payment,
        OrderStatus::Cancelled => {
            matches!(order.cause(), Cause::CancelledByClient | Cause::PaymentTimeout)
        }
    };
    let short = order.shortages().count();
    let what = if !matching {
        "its status and its cause do not match"
    } else if order.lines().len() == 0 {
        "it has no lines"
    } else if !order.skus().is_sorted_by(|one, next| one < next) {
        "its SKUs are not ascending"
    } else if (short > 0) != (order.status() == OrderStatus::Failed) {
        "it failed without a shortage, or has a shortage without having failed"
    } else if order
        .shortages()
        .any(|shortage| shortage.available >= u64::from(shortage.requested.get()))
    {
        "a shortage has enough units available"
    } else if previous.is_some_and(|previous| previous > order.created()) {
        "it was created before the order with the id before it"
    } else if order.updated() < order.created() || order.updated() > state.now() {
        "its times are not in order"
    } else {
        return Ok(match order.status() {
            OrderStatus::New => 1,
            OrderStatus::AwaitingPayment | OrderStatus::Failed => 2,
            OrderStatus::Paid | OrderStatus::Cancelled => 3,
        });
    };
    Err(Violation::Order { order: order.id(), what })
}

fn check_indexes<S: Sizes>(state: &LomsState<S>) -> Result<(), Violation> {
    let awaiting = state
        .orders()
        .filter(|order| order.status() == OrderStatus::AwaitingPayment)
        .map(|order| order.id());
    let what = if !state.awaiting().eq(awaiting) {
        "the set of awaiting orders does not match the orders"
    } else if state.next_deadline() != state.oldest_deadline() {
        "the next deadline is not that of the oldest awaiting order"
    } else if state.next_deadline().is_some_and(|deadline| deadline <= state.now()) {
        "an order is past its deadline"
    } else if !state.key_index_is_sound() {
        "a key cannot be found through its index"
    } else if !state.lists_are_sound() {
        "a list of finished orders, or the sum of their bytes, does not match the orders"
    } else if !state.open_orders_are_sound() {
        "the numbers of open orders do not match the orders"
    } else if state.rules_since() > state.now() {
        "the rules hold since a time in the future"
    } else {
        return Ok(());
    };
    Err(Violation::Index { what })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Command, Count, Demand, Entry, Line, OpeningStock, Parts, Rules, Shipped, Span,
        StockRecord, UserId,
    };
    use super::*;

    #[test]
    fn an_order_at_its_deadline_is_a_violation() {
        let sku = Sku::new(1).unwrap();
        let opening = OpeningStock::new(vec![StockRecord { sku, total: 1, reserved: 0 }]).unwrap();
        let rules = Rules { payment_timeout: Span::from_nanos(60), ..Rules::default() };
        let mut state = LomsState::new(rules, &opening, 1);
        let demand = Demand::merge(vec![Line { sku, count: Count::new(1).unwrap() }]).unwrap();
        let command = Command::CreateOrder { user: UserId::new(7).unwrap(), demand, key: None };
        let entry = Entry { index: 1, at: Timestamp::from_nanos(50), command };
        state.apply(&entry, &mut Vec::new()).unwrap();
        let violation_at = |now| {
            let parts = Parts { now: Timestamp::from_nanos(now), ..state.parts() };
            LomsState::<Shipped>::restore(parts, 1).err()
        };
        assert_eq!(violation_at(109), None);
        let what = "an order is past its deadline";
        assert_eq!(violation_at(110), Some(Violation::Index { what }));
    }
}
