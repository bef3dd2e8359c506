//! The table of keys. Every source uses its names, and a value is parsed the same way from every
//! source.

use std::num::NonZeroU16;

use tonic::transport::Uri;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::place::Place;
use crate::state_machine::Span;

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// Its name: its sections and its key in the file, such as `grpc.tls.cert`.
    pub name: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The flag that sets it, if there is one.
    pub flag: Option<&'static str>,
    /// Its value if no source sets it.
    pub default: Option<&'static str>,
    /// Its purpose, in one line.
    pub about: &'static str,
    /// What a value looks like. The text follows "expected".
    pub expected: &'static str,
}

/// All keys, in the order of `config/config.yaml`.
pub static KEYS: [Key; 31] = [
    Key {
        name: "grpc.listen",
        variable: "LOMS_GRPC_LISTEN",
        flag: Some("--listen"),
        default: Some("0.0.0.0:50051"),
        about: "IP address and port to serve on. Port 0 takes a free port.",
        expected: "an IP address and a port, such as 0.0.0.0:50051 or [::1]:50051",
    },
    Key {
        name: "grpc.threads",
        variable: "LOMS_GRPC_THREADS",
        flag: Some("--threads"),
        default: Some("cores"),
        about: "Threads to serve on: 1 to 255, or cores for one per core.",
        expected: "cores, or a whole number from 1 to 255",
    },
    Key {
        name: "grpc.max_connections",
        variable: "LOMS_GRPC_MAX_CONNECTIONS",
        flag: None,
        default: Some("4096"),
        about: "Maximum number of connections. More are closed at once.",
        expected: "a whole number from 1 to 65535",
    },
    Key {
        name: "grpc.max_concurrent_streams",
        variable: "LOMS_GRPC_MAX_CONCURRENT_STREAMS",
        flag: None,
        default: Some("256"),
        about: "Maximum number of calls in flight of a connection. Its client delays more calls.",
        expected: "a whole number from 1 to 65535",
    },
    Key {
        name: "grpc.max_connection_idle",
        variable: "LOMS_GRPC_MAX_CONNECTION_IDLE",
        flag: None,
        default: Some("2h"),
        about: "Time after which a connection without calls is closed. 0: never.",
        expected: "a duration of at most 584 years, such as 2h or 30m, or 0",
    },
    Key {
        name: "grpc.max_connection_age",
        variable: "LOMS_GRPC_MAX_CONNECTION_AGE",
        flag: None,
        default: Some("0"),
        about: "Time after which a connection is closed, plus or minus a tenth. 0: never.",
        expected: "a duration of at most 584 years, such as 1h or 30m, or 0",
    },
    Key {
        name: "grpc.max_connection_age_grace",
        variable: "LOMS_GRPC_MAX_CONNECTION_AGE_GRACE",
        flag: None,
        default: Some("30s"),
        about: "Time for calls in flight of a connection that has reached its maximum age.",
        expected: "a duration of at most 584 years, such as 30s or 1m, or 0",
    },
    Key {
        name: "grpc.stop_delay",
        variable: "LOMS_GRPC_STOP_DELAY",
        flag: None,
        default: Some("0"),
        about: "Time between NOT_SERVING and the stop, for load balancers to notice.",
        expected: "a duration of at most 584 years, such as 5s, or 0",
    },
    Key {
        name: "grpc.tls.cert",
        variable: "LOMS_GRPC_TLS_CERT",
        flag: None,
        default: Some("none"),
        about: "Certificate of the server with its chain, PEM. none: no TLS.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "grpc.tls.key",
        variable: "LOMS_GRPC_TLS_KEY",
        flag: None,
        default: Some("none"),
        about: "Private key of grpc.tls.cert, PEM.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "grpc.tls.client_ca",
        variable: "LOMS_GRPC_TLS_CLIENT_CA",
        flag: None,
        default: Some("none"),
        about: "Authorities of client certificates, PEM. none: clients need no certificate.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "loms.address",
        variable: "LOMS_ADDRESS",
        flag: Some("--address"),
        default: Some("http://localhost:50051"),
        about: "Address of the server, for the commands that call LOMS.",
        expected: "HOST:PORT, http://HOST:PORT or https://HOST:PORT, such as localhost:50051",
    },
    Key {
        name: "loms.ca",
        variable: "LOMS_CA",
        flag: Some("--ca"),
        default: Some("none"),
        about: "Authorities of servers, PEM, for an https address.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "loms.cert",
        variable: "LOMS_CERT",
        flag: Some("--cert"),
        default: Some("none"),
        about: "Certificate that commands show to the server, PEM.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "loms.cert_key",
        variable: "LOMS_CERT_KEY",
        flag: Some("--cert-key"),
        default: Some("none"),
        about: "Private key of loms.cert, PEM.",
        expected: "the path of a PEM file, or none",
    },
    Key {
        name: "loms.token_file",
        variable: "LOMS_TOKEN_FILE",
        flag: Some("--token-file"),
        default: Some("none"),
        about: "File with the token that commands send to the server.",
        expected: "the path of a file, or none",
    },
    Key {
        name: "auth.tokens",
        variable: "LOMS_AUTH_TOKENS",
        flag: None,
        default: Some("none"),
        about: "Who may call what: a file of names, roles, tokens. none: everybody everything.",
        expected: "the path of a file of callers, or none",
    },
    Key {
        name: "limits.calls_per_second",
        variable: "LOMS_LIMITS_CALLS_PER_SECOND",
        flag: None,
        default: Some("0"),
        about: "Maximum number of calls of one caller in a second, without health. 0: no limit.",
        expected: "a whole number from 0 to 4294967295",
    },
    Key {
        name: "limits.creates_per_second",
        variable: "LOMS_LIMITS_CREATES_PER_SECOND",
        flag: None,
        default: Some("0"),
        about: "Maximum number of OrderCreates of one caller in a second. 0: no limit.",
        expected: "a whole number from 0 to 4294967295",
    },
    Key {
        name: "limits.open_orders",
        variable: "LOMS_LIMITS_OPEN_ORDERS",
        flag: None,
        default: Some("0"),
        about: "Maximum number of orders of one user that await payment. 0: no limit.",
        expected: "a whole number from 0 to 4294967295",
    },
    Key {
        name: "stock.file",
        variable: "LOMS_STOCK_FILE",
        flag: Some("--stock"),
        default: None,
        about: "Opening stock, a JSON file. Relative to this file's folder. Default: built in.",
        expected: "the path of a stock file",
    },
    Key {
        name: "orders.max_lines",
        variable: "LOMS_ORDERS_MAX_LINES",
        flag: None,
        default: Some("1000"),
        about: "Maximum number of lines of an OrderCreate: 1 to 65535.",
        expected: "a whole number from 1 to 65535",
    },
    Key {
        name: "orders.payment_timeout",
        variable: "LOMS_ORDERS_PAYMENT_TIMEOUT",
        flag: Some("--payment-timeout"),
        default: Some("10m"),
        about: "Time after which LOMS cancels an unpaid order. 0: never.",
        expected: "a duration of at most 584 years, such as 10m or 1h 30m, or 0",
    },
    Key {
        name: "orders.idempotency_window",
        variable: "LOMS_ORDERS_IDEMPOTENCY_WINDOW",
        flag: None,
        default: Some("24h"),
        about: "Time for which an idempotency key is remembered. 0: not at all.",
        expected: "a duration of at most 584 years, such as 24h or 7days, or 0",
    },
    Key {
        name: "orders.keep",
        variable: "LOMS_ORDERS_KEEP",
        flag: None,
        default: Some("30days"),
        about: "Time after which a paid or cancelled order is forgotten. 0: never.",
        expected: "a duration of at most 584 years, such as 30days or 24h, or 0",
    },
    Key {
        name: "orders.keep_failed",
        variable: "LOMS_ORDERS_KEEP_FAILED",
        flag: None,
        default: Some("1h"),
        about: "Time after which an order that failed for lack of stock is forgotten. 0: never.",
        expected: "a duration of at most 584 years, such as 1h or 7days, or 0",
    },
    Key {
        name: "orders.retry_failed",
        variable: "LOMS_ORDERS_RETRY_FAILED",
        flag: None,
        default: Some("keep"),
        about: "A repeated create of a failed order: keep its answer, or retry as a new order.",
        expected: "keep or retry",
    },
    Key {
        name: "orders.max_bytes",
        variable: "LOMS_ORDERS_MAX_BYTES",
        flag: None,
        default: Some("half"),
        about: "Memory for orders and keys: bytes, 512MiB, half of what there is. 0: no limit.",
        expected: "half, or a number of bytes, such as 1000000, 512MiB or 4GiB, or 0",
    },
    Key {
        name: "orders.failed_create",
        variable: "LOMS_ORDERS_FAILED_CREATE",
        flag: None,
        default: Some("ok"),
        about: "Answer to a create that fails for lack of stock: ok or failed_precondition.",
        expected: "ok or failed_precondition",
    },
    Key {
        name: "log.level",
        variable: "LOMS_LOG_LEVEL",
        flag: Some("--log-level"),
        default: Some("error,loms=info"),
        about: "Lowest level to log, also by module, such as error,loms=debug.",
        expected: "off, error, warn, info, debug or trace, or levels by module, such as \
                   info,loms::grpc=debug",
    },
    Key {
        name: "log.format",
        variable: "LOMS_LOG_FORMAT",
        flag: Some("--log-format"),
        default: Some("text"),
        about: "Format of log lines: text or json.",
        expected: "text or json",
    },
];

