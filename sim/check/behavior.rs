//! What decides the answers of a state of the exhaustive layer. Two states with the same behavior
//! count as one.

use loms::state_machine::{Cause, LomsState, OrderId, OrderStatus, OrderView, Tiny};

use crate::check::checker::Checker;
use crate::plan::Op;

/// From this age on, in nanoseconds, no rule of the exhaustive layer makes a difference.
pub(super) const OLD: u64 = 5;

/// Everything in a state that decides its answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Behavior {
    /// The timeout and the window.
    rules: (u64, u64),
    /// The times to keep, and the room; these tell the limits apart.
    limits: (u64, u64, u64),
    orders: Vec<OrderBehavior>,
    stock: Vec<(u64, u64)>,
    /// The key of each user.
    keys: [Option<KeyBehavior>; 2],
}

/// What decides the answers to a key: its order, that order's lines, and the order's age.
type KeyBehavior = (u8, Vec<(u32, u32)>, u64);

/// The order and the time of each user's key.
pub(super) type Keys = [Option<(u8, u64)>; 2];

/// Decides how calls on an order are answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OrderBehavior {
    /// `left`: nanoseconds until it expires, or `None` if it never does. `age`: nanoseconds since
    /// its create; it matters when the rules change.
    Awaiting {
        left: Option<u64>,
        age: u64,
        lines: Vec<(u32, u32)>,
    },
    Failed(Kept),
    Paid(Kept),
    Cancelled(Kept),
    Expired(Kept),
    Forgotten,
}

/// Decides how long a finished order is kept, and what it counts for: nanoseconds since its end and
/// its number of lines. `None` if orders are never forgotten.
type Kept = Option<(u64, usize)>;

/// The order of each user's key after a command.
pub(super) fn keys_after(
    mut keys: Keys,
    op: Op,
    orders: usize,
    checker: &Checker<Tiny>,
    (window, now): (u64, u64),
) -> Keys {
    // A key stays here at the first nanosecond at which it is forgotten, because bugs are likely at
    // this limit. A change of the rules removes it there: a forgotten key stays forgotten.
    let rules_change = matches!(op, Op::Rules { .. });
    keys = keys.map(|key| {
        key.filter(
            |&(_, since)| if rules_change { now < since + window } else { now <= since + window },
        )
    });
    if let Op::Create { user, key } = op
        && key.name > 0
        && checker.orders() > orders
    {
        let place = usize::from(user == 2);
        keys[place] = Some((u8::try_from(orders + 1).expect("there are a few orders"), now));
    }
    keys
}

/// What decides the answers of a stored order.
fn order_behavior(
    state: &LomsState<Tiny>,
    order: &OrderView<'_, Tiny>,
    now: u64,
    forgets: bool,
) -> OrderBehavior {
    let timeout = state.rules().payment_timeout.as_nanos();
    let kept = forgets.then(|| {
        let age = now - order.updated().as_nanos();
        (age.min(OLD), order.lines().len())
    });
    match (order.status(), order.cause()) {
        (OrderStatus::New | OrderStatus::AwaitingPayment, _) => OrderBehavior::Awaiting {
            left: (timeout > 0).then(|| {
                let deadline = order.created().as_nanos() + timeout;
                deadline.max(state.rules_since().as_nanos()) - now
            }),
            age: (now - order.created().as_nanos()).min(OLD),
            lines: order.lines().map(|line| (line.sku.get(), line.count.get())).collect(),
        },
        (OrderStatus::Failed, _) => OrderBehavior::Failed(kept),
        (OrderStatus::Paid, _) => OrderBehavior::Paid(kept),
        (OrderStatus::Cancelled, Cause::PaymentTimeout) => OrderBehavior::Expired(kept),
        (OrderStatus::Cancelled, _) => OrderBehavior::Cancelled(kept),
    }
}

pub(super) fn behavior(checker: &Checker<Tiny>, keys: Keys, now: u64, forgets: bool) -> Behavior {
    let state = &checker.subject.state;
    let rules = state.rules();
    let orders = (1..).take(checker.orders()).map(|id| {
        let order = OrderId::new(id).and_then(|id| state.order(id));
        order.map_or(OrderBehavior::Forgotten, |order| order_behavior(state, &order, now, forgets))
    });
    let key = |(order, since): (u8, u64)| {
        // A key can be forgotten with its order.
        let items = checker.subject.order(i64::from(order)).map(|info| info.items);
        (order, items.unwrap_or_default(), (now - since).min(OLD))
    };
    Behavior {
        rules: (rules.payment_timeout.as_nanos(), rules.idempotency_window.as_nanos()),
        limits: (rules.keep.as_nanos(), rules.keep_failed.as_nanos(), rules.max_bytes),
        orders: orders.collect(),
        stock: state.stock().map(|record| (record.total, record.reserved)).collect(),
        keys: keys.map(|known| known.map(key)),
    }
}
