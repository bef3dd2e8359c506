//! The orders: what is on record of each, and the one table that says how an order may live.

use std::fmt;

use super::arena::Arena;
use super::awaiting::AwaitingSet;
use super::command::{Demand, Line};
use super::ids::{OrderId, Sku, Timestamp, UserId};
use super::outcome::{Cause, Shortage};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Placed, nothing reserved yet. No order is ever seen so: creating it goes on at once.
    New,
    /// Every line is reserved. The only status from which a client can move an order.
    AwaitingPayment,
    /// A line was short, and nothing is reserved. The end.
    Failed,
    /// Its stock has left. The end.
    Paid,
    /// Its stock can be promised again. The end.
    Cancelled,
}

impl OrderStatus {
    /// The lifecycle: whether an order may go from one status (`None`: it does not exist yet) to
    /// another for a cause.
    #[must_use]
    #[inline]
    pub const fn may_go(from: Option<Self>, to: Self, cause: Cause) -> bool {
        matches!(
            (from, to, cause),
            (None, Self::New, Cause::Placement)
                | (Some(Self::New), Self::AwaitingPayment, Cause::Reservation)
                | (Some(Self::New), Self::Failed, Cause::OutOfStock)
                | (Some(Self::AwaitingPayment), Self::Paid, Cause::Payment)
                | (
                    Some(Self::AwaitingPayment),
                    Self::Cancelled,
                    Cause::CancelledByClient | Cause::PaymentTimeout
                )
        )
    }

    /// The status as the wire tells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::AwaitingPayment => "awaiting payment",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lines that stand in the record itself.
const LINES_WITHIN: u16 = 2;

/// 48 bytes an order, which its first two lines are part of: all that a command looks for is in
/// one place. Further lines stand in an arena of their own, 8 bytes each.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRecord {
    pub(super) user: UserId,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    first_line: Line,
    second_line: Option<Line>,
    /// Where the third line and those after it begin.
    more_lines: u32,
    line_count: u16,
    pub(super) status: OrderStatus,
    pub(super) cause: Cause,
}

/// What a failed order lacked, by order and then by SKU.
#[derive(Clone, Copy, Debug)]
struct ShortLine {
    order: u32,
    /// The line's place within its order.
    line: u16,
    available: u64,
}

/// All orders that were ever stored, by the order of creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    records: Arena<OrderRecord>,
    /// Of each order the lines that do not fit into its record.
    more_lines: Arena<Line>,
    /// Of all orders, those within their records too.
    line_count: u32,
    shortages: Arena<ShortLine>,
    awaiting: AwaitingSet,
}

impl Orders {
    pub(super) fn len(&self) -> u32 {
        self.records.len()
    }

    pub(super) fn has_room_for(&self, demand: &Demand) -> bool {
        let more = u32::try_from(demand.lines().len());
        let lines = more.ok().and_then(|more| self.line_count.checked_add(more));
        self.records.has_room() && lines.is_some()
    }

    /// Stores a new order, of status [`OrderStatus::New`], and tells its place.
    pub(super) fn push(&mut self, user: UserId, demand: &Demand, now: Timestamp) -> u32 {
        let (first_line, others) = demand.lines().split_first().expect("a demand has a line");
        let more_lines = self.more_lines.len();
        for line in others.iter().skip(1) {
            self.more_lines.push(*line);
        }
        let line_count =
            u16::try_from(demand.lines().len()).expect("a demand has at most 65,535 lines");
        let all_lines = self.line_count.checked_add(u32::from(line_count));
        self.line_count = all_lines.expect("callers ask has_room_for first");
        self.records.push(OrderRecord {
            user,
            created: now,
            updated: now,
            first_line: *first_line,
            second_line: others.first().copied(),
            more_lines,
            line_count,
            status: OrderStatus::New,
            cause: Cause::Placement,
        })
    }

    /// Notes that this line of the newest order was short.
    pub(super) fn push_shortage(&mut self, order: u32, line: u16, available: u64) {
        self.shortages.push(ShortLine { order, line, available });
    }

    /// Sets an order's status, as the lifecycle allows, and tells the one it had.
    #[inline(always)]
    pub(super) fn set_status(
        &mut self,
        order: u32,
        to: OrderStatus,
        cause: Cause,
        time: Timestamp,
    ) -> OrderStatus {
        let record = self.records.at_mut(order);
        let from = record.status;
        assert!(
            OrderStatus::may_go(Some(from), to, cause),
            "order at {order} must not go from {from} to {to} for {cause}"
        );
        record.status = to;
        record.cause = cause;
        record.updated = time;
        if to == OrderStatus::AwaitingPayment {
            self.awaiting.insert(order);
        } else if from == OrderStatus::AwaitingPayment {
            self.awaiting.remove(order);
        }
        from
    }

