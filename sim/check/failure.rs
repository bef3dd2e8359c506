//! What was wrong: which oracle saw it, at which call, and both sides' words.

use crate::check::laws::Law;
use crate::check::panic::CaughtPanic;
use crate::plan::Kind;
use crate::report::words::Class;

/// Who saw that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oracle {
    /// The answer differs from the model's.
    Answer,
    /// An order that the call touched differs from the model's.
    Order,
    /// A shelf differs from the model's.
    Stock,
    /// The machine would be woken at another time than the model.
    Deadline,
    /// Transitions do not fold to the statuses, or their numbers have a gap.
    Transitions,
    /// A refusal or a read changed the digest, or an acceptance did not.
    Digest,
    /// The whole state contradicts itself.
    Invariant,
    /// The whole state differs from the model's.
    Whole,
    /// The same plan, played again, came to another end.
    Replay,
    /// A law that holds of any two runs.
    Law(Law),
    /// In the end something stays reserved, or awaiting.
    Liveness,
    /// The machine would have stopped the process.
    Panic {
        /// The line of the source that did.
        line: u32,
    },
    /// A command's index is not its place in the order of all.
    Index,
    /// A create that was sent again made a second order.
    Retry,
}

impl Oracle {
    /// As pages spell it.
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
        }
    }
}

/// What makes two failures one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature {
    /// Who saw it.
    pub(crate) oracle: Oracle,
    /// At what kind of call; none at the end of a run.
    pub(crate) kind: Option<Kind>,
    /// What the machine answered.
    pub(crate) actual: Class,
    /// What the model answered.
    pub(crate) expected: Class,
}

/// Something was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What makes it the same as another.
    pub(crate) signature: Signature,
    /// The step at which it was seen; 0 for none.
    pub(crate) number: u32,
    /// Commands up to and with that step.
    pub(crate) commands: u64,
    /// The machine's side, in words.
    pub(crate) actual: String,
    /// The model's side, in words.
    pub(crate) expected: String,
}

impl Failure {
    /// The machine would have stopped the process, at a call of this kind.
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
            expected: "goes on".to_owned(),
        }
    }
}
