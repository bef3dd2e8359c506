//! The table of keys: every source names its values by it, and every value is a text that is read
//! the same way from each.

use std::num::NonZeroU16;

use tonic::transport::Uri;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::refusal::{ConfigError, Place};
use crate::state_machine::Span;

/// Something that can be set.
#[derive(Debug)]
pub struct Key {
    /// Section and key in the file, as `section.key`.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The flag that sets it, if there is one.
    pub flag: Option<&'static str>,
    /// What it is when nobody sets it.
    pub default: Option<&'static str>,
    /// What it is for, in a line.
    pub about: &'static str,
    /// What a value looks like, in words that follow "expected".
    pub expected: &'static str,
}

/// All keys, in the order of `config/config.yaml`.
pub static KEYS: [Key; 10] = [
    Key {
        name: "grpc.listen",
        variable: "LOMS_GRPC_LISTEN",
        flag: Some("--listen"),
        default: Some("0.0.0.0:50051"),
        about: "IP address and port to serve on; port 0 takes any that is free.",
        expected: "an IP address and a port, such as 0.0.0.0:50051 or [::1]:50051",
    },
    Key {
        name: "grpc.threads",
        variable: "LOMS_GRPC_THREADS",
        flag: Some("--threads"),
        default: Some("cores"),
        about: "Threads to serve on, 1 to 255, or cores for one a core. A connection stays on one.",
        expected: "cores, or a whole number from 1 to 255",
    },
    Key {
        name: "loms.address",
        variable: "LOMS_ADDRESS",
        flag: Some("--address"),
        default: Some("http://localhost:50051"),
        about: "Where the commands that call LOMS find it.",
        expected: "http://HOST:PORT, such as http://localhost:50051",
    },
    Key {
        name: "stock.file",
        variable: "LOMS_STOCK_FILE",
        flag: Some("--stock"),
        default: None,
        about: "Opening stock, a JSON array; unset, that of the binary. Relative to this file's \
                folder.",
        expected: "the path of a stock file",
    },
    Key {
        name: "orders.max_lines",
        variable: "LOMS_ORDERS_MAX_LINES",
        flag: None,
        default: Some("1000"),
        about: "The most lines that an OrderCreate may have, 1 to 65535.",
        expected: "a whole number from 1 to 65535",
    },
    Key {
        name: "orders.payment_timeout",
        variable: "LOMS_ORDERS_PAYMENT_TIMEOUT",
        flag: Some("--payment-timeout"),
        default: Some("10m"),
        about: "How long an order may await payment before LOMS cancels it; 0 for ever.",
        expected: "a time of at most 584 years, such as 10m or 1h 30m, or 0",
    },
    Key {
        name: "orders.idempotency_window",
        variable: "LOMS_ORDERS_IDEMPOTENCY_WINDOW",
        flag: None,
        default: Some("24h"),
        about: "How long an idempotency key is remembered; 0 for not at all.",
        expected: "a time of at most 584 years, such as 24h or 7days, or 0",
    },
    Key {
        name: "orders.failed_create",
        variable: "LOMS_ORDERS_FAILED_CREATE",
        flag: None,
        default: Some("ok"),
        about: "How an order that failed for want of stock is answered: ok or failed_precondition.",
        expected: "ok or failed_precondition",
    },
    Key {
        name: "log.level",
        variable: "LOMS_LOG_LEVEL",
        flag: Some("--log-level"),
        default: Some("info"),
        about: "What is logged: a level, or levels by module, such as info,loms::grpc=debug.",
        expected: "off, error, warn, info, debug or trace, or levels by module, such as \
                   info,loms::grpc=debug",
    },
    Key {
        name: "log.format",
        variable: "LOMS_LOG_FORMAT",
        flag: Some("--log-format"),
        default: Some("text"),
        about: "What a line of the log looks like: text or json.",
        expected: "text or json",
    },
];

impl Key {
    /// The section of the file, and the key within it.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').expect("every name in the table has a section")
    }
}

/// What a source gives for a key.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) place: Place,
}

impl Value {
    /// What the text says.
    pub(super) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        parse(&self.text).ok_or_else(|| ConfigError::BadValue {
            place: self.place.clone(),
            key: self.key,
            text: self.text.clone(),
        })
    }
}

/// The values that are built in.
pub(super) fn defaults() -> Vec<Value> {
    let value = |key: &'static Key| {
        Some(Value { key, text: key.default?.to_owned(), place: Place::BuiltIn })
    };
    KEYS.iter().filter_map(value).collect()
}

/// The value that counts, of all that are given for a key.
pub(super) fn last<'a>(values: &'a [Value], name: &str) -> Option<&'a Value> {
    values.iter().rfind(|value| value.key.name == name)
}

/// 1 to 65535.
pub(super) fn positive(text: &str) -> Option<u16> {
    text.parse().ok().map(NonZeroU16::get)
}

/// `http`, a host, perhaps a port, and nothing else: LOMS is called without TLS, at the root.
pub(super) fn http_address(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let origin = match uri.port_u16() {
        Some(port) => format!("http://{host}:{port}"),
        None => format!("http://{host}"),
    };
    // Also refuses what the parts leave out: a user, a port that is none, a query.
    (text.strip_suffix('/').unwrap_or(text) == origin && uri.port_u16() != Some(0))
        .then_some(origin)
}

/// A time such as `1h 30m`, or `0`.
pub(super) fn span(text: &str) -> Option<Span> {
    let mut total = 0_u64;
    let mut rest = text;
    loop {
        // Piece by piece, each a number and its unit: given all at once, humantime panics on some
        // sums that are too large for it.
        let mut after_unit = false;
        let end = rest.find(|c: char| {
            let next = after_unit && c.is_ascii_digit();
            after_unit = c.is_alphabetic() || (after_unit && c.is_whitespace());
            next
        });
        let (piece, more) = rest.split_at(end.unwrap_or(rest.len()));
        let piece = humantime::parse_duration(piece).ok()?;
        total = total.checked_add(u64::try_from(piece.as_nanos()).ok()?)?;
        if more.is_empty() {
            return Some(Span::from_nanos(total));
        }
        rest = more;
    }
}

/// `Targets`, but stricter: a level that is misspelt would be a module, with everything logged
/// that is in it and nothing else.
pub(super) fn levels(text: &str) -> Option<Targets> {
    let is_level = |level: &str| {
        level.chars().all(char::is_alphabetic)
            && !level.is_empty()
            && level.parse::<LevelFilter>().is_ok()
    };
    let is_module = |module: &str| {
        let mut names = module.split("::");
        names.all(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let is_directive = |directive: &str| match directive.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(directive),
    };
    text.split(',').all(is_directive).then(|| text.parse().ok())?
}

/// Of wrong text, right text and what to propose for it, the proposal for the nearest, if any is
/// near enough to have been meant.
pub(super) fn nearest<'a, T>(candidates: impl Iterator<Item = (&'a str, &'a str, T)>) -> Option<T> {
    candidates
        .map(|(wrong, right, proposal)| (edits(wrong, right), right.len() / 3, proposal))
        .filter(|(edits, most, _)| edits <= most)
        .min_by_key(|(edits, _, _)| *edits)
        .map(|(_, _, proposal)| proposal)
}

/// How many characters must be put in, taken out or replaced to make one of the other
/// (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, wrong) in (1..).zip(from.chars()) {
        let mut left = above;
        let mut diagonal = above - 1;
        for (cell, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(wrong != right);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
