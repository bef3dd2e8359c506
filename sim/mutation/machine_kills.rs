//! The kill table of the shipped code. Each file of `machine/` is a bug of the state machine or of
//! the sequencer. `.ci/mutants` plants them in a copy of the tree, and writes into
//! `machine_kills.txt` which check finds each of them. They cannot be planted at runtime: the
//! shipped code has no switches for them.

/// One line for each bug: its name, the check that finds it, and after how much.
const KILLS: &str = include_str!("machine_kills.txt");

/// The table.
#[must_use]
pub(crate) fn table() -> String {
    format!("{:<32}{:<12}after\n{KILLS}", "bug, in the shipped code", "found by")
}
