//! Refusals: one table says everything about each of them. Text, fingerprints, counts and the
//! reading of gRPC errors are derived from it.

use std::fmt::{self, Display};

use tonic::Code;

use crate::model::status::Status;

/// The facts that a refusal can carry, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// The index of a line in the request, from 0.
    pub(crate) line: Option<u32>,
    /// A SKU.
    pub(crate) sku: Option<u32>,
    /// The status of the order.
    pub(crate) status: Option<Status>,
    /// The id of an order.
    pub(crate) order: Option<i64>,
}

/// A fact as a number, for fingerprints.
trait Fact: Copy {
    fn number(self) -> u64;
}

impl Fact for u32 {
    fn number(self) -> u64 {
        u64::from(self)
    }
}

impl Fact for i64 {
    fn number(self) -> u64 {
        self.cast_unsigned()
    }
}

impl Fact for Status {
    fn number(self) -> u64 {
        self.number()
    }
}

macro_rules! refusals {
    ($(
        $(#[$doc:meta])*
        $name:ident $(($fact:ident: $type:ty))?
            $number:literal $code:ident $reason:literal $field:literal;
    )*) => {
        /// Why a call was refused, with the fact that the error carries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Refusal { $($(#[$doc])* $name $(($type))?,)* }

        /// A refusal without its fact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum RefusalKind { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// The refusal without its fact.
            #[must_use]
            pub(crate) const fn kind(self) -> RefusalKind {
                match self { $(Self::$name { .. } => RefusalKind::$name,)* }
            }

            /// The fact as a number; 0 if there is none.
            #[must_use]
            pub(crate) fn fact(self) -> u64 {
                match self { $(Self::$name $(($fact))? => 0 $(+ $fact.number())?,)* }
            }
        }

        impl RefusalKind {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A number that never changes: fingerprints depend on it.
            #[must_use]
            pub(crate) const fn number(self) -> u64 {
                match self { $(Self::$name => $number,)* }
            }

            /// The gRPC status code.
            #[must_use]
            pub(crate) const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The reason in the ErrorInfo.
            #[must_use]
            pub(crate) const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }

            /// The request field that is invalid; `#` stands for the index of the line.
            #[must_use]
            pub(crate) const fn field(self) -> &'static str {
                match self { $(Self::$name => $field,)* }
            }

            /// The refusal with its fact; `None` if that fact is not known.
            #[must_use]
            pub(crate) fn with_facts(self, facts: Facts) -> Option<Refusal> {
                match self {
                    $(Self::$name => Some(Refusal::$name $((facts.$fact?))?),)*
                }
            }
        }
    };
}

refusals! {
    /// The user is 0 or below.
    InvalidUser 1 InvalidArgument "INVALID_USER" "user";
    /// There are no lines.
    NoItems 2 InvalidArgument "NO_ITEMS" "items";
    /// More lines than the server accepts, counted before lines of the same SKU are merged.
    TooManyItems 3 InvalidArgument "TOO_MANY_ITEMS" "items";
    /// The line at this index, from 0, has SKU 0.
    InvalidItemSku(line: u32) 4 InvalidArgument "INVALID_SKU" "items[#].sku";
    /// The line at this index, from 0, has count 0.
    InvalidItemCount(line: u32) 5 InvalidArgument "INVALID_COUNT" "items[#].count";
    /// The counts of this SKU add up to more than `u32`.
    CountOverflow(sku: u32) 6 InvalidArgument "COUNT_OVERFLOW" "items";
    /// The idempotency key is longer than 255 bytes.
    KeyTooLong 7 InvalidArgument "IDEMPOTENCY_KEY_TOO_LONG" "idempotencyKey";
    /// The order id is 0 or below.
    InvalidOrderId 8 InvalidArgument "INVALID_ORDER_ID" "orderID";
    /// StocksInfo of SKU 0.
    InvalidSku 9 InvalidArgument "INVALID_SKU" "sku";
    /// There is no such order.
    OrderNotFound 10 NotFound "ORDER_NOT_FOUND" "";
    /// There is no such stock record.
    SkuNotFound 11 NotFound "SKU_NOT_FOUND" "";
    /// The order has this status, from which the call cannot change it.
    OrderNotAwaitingPayment(status: Status) 12 FailedPrecondition "ORDER_NOT_AWAITING_PAYMENT" "";
    /// The order was not paid in time.
    OrderExpired 13 FailedPrecondition "ORDER_EXPIRED" "";
    /// The user sent this key before, with other lines; that create made this order.
    IdempotencyKeyReused(order: i64) 14 AlreadyExists "IDEMPOTENCY_KEY_REUSED" "";
    /// As many orders of the user await payment as the rules allow.
    TooManyOpenOrders 15 ResourceExhausted "TOO_MANY_OPEN_ORDERS" "";
    /// Orders and keys take all the room that the rules allow.
    NoRoom 16 ResourceExhausted "NO_ROOM" "";
}

impl Refusal {
    /// The gRPC status code.
    #[must_use]
    pub(crate) const fn code(self) -> Code {
        self.kind().code()
    }

    /// The reason in the ErrorInfo.
    #[must_use]
    pub(crate) const fn reason(self) -> &'static str {
        self.kind().reason()
    }

    /// The request field that is invalid; `None` if the request itself is valid.
    #[must_use]
    pub(crate) fn field(self) -> Option<String> {
        let field = self.kind().field();
        (!field.is_empty()).then(|| field.replace('#', &self.fact().to_string()))
    }

    /// Whether the request is invalid: then it never reaches the state machine.
    #[must_use]
    pub(crate) const fn is_invalid(self) -> bool {
        self.kind().is_invalid()
    }
}

impl RefusalKind {
    /// Whether the request is invalid: then it never reaches the state machine.
    #[must_use]
    pub(crate) const fn is_invalid(self) -> bool {
        matches!(self.code(), Code::InvalidArgument)
    }

    /// The name on pages. Two refusals share a reason, and differ in the field.
    #[must_use]
    pub(crate) fn label(self) -> String {
        if self == Self::InvalidItemSku {
            format!("{} (item)", self.reason())
        } else {
            self.reason().to_owned()
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        if let Self::InvalidItemSku(_) | Self::InvalidItemCount(_) = self {
            write!(f, " ({})", self.field().unwrap_or_default())
        } else if let Self::CountOverflow(sku) = self {
            write!(f, " (SKU {sku})")
        } else if let Self::OrderNotAwaitingPayment(status) = self {
            write!(f, " ({})", status.name())
        } else if let Self::IdempotencyKeyReused(order) = self {
            write!(f, " (order {order})")
        } else {
            Ok(())
        }
    }
}
