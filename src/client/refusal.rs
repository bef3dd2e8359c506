//! Why a call brought no answer: it was refused, or nobody could be asked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::answer::OrderPlaced;
use crate::grpc::{ORDER_CREATE_RESPONSE, proto};

/// Why a call brought no answer. Shown in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The server answered, and the answer is no. Asking again brings the same.
    Refused(Box<Refusal>),
    /// The server could not be reached, or said UNAVAILABLE, on every attempt. A pay, cancel or
    /// create may have been done all the same.
    Unreachable {
        /// How often it was tried.
        attempts: u32,
        /// What went wrong on the last attempt.
        trouble: String,
    },
    /// No answer came within the deadline. A pay, cancel or create may have been done all the
    /// same.
    DeadlineExceeded {
        /// How long the call was given.
        deadline: Duration,
        /// What went wrong on the attempt before, if there was one.
        trouble: Option<String>,
    },
    /// The address cannot be called.
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it, and how to mend it.
        problem: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable { attempts, trouble } => {
                let times = if *attempts == 1 { "attempt" } else { "attempts" };
                write!(f, "unreachable after {attempts} {times}: {}", OneLine(trouble))
            }
            Self::DeadlineExceeded { deadline, trouble } => {
                write!(f, "no answer within {deadline:?}")?;
                match trouble {
                    Some(trouble) => write!(f, " (before that: {})", OneLine(trouble)),
                    None => Ok(()),
                }
            }
            Self::Address { address, problem } => {
                write!(f, "cannot call {:?}: {}", address, OneLine(problem))
            }
        }
    }
}

impl Error for ClientError {}

/// A server's no, with all that it said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The ErrorInfo reason, such as `ORDER_NOT_FOUND`; empty where there is none of domain
    /// `loms` (a proxy's refusal, or another server's).
    pub reason: String,
    /// The ErrorInfo metadata, such as `order_id` and `status`.
    pub facts: BTreeMap<String, String>,
    /// The fields that broke a rule.
    pub violations: Vec<Violation>,
    /// A sentence for people.
    pub message: String,
    /// The failed order, for a create that was refused with FAILED_PRECONDITION because the
    /// server is set to refuse failed orders. It is on record, and has an id, like any other.
    pub placed: Option<OrderPlaced>,
}

/// A field of the request that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, such as `items[2].count`.
    pub field: String,
    /// The rule.
    pub description: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", OneLine(&self.message), code_name(self.code))?;
        let fields = self.violations.iter().map(|violation| &violation.field);
        for word in std::iter::once(&self.reason).chain(fields).filter(|word| !word.is_empty()) {
            write!(f, ", {}", OneLine(word))?;
        }
        write!(f, ")")
    }
}

/// What a status says about going on.
pub(super) enum Verdict {
    /// Nobody has refused: try again.
    Retry(String),
    /// Time ran out.
    Late,
    /// No, and no again.
    Refused(Box<Refusal>),
}

/// Reads a status that stands in place of an answer.
pub(super) fn judge(status: &Status) -> Verdict {
    // A status with a source was made on this side, from whatever broke the connection. Its
    // code is a guess of the transport: UNKNOWN for a reset connection, CANCELLED for a closed
    // one.
    if let Some(source) = status.source() {
        if chain(source).any(|error| error.is::<tonic::TimeoutExpired>()) {
            return Verdict::Late;
        }
        return Verdict::Retry(trouble(source));
    }
    match status.code() {
        Code::Unavailable => Verdict::Retry(status.message().to_owned()),
        // This side never cancels a call that it waits for: CANCELLED is what a tonic server
        // says when the call's time runs out there first.
        Code::DeadlineExceeded | Code::Cancelled => Verdict::Late,
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Refused(Box::new(refusal(status))),
    }
}

/// An error with all its causes, each said once.
pub(super) fn trouble(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for cause in chain(error) {
        let cause = cause.to_string();
        if said.ends_with(&cause) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&cause);
    }
    said
}

/// An error, its cause, the cause of that, and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

fn refusal(status: &Status) -> Refusal {
    let (reason, facts) = match status.get_details_error_info() {
        Some(info) if info.domain == "loms" => (info.reason, info.metadata.into_iter().collect()),
        Some(_) | None => (String::new(), BTreeMap::new()),
    };
    let violations = status.get_details_bad_request().map_or_else(Vec::new, |request| {
        let plain = |violation: tonic_types::FieldViolation| Violation {
            field: violation.field,
            description: violation.description,
        };
        request.field_violations.into_iter().map(plain).collect()
    });
    let message = status.message().to_owned();
    Refusal { code: status.code(), reason, facts, violations, message, placed: placed(status) }
}

/// The answer that a refused create carries in its details. Details that cannot be read say
/// nothing, as with every other detail.
fn placed(status: &Status) -> Option<OrderPlaced> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let answer = details.iter().find(|detail| detail.type_url == ORDER_CREATE_RESPONSE)?;
    let answer = proto::OrderCreateResponse::decode(answer.value.as_slice()).ok()?;
    Some(OrderPlaced::from_wire(answer))
}

/// Shows text that came over the wire without its line breaks and terminal codes.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for char in self.0.chars() {
            f.write_char(if char.is_control() { ' ' } else { char })?;
        }
        Ok(())
    }
}

/// The code as gRPC's documentation spells it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
