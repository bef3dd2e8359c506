//! Numbers with their nouns.

/// The noun for this many: `order`, or `orders`.
#[must_use]
pub(crate) fn noun(count: u64, one: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{one}s") }
}

/// The number with its noun: `1 line`, or `2 lines`.
#[must_use]
pub(crate) fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
