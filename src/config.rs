//! The configuration: what can be set, where it is set, and what it then is.
//!
//! | module | holds |
//! |---|---|
//! | here | [`Config`], and [`Config::load`], which makes one of all [`Sources`] |
//! | [`keys`] | the one table of keys, through which every source goes |
//! | [`refusal`] | [`ConfigError`]: one line on what is wrong, where, and what would be right |
//! | `yaml` | the file, as texts with their lines |
//!
//! Later sources win: what is built in, the file, the environment, flags. Each is checked as it is
//! read, so that a bad value is refused even where a later source would hide it.

pub mod keys;
pub mod refusal;
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

use keys::{KEYS, Value};
pub use refusal::ConfigError;
use refusal::Place;

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "config/config.yaml";

/// The environment variable that names the file, as `--config` does.
pub const FILE_VARIABLE: &str = "LOMS_CONFIG";

/// Everything that can be set, checked. Its default is what is built in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `grpc.*`
    pub grpc: Grpc,
    /// `loms.*`
    pub loms: Loms,
    /// `stock.file`
    pub stock: StockSource,
    /// `orders.*`
    pub orders: Orders,
    /// `log.*`
    pub log: Log,
}

/// How LOMS is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Address and port to serve on; port 0 for any that is free.
    pub listen: SocketAddr,
    /// Threads to serve on; `None` for one a core.
    pub threads: Option<NonZeroU8>,
}

/// How LOMS is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loms {
    /// An `http` URI of host and port.
    pub address: String,
}

/// Where the opening stock comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockSource {
    /// From the binary: `opening_stock::embedded`.
    Embedded,
    /// From this file.
    File(PathBuf),
}

/// The rules for orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The most lines that a create may have, counted as they came; at least 1.
    pub max_lines: u16,
    /// How long an order may await payment; zero for ever.
    pub payment_timeout: Span,
    /// How long an idempotency key is remembered; zero for not at all.
    pub idempotency_window: Span,
    /// How a failed order is told.
    pub failed_create: FailedCreate,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The least level that is logged, by module.
    pub level: Targets,
    /// What a line looks like.
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object, for machines.
    Json,
}

/// All that a configuration is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a, E> {
    /// Where relative paths start that no file holds: the working directory. The empty path is
    /// the process's own.
    pub directory: &'a Path,
    /// The file, as `--config` names it. It must be there.
    pub file: Option<&'a Path>,
    /// The whole environment; what does not begin with `LOMS_` is nobody's business here.
    pub environment: E,
    /// What flags set: names of keys, with the texts given for them. The last of several counts.
    pub flags: &'a [(&'static str, String)],
}

impl Default for Config {
    fn default() -> Self {
        Self::of(&keys::defaults(), Path::new("")).expect("a test reads the defaults of the table")
    }
}

impl Config {
    /// What all sources together say.
    ///
    /// # Errors
    /// The first thing wrong: source by source as above, and the flags last. Within a source
    /// what cannot be understood comes before bad values, and those come as [`KEYS`] lists them.
    ///
    /// [`KEYS`]: keys::KEYS
    pub fn load<E>(sources: Sources<'_, E>) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (OsString, OsString)>,
    {
        let Sources { directory, file, environment, flags } = sources;
        let mut environment = variables(environment);
        let mut values = keys::defaults();

        let variable = environment.remove(FILE_VARIABLE).map(PathBuf::from);
        let (file, named_by) = match (file, &variable) {
            (Some(file), _) => (file, Some(Place::Flag("--config"))),
            (None, Some(file)) => (file.as_path(), Some(Place::Variable(FILE_VARIABLE))),
            (None, None) => (Path::new(DEFAULT_FILE), None),
        };
        if let Some(text) = read(directory, file, named_by)? {
            values.extend(yaml::read(&text, file)?);
            Self::of(&values, directory)?;
        }

        for (name, text) in environment {
            values.push(from_variable(&name, text)?);
        }
        Self::of(&values, directory)?;

        for (name, text) in flags {
            values.push(from_flag(name, text)?);
        }
        Self::of(&values, directory)
    }

    /// What the last value of each key says; each key but `stock.file` has one.
    fn of(values: &[Value], directory: &Path) -> Result<Self, ConfigError> {
        Ok(Self {
            grpc: Grpc {
                listen: parsed(values, "grpc.listen", |text| text.parse().ok())?,
                threads: parsed(values, "grpc.threads", |text| match text {
                    "cores" => Some(None),
                    number => number.parse().ok().map(Some),
                })?,
            },
            loms: Loms { address: parsed(values, "loms.address", keys::http_address)? },
            stock: match keys::last(values, "stock.file") {
                Some(value) => value.parsed(|text| stock_file(value, text, directory))?,
                None => StockSource::Embedded,
            },
            orders: Orders {
                max_lines: parsed(values, "orders.max_lines", keys::positive)?,
                payment_timeout: parsed(values, "orders.payment_timeout", keys::span)?,
                idempotency_window: parsed(values, "orders.idempotency_window", keys::span)?,
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
        })
    }
}

fn parsed<T>(
    values: &[Value],
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    keys::last(values, name).expect("the table has a default for it").parsed(parse)
}

/// A relative path starts where it was written: in a file at that file's folder.
fn stock_file(value: &Value, text: &str, directory: &Path) -> Option<StockSource> {
    let folder = value.place.folder().unwrap_or(Path::new(""));
    (!text.is_empty()).then(|| StockSource::File(directory.join(folder).join(text)))
}

/// The text of the file; `None` where nobody named it and it is not there.
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

/// The part of the environment that is meant for LOMS, by name.
fn variables<E>(environment: E) -> BTreeMap<String, OsString>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    environment
        .into_iter()
        .map(|(name, text)| (name.to_string_lossy().into_owned(), text))
        .filter(|(name, text)| name.starts_with("LOMS_") && !is_from_kubernetes(name, text))
        .collect()
}

/// Kubernetes tells every container of every service near it: a service `loms` or `loms-…` shows
/// as `LOMS_SERVICE_HOST`, `LOMS_PORT=tcp://…` and more of the kind. Nobody set those for LOMS.
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

fn from_variable(name: &str, text: OsString) -> Result<Value, ConfigError> {
    let Some(key) = KEYS.iter().find(|key| key.variable == name) else {
        return Err(ConfigError::unknown_variable(name));
    };
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
