//! The stored orders.

use super::command::{Demand, Line};
use super::ids::{OrderId, Sku, Timestamp, UserId};
use super::lifecycle::{Cause, OrderStatus};
use super::outcome::Shortage;
use super::storage::{Arena, BitSet, Shipped, Sizes};

/// An order as owned data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The user who placed it.
    pub user: UserId,
    /// Its status.
    pub status: OrderStatus,
    /// Why it has that status.
    pub cause: Cause,
    /// When it was placed.
    pub created: Timestamp,
    /// When its status last changed.
    pub updated: Timestamp,
    /// What was ordered, by ascending SKU.
    pub lines: Vec<Line>,
    /// The lines that were short when it was placed, by ascending SKU; none unless it failed.
    pub shortages: Vec<Shortage>,
}

/// Lines that are stored in the record itself.
const LINES_WITHIN: u16 = 2;

/// 48 bytes per order, including its first two lines, so that most commands need one record only.
/// Further lines are stored in a separate arena, 8 bytes each.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRecord {
    pub(super) user: UserId,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    first_line: Line,
    second_line: Option<Line>,
    /// Where the third line is stored; the lines after it follow.
    more_lines: u32,
    line_count: u16,
    pub(super) status: OrderStatus,
    pub(super) cause: Cause,
}

/// A line of a failed order that was short. Stored by order, then by SKU.
#[derive(Clone, Copy, Debug)]
struct ShortLine {
    order: u32,
    /// The place of the line in its order.
    line: u16,
    available: u64,
}

/// All stored orders, in the order of their creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders<S: Sizes> {
    records: Arena<OrderRecord, S>,
    /// The lines that do not fit into their order's record.
    more_lines: Arena<Line, S>,
    /// The number of lines of all orders, including the lines in the records.
    line_count: u32,
    shortages: Arena<ShortLine, S>,
    awaiting: BitSet<S>,
}

impl<S: Sizes> Orders<S> {
    pub(super) fn len(&self) -> u32 {
        self.records.len()
    }

    pub(super) fn has_room_for(&self, demand: &Demand) -> bool {
        let more = u32::try_from(demand.lines().len());
        let lines = more.ok().and_then(|more| self.line_count.checked_add(more));
        self.records.has_room() && lines.is_some()
    }

    /// Stores a new order with status [`OrderStatus::New`] and returns its place. The caller has
    /// checked [`Orders::has_room_for`].
    #[inline(always)]
    pub(super) fn push(&mut self, user: UserId, demand: &Demand, now: Timestamp) -> u32 {
        let (first_line, others) = demand.lines().split_first().expect("a demand has a line");
        self.awaiting.push();
        let more_lines = self.more_lines.len();
        for line in others.iter().skip(1) {
            self.more_lines.push(*line);
        }
        let line_count =
            u16::try_from(demand.lines().len()).expect("a demand has at most 65,535 lines");
        let all_lines = self.line_count.checked_add(u32::from(line_count));
        self.line_count = all_lines.expect("callers check has_room_for first");
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

    /// Stores an order as it was read from another state.
    ///
    /// # Errors
    /// What is wrong with the order.
    pub(super) fn restore(&mut self, order: Order) -> Result<(), &'static str> {
        let Order { id, user, status, cause, created, updated, lines, shortages } = order;
        if id.place() != Some(self.len()) {
            return Err("its id is not the next one");
        }
        let demand = Demand::from_merged(lines)
            .ok_or("it has no lines, or they are not by ascending SKU")?;
        if !self.has_room_for(&demand) {
            return Err("there is no room for it");
        }
        let place = self.push(user, &demand, created);
        let record = self.records.at_mut(place);
        (record.status, record.cause, record.updated) = (status, cause, updated);
        if status == OrderStatus::AwaitingPayment {
            self.awaiting.insert_last();
        }
        let mut lines = demand.lines().iter().zip(0..);
        for Shortage { sku, requested, available } in shortages {
            let line = lines.find(|(line, _)| line.sku == sku && line.count == requested);
            let (_, line) = line.ok_or("a shortage is not a line of it")?;
            self.push_shortage(place, line, available);
        }
        Ok(())
    }

    /// Stores that this line of the newest order was short.
    pub(super) fn push_shortage(&mut self, order: u32, line: u16, available: u64) {
        self.shortages.push(ShortLine { order, line, available });
    }

