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
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Oracle => 1,
            Exit::Usage => 2,
            Exit::Liveness => 3,
            Exit::Nondeterminism => 4,
            Exit::Coverage => 5,
            Exit::Survivor => 6,
            Exit::Undecided => 7,
        })
    }
}
