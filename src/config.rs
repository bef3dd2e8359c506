//! The configuration: reads every source and checks every value.
//!
//! | module | content |
//! |---|---|
//! | this file | [`Config`] of a server and [`Loms`] of a client, loaded from all [`Sources`] |
//! | [`keys`] | the table of keys, used for every source |
//! | [`error`] | [`ConfigError`]: one line that says where, what and what is expected |
//! | `place` | where a value was set |
//! | `yaml` | reads the file into texts with line numbers |
//!
//! Later sources win: defaults, the file, the environment, flags. A command reads only the keys
//! that it uses. Every value of these is checked, so a bad one is an error even if a later source
//! overrides it.

pub mod error;
pub mod keys;
mod place;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use tracing_subscriber::filter::Targets;

use crate::grpc::service::FailedCreate;
use crate::state_machine::Span;

pub use error::{ConfigError, UnknownVariable};
use keys::{KEYS, Key, Value};
pub use place::{FILE_VARIABLE, Place};

/// The file that is read if it exists and no other file is named.
pub const DEFAULT_FILE: &str = "config/config.yaml";

/// All settings of a server, checked. The default holds the built-in values.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `grpc.*`
    pub grpc: Grpc,
    /// `grpc.tls.*`
    pub tls: Tls,
    /// `auth.tokens`: the file of callers; `None`: everybody may do everything.
    pub callers: Option<PathBuf>,
    /// `limits.*`
    pub limits: Limits,
    /// `stock.file`
    pub stock: StockSource,
    /// `orders.*`
    pub orders: Orders,
    /// `log.*`
    pub log: Log,
    /// Environment variables that have no effect.
    pub unknown_variables: Vec<UnknownVariable>,
}

/// Settings of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Address and port to serve on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Threads to serve on; `None` for one per core.
    pub threads: Option<NonZeroU8>,
    /// Maximum number of connections; at least 1.
    pub max_connections: u16,
    /// Maximum number of calls in flight of a connection; at least 1.
    pub max_concurrent_streams: u16,
    /// When a connection without calls is closed; zero: never.
    pub max_connection_idle: Span,
    /// When a connection is closed; zero: never.
    pub max_connection_age: Span,
    /// How long its calls may take after that.
    pub max_connection_age_grace: Span,
    /// How long calls are served after health is NOT_SERVING.
    pub stop_delay: Span,
}

/// `loms.*`: settings of the commands that call LOMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loms {
    /// An `http` or `https` URI of host and port.
    pub address: String,
    /// The authorities of servers.
    pub ca: Option<PathBuf>,
    /// The certificate of the client.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub cert_key: Option<PathBuf>,
    /// The file with the token of the client.
    pub token_file: Option<PathBuf>,
    /// Environment variables that are probably meant for a key of this section.
    pub misspelt_variables: Vec<UnknownVariable>,
}

/// The files of TLS. With none of them, the server has no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate of the server.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authorities of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// What one caller may do in a second, and one user at any time. 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of calls.
    pub calls_per_second: u32,
    /// Maximum number of creates.
    pub creates_per_second: u32,
    /// Maximum number of orders of one user that await payment, at any time.
    pub open_orders: u32,
}

/// Where the opening stock comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockSource {
    /// Compiled into the binary: `opening_stock::embedded`.
    Embedded,
    /// From this file.
    File(PathBuf),
}

/// The rules for orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Maximum number of lines of a create, before lines of one SKU are added up; at least 1.
    pub max_lines: u16,
    /// How long an order may await payment; zero: without limit.
    pub payment_timeout: Span,
    /// How long an idempotency key is remembered; zero: not at all.
    pub idempotency_window: Span,
    /// How long a paid or cancelled order is kept; zero: without limit.
    pub keep: Span,
    /// How long a failed order is kept; zero: without limit.
    pub keep_failed: Span,
    /// Whether a repeated create of a failed order is a new order.
    pub retry_failed: bool,
    /// The memory for orders and keys.
    pub max_bytes: MaxBytes,
    /// How a failed create is answered.
    pub failed_create: FailedCreate,
}

/// The memory for orders and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxBytes {
    /// Half of the memory that the process may use.
    Half,
    /// This many bytes; 0: no limit.
    Bytes(u64),
}

/// Settings of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The lowest level that is logged, by module.
    pub level: Targets,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The sources of a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a, E> {
    /// The start of relative paths that are not set in a file. The empty path is the working
    /// directory of the process.
    pub directory: &'a Path,
    /// The file of `--config`. It must exist.
    pub file: Option<&'a Path>,
    /// The whole environment. Only names that start with `LOMS_` are used.
    pub environment: E,
    /// The flags, as names of keys with their texts. The last one of a key wins.
    pub flags: &'a [(&'static str, String)],
}

impl Default for Config {
    fn default() -> Self {
        Self::of(&keys::defaults(), Path::new("")).expect("a test checks the defaults of the table")
    }
}

