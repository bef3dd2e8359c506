//! What can be asked of the machine: a [`Command`] is a checked wish, at a moment.

use std::fmt;

use super::ids::{Count, OrderId, Sku, Timestamp, UserId};

/// A wish and the moment at which it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The machine's time from this command on; never before that of the command before it.
    pub at: Timestamp,
    /// What is wished for.
    pub action: Action<'a>,
}

/// The four wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Place an order and reserve all its lines, or none.
    CreateOrder {
        /// Whose order it is.
        user: UserId,
        /// What is ordered.
        demand: &'a Demand,
        /// Makes the command safe to repeat.
        key: Option<&'a IdempotencyKey>,
    },
    /// The order has been paid: its stock leaves the building.
    PayOrder(OrderId),
    /// The order is called off: its stock can be promised again.
    CancelOrder(OrderId),
    /// Let time pass: what is due expires, and nothing else happens.
    Tick,
}

impl fmt::Display for Action<'_> {
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
        }
    }
}

/// One SKU within an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is ordered.
    pub sku: Sku,
    /// How much of it.
    pub count: Count,
}

/// What an order asks for: at least one line, each SKU once, by ascending SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Vec<Line>);

impl Demand {
    /// The most lines that a demand can hold after merging. An edge may well allow fewer.
    pub const MAX_LINES: usize = 65_535;

    /// Lines as a client sends them, in any order, a SKU perhaps more than once: lines of one
    /// SKU become one line of their sum.
    ///
    /// # Errors
    /// No lines, a sum that leaves `u32` (the lowest such SKU is named), or more than
    /// [`Demand::MAX_LINES`] lines.
    pub fn merge(mut lines: Vec<Line>) -> Result<Self, DemandError> {
        // Stable or not makes no difference: lines of one SKU are added up.
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

    /// The lines, by ascending SKU.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.0
    }
}

/// Why lines do not make a [`Demand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemandError {
    /// There is nothing to order.
    NoLines,
    /// The lines of this SKU add up to more than `u32` holds.
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

/// A name that a client gives to one create, so that sending it again creates nothing again:
/// 1 to 64 bytes. Keys of different users never meet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey {
    bytes: [u8; Self::MAX_BYTES],
    len: u8,
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The key of these bytes; `None` for an empty one and for one over
    /// [`IdempotencyKey::MAX_BYTES`].
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        match u8::try_from(key.len()) {
            Ok(len) if len > 0 => Some(Self { bytes, len }),
            Ok(_) | Err(_) => None,
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(usize::from(self.len)).0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({})", self.as_bytes().escape_ascii())
    }
}
