//! A failure: which check failed, at which call, and what both sides say.

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
