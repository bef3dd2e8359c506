//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::keys::{self, KEYS, Key, Value};
use super::place::{FILE_VARIABLE, Place};

/// A problem of the configuration. Displayed as one line: where, what and what is expected.
#[derive(Debug)]
pub enum ConfigError {
    /// The file does not exist or cannot be read.
    Unreadable {
        /// The path, as the user gave it.
        file: PathBuf,
        /// Where the user named it; `None` for the default file.
        named_by: Option<Place>,
        /// The error of the system.
        error: io::Error,
    },
    /// The text is not UTF-8.
    NotUtf8(Place),
    /// The file is not YAML, or does not consist of sections with keys.
    Malformed {
        /// Where the reader stopped.
        place: Place,
        /// The problem.
        reason: String,
    },
    /// An unknown section or key.
    UnknownKey {
        /// Where.
        place: Place,
        /// `section`, or `section.key`.
        name: String,
        /// A known name that is similar.
        near: Option<&'static str>,
    },
    /// A section or a key appears twice in the file.
    Duplicate {
        /// The second place.
        place: Place,
        /// `section`, or `section.key`.
        name: &'static str,
        /// The line of the first place.
        first: u64,
    },
    /// A section has something else than keys.
    NotASection {
        /// Where.
        place: Place,
        /// The section.
        name: &'static str,
    },
    /// A key has no plain value: none at all, a list, a map or a tagged value.
    NotAValue {
        /// Where.
        place: Place,
        /// The key.
        key: &'static Key,
    },
    /// A key has a bad value.
    BadValue {
        /// Where.
        place: Place,
        /// The key.
        key: &'static Key,
        /// The value.
        text: String,
    },
}

impl ConfigError {
    /// A bad value of a key.
    pub(super) fn bad_value(value: &Value) -> Self {
        Self::BadValue { place: value.place.clone(), key: value.key, text: value.text.clone() }
    }

    /// An unknown key, with a similar key or section if there is one.
    pub(super) fn unknown_key(place: Place, section: Option<&str>, name: &str) -> Self {
        let name = section.map_or(name.to_owned(), |section| format!("{section}.{name}"));
        let leaf = name.rsplit_once('.').map_or(name.as_str(), |(_, leaf)| leaf);
        let near = keys::nearest(KEYS.iter().flat_map(|key| {
            let (of, part) = key.parts();
            [(name.as_str(), key.name, key.name), (&name, of, of), (leaf, part, key.name)]
        }));
        Self::UnknownKey { place, name, near }
    }
}

/// An environment variable that starts with `LOMS_` and sets no key. Displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The variable that is probably meant.
    pub near: Option<&'static str>,
}

impl UnknownVariable {
    pub(super) fn new(name: String) -> Self {
        // Compare without the common prefix, and also without the section, which users forget.
        let own = |name| str::strip_prefix(name, "LOMS_").unwrap_or(name);
        let known = KEYS.iter().map(|key| key.variable).chain([FILE_VARIABLE]);
        let near = keys::nearest(known.flat_map(|known| {
            let whole = own(known);
            let leaf = whole.split_once('_').map_or(whole, |(_, leaf)| leaf);
            [(own(&name), whole, known), (own(&name), leaf, known)]
        }));
        Self { name, near }
    }
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = one_line(&self.name);
        write!(f, "{name}: unknown environment variable, ignored")?;
        self.near.map_or(Ok(()), |near| write!(f, "; did you mean {near}?"))
    }
}

/// Texts of the user must not break the line or send control codes to the terminal.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.text()))
    }
}

impl ConfigError {
    fn text(&self) -> String {
        match self {
            Self::Unreadable { file, named_by, error } => {
                let named_by = named_by.as_ref().map_or(String::new(), |by| format!("{by}: "));
                let file = file.display();
                format!(
                    "{named_by}{file}: the configuration file cannot be read: {error}; \
                     check the path"
                )
            }
            Self::NotUtf8(place) => format!("{place}: not UTF-8; expected UTF-8 text"),
            Self::Malformed { place, reason } => format!("{place}: {reason}"),
            Self::UnknownKey { place, name, near } => {
                let near = near.map(|near| match near.split_once('.') {
                    Some((section, key)) => format!("{key} in section {section}"),
                    None => format!("section {near}"),
                });
                let fix = fix(near.as_deref(), KEYS.iter().map(|key| key.name));
                format!("{place}: unknown key {name}; {fix}")
            }
            Self::Duplicate { place, name, first } => {
                format!("{place}: {name} appears twice, first in line {first}; keep one")
            }
            Self::NotASection { place, name } => {
                let keys = KEYS.iter().filter(|key| key.parts().0 == *name);
                let keys: Vec<_> = keys.map(|key| key.parts().1).collect();
                format!(
                    "{place}: section {name} must contain `key: value` lines with the keys: {}",
                    keys.join(", ")
                )
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

/// The maximum number of characters that are shown of a bad value.
const LONGEST_SHOWN: usize = 80;

fn fix(near: Option<&str>, all: impl Iterator<Item = &'static str>) -> String {
    match near {
        Some(near) => format!("did you mean {near}?"),
        None => format!("known: {}", all.collect::<Vec<_>>().join(", ")),
    }
}
