//! The check by search, for a server that does not tell its order: is there any order of the
//! calls that agrees with time and with the model? (Wing and Gong 1993; the memo is Lowe's, 2017.)
//!
//! Time stands still in the model: nothing expires and no key is forgotten, so that it is for
//! worlds where nothing does.

use std::collections::BTreeSet;

use super::history::CallRecord;
use crate::model::contract::{Answer, Call};
use crate::model::{Model, World};
use crate::plan::{KeyText, Kind};
use crate::report::fingerprint::Fingerprint;

/// States that are tried before the search gives up.
const MOST_STATES: usize = 200_000;

/// What a search comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// This order explains everything: places in the history.
    Explained(Vec<usize>),
    /// No order does. The longest that agrees as far as it goes.
    Unexplained(Vec<usize>),
    /// There are too many to try.
    Undecided,
}

/// Searches for an order. `offset` is what a server's order ids are ahead of the model's, and
/// `fits` says whether what was heard can stand for the model's answer, which has the model's ids.
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
    /// The call that made each order.
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
    /// Whether what is not done yet can be explained from this state on.
    fn explains(&mut self, mut state: State, mut done: Vec<bool>) -> bool {
        let depth = self.order.len();
        let mut next = self.possible(&done);
        // A read that fits changes nothing, and can as well be taken now.
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

    /// What may come next: every call that was made before any that is not done returned.
    fn possible(&self, done: &[bool]) -> Vec<usize> {
        let left = || (0..done.len()).filter(|&place| !done[place]);
        let soonest = left().map(|place| self.history[place].returned).min().unwrap_or(u64::MAX);
        left().filter(|&place| self.history[place].invoked < soonest).collect()
    }

    fn answer(&self, model: &mut Model, place: usize) -> Answer {
        let entry = &self.history[place];
        let order = match entry.order {
            wrong if wrong <= 0 => wrong,
            // An order from before the run is no order of the model's.
            order if order <= self.offset => i64::MAX,
            order => order - self.offset,
        };
        let mut room = KeyText::default();
        let call: Call<'_> = entry.call_about(order, &mut room);
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
