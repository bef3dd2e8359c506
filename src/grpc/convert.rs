//! Converts requests to validated commands, and values of the core to responses. Code behind this
//! module sees no invalid value.

use std::fmt;

use prost_types::Timestamp as WireTimestamp;

use super::proto;
use crate::state_machine::{
    Cause, Command, Count, Demand, DemandError, IdempotencyKey, Line, Order, OrderId, OrderStatus,
    Outcome, Shortage, Sku, Timestamp, UserId,
};

/// A request that breaks a rule of the contract. It never reaches the core: nothing is stored,
/// and no order id is used.
///
/// If a create breaks several rules, the first in this list is reported: [`InvalidRequest::User`],
/// [`InvalidRequest::NoItems`], [`InvalidRequest::TooManyItems`]; then line by line, in request
/// order, [`InvalidRequest::ItemSku`] and [`InvalidRequest::ItemCount`]; then
/// [`InvalidRequest::CountOverflow`] of the lowest such SKU; then [`InvalidRequest::KeyMetadata`],
/// [`InvalidRequest::KeysDiffer`] and [`InvalidRequest::KeyTooLong`]. All of them come before any
/// refusal by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// The user is 0 or below.
    User(i64),
    /// The create has no lines.
    NoItems,
    /// The create has more lines, counted before merging, than the server accepts.
    TooManyItems {
        /// Lines in the request.
        lines: usize,
        /// `orders.max_lines`.
        most: u16,
    },
    /// The line at this index, from 0, has this SKU, which is 0 or above `u32::MAX`.
    ItemSku(usize, u64),
    /// The line at this index, from 0, has this count, which is 0 or above `u32::MAX`.
    ItemCount(usize, u64),
    /// The counts of this SKU add up to more than `u32::MAX`.
    CountOverflow(Sku),
    /// The metadata `idempotency-key` is not printable ASCII.
    KeyMetadata,
    /// The metadata `idempotency-key` is another key than the field, or than itself.
    KeysDiffer,
    /// The idempotency key has this many bytes, more than [`IdempotencyKey::MAX_BYTES`].
    KeyTooLong(usize),
    /// The order id is 0 or below.
    OrderId(i64),
    /// The SKU is 0 or above `u32::MAX`.
    Sku(u64),
}

impl InvalidRequest {
    /// The field that breaks the rule, as a path in the request.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::User(_) => "user".into(),
            Self::NoItems | Self::TooManyItems { .. } | Self::CountOverflow(_) => "items".into(),
            Self::ItemSku(line, _) => format!("items[{line}].sku"),
            Self::ItemCount(line, _) => format!("items[{line}].count"),
            Self::KeyMetadata | Self::KeysDiffer | Self::KeyTooLong(_) => "idempotencyKey".into(),
            Self::OrderId(_) => "orderID".into(),
            Self::Sku(_) => "sku".into(),
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user must be above 0, not {user}"),
            Self::NoItems => write!(f, "items must hold at least one line"),
            Self::TooManyItems { lines, most } => {
                let noun = if *most == 1 { "line" } else { "lines" };
                write!(f, "items must hold at most {most} {noun}, not {lines}")
            }
            Self::ItemSku(_, value) | Self::ItemCount(_, value) | Self::Sku(value) => {
                match (self.field(), value) {
                    (field, 0) => write!(f, "{field} must not be 0"),
                    (field, _) => write!(f, "{field} must be at most {}, not {value}", u32::MAX),
                }
            }
            Self::CountOverflow(sku) => {
                write!(f, "the counts of SKU {sku} must not add up to more than {}", u32::MAX)
            }
            Self::KeyMetadata => {
                write!(f, "the metadata idempotency-key must be printable ASCII")
            }
            Self::KeysDiffer => {
                write!(f, "idempotencyKey and the metadata idempotency-key must be the same")
            }
            Self::KeyTooLong(bytes) => write!(
                f,
                "idempotencyKey must have at most {} bytes, not {bytes}",
                IdempotencyKey::MAX_BYTES
            ),
            Self::OrderId(order) => write!(f, "orderID must be above 0, not {order}"),
        }
    }
}