    pub(super) fn get(&self, id: OrderId) -> Option<(u32, &OrderRecord)> {
        let order = id.index()?;
        self.records.get(order).map(|record| (order, record))
    }

    pub(super) fn at(&self, order: u32) -> &OrderRecord {
        self.records.at(order)
    }

    /// The lines of an order, by ascending SKU.
    pub(super) fn lines<'a>(&'a self, record: &'a OrderRecord) -> Lines<'a> {
        Lines { orders: self, record, next: 0 }
    }

    fn line(&self, record: &OrderRecord, line: u16) -> Line {
        let within = match line {
            0 => Some(record.first_line),
            1 => record.second_line,
            _ => None,
        };
        within.unwrap_or_else(|| {
            let further = line.checked_sub(LINES_WITHIN).expect("the first lines are within");
            *self.more_lines.at(record.more_lines.saturating_add(u32::from(further)))
        })
    }

    /// The oldest order that awaits payment. As all orders have the same time to be paid in, it
    /// is also the one that expires first.
    pub(super) fn oldest_awaiting(&self) -> Option<u32> {
        self.awaiting.first()
    }

    /// The orders that await payment, oldest first.
    pub(super) fn awaiting(&self) -> impl Iterator<Item = u32> {
        self.awaiting.iter()
    }

    pub(super) fn view(&self, order: u32) -> Option<OrderView<'_>> {
        self.records.get(order).map(|record| OrderView { orders: self, order, record })
    }

    pub(super) fn views(&self) -> impl Iterator<Item = OrderView<'_>> {
        (0..).zip(self.records.iter()).map(|(order, record)| OrderView {
            orders: self,
            order,
            record,
        })
    }

    /// The place of the first shortage of this order or of a later one.
    fn first_shortage(&self, order: u32) -> u32 {
        let (mut low, mut high) = (0, self.shortages.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.shortages.at(middle).order < order {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The lines of one order, by ascending SKU.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    orders: &'a Orders,
    record: &'a OrderRecord,
    next: u16,
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.next == self.record.line_count {
            return None;
        }
        let line = self.orders.line(self.record, self.next);
        self.next = self.next.saturating_add(1);
        Some(line)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.record.line_count.saturating_sub(self.next));
        (left, Some(left))
    }

    // Most orders have one line or two: no need to ask of each where it stands.
    fn fold<B, F: FnMut(B, Line) -> B>(self, start: B, mut f: F) -> B {
        let Self { orders, record, next } = self;
        let mut folded = start;
        if next == 0 {
            folded = f(folded, record.first_line);
        }
        if let (0 | 1, Some(line)) = (next, record.second_line) {
            folded = f(folded, line);
        }
        for line in next.max(LINES_WITHIN)..record.line_count {
            folded = f(folded, orders.line(record, line));
        }
        folded
    }
}

impl ExactSizeIterator for Lines<'_> {}

/// One order, to read.
#[derive(Clone, Copy, Debug)]
pub struct OrderView<'a> {
    orders: &'a Orders,
    order: u32,
    record: &'a OrderRecord,
}

impl<'a> OrderView<'a> {
    /// The order's id.
    #[must_use]
    pub fn id(&self) -> OrderId {
        OrderId::at_index(self.order)
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> OrderStatus {
        self.record.status
    }

    /// Why it is there.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.record.cause
    }

    /// Who placed it.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.record.user
    }

    /// When it was placed.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.record.created
    }

    /// When its status was last set.
    #[must_use]
    pub fn updated(&self) -> Timestamp {
        self.record.updated
    }

    /// What was ordered, by ascending SKU.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line> + use<'a> {
        self.orders.lines(self.record)
    }

    /// The lines that were short when it was placed, by ascending SKU; none unless it failed.
    pub fn shortages(&self) -> impl Iterator<Item = Shortage> + use<'a> {
        let Self { orders, order, record } = *self;
        let from = match record.status {
            OrderStatus::Failed => orders.first_shortage(order),
            // Only failed orders have any: no need to look.
            OrderStatus::New
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Cancelled => orders.shortages.len(),
        };
        (from..orders.shortages.len())
            .map(|place| orders.shortages.at(place))
            .take_while(move |short| short.order == order)
            .map(|short| {
                let line = orders.line(record, short.line);
                Shortage { sku: line.sku, requested: line.count, available: short.available }
            })
    }

    /// The SKUs that the order touches, ascending.
    pub fn skus(&self) -> impl Iterator<Item = Sku> + use<'a> {
        self.lines().map(|line| line.sku)
    }
}
