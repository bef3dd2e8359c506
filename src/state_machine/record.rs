//! The record of a stored order: 48 bytes.

use super::command::Line;
use super::ids::{Count, Sku, Timestamp, UserId};
use super::lifecycle::{Cause, OrderStatus};

/// 48 bytes per order, including its first two lines, so that most commands need one record only.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRecord {
    pub(super) user: UserId,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) first_line: Line,
    pub(super) rest: Rest,
    /// The place of the order that finished after this one; only used while both are stored.
    pub(super) next_finished: u32,
    /// 0 for an order that was removed.
    pub(super) line_count: u16,
    pub(super) status: OrderStatus,
    pub(super) cause: Cause,
}

impl OrderRecord {
    /// A record in the place of an order that was removed.
    pub(super) fn removed() -> Self {
        let line = Line {
            sku: Sku::new(1).expect("1 is a SKU"),
            count: Count::new(1).expect("1 is a count"),
        };
        Self {
            user: UserId::new(1).expect("1 is a user"),
            created: Timestamp::default(),
            updated: Timestamp::default(),
            first_line: line,
            rest: Rest::place(0),
            next_finished: 0,
            line_count: 0,
            status: OrderStatus::Cancelled,
            cause: Cause::CancelledByClient,
        }
    }

    /// The lines, if they are all in the record: one or two. Most orders have no more, so commands
    /// use this first.
    #[inline(always)]
    pub(super) fn lines_within(&self) -> Option<(Line, Option<Line>)> {
        match (self.status, self.line_count) {
            (OrderStatus::Failed, _) => None,
            (_, 1) => Some((self.first_line, None)),
            (_, LINES_WITHIN) => Some((self.first_line, Some(self.rest.as_line()))),
            _ => None,
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        self.line_count == 0
    }

    /// Where the lines are that the record has no room for.
    pub(super) fn storage(&self) -> Storage {
        match (self.status, self.line_count) {
            (OrderStatus::Failed, count) => {
                Storage::Failed { place: self.rest.as_place(), count: u32::from(count) }
            }
            (_, 0..=LINES_WITHIN) => Storage::Within,
            (_, count) => {
                let count = u32::from(count).checked_sub(1).expect("it is above 2");
                Storage::Apart { place: self.rest.as_place(), count }
            }
        }
    }
}

/// Lines that fit into a record.
const LINES_WITHIN: u16 = 2;

/// Eight bytes of a record: its second line, if there are two and the order did not fail; the place
/// of its stored lines, if there are more or it failed. Else unused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest(u64);

impl Rest {
    pub(super) fn line(line: Line) -> Self {
        Self(u64::from(line.sku.get()).rotate_left(32) | u64::from(line.count.get()))
    }

    pub(super) fn place(place: u64) -> Self {
        Self(place)
    }

    #[inline(always)]
    pub(super) fn as_line(self) -> Line {
        let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).expect("32 bits");
        let (sku, count) = (Sku::new(half(self.0.rotate_right(32))), Count::new(half(self.0)));
        Line { sku: sku.expect("a line was stored"), count: count.expect("a line was stored") }
    }

    fn as_place(self) -> u64 {
        self.0
    }
}

/// Where the lines of an order are, apart from the first line, which is always in its record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Storage {
    /// In the record.
    Within,
    /// All lines but the first are among the lines, from this place on.
    Apart { place: u64, count: u32 },
    /// All lines are among the lines of failed orders, from this place on.
    Failed { place: u64, count: u32 },
}

/// A line of a failed order.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedLine {
    pub(super) line: Line,
    /// Units that were available, at most as many as the line asks for. Fewer: the line was short.
    pub(super) available: u32,
}
