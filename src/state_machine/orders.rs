//! The stored orders.
//!
//! An order has the same place from its creation to its removal: its id minus 1. Finished orders
//! are linked in the order in which they finished, so the next one to be forgotten is the first.

mod restoring;

use super::command::{Demand, Line};
use super::ids::{OrderId, Sku, Timestamp, UserId, earlier};
use super::lifecycle::{Cause, OrderStatus};
use super::order::Order;
use super::outcome::Shortage;
use super::record::{FailedLine, OrderRecord, Rest, Storage};
use super::rules::Rules;
use super::storage::{BitSet, Pages, Shipped, Sizes};

/// Finished orders of one kind, in the order in which they finished.
#[derive(Clone, Copy, Debug, Default)]
struct Finished {
    /// The places of the first and the last.
    ends: Option<(u32, u32)>,
}

/// What a change of an order's status has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    /// The status before.
    pub(super) from: OrderStatus,
    /// Whether another order is now the oldest that awaits payment.
    pub(super) oldest_awaiting: bool,
    /// Whether the order is now the first among the finished ones of its kind.
    pub(super) first_finished: bool,
}

/// The stored orders, in the order of their creation.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders<S: Sizes> {
    records: Pages<OrderRecord, S>,
    lines: Pages<Line, S>,
    /// Apart from `lines`, because failed orders are usually forgotten much earlier.
    failed_lines: Pages<FailedLine, S>,
    awaiting: BitSet<S>,
    /// Failed orders.
    failed: Finished,
    /// Paid and cancelled orders.
    finished: Finished,
    bytes: u64,
}