impl Config {
    /// The settings of a server, from all sources.
    ///
    /// # Errors
    /// The first problem: syntax and unknown keys of the file, then bad values in the order of
    /// [`KEYS`].
    ///
    /// [`KEYS`]: keys::KEYS
    pub fn load<E>(sources: Sources<'_, E>) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let directory = sources.directory;
        let Settings { values, unknown_variables } =
            Settings::read(sources, |key| key.parts().0 != Loms::SECTION)?;
        Ok(Self { unknown_variables, ..Self::of(&values, directory)? })
    }

    /// Parses the values of each key and takes the last one. Each key except `stock.file` has one.
    fn of(values: &[Value], directory: &Path) -> Result<Self, ConfigError> {
        Ok(Self {
            grpc: Grpc {
                listen: parsed(values, "grpc.listen", |text| text.parse().ok())?,
                threads: parsed(values, "grpc.threads", |text| match text {
                    "cores" => Some(None),
                    number => number.parse().ok().map(Some),
                })?,
                max_connections: parsed(values, "grpc.max_connections", keys::positive)?,
                max_concurrent_streams: parsed(
                    values,
                    "grpc.max_concurrent_streams",
                    keys::positive,
                )?,
                max_connection_idle: parsed(values, "grpc.max_connection_idle", keys::span)?,
                max_connection_age: parsed(values, "grpc.max_connection_age", keys::span)?,
                max_connection_age_grace: parsed(
                    values,
                    "grpc.max_connection_age_grace",
                    keys::span,
                )?,
                stop_delay: parsed(values, "grpc.stop_delay", keys::span)?,
            },
            tls: Tls {
                cert: optional_file(values, "grpc.tls.cert", directory)?,
                key: optional_file(values, "grpc.tls.key", directory)?,
                client_ca: optional_file(values, "grpc.tls.client_ca", directory)?,
            },
            callers: optional_file(values, "auth.tokens", directory)?,
            limits: Limits {
                calls_per_second: parsed(values, "limits.calls_per_second", keys::number)?,
                creates_per_second: parsed(values, "limits.creates_per_second", keys::number)?,
                open_orders: parsed(values, "limits.open_orders", keys::number)?,
            },
            stock: last(values, "stock.file", |value| path(value, directory))?
                .map_or(StockSource::Embedded, StockSource::File),
            orders: Orders {
                max_lines: parsed(values, "orders.max_lines", keys::positive)?,
                payment_timeout: parsed(values, "orders.payment_timeout", keys::span)?,
                idempotency_window: parsed(values, "orders.idempotency_window", keys::span)?,
                keep: parsed(values, "orders.keep", keys::span)?,
                keep_failed: parsed(values, "orders.keep_failed", keys::span)?,
                retry_failed: parsed(values, "orders.retry_failed", |text| match text {
                    "keep" => Some(false),
                    "retry" => Some(true),
                    _ => None,
                })?,
                max_bytes: parsed(values, "orders.max_bytes", |text| match text {
                    "half" => Some(MaxBytes::Half),
                    bytes => keys::bytes(bytes).map(MaxBytes::Bytes),
                })?,
                failed_create: parsed(values, "orders.failed_create", |text| match text {
                    "ok" => Some(FailedCreate::Ok),
                    "failed_precondition" => Some(FailedCreate::FailedPrecondition),
                    _ => None,
                })?,
            },
            log: Log {
                level: parsed(values, "log.level", keys::levels)?,
                format: parsed(values, "log.format", |text| match text {
                    "text" => Some(LogFormat::Text),
                    "json" => Some(LogFormat::Json),
                    _ => None,
                })?,
            },
            unknown_variables: Vec::new(),
        })
    }
}

impl Loms {
    /// The section of the keys that commands use; a server uses all others.
    const SECTION: &str = "loms";

    /// The settings of a command that calls LOMS, from all sources.
    ///
    /// # Errors
    /// The first problem: see [`Config::load`].
    pub fn load<E>(sources: Sources<'_, E>) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let directory = sources.directory;
        let is_used = |key: &Key| key.parts().0 == Self::SECTION;
        let Settings { values, mut unknown_variables } = Settings::read(sources, is_used)?;
        unknown_variables.retain(|variable| {
            KEYS.iter().any(|key| is_used(key) && variable.near == Some(key.variable))
        });
        Ok(Self {
            address: parsed(&values, "loms.address", keys::http_address)?,
            ca: optional_file(&values, "loms.ca", directory)?,
            cert: optional_file(&values, "loms.cert", directory)?,
            cert_key: optional_file(&values, "loms.cert_key", directory)?,
            token_file: optional_file(&values, "loms.token_file", directory)?,
            misspelt_variables: unknown_variables,
        })
    }
}

/// What all sources say about the keys that a command uses.
struct Settings {
    /// Weaker sources first.
    values: Vec<Value>,
    unknown_variables: Vec<UnknownVariable>,
}

