//! The values that commands and answers consist of. Each type can hold only values in its range,
//! so the code that uses them has nothing to check.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Stock keeping unit: the number of one kind of goods. Any `u32` except 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sku(NonZeroU32);

impl Sku {
    /// The SKU of this number; `None` for 0.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, never 0.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number as the key of a table.
    pub(super) const fn key(self) -> NonZeroU32 {
        self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Units of one SKU in one order: 1 to `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(NonZeroU32);

impl Count {
    /// A count of units; `None` for 0.
    #[must_use]
    pub const fn new(units: u32) -> Option<Self> {
        match NonZeroU32::new(units) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The units, never 0.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The sum; `None` if it does not fit `u32`.
    #[must_use]
    pub const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.get()) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The user who places an order: 1 to `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId(NonZeroU64);

impl UserId {
    /// The user of this number; `None` for 0 and below.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u64::try_from(number).ok().and_then(NonZeroU64::new).map(Self)
    }

    /// The number as it is sent on the wire, above 0.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0.get().cast_signed()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an order: 1 for the first stored order, and one more for each order after it,
/// failed orders included. At most `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId(NonZeroU64);

impl OrderId {
    /// The order of this number; `None` for 0 and below.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u64::try_from(number).ok().and_then(NonZeroU64::new).map(Self)
    }

    /// The id of the order at this place in the sequence of stored orders, from 0.
    pub(super) fn at_place(place: u32) -> Self {
        let id = NonZeroU64::MIN.checked_add(u64::from(place));
        Self(id.expect("2³² is far below the largest id"))
    }

    /// The order's place in the sequence of stored orders, from 0; `None` for an id that is larger
    /// than any stored order's can be.
    pub(super) fn place(self) -> Option<u32> {
        u32::try_from(self.0.get().wrapping_sub(1)).ok()
    }

    /// The number as it is sent on the wire, above 0.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0.get().cast_signed()
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, up to the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time this many nanoseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time `span` after this one; `None` if that is after the last representable time,
    /// which counts as never.
    #[must_use]
    pub const fn checked_add(self, span: Span) -> Option<Self> {
        match self.0.checked_add(span.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }
}

/// The earlier of two times; `None` is never.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

/// A duration, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// This many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This many seconds.
    ///
    /// # Panics
    /// More than 18,446,744,073 seconds (584 years) do not fit.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        match seconds.checked_mul(1_000_000_000) {
            Some(nanos) => Self(nanos),
            None => panic!("a span is at most 584 years"),
        }
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}