impl Key {
    /// The section, such as `grpc` or `grpc.tls`, and the key within it.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').expect("every name in the table has a section")
    }
}

/// The text that a source gives for a key.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) place: Place,
}

/// The built-in values.
pub(super) fn defaults() -> Vec<Value> {
    let value = |key: &'static Key| {
        Some(Value { key, text: key.default?.to_owned(), place: Place::BuiltIn })
    };
    KEYS.iter().filter_map(value).collect()
}

/// 0 to 4294967295.
pub(super) fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// 1 to 65535.
pub(super) fn positive(text: &str) -> Option<u16> {
    text.parse().ok().map(NonZeroU16::get)
}

/// A number of bytes, with or without a unit of powers of 1,024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 1_u64 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let with_unit = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = with_unit.unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(size)
}

/// `http` or `https`, a host and an optional port, and nothing else. Host and port without a scheme
/// are `http`.
pub(super) fn http_address(text: &str) -> Option<String> {
    let has_scheme = text.contains("://");
    let whole = if has_scheme { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = whole.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let origin = match uri.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    let has_port = if has_scheme { uri.port_u16() != Some(0) } else { uri.port_u16() > Some(0) };
    // The comparison also refuses a user, an invalid port and a query.
    (whole.strip_suffix('/').unwrap_or(&whole) == origin && has_port).then_some(origin)
}

/// A duration such as `1h 30m`, or `0`.
pub(super) fn span(text: &str) -> Option<Span> {
    let mut total = 0_u64;
    let mut rest = text;
    loop {
        // Parse one number and its unit at a time: humantime panics on some sums that overflow.
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

/// Levels by module. Stricter than `Targets`, which takes a misspelt level for a module name and
/// then logs nothing else.
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

/// A suggestion for a misspelt text. Each candidate has the wrong text, the right text and the
/// suggestion; the one with the fewest edits wins, if it is near enough.
pub(super) fn nearest<'a, T>(candidates: impl Iterator<Item = (&'a str, &'a str, T)>) -> Option<T> {
    candidates
        .map(|(wrong, right, suggestion)| (edits(wrong, right), right.len() / 3, suggestion))
        .filter(|(edits, most, _)| edits <= most)
        .min_by_key(|(edits, _, _)| *edits)
        .map(|(_, _, suggestion)| suggestion)
}

/// The Levenshtein distance: how many characters to insert, remove or replace.
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
