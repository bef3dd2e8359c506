//! Reads the configuration file: YAML with two levels, sections and keys. Values stay text; `keys`
//! parses them.

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
    let mut reading = Reading {
        file,
        is_used,
        values: Vec::new(),
        keys: Vec::new(),
        sections: Vec::new(),
        at: None,
        found: None,
    };
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
    /// The keys so far, also those that are not used.
    keys: Vec<(&'static str, u64)>,
    sections: Vec<(&'static str, u64)>,
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

impl Reading<'_> {
    fn place(&self, line: u64) -> Place {
        Place::File { file: self.file.to_owned(), line }
    }

    /// The section or key of a name. `None` if it is unknown or a duplicate; `found` says which.
    fn enter(&mut self, section: Option<&'static str>, name: &str, line: u64) -> Option<Entry> {
        let found = match section {
            None => KEYS.iter().map(|key| key.parts().0).find(|known| *known == name).map(|name| {
                let first = self.sections.iter().find(|(known, _)| *known == name);
                (Entry::Section { name, line }, name, first.map(|(_, line)| *line))
            }),
            Some(section) => KEYS.iter().find(|key| key.parts() == (section, name)).map(|key| {
                let first = self.keys.iter().find(|(known, _)| *known == key.name);
                (Entry::Key { key, line }, key.name, first.map(|(_, line)| *line))
            }),
        };
        match found {
            Some((entry, _, None)) => return Some(entry),
            Some((_, name, Some(first))) => {
                self.found = Some(ConfigError::Duplicate { place: self.place(line), name, first });
            }
            None => {
                self.found = Some(ConfigError::unknown_key(self.place(line), section, name));
            }
        }
        None
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
                    self.reading.keys.push((key.name, line));
                    if (self.reading.is_used)(key) {
                        let text = map.next_value::<String>()?;
                        let place = self.reading.place(line);
                        self.reading.values.push(Value { key, text, place });
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Entry::Section { name, line } => {
                    self.reading.sections.push((name, line));
                    let section = Some(name);
                    map.next_value_seed(Level { reading: &mut *self.reading, section })?;
                }
            }
            self.reading.at = outside;
        }
        Ok(())
    }
}
