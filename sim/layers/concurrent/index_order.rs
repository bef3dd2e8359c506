//! The check by command index: each answer has the index of the last log entry that it depends on.
//! The indexes give the order of the calls, so one pass over the history decides.
//!
//! A command that changes something has its own index. Reads, refusals and repeats change nothing:
//! they share the index of the entry before them. Answers that share an index depend on the same
//! state, so they may come in any order that agrees with real time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use loms::grpc::service::ServiceOptions;

use crate::check::compared::Compared;
use crate::layers::service::options;
use crate::layers::wire::{Reply, expected};
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{KeyText, Kind};
use crate::progress;
use crate::report::screen;

use super::history::CallRecord;

/// Why the order of the indexes does not explain the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderViolation {
    /// The comparison that found it.
    pub(crate) compared: Compared,
    /// A description.
    pub(crate) what: String,
    /// The calls, as indexes into the history.
    pub(crate) entries: Vec<usize>,
}

/// Checks that the order of the indexes agrees with real time: with the order in which calls were
/// sent and returned. Also checks that the model, called in that order, gives the same answers and
/// the same indexes. The server's clock is fixed at `start`: the first command has that time, and
/// each later command is one nanosecond later than the one before.
///
/// Returns the model after all calls.
///
/// # Errors
/// The first violation.
pub(crate) fn check(
    world: &World,
    start: u64,
    history: &[CallRecord],
    injected: InjectedFaults,
) -> Result<Model, OrderViolation> {
    let settings = Settings { options: options(world), injected };
    let mut replay = Replay { model: Model::new(world, None), next_at: start, history, settings };
    let mut order = Vec::new();
    for (index, group) in by_index(history) {
        replay.group(index, group, &mut order)?;
    }
    agrees_with_time(&order, history, injected)?;
    // An invalid request is refused at any time and in any state.
    let mut fresh = Model::new(world, None);
    for (place, entry) in history.iter().enumerate() {
        if entry.received.index.is_none() {
            agrees(Compared::InvalidReply, &mut fresh, 0, entry, settings)
                .map_err(|(compared, what)| violation(compared, what, [place]))?;
        }
    }
    Ok(replay.model)
}

/// All calls that reached the state machine, as places in the history, grouped by index. Within a
/// group they are in the order in which they were sent.
fn by_index(history: &[CallRecord]) -> BTreeMap<u64, Vec<usize>> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, entry) in history.iter().enumerate() {
        if let Some(index) = entry.received.index {
            groups.entry(index).or_default().push(place);
        }
    }
    for group in groups.values_mut() {
        group.sort_unstable_by_key(|&place| history[place].invoked);
    }
    groups
}

/// The model, called in the order of the indexes.
struct Replay<'a> {
    model: Model,
    /// The time of the next command.
    next_at: u64,
    history: &'a [CallRecord],
    settings: Settings,
}

/// The settings of the server, and the injected faults.
#[derive(Clone, Copy, Debug)]
struct Settings {
    options: ServiceOptions,
    injected: InjectedFaults,
}

