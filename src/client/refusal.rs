//! The errors of a call: a refusal, an unreachable server, a deadline.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::answer::OrderPlaced;
use crate::grpc::{ORDER_CREATE_RESPONSE, proto};

/// Why a call failed. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The server refused the call. A retry would be refused too.
    Refused(Box<Refusal>),
    /// On every attempt the server was unreachable or answered UNAVAILABLE. The outcome is unknown:
    /// a pay, cancel or create may have taken effect.
    Unreachable {
        /// The number of attempts.
        attempts: u32,
        /// Why the last attempt failed.
        cause: String,
    },
    /// No answer came within the deadline. The outcome is unknown: a pay, cancel or create may have
    /// taken effect.
    DeadlineExceeded {
        /// The time limit of the call.
        deadline: Duration,
        /// Why the attempt before the last one failed, if there was one.
        last_cause: Option<String>,
    },
    /// The address is not valid.
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it, and how to correct it.
        problem: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable { attempts, cause } => {
                let noun = if *attempts == 1 { "attempt" } else { "attempts" };
                write!(f, "unreachable after {attempts} {noun}: {}", OneLine(cause))
            }
            Self::DeadlineExceeded { deadline, last_cause } => {
                write!(f, "no answer within {deadline:?}")?;
                match last_cause {
                    Some(cause) => write!(f, " (earlier attempt: {})", OneLine(cause)),
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

impl ClientError {
    /// Why one attempt failed, with this time limit.
    #[must_use]
    pub fn of_attempt(status: &Status, deadline: Duration) -> Self {
        match classify(status) {
            Failure::Retryable { cause, .. } => Self::Unreachable { attempts: 1, cause },
            Failure::DeadlineExceeded => Self::DeadlineExceeded { deadline, last_cause: None },
            Failure::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// A refusal by the server, with its google.rpc details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The ErrorInfo reason, such as `ORDER_NOT_FOUND`. Empty if the status has no ErrorInfo of the
    /// domain `loms`, for example because a proxy refused the call.
    pub reason: String,
    /// The ErrorInfo metadata, such as `order_id` and `status`.
    pub facts: BTreeMap<String, String>,
    /// The fields that broke a rule.
    pub violations: Vec<Violation>,
    /// The message, for people.
    pub message: String,
    /// The failed order, if the server is configured to refuse creates that are short of stock.
    /// The server stores this order like any other.
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

/// What a failed attempt means for the call.
pub(super) enum Failure {
    /// The server was not reached, or answered UNAVAILABLE.
    Retryable {
        cause: String,
        /// How long the server asks to wait before a retry: its RetryInfo, or 0.
        retry_delay: Duration,
    },
    DeadlineExceeded,
    Refused(Box<Refusal>),
}

/// Classifies the status of a failed attempt.
pub(super) fn classify(status: &Status) -> Failure {
    // A status with a source was made by the transport on this side, from a connection error. Its
    // code is only a guess: UNKNOWN for a reset connection, CANCELLED for a closed one.
    if let Some(source) = status.source() {
        if causes(source).any(|error| error.is::<tonic::TimeoutExpired>()) {
            return Failure::DeadlineExceeded;
        }
        return Failure::Retryable { cause: error_chain(source), retry_delay: Duration::ZERO };
    }
    match status.code() {
        Code::Unavailable => {
            let retry_delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
            Failure::Retryable {
                cause: status.message().to_owned(),
                retry_delay: retry_delay.unwrap_or_default(),
            }
        }
        // This client never cancels a call that it waits for. A tonic server answers CANCELLED
        // when its own timer for the call runs out first.
        Code::DeadlineExceeded | Code::Cancelled => Failure::DeadlineExceeded,
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
        | Code::Unauthenticated => Failure::Refused(Box::new(refusal(status))),
    }
}

/// The text of an error and its causes. A cause whose text repeats the previous one is left out.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// An error, its cause, the cause of that, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
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

/// The order in the details of a refused create. Details that cannot be decoded are ignored.
fn placed(status: &Status) -> Option<OrderPlaced> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let answer = details.iter().find(|detail| detail.type_url == ORDER_CREATE_RESPONSE)?;
    let answer = proto::OrderCreateResponse::decode(answer.value.as_slice()).ok()?;
    Some(OrderPlaced::from_wire(answer))
}

/// Displays text from the wire with control characters replaced by spaces.
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

/// The name of the code in the gRPC documentation, such as `NOT_FOUND`.
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
