//! What must hold of the whole state, whatever commands led to it.

use std::collections::BTreeMap;
use std::fmt;

use super::ids::{OrderId, Sku};
use super::order::{OrderStatus, OrderView};
use super::outcome::Cause;
use super::state::LomsState;

/// Something in the state that cannot be: a bug in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// More is reserved than there is.
    OverReserved {
        /// Of what.
        sku: Sku,
    },
    /// `reserved` differs from the opening's own reservation plus what orders that await payment
    /// hold.
    ReservedIsOff {
        /// Of what.
        sku: Sku,
        /// On the shelf.
        reserved: u64,
        /// By the orders.
        expected: u128,
    },
    /// `total` differs from the opening's less what was paid.
    TotalIsOff {
        /// Of what.
        sku: Sku,
        /// On the shelf.
        total: u64,
        /// Units in orders that were paid.
        paid: u128,
    },
    /// An order that was reserved holds a SKU without a stock record.
    HoldsUnknownSku {
        /// The order.
        order: OrderId,
        /// The SKU.
        sku: Sku,
    },
    /// An order's record contradicts itself.
    Order {
        /// The order.
        order: OrderId,
        /// How.
        what: &'static str,
    },
    /// An index disagrees with what it indexes.
    Index {
        /// Which.
        what: &'static str,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverReserved { sku } => {
                write!(f, "SKU {sku}: more is reserved than there is")
            }
            Self::ReservedIsOff { sku, reserved, expected } => {
                write!(f, "SKU {sku}: {reserved} reserved, where the orders make it {expected}")
            }
            Self::TotalIsOff { sku, total, paid } => {
                write!(f, "SKU {sku}: a total of {total} does not fit {paid} paid units")
            }
            Self::HoldsUnknownSku { order, sku } => {
                write!(f, "order {order} holds SKU {sku}, which has no stock record")
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

pub(super) fn check(state: &LomsState) -> Result<(), Violation> {
    let mut claims: BTreeMap<Sku, Claims> = BTreeMap::new();
    let mut previous = None;
    for order in state.orders() {
        check_order(state, &order)?;
        if previous.is_some_and(|created| created > order.created()) {
            return Err(Violation::Order {
                order: order.id(),
                what: "it was created before the order of the id before it",
            });
        }
        previous = Some(order.created());
        for line in order.lines() {
            let claim = claims.entry(line.sku).or_default();
            let count = u128::from(line.count.get());
            match order.status() {
                OrderStatus::AwaitingPayment => {
                    claim.awaiting = claim.awaiting.saturating_add(count);
                }
                OrderStatus::Paid => claim.paid = claim.paid.saturating_add(count),
                OrderStatus::New | OrderStatus::Failed | OrderStatus::Cancelled => continue,
            }
            if state.available(line.sku).is_none() {
                return Err(Violation::HoldsUnknownSku { order: order.id(), sku: line.sku });
            }
        }
    }
    check_stock(state, &claims)?;
    check_indexes(state)
}

fn check_stock(state: &LomsState, claims: &BTreeMap<Sku, Claims>) -> Result<(), Violation> {
    for shelf in state.stock() {
        let sku = shelf.opening.sku;
        let claims = claims.get(&sku).copied().unwrap_or_default();
        if shelf.reserved > shelf.total {
            return Err(Violation::OverReserved { sku });
        }
        let expected = claims.awaiting.saturating_add(u128::from(shelf.opening.reserved));
        if u128::from(shelf.reserved) != expected {
            return Err(Violation::ReservedIsOff { sku, reserved: shelf.reserved, expected });
        }
        if u128::from(shelf.total).checked_add(claims.paid) != Some(u128::from(shelf.opening.total))
        {
            return Err(Violation::TotalIsOff { sku, total: shelf.total, paid: claims.paid });
        }
    }
    Ok(())
}

fn check_order(state: &LomsState, order: &OrderView<'_>) -> Result<(), Violation> {
    let fits = match order.status() {
        OrderStatus::New => false,
        OrderStatus::AwaitingPayment => order.cause() == Cause::Reservation,
        OrderStatus::Failed => order.cause() == Cause::OutOfStock,
        OrderStatus::Paid => order.cause() == Cause::Payment,
        OrderStatus::Cancelled => {
            matches!(order.cause(), Cause::CancelledByClient | Cause::PaymentTimeout)
        }
    };
    let short = order.shortages().count();
    let what = if !fits {
        "its status and its cause do not go together"
    } else if order.lines().len() == 0 {
        "it has no lines"
    } else if !order.skus().is_sorted_by(|one, next| one < next) {
        "its SKUs do not ascend"
    } else if (short > 0) != (order.status() == OrderStatus::Failed) {
        "it is failed without a shortage, or the other way round"
    } else if order
        .shortages()
        .any(|shortage| shortage.available >= u64::from(shortage.requested.get()))
    {
        "a shortage of it was none"
    } else if order.updated() < order.created() || order.updated() > state.now() {
        "its times are out of order"
    } else {
        return Ok(());
    };
    Err(Violation::Order { order: order.id(), what })
}

fn check_indexes(state: &LomsState) -> Result<(), Violation> {
    let awaiting = state
        .orders()
        .filter(|order| order.status() == OrderStatus::AwaitingPayment)
        .map(|order| order.id());
    if !state.awaiting().eq(awaiting) {
        return Err(Violation::Index { what: "the set of awaiting orders is not what it says" });
    }
    if state.next_deadline().is_some_and(|deadline| deadline <= state.now()) {
        return Err(Violation::Index { what: "an order is past its deadline" });
    }
    if state.keys().indexed() != state.keys().len() {
        return Err(Violation::Index { what: "a key cannot be found by its index" });
    }
    Ok(())
}