impl<S: Sizes> Orders<S> {
    /// How many orders were ever placed; the place of the next one.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.records.len()).expect("callers check has_room first")
    }

    /// Whether there is an id for another order.
    pub(super) fn has_room(&self) -> bool {
        self.records.len() < u64::from(u32::MAX)
    }

    /// What an order counts for, in bytes.
    pub(super) fn cost(lines: u32, fails: bool) -> u64 {
        let line = if fails { 12_u64 } else { 8 };
        let lines = u64::from(lines).checked_mul(line).expect("44 bits");
        lines.checked_add(48).expect("45 bits")
    }

    /// What all stored orders count for, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Stores a new order with status [`OrderStatus::New`] and returns its place. The caller has
    /// checked [`Orders::has_room`]. An order that is about to fail has the units that are
    /// `available` of each of its lines.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        user: UserId,
        demand: &Demand,
        now: Timestamp,
        available: Option<&[u64]>,
    ) -> u32 {
        let (first_line, others) = demand.lines().split_first().expect("a demand has a line");
        self.awaiting.push();
        let rest = match (available, others) {
            (Some(available), _) => self.push_failed_lines(demand, available),
            (None, []) => Rest::place(0),
            (None, [second]) => Rest::line(*second),
            (None, _) => self.push_lines(others),
        };
        let line_count =
            u16::try_from(demand.lines().len()).expect("a demand has at most 65,535 lines");
        let cost = Self::cost(u32::from(line_count), available.is_some());
        self.bytes = self.bytes.checked_add(cost).expect("memory is smaller");
        let place = self.records.push(OrderRecord {
            user,
            created: now,
            updated: now,
            first_line: *first_line,
            rest,
            next_finished: 0,
            line_count,
            status: OrderStatus::New,
            cause: Cause::Placement,
        });
        u32::try_from(place).expect("callers check has_room first")
    }

    #[inline(never)]
    fn push_lines(&mut self, lines: &[Line]) -> Rest {
        let place = self.lines.len();
        for line in lines {
            self.lines.push(*line);
        }
        Rest::place(place)
    }

    #[inline(never)]
    fn push_failed_lines(&mut self, demand: &Demand, available: &[u64]) -> Rest {
        let place = self.failed_lines.len();
        for (line, available) in demand.lines().iter().zip(available) {
            let available = u32::try_from(*available).unwrap_or(u32::MAX).min(line.count.get());
            self.failed_lines.push(FailedLine { line: *line, available });
        }
        Rest::place(place)
    }

    /// Changes an order's status. Only this function sets a status.
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
    ) -> Changed {
        let record = self.records.at_mut(u64::from(order));
        let from = record.status;
        assert!(
            OrderStatus::may_change(Some(from), to, cause),
            "the order at place {order} must not change from {from} to {to} ({cause})"
        );
        record.status = to;
        record.cause = cause;
        record.updated = time;
        let first_finished = match to {
            OrderStatus::New | OrderStatus::AwaitingPayment => false,
            OrderStatus::Failed | OrderStatus::Paid | OrderStatus::Cancelled => {
                self.finish(order, to)
            }
        };
        let oldest_awaiting = if to == OrderStatus::AwaitingPayment {
            // Only a new order can start to await payment, and a new order is the last one.
            self.awaiting.insert_last()
        } else {
            from == OrderStatus::AwaitingPayment && self.awaiting.remove(order)
        };
        Changed { from, oldest_awaiting, first_finished }
    }

    /// Puts an order behind those that finished before it. Returns whether there are none.
    #[inline(always)]
    fn finish(&mut self, order: u32, status: OrderStatus) -> bool {
        let list = match status {
            OrderStatus::Failed => &mut self.failed,
            OrderStatus::New
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Cancelled => &mut self.finished,
        };
        match &mut list.ends {
            None => {
                list.ends = Some((order, order));
                true
            }
            Some((_, last)) => {
                let previous = std::mem::replace(last, order);
                self.records.at_mut(u64::from(previous)).next_finished = order;
                false
            }
        }
    }

    /// The failed order that finished first.
    fn oldest_failed(&self) -> Option<&OrderRecord> {
        self.failed.ends.map(|(first, _)| self.at(first))
    }

    /// The paid or cancelled order that finished first.
    fn oldest_finished(&self) -> Option<&OrderRecord> {
        self.finished.ends.map(|(first, _)| self.at(first))
    }

    /// Removes orders that are forgotten by now, at most this many of each kind. Returns whether it
    /// removed any.
    pub(super) fn remove_forgotten(&mut self, rules: &Rules, now: Timestamp, most: u32) -> bool {
        let mut is_any = false;
        for _ in 0..most {
            let is_over = |order: Option<&OrderRecord>| {
                order.is_some_and(|order| !rules.keeps(order.status, order.updated, now))
            };
            let failed = is_over(self.oldest_failed());
            let finished = is_over(self.oldest_finished());
            if failed {
                self.failed = self.without_first(self.failed);
            }
            if finished {
                self.finished = self.without_first(self.finished);
            }
            if !failed && !finished {
                break;
            }
            is_any = true;
        }
        is_any
    }

    /// Removes the first order of a list.
    fn without_first(&mut self, list: Finished) -> Finished {
        let (first, last) = list.ends.expect("the caller has looked at it");
        let next = self.remove(first);
        Finished { ends: (first != last).then_some((next, last)) }
    }

    /// When the first order is forgotten.
    pub(super) fn next_end(&self, rules: &Rules) -> Option<Timestamp> {
        let end = |order: &OrderRecord| rules.kept_until(order.status, order.updated);
        earlier(self.oldest_failed().and_then(end), self.oldest_finished().and_then(end))
    }

    /// Removes an order. Returns the place of the one that finished after it.
    fn remove(&mut self, order: u32) -> u32 {
        let place = u64::from(order);
        let record = self.records.at_mut(place);
        let (storage, next) = (record.storage(), record.next_finished);
        let cost = Self::cost(u32::from(record.line_count), record.status == OrderStatus::Failed);
        record.line_count = 0;
        self.records.release(place, 1);
        match storage {
            Storage::Within => {}
            Storage::Apart { place, count } => self.lines.release(place, count),
            Storage::Failed { place, count } => self.failed_lines.release(place, count),
        }
        self.bytes = self.bytes.checked_sub(cost).expect("it was added for this order");
        next
    }

    /// The stored order with this id. It may be forgotten, and not removed yet.
    #[inline(always)]
    pub(super) fn get(&self, id: OrderId) -> Option<(u32, &OrderRecord)> {
        let order = id.place()?;
        let record = self.records.get(u64::from(order))?;
        (!record.is_removed()).then_some((order, record))
    }

    #[inline(always)]
    pub(super) fn at(&self, order: u32) -> &OrderRecord {
        self.records.at(u64::from(order))
    }

    /// The lines of an order, by ascending SKU.
    pub(super) fn lines<'a>(&'a self, record: &'a OrderRecord) -> Lines<'a, S> {
        Lines { orders: self, record, next: 0 }
    }

    fn line(&self, record: &OrderRecord, line: u16) -> Line {
        if line == 0 {
            return record.first_line;
        }
        let offset = |place: u64, line: u16| {
            place.checked_add(u64::from(line)).expect("2⁶⁴ lines are never stored")
        };
        match record.storage() {
            Storage::Within => record.rest.as_line(),
            Storage::Apart { place, .. } => {
                let line = line.checked_sub(1).expect("it is not the first line");
                *self.lines.at(offset(place, line))
            }
            Storage::Failed { place, .. } => self.failed_lines.at(offset(place, line)).line,
        }
    }

    /// The lines of an order that were short.
    fn shortages(&self, record: &OrderRecord) -> impl Iterator<Item = Shortage> {
        let (place, count) = match record.storage() {
            Storage::Failed { place, count } => (place, count),
            Storage::Within | Storage::Apart { .. } => (0, 0),
        };
        let end = place.checked_add(u64::from(count)).expect("2⁶⁴ lines are never stored");
        let lines = (place..end).map(|place| self.failed_lines.at(place));
        lines.filter(|failed| failed.available < failed.line.count.get()).map(|failed| Shortage {
            sku: failed.line.sku,
            requested: failed.line.count,
            available: u64::from(failed.available),
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

    /// The order at this place, if it is stored.
    pub(super) fn view(&self, order: u32) -> Option<OrderView<'_, S>> {
        let record = self.records.get(u64::from(order))?;
        (!record.is_removed()).then_some(OrderView { orders: self, order, record })
    }

    /// All stored orders. Some may be forgotten, and not removed yet.
    pub(super) fn views(&self) -> impl Iterator<Item = OrderView<'_, S>> {
        self.records.iter().filter(|(_, record)| !record.is_removed()).map(|(order, record)| {
            let order = u32::try_from(order).expect("places of orders have 32 bits");
            OrderView { orders: self, order, record }
        })
    }

    /// Whether the lists of finished orders have all finished orders, in the order of time, and the
    /// bytes are those of the stored orders.
    pub(super) fn check_lists(&self) -> bool {
        let mut counted = [0_u64; 2];
        let mut bytes = 0_u64;
        for view in self.views() {
            let fails = view.status() == OrderStatus::Failed;
            let count = u32::from(view.record.line_count);
            bytes = bytes.checked_add(Self::cost(count, fails)).expect("memory is smaller");
            let [failed, finished] = &mut counted;
            let counter = match view.status() {
                OrderStatus::New | OrderStatus::AwaitingPayment => continue,
                OrderStatus::Failed => failed,
                OrderStatus::Paid | OrderStatus::Cancelled => finished,
            };
            *counter = counter.checked_add(1).expect("there are fewer than 2³² orders");
        }
        let in_order = |list: Finished, count: u64| {
            let Some((first, last)) = list.ends else { return count == 0 };
            let (mut order, mut found) = (first, 1_u64);
            while order != last && found <= count {
                let next = self.at(order).next_finished;
                if self.at(next).is_removed() || self.at(next).updated < self.at(order).updated {
                    return false;
                }
                order = next;
                found = found.checked_add(1).expect("there are fewer than 2³² orders");
            }
            found == count
        };
        let [failed, finished] = counted;
        bytes == self.bytes && in_order(self.failed, failed) && in_order(self.finished, finished)
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
    #[inline]
    fn fold<B, F: FnMut(B, Line) -> B>(self, start: B, mut f: F) -> B {
        let Self { orders, record, next } = self;
        match record.lines_within() {
            Some((first, second)) if next == 0 => {
                let folded = f(start, first);
                if let Some(second) = second { f(folded, second) } else { folded }
            }
            _ => {
                (next..record.line_count).fold(start, |all, line| f(all, orders.line(record, line)))
            }
        }
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
        self.orders.shortages(self.record)
    }

    /// The SKUs of its lines, ascending.
    pub fn skus(&self) -> impl Iterator<Item = Sku> + use<'a, S> {
        self.lines().map(|line| line.sku)
    }
}
