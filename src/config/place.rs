//! Where a value of the configuration was set.

use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names the file, like `--config`.
pub const FILE_VARIABLE: &str = "LOMS_CONFIG";

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the built-in default.
    BuiltIn,
    /// The configuration file.
    File {
        /// The path, as the user gave it.
        file: PathBuf,
        /// Starts at 1.
        line: u64,
    },
    /// This environment variable.
    Variable(&'static str),
    /// This flag.
    Flag(&'static str),
    /// The command line, for a key without a flag.
    CommandLine,
}

impl Place {
    /// The folder at which relative paths of this place start; `None` outside files.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { file, .. } => file.parent(),
            Self::BuiltIn | Self::Variable(_) | Self::Flag(_) | Self::CommandLine => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => write!(f, "built in"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "{name}"),
            Self::CommandLine => write!(f, "command line"),
        }
    }
}
