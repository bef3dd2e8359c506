//! How the process ends: a code for each kind of trouble.

use std::process::ExitCode;

use crate::check::failure::{Failure, Oracle};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok,
    /// Machine and model differ.
    Oracle,
    /// It was not asked rightly.
    Usage,
    /// Something stays reserved, or awaiting.
    Liveness,
    /// Two equal runs differ.
    Nondeterminism,
    /// A mark was not reached.
    Coverage,
    /// A planted bug, or a fault planted in the simulator, is not found.
    Survivor,
    /// The linearizability search ended without a decision: nothing is known to be wrong, and
    /// nothing is known to be right.
    Undecided,
}

impl Exit {
    /// How a failure ends the process.
    #[must_use]
    pub(crate) const fn of(failure: &Failure) -> Self {
        match failure.signature.oracle {
            Oracle::Liveness => Self::Liveness,
            Oracle::Replay => Self::Nondeterminism,
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
