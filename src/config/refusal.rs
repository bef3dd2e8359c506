//! Why a configuration is refused.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::FILE_VARIABLE;
use super::keys::{self, KEYS, Key};

/// Where a value, or what was taken for one, stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the binary.
    BuiltIn,
    /// In the configuration file.
    File {
        /// As it was named.
        file: PathBuf,
        /// From 1.
        line: u64,
    },
    /// In this environment variable.
    Variable(&'static str),
    /// In this flag.
    Flag(&'static str),
    /// Among the flags.
    CommandLine,
}

impl Place {
    /// Where relative paths start that stand in this place; `None` outside files.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { file, .. } => file.parent(),
            Self::BuiltIn | Self::Variable(_) | Self::Flag(_) | Self::CommandLine => None,
        }
    }

    /// The line of the file; `None` outside files.
    pub(super) fn line(&self) -> Option<u64> {
        match self {
            Self::File { line, .. } => Some(*line),
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

/// Why a configuration is refused. Its display is one line: where, what, and what would be right.
#[derive(Debug)]
pub enum ConfigError {
    /// The file is missing, or cannot be read.
    Unreadable {
        /// As it was named.
        file: PathBuf,
        /// Who named it; `None` for the file that is looked for anyway.
        named_by: Option<Place>,
        /// What reading came to.
        error: io::Error,
    },
    /// What stands here is not UTF-8.
    NotUtf8(Place),
    /// The file is not YAML, or not sections of keys.
    Malformed {
        /// Where reading stopped.
        place: Place,
        /// What is wrong there.
        reason: String,
    },
    /// There is no such section or key.
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// `section`, or `section.key`.
        name: String,
        /// The section or key that may have been meant.
        near: Option<&'static str>,
    },
    /// There is no such environment variable, though its name says that it is for LOMS.
    UnknownVariable {
        /// Its name.
        name: String,
        /// The one that may have been meant.
        near: Option<&'static str>,
    },
    /// A section or a key stands in the file twice.
    Twice {
        /// Where it stands for the second time.
        place: Place,
        /// `section`, or `section.key`.
        name: &'static str,
        /// The line where it stands for the first time.
        first: u64,
    },
    /// A section is not made of keys.
    NotASection {
        /// Where it stands.
        place: Place,
        /// The section.
        name: &'static str,
    },
    /// A key has nothing, a list, keys of its own or something tagged for a value.
    NotAValue {
        /// Where it stands.
        place: Place,
        /// The key.
        key: &'static Key,
    },
    /// A key has a value that it cannot have.
    BadValue {
        /// Where it stands.
        place: Place,
        /// The key.
        key: &'static Key,
        /// The value.
        text: String,
    },
}

impl ConfigError {
    /// That there is no such key, and which may have been meant; outside sections that may also
    /// be a section.
    pub(super) fn unknown_key(place: Place, section: Option<&str>, name: &str) -> Self {
        let name = section.map_or(name.to_owned(), |section| format!("{section}.{name}"));
        let leaf = name.rsplit_once('.').map_or(name.as_str(), |(_, leaf)| leaf);
        let near = keys::nearest(KEYS.iter().flat_map(|key| {
            let (of, part) = key.parts();
            [(name.as_str(), key.name, key.name), (&name, of, of), (leaf, part, key.name)]
        }));
        Self::UnknownKey { place, name, near }
    }

    /// That there is no such environment variable, and which may have been meant.
    pub(super) fn unknown_variable(name: &str) -> Self {
        // All begin alike, which says nothing about how near two of them are; and a section is
        // easily left out.
        let own = |name| str::strip_prefix(name, "LOMS_").unwrap_or(name);
        let near = keys::nearest(variables().flat_map(|known| {
            let whole = own(known);
            let leaf = whole.split_once('_').map_or(whole, |(_, leaf)| leaf);
            [(own(name), whole, known), (own(name), leaf, known)]
        }));
        Self::UnknownVariable { name: name.to_owned(), near }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever the texts hold, nothing breaks the line or colours a terminal.
        f.write_str(&self.told().replace(char::is_control, " "))
    }
}

impl ConfigError {
    fn told(&self) -> String {
        match self {
            Self::Unreadable { file, named_by, error } => {
                let named_by = named_by.as_ref().map_or(String::new(), |by| format!("{by}: "));
                let file = file.display();
                format!(
                    "{named_by}{file}: the configuration file cannot be read: {error}; \
                     check the path"
                )
            }
            Self::NotUtf8(place) => format!("{place}: not UTF-8"),
            Self::Malformed { place, reason } => format!("{place}: {reason}"),
            Self::UnknownKey { place, name, near } => {
                let near = near.map(|near| match near.split_once('.') {
                    Some((section, key)) => format!("{key} in section {section}"),
                    None => format!("section {near}"),
                });
                let mend = mend(near.as_deref(), KEYS.iter().map(|key| key.name));
                format!("{place}: unknown key {name}; {mend}")
            }
            Self::UnknownVariable { name, near } => {
                let mend = mend(*near, variables());
                format!("{name}: unknown environment variable; {mend}")
            }
            Self::Twice { place, name, first } => {
                format!("{place}: {name} stands there twice, first in line {first}; keep one")
            }
            Self::NotASection { place, name } => {
                let keys = KEYS.iter().filter(|key| key.parts().0 == *name);
                let keys: Vec<_> = keys.map(|key| key.parts().1).collect();
                format!("{place}: {name} is a section; expected keys in it: {}", keys.join(", "))
            }
            Self::NotAValue { place, key } => {
                format!("{place}: {} needs one plain value; expected {}", key.name, key.expected)
            }
            Self::BadValue { place, key, text } => {
                let Key { name, expected, .. } = key;
                let mut shown = text.chars().take(LONGEST_SHOWN).collect::<String>();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                format!("{place}: {name} cannot be {shown:?}; expected {expected}")
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Unreadable { error, .. } = self { Some(error) } else { None }
    }
}

/// All environment variables that LOMS takes.
fn variables() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.variable).chain([FILE_VARIABLE])
}

/// How much of a bad value is shown, in characters.
const LONGEST_SHOWN: usize = 80;

fn mend(near: Option<&str>, all: impl Iterator<Item = &'static str>) -> String {
    match near {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", all.collect::<Vec<_>>().join(", ")),
    }
}
