//! What the state machine can do: a [`Command`] is a validated request, and an [`Entry`] is a
//! command with its time and its place in the log.

use std::fmt;

use super::ids::{Count, OrderId, Sku, Timestamp, UserId};
use super::rules::Rules;

/// A command with its time and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The place in the log: 1 for the first entry, and one more for each entry after it. Only a
    /// command that changes the state takes a place. If a command changes nothing, the next
    /// command has the same index.
    pub index: u64,
    /// The time of this entry; never before that of the entry before it.
    pub at: Timestamp,
    /// What to do.
    pub command: Command,
}

/// A validated request to change the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Place an order and reserve all its lines, or none.
    CreateOrder {
        /// The user who places it.
        user: UserId,
        /// What is ordered.
        demand: Demand,
        /// Makes the command safe to repeat.
        key: Option<IdempotencyKey>,
    },
    /// Mark an order as paid: its stock leaves the warehouse.
    PayOrder(OrderId),
    /// Cancel an order: its stock is available again.
    CancelOrder(OrderId),
    /// Let time pass: every order that is due expires, and nothing else happens.
    Tick,
    /// Replace the rules. The new payment timeout applies to orders that already await payment,
    /// counted from their creation; those that are then overdue expire at once, at the time of
    /// this command. The new window applies to keys that are remembered at that time.
    ChangeRules(Rules),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateOrder { user, demand, key } => {
                write!(f, "create user={user}")?;
                for Line { sku, count } in demand.lines() {
                    write!(f, " {sku}:{count}")?;
                }
                match key {
                    Some(key) => write!(f, " key={}", key.as_bytes().escape_ascii()),
                    None => Ok(()),
                }
            }
            Self::PayOrder(order) => write!(f, "pay {order}"),
            Self::CancelOrder(order) => write!(f, "cancel {order}"),
            Self::Tick => write!(f, "tick"),
            Self::ChangeRules(rules) => write!(f, "change rules {rules}"),
        }
    }
}

/// One SKU of an order, and how many units of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The SKU.
    pub sku: Sku,
    /// Units of it.
    pub count: Count,
}

/// The lines of an order: at least one, each SKU once, by ascending SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Vec<Line>);

impl Demand {
    /// The most lines after merging. The gRPC service allows fewer (`orders.max_lines`).
    pub const MAX_LINES: usize = 65_535;

    /// Merges lines as a client sends them: in any order, and possibly several for one SKU, which
    /// become one line with the sum of their counts.
    ///
    /// # Errors
    /// There are no lines, a sum does not fit `u32` (the error names the lowest such SKU), or there
    /// are more than [`Demand::MAX_LINES`] lines.
    pub fn merge(mut lines: Vec<Line>) -> Result<Self, DemandError> {
        // An unstable sort will do, since lines of one SKU are added up.
        lines.sort_unstable_by_key(|line| line.sku);
        let mut overflow = None;
        lines.dedup_by(|line, kept| {
            let same = line.sku == kept.sku;
            if same {
                match kept.count.checked_add(line.count) {
                    Some(sum) => kept.count = sum,
                    None => overflow = overflow.or(Some(line.sku)),
                }
            }
            same
        });
        match overflow {
            Some(sku) => Err(DemandError::CountOverflow(sku)),
            None if lines.is_empty() => Err(DemandError::NoLines),
            None if lines.len() > Self::MAX_LINES => Err(DemandError::TooManyLines),
            None => Ok(Self(lines)),
        }
    }

    /// Lines that are merged already; `None` if they are not a valid demand.
    pub(super) fn from_merged(lines: Vec<Line>) -> Option<Self> {
        let ascending = lines.is_sorted_by(|one, next| one.sku < next.sku);
        let valid = ascending && !lines.is_empty() && lines.len() <= Self::MAX_LINES;
        valid.then_some(Self(lines))
    }

    /// The lines, by ascending SKU.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.0
    }
}

/// Why lines are not a valid [`Demand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemandError {
    /// There are no lines.
    NoLines,
    /// The counts of this SKU add up to more than `u32::MAX`.
    CountOverflow(Sku),
    /// More lines than [`Demand::MAX_LINES`].
    TooManyLines,
}

impl fmt::Display for DemandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLines => write!(f, "no lines"),
            Self::CountOverflow(sku) => {
                write!(f, "the counts of SKU {sku} add up to more than {}", u32::MAX)
            }
            Self::TooManyLines => write!(f, "more than {} SKUs", Demand::MAX_LINES),
        }
    }
}

/// A name that a client gives to one create, so that repeating the create makes no second order:
/// 1 to 255 bytes. Keys of different users are independent.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(KeyBytes);

/// Most keys are UUIDs. A short key has no memory of its own.
#[derive(Clone, PartialEq, Eq)]
enum KeyBytes {
    Short { bytes: [u8; SHORT_KEY], len: u8 },
    Long(Box<[u8]>),
}

/// The longest short key, in bytes.
const SHORT_KEY: usize = 64;

impl IdempotencyKey {
    /// The longest key, in bytes. The length of a key fits one byte.
    pub const MAX_BYTES: usize = 255;

    /// The key of these bytes; `None` for an empty one and for one over
    /// [`IdempotencyKey::MAX_BYTES`].
    #[must_use]
    pub fn new(key: impl AsRef<[u8]>) -> Option<Self> {
        let key = key.as_ref();
        let len = u8::try_from(key.len()).ok().filter(|&len| len > 0)?;
        let mut bytes = [0; SHORT_KEY];
        Some(Self(match bytes.get_mut(..key.len()) {
            Some(short) => {
                short.copy_from_slice(key);
                KeyBytes::Short { bytes, len }
            }
            None => KeyBytes::Long(key.into()),
        }))
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Short { bytes, len } => bytes.split_at(usize::from(*len)).0,
            KeyBytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({})", self.as_bytes().escape_ascii())
    }
}
