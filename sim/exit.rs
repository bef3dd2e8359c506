//! Exit codes of the process.

use std::process::ExitCode;

use crate::check::failure::{Failure, Oracle};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Ok,
    /// Subject and model differ.
    Oracle,
    /// Wrong usage.
    Usage,
    /// Units stay reserved, or an order still awaits payment, at the end.
    Liveness,
    /// Two equal runs differ.
    Nondeterminism,
    /// A mark or a network fault is not reached.
    Coverage,
    /// A planted bug or an injected fault is not detected.
    Survivor,
    /// The linearizability search ended without a decision: nothing is known to be wrong, and
    /// nothing is known to be right.
    Undecided,
    /// A check makes no progress.
    Hung,
}

impl Exit {
    /// The exit code for a failure.
    #[must_use]
    pub(crate) const fn of(failure: &Failure) -> Self {
        match failure.signature.oracle {
            Oracle::Liveness => Self::Liveness,
            Oracle::Replay => Self::Nondeterminism,
            // A fault that did nothing proves nothing.
            Oracle::Network => Self::Undecided,
            Oracle::Answer
            | Oracle::Order
            | Oracle::Stock
            | Oracle::Deadline
            | Oracle::Index
            | Oracle::Retry
            | Oracle::Transitions
            | Oracle::Digest
            | Oracle::Invariant
            | Oracle::Whole
            | Oracle::Law(_)
            | Oracle::Panic { .. } => Self::Oracle,
        }
    }

    /// The number.
    #[must_use]
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Oracle => 1,
            Self::Usage => 2,
            Self::Liveness => 3,
            Self::Nondeterminism => 4,
            Self::Coverage => 5,
            Self::Survivor => 6,
            Self::Undecided => 7,
            Self::Hung => 8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
