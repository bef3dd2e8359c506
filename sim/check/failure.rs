//! A failure: which check failed, at which call, and what both sides say.

use crate::check::compared::Compared;
use crate::check::laws::Law;
use crate::check::panic::CaughtPanic;
use crate::plan::Kind;
use crate::report::answers::Class;

/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oracle {
    /// The answer differs from the model's.
    Answer,
    /// An order that the call touched differs from the model's.
    Order,
    /// The stock of a SKU differs from the model's.
    Stock,
    /// The next deadline differs from the model's.
    Deadline,
    /// The transitions contradict the statuses, or their sequence numbers have a gap.
    Transitions,
    /// The digest changed without an event, or did not change with one.
    Digest,
    /// The whole state violates an invariant.
    Invariant,
    /// The whole state differs from the model's.
    Whole,
    /// The same plan, run again, gave another result.
    Replay,
    /// Two runs that must be equivalent are not.
    Law(Law),
    /// At the end units are reserved, or an order awaits payment.
    Liveness,
    /// The subject panicked.
    Panic {
        /// The source line of the panic.
        line: u32,
    },
    /// A command has the wrong index, or the number of log entries differs.
    Index,
    /// A retried create made a second order, although keys never expire.
    Retry,
    /// A network fault did not have its effect.
    Network,
}

impl Oracle {
    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Order => "order",
            Self::Stock => "stock",
            Self::Deadline => "deadline",
            Self::Transitions => "transitions",
            Self::Digest => "digest",
            Self::Invariant => "invariant",
            Self::Whole => "whole state",
            Self::Replay => "replay",
            Self::Law(law) => law.name(),
            Self::Liveness => "liveness",
            Self::Panic { .. } => "panic",
            Self::Index => "index",
            Self::Retry => "retry",
            Self::Network => "network",
        }
    }

    /// The check that makes this comparison.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each comparison")]
    pub(crate) const fn of(compared: Compared) -> Self {
        use Compared as C;
        match compared {
            C::AnswerKind
            | C::CreatedOrder
            | C::CreatedStatus
            | C::CreatedShortages
            | C::OrderStatus
            | C::OrderReason
            | C::OrderUser
            | C::OrderCreatedAt
            | C::OrderUpdatedAt
            | C::OrderLines
            | C::OrderShortages
            | C::Units
            | C::Refusal
            | C::Reply
            | C::OrderAtEnd
            | C::NoAnswerInBacklog
            | C::ReplyInOrder
            | C::InvalidReply => Self::Answer,
            C::OrderBeforeOthers | C::LastChangedOrder | C::RepeatedOrder | C::OrderOfCall => {
                Self::Order
            }
            C::StatusByTransitions
            | C::ExpiryByTransitions
            | C::EventNumber
            | C::TransitionFrom
            | C::TransitionAllowed
            | C::NewOrderId
            | C::EventsOfModel
            | C::EventsSeen
            | C::OrderCount => Self::Transitions,
            C::StockSku
            | C::StockTotal
            | C::StockReserved
            | C::ReservedInTotal
            | C::OpeningReservation
            | C::StockLength
            | C::ServerStock
            | C::StoppedStock => Self::Stock,
            C::NextDeadline
            | C::NextTick
            | C::ServerDeadline
            | C::ServerEntries
            | C::BacklogStays => Self::Deadline,
            C::Entries
            | C::CommandIndex
            | C::HasIndex
            | C::IndexInOrder
            | C::RealTime
            | C::EarlierEntry
            | C::StoppedEntries
            | C::StoppedTime => Self::Index,
            C::DigestWithoutEvent | C::EventWithoutDigest | C::RestoredDigest => Self::Digest,
            C::Invariants | C::ModelAudit | C::ServerInvariants | C::StoppedInvariants => {
                Self::Invariant
            }
            C::OrdersAtStep
            | C::OrdersAtSize
            | C::OrdersAtEnd
            | C::OrdersInState
            | C::StoppedOrders => Self::Whole,
            C::SecondRun | C::SameAnswers => Self::Replay,
            C::NoPanic => Self::Panic { line: 0 },
            C::StockAfterCancel => Self::Law(Law::CreateThenCancel),
            C::StockAfterDisjoint => Self::Law(Law::DisjointCommute),
            C::MergedAnswers | C::MergedStock | C::SplitAnswers | C::SplitStock => {
                Self::Law(Law::SplitIsMerged)
            }
            C::RenamedAnswers | C::RenamedStock => Self::Law(Law::Renamed),
            C::DeadlineAfterTick
            | C::ReservedAtEnd
            | C::Answered
            | C::NotCatchingUp
            | C::RulesChanged
            | C::BacklogEnded
            | C::ServerReserved
            | C::BacklogAtEnd
            | C::DeadlineWakesTicker
            | C::BacklogWakesTicker
            | C::WaitedBefore
            | C::RefusedInTime
            | C::EveryCallEnds
            | C::NoStepLeft
            | C::Drained
            | C::FirstWatch
            | C::LaterWatches
            | C::BacklogAtStop => Self::Liveness,
            C::OneOrder => Self::Retry,
            C::DuplicateSent | C::FaultEffect | C::ClockJumped | C::Restarted => Self::Network,
        }
    }
}

/// Two failures with the same signature count as the same failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature {
    /// The check that failed.
    pub(crate) oracle: Oracle,
    /// The kind of call; `None` at the end of a run.
    pub(crate) kind: Option<Kind>,
    /// The class of the actual answer.
    pub(crate) actual: Class,
    /// The class of the expected answer.
    pub(crate) expected: Class,
}

/// A failed check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The comparison that found it.
    pub(crate) compared: Compared,
    /// Identifies the failure while a plan shrinks.
    pub(crate) signature: Signature,
    /// The number of the step; 0 for none.
    pub(crate) number: u32,
    /// Number of commands up to this step.
    pub(crate) commands: u64,
    /// What the subject did.
    pub(crate) actual: String,
    /// What the model expected.
    pub(crate) expected: String,
}

impl Failure {
    /// The failure for a panic at a call of this kind.
    #[must_use]
    pub(crate) fn of_panic(
        caught: CaughtPanic,
        kind: Option<Kind>,
        number: u32,
        commands: u64,
    ) -> Self {
        let CaughtPanic { message, line } = caught;
        Self {
            compared: Compared::NoPanic,
            signature: Signature {
                oracle: Oracle::Panic { line },
                kind,
                actual: Class::Impossible,
                expected: Class::Done,
            },
            number,
            commands,
            actual: message,
            expected: "no panic".to_owned(),
        }
    }
}