impl Replay<'_> {
    /// Replays the calls that share an index: first the command that changes something, if there is
    /// one, then the other commands, then the reads. Appends them to `order`.
    fn group(
        &mut self,
        index: u64,
        group: Vec<usize>,
        order: &mut Vec<usize>,
    ) -> Result<(), OrderViolation> {
        let history = self.history;
        let is_read =
            |place: usize| matches!(history[place].step.op.kind(), Kind::Info | Kind::Stock);
        let (reads, mut commands): (Vec<usize>, Vec<usize>) =
            group.into_iter().partition(|place| is_read(*place));
        let mut first = None;
        if !commands.is_empty() {
            // Due orders expire before the first command.
            let before = self.model.entries();
            self.model.answer(self.next_at, Call::Tick);
            let changing = commands.iter().position(|&place| self.may_change(place));
            if let Some(changing) = changing {
                commands[..=changing].rotate_right(1);
            }
            if changing.is_some() || self.model.entries() != before {
                first = Some(commands[0]);
            }
        }
        for &place in &commands {
            self.replay(self.next_at, index, place)?;
            self.next_at += 1;
        }
        for &place in &reads {
            self.replay(self.model.now(), index, place)?;
        }
        // The command that made the entry comes first; the others are in the order of sending.
        let mut others: Vec<usize> =
            commands.into_iter().chain(reads).filter(|place| Some(*place) != first).collect();
        others.sort_unstable_by_key(|&place| history[place].invoked);
        order.extend(first);
        order.extend(others);
        Ok(())
    }

    /// Whether this command was accepted, and changes something in the present state.
    fn may_change(&self, place: usize) -> bool {
        let entry = &self.history[place];
        let mut buffer = KeyText::default();
        !matches!(entry.received.reply, Reply::Refused(_))
            && self.model.would_change(entry.call(&mut buffer))
    }

    /// Calls the model, and compares its answer and its index.
    fn replay(&mut self, at: u64, index: u64, place: usize) -> Result<(), OrderViolation> {
        let (entry, settings) = (&self.history[place], self.settings);
        agrees(Compared::ReplyInOrder, &mut self.model, at, entry, settings)
            .map_err(|(compared, what)| violation(compared, what, [place]))?;
        let index = settings.injected.alter(Compared::IndexInOrder, index, |index| index + 1);
        match self.model.entries() {
            entries if entries == index => Ok(()),
            entries => {
                let what = format!("the server's index is {index}; the model's is {entries}");
                Err(violation(Compared::IndexInOrder, what, [place]))
            }
        }
    }
}

/// Checks that a call which returned before another one was sent comes before it in `order`.
fn agrees_with_time(
    order: &[usize],
    history: &[CallRecord],
    injected: InjectedFaults,
) -> Result<(), OrderViolation> {
    // Of the calls after `place` in the order, the one that returned first.
    let mut soonest: Option<usize> = None;
    for &place in order.iter().rev() {
        let returned = |place: usize| history[place].returned;
        if let Some(later) = soonest
            && injected.alter(Compared::RealTime, returned(later), |_| 0) < history[place].invoked
        {
            let what = "a command that returned before another was sent comes after it".to_owned();
            return Err(violation(Compared::RealTime, what, [later, place]));
        }
        if soonest.is_none_or(|soonest| returned(place) < returned(soonest)) {
            soonest = Some(place);
        }
    }
    Ok(())
}

fn violation<const N: usize>(
    compared: Compared,
    what: String,
    entries: [usize; N],
) -> OrderViolation {
    OrderViolation { compared, what, entries: entries.to_vec() }
}

/// Calls the model at this time, and compares every field of the server's reply. An error has the
/// comparison that found it: `at` for the reply.
fn agrees(
    at: Compared,
    model: &mut Model,
    time: u64,
    entry: &CallRecord,
    settings: Settings,
) -> Result<(), (Compared, String)> {
    progress::step(entry.step.number);
    let mut buffer = KeyText::default();
    let call = entry.call(&mut buffer);
    let answer = model.answer(time, call);
    let expected = expected::reply(call, &answer, settings.options);
    let reply = Cow::Borrowed(&entry.received.reply);
    let other = |_| Cow::Owned(Reply::Nothing("injected".to_owned()));
    let reply = settings.injected.alter(at, reply, other);
    if *reply != expected {
        let [mut actual, mut text] = [&*reply, &expected].map(ToString::to_string);
        if actual == text {
            [actual, text] = [&*reply, &expected].map(|reply| format!("{reply:?}"));
        }
        let (actual, text) = screen::short_pair(&actual, &text);
        return Err((at, format!("the server answers {actual}; expected {text}")));
    }
    let invalid = matches!(answer, Answer::Refused(refusal) if refusal.is_invalid());
    let has_index = entry.received.index.is_some();
    if settings.injected.alter(Compared::HasIndex, has_index, |has| !has) == invalid {
        let what = format!("an index: {has_index}; an invalid request: {invalid}");
        return Err((Compared::HasIndex, what));
    }
    Ok(())
}
