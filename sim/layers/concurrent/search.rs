//! Linearizability by search, for a server without command indexes: is there an order of the calls
//! that agrees with real time and with the model? (Wing and Gong 1993; memoization by Lowe, 2017.)
//!
//! The model's time does not move: nothing expires and no key is removed. The search is for worlds
//! without expiry.

use std::collections::BTreeSet;

use super::history::CallRecord;
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::plan::{KeyText, Kind};
use crate::progress;
use crate::report::fingerprint::Fingerprint;

/// Maximum number of states.
const MOST_STATES: usize = 200_000;

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// This order, as indexes into the history, explains all answers.
    Explained(Vec<usize>),
    /// No order does. The longest partial order.
    Unexplained(Vec<usize>),
    /// The limit of states is reached.
    Undecided,
}

/// Searches for an order. `offset` is the difference between the server's order ids and the
/// model's; `fits` says whether a reply is valid for the model's answer, which has the model's
/// ids.
#[must_use]
pub(crate) fn search(
    world: &World,
    history: &[CallRecord],
    offset: i64,
    fits: &dyn Fn(&CallRecord, &Answer) -> bool,
) -> SearchResult {
    let mut search = Search {
        history,
        offset,
        fits,
        tried: BTreeSet::new(),
        order: Vec::new(),
        longest: Vec::new(),
    };
    let world = World { payment_timeout: 0, idempotency_window: u64::MAX, ..world.clone() };
    let state = State { model: Model::new(&world, None), created_by: Vec::new() };
    let done = vec![false; history.len()];
    if search.explains(state, done) {
        SearchResult::Explained(search.order)
    } else if search.tried.len() >= MOST_STATES {
        SearchResult::Undecided
    } else {
        SearchResult::Unexplained(search.longest)
    }
}

struct Search<'a> {
    history: &'a [CallRecord],
    offset: i64,
    fits: &'a dyn Fn(&CallRecord, &Answer) -> bool,
    tried: BTreeSet<(Vec<bool>, Fingerprint)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

#[derive(Clone)]
struct State {
    model: Model,
    /// The call that created each order.
    created_by: Vec<usize>,
}

impl State {
    fn fingerprint(&self) -> Fingerprint {
        let mut print = Fingerprint::default();
        for (sku, total, reserved) in self.model.stock() {
            [u64::from(sku), total, reserved].into_iter().for_each(|word| print.word(word));
        }
        for (order, &created_by) in (1..).zip(&self.created_by) {
            print.word(u64::try_from(created_by).expect("lengths fit 64 bits"));
            if let Some(info) = self.model.order(order) {
                print.answer(&Answer::Order(info));
            }
        }
        print
    }
}

impl Search<'_> {
    /// Whether the remaining calls can be explained from this state.
    fn explains(&mut self, mut state: State, mut done: Vec<bool>) -> bool {
        progress::step(0);
        let depth = self.order.len();
        let mut next = self.possible(&done);
        // A read that fits changes nothing, so it can be taken at once.
        while let Some(place) =
            next.iter().copied().find(|&place| self.read_fits(&mut state, place))
        {
            done[place] = true;
            self.order.push(place);
            next = self.possible(&done);
        }
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        let left = |place: usize| !done[place] && self.history[place].returned != u64::MAX;
        if !(0..done.len()).any(left) {
            return true;
        }
        if self.tried.len() < MOST_STATES && self.tried.insert((done.clone(), state.fingerprint()))
        {
            for place in next {
                if let Some(state) = self.take(&state, place) {
                    let mut done = done.clone();
                    done[place] = true;
                    self.order.push(place);
                    if self.explains(state, done) {
                        return true;
                    }
                    self.order.pop();
                }
            }
        }
        self.order.truncate(depth);
        false
    }

    /// The calls that can come next: those sent before any remaining call returned.
    fn possible(&self, done: &[bool]) -> Vec<usize> {
        let left = || (0..done.len()).filter(|&place| !done[place]);
        let soonest = left().map(|place| self.history[place].returned).min().unwrap_or(u64::MAX);
        left().filter(|&place| self.history[place].invoked < soonest).collect()
    }

    fn answer(&self, model: &mut Model, place: usize) -> Answer {
        let entry = &self.history[place];
        let order = match entry.order {
            wrong if wrong <= 0 => wrong,
            // The model has no orders from before the run.
            order if order <= self.offset => i64::MAX,
            order => order - self.offset,
        };
        let mut buffer = KeyText::default();
        let call: Call<'_> = entry.call_about(order, &mut buffer);
        model.answer(0, call)
    }

    fn read_fits(&self, state: &mut State, place: usize) -> bool {
        let entry = &self.history[place];
        matches!(entry.step.op.kind(), Kind::Info | Kind::Stock)
            && (self.fits)(entry, &self.answer(&mut state.model, place))
    }

    fn take(&self, state: &State, place: usize) -> Option<State> {
        let mut state = state.clone();
        let orders = state.model.orders();
        let answer = self.answer(&mut state.model, place);
        let entry = &self.history[place];
        if entry.returned != u64::MAX && !(self.fits)(entry, &answer) {
            return None;
        }
        if state.model.orders() > orders {
            state.created_by.push(place);
        }
        Some(state)
    }
}
