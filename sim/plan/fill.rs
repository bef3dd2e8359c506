//! The characters that make an idempotency key as long as its plan says: of every width, and such
//! as a service could trim, fold, or take for the end of a text.

/// The characters that a key is filled with. The default is dots before the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fill(u8);

/// The name in plans, the characters, and whether they follow the key's name. Two neighbours are
/// twins: a service that confuses characters can take one for the other.
const TABLE: [(&str, &str, bool); 12] = [
    ("dots", ".", false),
    ("three-bytes", "字", false),
    ("two-bytes", "é", false),
    ("two-bytes-upper", "É", false),
    ("four-bytes", "🛒", false),
    ("combining", "e\u{301}", false),
    ("nul", "\0", false),
    ("nul-after", "\0", true),
    ("spaces", "\u{2003} \t\n", false),
    ("spaces-after", " \r\n", true),
    ("upper", "K", false),
    ("lower", "k", false),
];

impl Fill {
    /// Dots before the name.
    pub(crate) const DOTS: Self = Self(0);
    /// Number of fills.
    pub(crate) const COUNT: u8 = 12;

    /// The fill at this place, below [`Fill::COUNT`].
    #[must_use]
    pub(crate) fn at(place: u8) -> Self {
        assert!(place < Self::COUNT, "there are {} fills", Self::COUNT);
        Self(place)
    }

    /// The fill that a service could take for this one.
    #[must_use]
    pub(crate) const fn twin(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// The fill with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        let place = TABLE.iter().position(|row| row.0 == name)?;
        u8::try_from(place).ok().map(Self)
    }

    /// The name in plans.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// Fills a key: the last bytes are its name, the first `padding` bytes are free. What is too
    /// short for the next character becomes dots.
    pub(super) fn write(self, key: &mut [u8], padding: usize) {
        let (_, characters, after) = self.row();
        let mut at = 0;
        for character in characters.chars().cycle() {
            let end = at + character.len_utf8();
            if end > padding {
                break;
            }
            character.encode_utf8(&mut key[at..end]);
            at = end;
        }
        key[at..padding].fill(b'.');
        if after {
            key.rotate_left(padding);
        }
    }

    fn row(self) -> (&'static str, &'static str, bool) {
        TABLE[usize::from(self.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Key, KeyText};

    #[test]
    fn a_key_has_exactly_its_length_in_every_fill() {
        for fill in (0..Fill::COUNT).map(Fill::at) {
            assert_eq!(Fill::named(fill.name()), Some(fill));
            for length in [0, 2, 5, 64, 254, 255, 256] {
                let mut buffer = KeyText::default();
                let text = Key { name: 7, length, fill }.write(&mut buffer);
                assert_eq!(text.len(), usize::from(length.max(2)), "{fill:?}");
                assert!(text.starts_with("k7") || text.ends_with("k7"), "{text:?}");
            }
        }
    }
}
