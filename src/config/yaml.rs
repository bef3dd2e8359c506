//! Reads the configuration file: YAML with sections and keys. Values stay text; `keys` parses them.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{
    DuplicateKeyPolicy, Error as YamlError, MergeKeyPolicy, MessageFormatter, Spanned,
    UserMessageFormatter, with_deserializer_from_str_with_options,
};

use super::error::ConfigError;
use super::keys::{KEYS, Key, Value};
use super::place::Place;

/// The values of the used keys in the text of `file`, in their order.
///
/// # Errors
/// The first place that is not YAML, is no known section or key, or is a duplicate.
pub(super) fn read(
    text: &str,
    file: &Path,
    is_used: fn(&Key) -> bool,
) -> Result<Vec<Value>, ConfigError> {
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = serde_saphyr::options! {
        // `ConfigError::Duplicate` names the key and both lines.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        with_snippet: false,
    };
    let mut reading =
        Reading { file, is_used, values: Vec::new(), entered: Vec::new(), at: None, found: None };
    let level = Level { reading: &mut reading, section: None };
    match with_deserializer_from_str_with_options(text, options, |yaml| level.deserialize(yaml)) {
        Ok(()) => Ok(reading.values),
        Err(error) => Err(match reading.found.take() {
            Some(found) => found,
            None => reading.meaning_of(&error),
        }),
    }
}

/// The state of reading.
struct Reading<'a> {
    file: &'a Path,
    is_used: fn(&Key) -> bool,
    values: Vec<Value>,
    /// The sections and keys so far with their lines, also those that are not used.
    entered: Vec<(&'static str, u64)>,
    /// The section or key that is being read; `None` between sections.
    at: Option<Entry>,
    /// The problem that this module found; `None` if the YAML reader found one.
    found: Option<ConfigError>,
}

/// A known section or key, with the line of its name.
#[derive(Clone, Copy)]
enum Entry {
    Section { name: &'static str, line: u64 },
    Key { key: &'static Key, line: u64 },
}

impl Entry {
    /// Its name with all sections around it.
    fn name(self) -> &'static str {
        match self {
            Self::Section { name, .. } => name,
            Self::Key { key, .. } => key.name,
        }
    }
}

/// The section with this name, with all sections around it.
fn section_named(path: &str) -> Option<&'static str> {
    let key = KEYS
        .iter()
        .find(|key| key.name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))?;
    Some(&key.name[..path.len()])
}

impl Reading<'_> {
    fn place(&self, line: u64) -> Place {
        Place::File { file: self.file.to_owned(), line }
    }

    /// The section or key of a name. `None` if it is unknown or a duplicate; `found` says which.
    fn enter(&mut self, section: Option<&'static str>, name: &str, line: u64) -> Option<Entry> {
        let path = match section {
            // In the file, a dot does not separate names.
            _ if name.contains('.') => String::new(),
            None => name.to_owned(),
            Some(section) => format!("{section}.{name}"),
        };
        let of_key = KEYS.iter().find(|key| key.name == path).map(|key| Entry::Key { key, line });
        let Some(entry) =
            of_key.or_else(|| section_named(&path).map(|name| Entry::Section { name, line }))
        else {
            self.found = Some(ConfigError::unknown_key(self.place(line), section, name));
            return None;
        };
        let name = entry.name();
        match self.entered.iter().find(|(known, _)| *known == name) {
            None => {
                self.entered.push((name, line));
                Some(entry)
            }
            Some(&(_, first)) => {
                self.found = Some(ConfigError::Duplicate { place: self.place(line), name, first });
                None
            }
        }
    }

    /// What an error of the YAML reader means at this place.
    fn meaning_of(&self, error: &YamlError) -> ConfigError {
        let wrong_type = matches!(
            error,
            YamlError::Unexpected { .. }
                | YamlError::NullIntoString { .. }
                | YamlError::TaggedScalarCannotDeserializeIntoString { .. }
        );
        let line = error.location().map_or(1, |location| location.line());
        match self.at {
            Some(Entry::Key { key, line }) if wrong_type => {
                ConfigError::NotAValue { place: self.place(line), key }
            }
            Some(Entry::Section { name, line }) if wrong_type => {
                ConfigError::NotASection { place: self.place(line), name }
            }
            None if wrong_type => ConfigError::Malformed {
                place: self.place(line),
                reason: "expected sections with keys, such as `grpc:` with `listen:` in it".into(),
            },
            None | Some(Entry::Section { .. } | Entry::Key { .. }) => ConfigError::Malformed {
                place: self.place(line),
                reason: format!("not YAML: {}", UserMessageFormatter.format_message(error)),
            },
        }
    }
}

/// The sections of the file, or the keys of a section.
struct Level<'a, 'b> {
    reading: &'a mut Reading<'b>,
    section: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, yaml: D) -> Result<(), D::Error> {
        yaml.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys")
    }

    /// An empty file or section, for example with every line commented out.
    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, yaml: D) -> Result<(), D::Error> {
        yaml.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let outside = self.reading.at;
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let line = name.referenced.line();
            let Some(entry) = self.reading.enter(self.section, &name.value, line) else {
                return Err(Error::custom("see `found`"));
            };
            self.reading.at = Some(entry);
            match entry {
                Entry::Key { key, line } => {
                    if (self.reading.is_used)(key) {
                        let text = map.next_value::<String>()?;
                        let place = self.reading.place(line);
                        self.reading.values.push(Value { key, text, place });
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Entry::Section { name, .. } => {
                    let section = Some(name);
                    map.next_value_seed(Level { reading: &mut *self.reading, section })?;
                }
            }
            self.reading.at = outside;
        }
        Ok(())
    }
}
