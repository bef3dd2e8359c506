//! Checks the order of the command indexes that the server sends: one pass shows whether it
//! explains all answers.

use crate::model::contract::Answer;
use crate::model::{Model, World};
use crate::plan::KeyText;

use super::history::CallRecord;

/// Why the history does not follow the order of the indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderViolation {
    /// A description.
    pub(crate) what: String,
    /// The calls, as indexes into the history.
    pub(crate) entries: Vec<usize>,
}

/// Checks that the order of the indexes agrees with real time, and that the model, called in this
/// order, gives the same answers. Command 1 has the time `start`, and each following command is one
/// nanosecond later.
///
/// # Errors
/// The first violation.
pub(crate) fn check(
    world: &World,
    start: u64,
    history: &[CallRecord],
) -> Result<(), OrderViolation> {
    let order = in_order(history)?;
    agrees_with_time(&order, history)?;
    let mut model = Model::new(world, None);
    for &(index, place) in &order {
        let at = start.saturating_add(index - 1);
        agrees(&mut model, at, history, place)?;
    }
    // An invalid request is refused at any time and in any state.
    let mut fresh = Model::new(world, None);
    for (place, entry) in history.iter().enumerate() {
        if entry.received.index.is_none() {
            agrees(&mut fresh, 0, history, place)?;
        }
    }
    Ok(())
}

/// The calls that reached the state machine, by index.
fn in_order(history: &[CallRecord]) -> Result<Vec<(u64, usize)>, OrderViolation> {
    let mut order: Vec<(u64, usize)> = history
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| Some((entry.received.index?, place)))
        .collect();
    order.sort_unstable();
    for pair in order.windows(2) {
        if pair[0].0 == pair[1].0 {
            let entries = vec![pair[0].1, pair[1].1];
            return Err(OrderViolation {
                what: format!("two commands have index {}", pair[0].0),
                entries,
            });
        }
    }
    match order.first() {
        Some(&(0, place)) => {
            Err(OrderViolation { what: "a command has index 0".to_owned(), entries: vec![place] })
        }
        Some(_) | None => Ok(order),
    }
}

/// A call that returned before another was sent must come before it.
fn agrees_with_time(order: &[(u64, usize)], history: &[CallRecord]) -> Result<(), OrderViolation> {
    let mut soonest: Option<usize> = None;
    for &(_, place) in order.iter().rev() {
        let returned = |place: usize| history[place].returned;
        if let Some(later) = soonest
            && returned(later) < history[place].invoked
        {
            let what = "a command that returned before another was sent comes after it".to_owned();
            return Err(OrderViolation { what, entries: vec![later, place] });
        }
        if soonest.is_none_or(|soonest| returned(place) < returned(soonest)) {
            soonest = Some(place);
        }
    }
    Ok(())
}

fn agrees(
    model: &mut Model,
    at: u64,
    history: &[CallRecord],
    place: usize,
) -> Result<(), OrderViolation> {
    let entry = &history[place];
    let mut buffer = KeyText::default();
    let call = entry.call(&mut buffer);
    let expected = model.answer(at, call);
    let received = entry.received.answer(call);
    let invalid = matches!(expected, Answer::Refused(refusal) if refusal.is_invalid());
    if received.as_ref() == Ok(&expected) && invalid == entry.received.index.is_none() {
        return Ok(());
    }
    let actual = received.map_or_else(|unexpected| unexpected, |answer| answer.to_string());
    Err(OrderViolation {
        what: format!("the server answers {actual}; expected {expected}"),
        entries: vec![place],
    })
}
