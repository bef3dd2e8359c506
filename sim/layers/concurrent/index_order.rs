//! The check by witness: the server says in which order it took the calls, and one pass shows
//! whether that order explains everything.

use crate::model::contract::Answer;
use crate::model::{Model, World};
use crate::plan::KeyText;

use super::history::CallRecord;

/// Why a history is not what the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderViolation {
    /// What is wrong.
    pub(crate) what: String,
    /// The calls that it is about, by their places in the history.
    pub(crate) entries: Vec<usize>,
}

/// Checks that the order told by the indexes agrees with the order in which calls were made and
/// returned, and that the model, called in that order, answers the same. Command 1 has its place
/// in time at `start`, and each command a nanosecond after the one before.
///
/// # Errors
/// The first place at which it does not.
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
    // What the edge refuses depends on nothing that happened, so that any moment will do.
    let mut fresh = Model::new(world, None);
    for (place, entry) in history.iter().enumerate() {
        if entry.received.index.is_none() {
            agrees(&mut fresh, 0, history, place)?;
        }
    }
    Ok(())
}

/// The places of all calls that the machine took, by index.
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

/// A call that returned before another was made comes before it.
fn agrees_with_time(order: &[(u64, usize)], history: &[CallRecord]) -> Result<(), OrderViolation> {
    let mut soonest: Option<usize> = None;
    for &(_, place) in order.iter().rev() {
        let returned = |place: usize| history[place].returned;
        if let Some(later) = soonest
            && returned(later) < history[place].invoked
        {
            let what =
                "a command returned before another was created, and comes after it".to_owned();
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
    let mut room = KeyText::default();
    let call = entry.call(&mut room);
    let expected = model.answer(at, call);
    let received = entry.received.answer(call);
    let invalid = matches!(expected, Answer::Refused(refusal) if refusal.is_invalid());
    if received.as_ref() == Ok(&expected) && invalid == entry.received.index.is_none() {
        return Ok(());
    }
    let said = received.map_or_else(|strange| strange, |answer| answer.to_string());
    Err(OrderViolation {
        what: format!("the server answers {said}; the model {expected}"),
        entries: vec![place],
    })
}