/// Validates a create. `items` are pairs of SKU and count, in the order of the request. `key` is
/// the field; `key_metadata` has the values of the metadata `idempotency-key`.
///
/// # Errors
/// The first rule that it breaks, in the order that [`InvalidRequest`] gives.
pub fn order_create<'a>(
    user: i64,
    items: impl ExactSizeIterator<Item = (u64, u64)>,
    key: String,
    key_metadata: impl IntoIterator<Item = &'a [u8]>,
    max_lines: u16,
) -> Result<Command, InvalidRequest> {
    let user = UserId::new(user).ok_or(InvalidRequest::User(user))?;
    if items.len() == 0 {
        return Err(InvalidRequest::NoItems);
    }
    if items.len() > usize::from(max_lines) {
        return Err(InvalidRequest::TooManyItems { lines: items.len(), most: max_lines });
    }
    let lines = items
        .enumerate()
        .map(|(place, (sku, count))| {
            let sku = fits(sku, Sku::new).ok_or(InvalidRequest::ItemSku(place, sku))?;
            let count = fits(count, Count::new).ok_or(InvalidRequest::ItemCount(place, count))?;
            Ok(Line { sku, count })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let lines_given = lines.len();
    let demand = Demand::merge(lines).map_err(|error| match error {
        DemandError::NoLines => InvalidRequest::NoItems,
        DemandError::CountOverflow(sku) => InvalidRequest::CountOverflow(sku),
        DemandError::TooManyLines => {
            InvalidRequest::TooManyItems { lines: lines_given, most: max_lines }
        }
    })?;
    let key = match one_key(key, key_metadata)? {
        key if key.is_empty() => None,
        key => {
            let bytes = key.len();
            Some(IdempotencyKey::new(key).ok_or(InvalidRequest::KeyTooLong(bytes))?)
        }
    };
    Ok(Command::CreateOrder { user, demand, key })
}

/// The key that field and metadata give together. Empty means none.
fn one_key<'a>(
    mut key: String,
    metadata: impl IntoIterator<Item = &'a [u8]>,
) -> Result<String, InvalidRequest> {
    for value in metadata {
        let value = str::from_utf8(value).ok();
        let value = value.filter(|value| value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let value = value.ok_or(InvalidRequest::KeyMetadata)?;
        if key.is_empty() {
            value.clone_into(&mut key);
        } else if !value.is_empty() && value != key {
            return Err(InvalidRequest::KeysDiffer);
        }
    }
    Ok(key)
}

/// Validates an order id.
///
/// # Errors
/// It is 0 or below.
pub fn order_id(order: i64) -> Result<OrderId, InvalidRequest> {
    OrderId::new(order).ok_or(InvalidRequest::OrderId(order))
}

/// Validates the SKU of a StocksInfo.
///
/// # Errors
/// It is 0 or above `u32::MAX`.
pub fn sku(sku: u64) -> Result<Sku, InvalidRequest> {
    fits(sku, Sku::new).ok_or(InvalidRequest::Sku(sku))
}

/// A field of 32 bits; `None` if its value on the wire does not fit or is not valid.
fn fits<T>(value: u64, valid: impl FnOnce(u32) -> Option<T>) -> Option<T> {
    valid(u32::try_from(value).ok()?)
}

/// The response to a create.
pub(super) fn order_created(outcome: Outcome) -> proto::OrderCreateResponse {
    let (order, status, shortages) = match outcome {
        Outcome::Reserved(order) => (order, OrderStatus::AwaitingPayment, Vec::new()),
        Outcome::OutOfStock { order, shortages } => (order, OrderStatus::Failed, shortages),
        Outcome::Repeated { order, answered, shortages } => (order, answered, shortages),
        Outcome::Paid
        | Outcome::AlreadyPaid
        | Outcome::Cancelled
        | Outcome::AlreadyCancelled
        | Outcome::Ticked
        | Outcome::RulesChanged
        | Outcome::RulesUnchanged => unreachable!("a create has no such outcome: {outcome:?}"),
    };
    proto::OrderCreateResponse {
        order_id: order.get(),
        status: status.as_str().to_owned(),
        shortages: shortages.into_iter().map(shortage).collect(),
    }
}

/// The response to OrderInfo.
pub(super) fn order_info(order: Order) -> proto::OrderInfoResponse {
    let items = order.lines.into_iter();
    proto::OrderInfoResponse {
        status: order.status.as_str().to_owned(),
        user: order.user.get(),
        items: items
            .map(|line| proto::Item { sku: line.sku.get(), count: line.count.get() })
            .collect(),
        created_at: Some(timestamp(order.created)),
        updated_at: Some(timestamp(order.updated)),
        reason: reason(order.cause).to_owned(),
        shortages: order.shortages.into_iter().map(shortage).collect(),
    }
}

/// The `reason` of an order on the wire: why it failed or was cancelled; empty for other orders.
fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::Placement | Cause::Reservation | Cause::Payment => "",
        Cause::OutOfStock => "OUT_OF_STOCK",
        Cause::CancelledByClient => "CANCELLED_BY_CLIENT",
        Cause::PaymentTimeout => "PAYMENT_TIMEOUT",
    }
}

fn shortage(shortage: Shortage) -> proto::Shortage {
    proto::Shortage {
        sku: shortage.sku.get(),
        requested: u64::from(shortage.requested.get()),
        available: shortage.available,
    }
}

fn timestamp(time: Timestamp) -> WireTimestamp {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    let (seconds, nanos) = (time.as_nanos() / NANOS_PER_SECOND, time.as_nanos() % NANOS_PER_SECOND);
    WireTimestamp {
        seconds: seconds.cast_signed(),
        nanos: i32::try_from(nanos).expect("less than a second"),
    }
}