impl Settings {
    fn read<E>(sources: Sources<'_, E>, is_used: fn(&Key) -> bool) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let Sources { directory, file, environment, flags } = sources;
        let environment = variables(environment);
        let mut values = keys::defaults();
        let mut unknown_variables = Vec::new();

        let variable = environment.get(FILE_VARIABLE).map(PathBuf::from);
        let (file, named_by) = match (file, &variable) {
            (Some(file), _) => (file, Some(Place::Flag("--config"))),
            (None, Some(file)) => (file.as_path(), Some(Place::Variable(FILE_VARIABLE))),
            (None, None) => (Path::new(DEFAULT_FILE), None),
        };
        if let Some(text) = read(directory, file, named_by)? {
            values.extend(yaml::read(&text, file, is_used)?);
        }
        for (name, text) in environment {
            match KEYS.iter().find(|key| key.variable == name) {
                Some(key) if is_used(key) => values.push(from_variable(key, text)?),
                Some(_) => {}
                None if name == FILE_VARIABLE => {}
                None => unknown_variables.push(UnknownVariable::new(name)),
            }
        }
        for (name, text) in flags {
            values.push(from_flag(name, text)?);
        }
        Ok(Self { values, unknown_variables })
    }
}

fn parsed<T>(
    values: &[Value],
    name: &str,
    parser: impl Fn(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    let last = last(values, name, |value| parser(&value.text))?;
    Ok(last.expect("the table has a default for this key"))
}

/// Parses all values of a key. The last one wins.
fn last<T>(
    values: &[Value],
    name: &str,
    parser: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let mut last = None;
    for value in values.iter().filter(|value| value.key.name == name) {
        last = Some(parser(value).ok_or_else(|| ConfigError::bad_value(value))?);
    }
    Ok(last)
}

/// The path of a file, or `none`.
fn optional_file(
    values: &[Value],
    name: &str,
    directory: &Path,
) -> Result<Option<PathBuf>, ConfigError> {
    let last = last(values, name, |value| match value.text.as_str() {
        "none" => Some(None),
        _ => path(value, directory).map(Some),
    })?;
    Ok(last.expect("the table has a default for this key"))
}

/// A relative path starts at the folder of the file that sets it, otherwise at `directory`.
fn path(Value { text, place, .. }: &Value, directory: &Path) -> Option<PathBuf> {
    let folder = place.folder().unwrap_or(Path::new(""));
    (!text.is_empty()).then(|| directory.join(folder).join(text))
}

/// The text of the file; `None` if it does not exist and no source names it.
fn read(
    directory: &Path,
    file: &Path,
    named_by: Option<Place>,
) -> Result<Option<String>, ConfigError> {
    let bytes = match fs::read(directory.join(file)) {
        Ok(bytes) => bytes,
        Err(error)
            if named_by.is_none()
                && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(ConfigError::Unreadable { file: file.to_owned(), named_by, error });
        }
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let text = error.as_bytes().split_at(error.utf8_error().valid_up_to()).0;
        let line = text.iter().filter(|byte| **byte == b'\n').fold(1, |line, _| line + 1);
        ConfigError::NotUtf8(Place::File { file: file.to_owned(), line })
    })
}

/// The environment variables for LOMS, by name. An empty one counts as unset.
fn variables<E>(environment: E) -> BTreeMap<String, OsString>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    environment
        .into_iter()
        .map(|(name, text)| (name.to_string_lossy().into_owned(), text))
        .filter(|(name, text)| name.starts_with("LOMS_") && !text.is_empty())
        .filter(|(name, text)| !is_from_kubernetes(name, text))
        .collect()
}

/// Kubernetes injects variables for each service of the namespace. A service named `loms` or
/// `loms-…` gives `LOMS_SERVICE_HOST`, `LOMS_PORT=tcp://…` and more. They are not settings.
fn is_from_kubernetes(name: &str, text: &OsStr) -> bool {
    let tail_of = |mark: &str| name.split_once(mark).map(|(_, tail)| tail);
    let is_port = |tail: &str| {
        let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = rest.len() < tail.len();
        numbered && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.starts_with(protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || tail_of("_SERVICE_PORT").is_some_and(|tail| tail.is_empty() || tail.starts_with('_'))
        || tail_of("_PORT_").is_some_and(is_port)
        || (name.ends_with("_PORT") && text.to_string_lossy().contains("://"))
}

fn from_variable(key: &'static Key, text: OsString) -> Result<Value, ConfigError> {
    let place = Place::Variable(key.variable);
    match text.into_string() {
        Ok(text) => Ok(Value { key, text, place }),
        Err(_) => Err(ConfigError::NotUtf8(place)),
    }
}

fn from_flag(name: &str, text: &str) -> Result<Value, ConfigError> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return Err(ConfigError::unknown_key(Place::CommandLine, None, name));
    };
    let place = key.flag.map_or(Place::CommandLine, Place::Flag);
    Ok(Value { key, text: text.to_owned(), place })
}
