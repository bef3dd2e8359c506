//! Coverage for readers: the marks, and the matrix of call × order state.

pub(crate) mod counts;
pub(crate) mod marker;
pub(crate) mod marks;

use std::fmt::Write as _;

use crate::coverage::marks::{Mark, MarkSet, OrderState, cell};
use crate::plan::Kind;

/// Kinds of calls that are about an order: the rows of the matrix.
const ROWS: [Kind; 3] = [Kind::Info, Kind::Pay, Kind::Cancel];

/// The number of seeds that reached each mark: the matrix, and a list of the other marks.
#[must_use]
pub(crate) fn picture(reached: &[u64]) -> String {
    let count =
        |mark| Mark::ALL.iter().zip(reached).find(|(m, _)| **m == mark).map_or(0, |(_, n)| *n);
    let in_matrix = |mark: &Mark| {
        ROWS.iter()
            .any(|&kind| OrderState::ALL.iter().any(|&state| cell(kind, state) == Some(*mark)))
    };
    let mut text = String::new();
    let listed: Vec<String> = Mark::ALL
        .iter()
        .filter(|mark| !in_matrix(mark))
        .map(|&mark| format!("{:<24}{:>4}", mark.name(), count(mark)))
        .collect();
    for row in listed.chunks(4) {
        let _ = writeln!(text, "{}", row.join("   "));
    }
    let heads = OrderState::ALL.map(|state| format!("{:>10}", state.name()));
    let _ = writeln!(text, "\n{:<8}{}", "", heads.concat());
    for kind in ROWS {
        let cells =
            OrderState::ALL.map(|state| format!("{:>10}", cell(kind, state).map_or(0, count)));
        let _ = writeln!(text, "{:<8}{}", kind.name(), cells.concat());
    }
    text
}

/// The marks that no run reached.
#[must_use]
pub(crate) fn missing(marks: MarkSet) -> String {
    let (reached, all) = (marks.count(), Mark::ALL.len());
    let mut text = format!("marks  {reached} of {all} reached\n");
    for mark in marks.missing() {
        let _ = writeln!(text, "MISSING {}: {}", mark.name(), mark.description());
    }
    text
}
