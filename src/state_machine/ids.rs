//! The values that commands and answers are made of. Each can only be built in its range, so the
//! code behind it has no bad value to look out for.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Stock keeping unit: names one kind of goods. Any `u32` but 0.
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
    /// This many units; `None` for 0.
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

    /// Both together; `None` where the sum leaves `u32`.
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

/// Whoever places an order: 1 to `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId(NonZeroU64);

impl UserId {
    /// The user of this number; `None` for 0 and below.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u64::try_from(number).ok().and_then(NonZeroU64::new).map(Self)
    }

    /// The number as the wire carries it, above 0.
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

/// Names one order: 1 for the first that was stored, and one more for each after it, failed ones
/// too. At most `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId(NonZeroU64);

impl OrderId {
    /// The order of this number; `None` for 0 and below.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        u64::try_from(number).ok().and_then(NonZeroU64::new).map(Self)
    }

    /// The id of the order that stands at this place in the order of creation, from 0.
    pub(super) fn at_index(index: u32) -> Self {
        Self(NonZeroU64::MIN.saturating_add(u64::from(index)))
    }

    /// The order's place in the order of creation, from 0; `None` where no order can stand.
    pub(super) fn index(self) -> Option<u32> {
        u32::try_from(self.0.get().saturating_sub(1)).ok()
    }

    /// The number as the wire carries it, above 0.
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

/// A moment of machine time: nanoseconds since 1970-01-01T00:00:00Z, up to the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many nanoseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment that lies `span` after this one; `None` where it lies past the end of time,
    /// which is to say never.
    #[must_use]
    pub const fn checked_add(self, span: Span) -> Option<Self> {
        match self.0.checked_add(span.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

/// A length of machine time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// This many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This many seconds; at most some 584 years, beyond which it stays there.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}