    /// Changes an order's status. Returns the previous one, and whether another order is now the
    /// oldest that awaits payment. Only this function sets a status.
    ///
    /// # Panics
    /// The lifecycle does not allow the change.
    #[inline(always)]
    pub(super) fn set_status(
        &mut self,
        order: u32,
        to: OrderStatus,
        cause: Cause,
        time: Timestamp,
    ) -> (OrderStatus, bool) {
        let record = self.records.at_mut(order);
        let from = record.status;
        assert!(
            OrderStatus::may_change(Some(from), to, cause),
            "the order at place {order} must not change from {from} to {to} ({cause})"
        );
        record.status = to;
        record.cause = cause;
        record.updated = time;
        if to == OrderStatus::AwaitingPayment {
            // Only a new order can start to await payment, and a new order is the last one.
            (from, self.awaiting.insert_last())
        } else if from == OrderStatus::AwaitingPayment {
            (from, self.awaiting.remove(order))
        } else {
            (from, false)
        }
    }

    pub(super) fn get(&self, id: OrderId) -> Option<(u32, &OrderRecord)> {
        let order = id.place()?;
        self.records.get(order).map(|record| (order, record))
    }

    pub(super) fn at(&self, order: u32) -> &OrderRecord {
        self.records.at(order)
    }

    /// The lines of an order, by ascending SKU.
    pub(super) fn lines<'a>(&'a self, record: &'a OrderRecord) -> Lines<'a, S> {
        Lines { orders: self, record, next: 0 }
    }

    fn line(&self, record: &OrderRecord, line: u16) -> Line {
        let within = match line {
            0 => Some(record.first_line),
            1 => record.second_line,
            _ => None,
        };
        within.unwrap_or_else(|| {
            let further =
                line.checked_sub(LINES_WITHIN).expect("the first lines are in the record");
            let place = record.more_lines.checked_add(u32::from(further));
            *self.more_lines.at(place.expect("lines are counted by u32"))
        })
    }

    /// The oldest order that awaits payment. Deadlines are in the order of ids, so it is also the
    /// next to expire.
    pub(super) fn oldest_awaiting(&self) -> Option<u32> {
        self.awaiting.first()
    }

    /// The orders that await payment, oldest first.
    pub(super) fn awaiting(&self) -> impl Iterator<Item = u32> {
        self.awaiting.iter()
    }

    pub(super) fn view(&self, order: u32) -> Option<OrderView<'_, S>> {
        self.records.get(order).map(|record| OrderView { orders: self, order, record })
    }

    pub(super) fn views(&self) -> impl Iterator<Item = OrderView<'_, S>> {
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
                low = middle.checked_add(1).expect("it is at most high");
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The lines of one order, by ascending SKU.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a, S: Sizes> {
    orders: &'a Orders<S>,
    record: &'a OrderRecord,
    next: u16,
}

impl<S: Sizes> Iterator for Lines<'_, S> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.next == self.record.line_count {
            return None;
        }
        let line = self.orders.line(self.record, self.next);
        self.next = self.next.checked_add(1).expect("it is below line_count");
        Some(line)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.record.line_count.checked_sub(self.next);
        let left = usize::from(left.expect("next is at most line_count"));
        (left, Some(left))
    }

    // Most orders have one or two lines. This reads them without a lookup for each.
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

impl<S: Sizes> ExactSizeIterator for Lines<'_, S> {}

/// An order, read in place. [`OrderView::to_order`] makes owned data of it.
#[derive(Clone, Copy, Debug)]
pub struct OrderView<'a, S: Sizes = Shipped> {
    orders: &'a Orders<S>,
    order: u32,
    record: &'a OrderRecord,
}

impl<'a, S: Sizes> OrderView<'a, S> {
    /// The order as owned data.
    #[must_use]
    pub fn to_order(&self) -> Order {
        Order {
            id: self.id(),
            user: self.user(),
            status: self.status(),
            cause: self.cause(),
            created: self.created(),
            updated: self.updated(),
            lines: self.lines().collect(),
            shortages: self.shortages().collect(),
        }
    }

    /// The order's id.
    #[must_use]
    pub fn id(&self) -> OrderId {
        OrderId::at_place(self.order)
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> OrderStatus {
        self.record.status
    }

    /// Why it has that status.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.record.cause
    }

    /// The user who placed it.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.record.user
    }

    /// When it was placed.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.record.created
    }

    /// When its status last changed.
    #[must_use]
    pub fn updated(&self) -> Timestamp {
        self.record.updated
    }

    /// What was ordered, by ascending SKU.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line> + use<'a, S> {
        self.orders.lines(self.record)
    }

    /// The lines that were short when it was placed, by ascending SKU; none unless it failed.
    pub fn shortages(&self) -> impl Iterator<Item = Shortage> + use<'a, S> {
        let Self { orders, order, record } = *self;
        let from = match record.status {
            OrderStatus::Failed => orders.first_shortage(order),
            // Only failed orders have shortages.
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

    /// The SKUs of its lines, ascending.
    pub fn skus(&self) -> impl Iterator<Item = Sku> + use<'a, S> {
        self.lines().map(|line| line.sku)
    }
}
