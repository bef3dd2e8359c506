//! The comparisons of the state after a command: the stock, the deadlines and counts, the digest;
//! and those of the whole state: what an earlier entry and a restore do.

use loms::state_machine::{
    Command, Digest, Entry, Fact, LomsState, Outcome, Rejection, Sizes, Sku, StockView, Timestamp,
    Transition,
};

use super::{Checker, Comparison, Verdict};
use crate::check::compared::Compared;
use crate::check::subject::{KEY_HASH_SECRET, Subject};
use crate::model::OrderFields;
use crate::model::contract::{Answer, Call};

/// The whole stock is compared after every command if there are at most this many SKUs, and
/// whenever a command touches more of them.
const FEW_SKUS: usize = 16;

/// With more SKUs, the whole stock is compared after one step of this many, and in every audit.
/// After the other steps only the SKUs that the call can have changed are compared.
const SWEEP: u32 = 64;

impl<S: Sizes> Checker<S> {
    pub(super) fn compare_stock(&mut self, comparison: Comparison<'_>, call: Call<'_>) -> Verdict {
        let many = self.world.stock.len() > FEW_SKUS;
        // A probe is a multiple of the sweep: what its first tick touched is compared too.
        let sweep = comparison.step.number.is_multiple_of(SWEEP);
        if !many || sweep || !self.touches_few(comparison, call) {
            return self.compare_whole_stock(Some(comparison));
        }
        for &sku in &self.touched {
            let record = Sku::new(sku).and_then(|sku| self.subject.state.stock_of(sku));
            let expected = self.model.stock_record(sku);
            if let Some(wrong) = self.wrong_record(record, expected) {
                return self.stock_differs(wrong, record, expected, Some(comparison));
            }
        }
        Ok(())
    }

    /// Collects the SKUs that this call can have changed: those of its lines, of its order, and of
    /// each order with an event. Returns false if they are many.
    fn touches_few(&mut self, comparison: Comparison<'_>, call: Call<'_>) -> bool {
        let touched = &mut self.touched;
        touched.clear();
        let mut last = match (call, comparison.answer) {
            (Call::Create { items, .. }, _) if items.len() > FEW_SKUS => return false,
            (Call::Create { items, .. }, answer) => {
                touched.extend(items.iter().map(|item| item.0));
                if let Answer::Created { order, .. } = answer { *order } else { 0 }
            }
            (Call::Info(order) | Call::Pay(order) | Call::Cancel(order), _) => order,
            (Call::Stock(sku), _) => {
                touched.push(sku);
                0
            }
            (Call::Tick | Call::ChangeRules { .. }, _) => 0,
        };
        let add = |touched: &mut Vec<u32>, order| {
            let skus = |fields: OrderFields<'_>| touched.extend(fields.items.iter().map(|it| it.0));
            self.model.with_order(order, skus);
            touched.len() <= 2 * FEW_SKUS
        };
        if !add(touched, last) {
            return false;
        }
        for event in &self.subject.events {
            let Fact::Order(Transition { order, .. }) = event.fact else { continue };
            // The events of one order follow each other.
            if order.get() != std::mem::replace(&mut last, order.get())
                && !add(touched, order.get())
            {
                return false;
            }
        }
        touched.sort_unstable();
        touched.dedup();
        true
    }

    /// Compares the stock of every SKU.
    pub(super) fn compare_whole_stock(&self, comparison: Option<Comparison<'_>>) -> Verdict {
        let mut model = self.model.stock();
        for record in self.subject.state.stock() {
            let expected = model.next();
            if let Some(wrong) = self.wrong_record(Some(record), expected) {
                return self.stock_differs(wrong, Some(record), expected, comparison);
            }
        }
        let more = self.injected.alter(Compared::StockLength, model.next(), |_| Some((0, 0, 0)));
        match self.wrong_record(None, more) {
            None => Ok(()),
            Some(wrong) => self.stock_differs(wrong, None, more, comparison),
        }
    }

    /// The comparison in which a stock record differs from the model's.
    fn wrong_record(
        &self,
        record: Option<StockView>,
        expected: Option<(u32, u64, u64)>,
    ) -> Option<Compared> {
        let Some(record) = record else {
            return expected.is_some().then_some(Compared::StockLength);
        };
        let seen = StockSeen::of(record, self.injected.altered);
        (!seen.agrees(expected)).then(|| seen.wrong(expected))
    }

    #[cold]
    fn stock_differs(
        &self,
        wrong: Compared,
        actual: Option<StockView>,
        expected: Option<(u32, u64, u64)>,
        comparison: Option<Comparison<'_>>,
    ) -> Verdict {
        let describe = |record: Option<(u32, u64, u64)>| {
            record.map_or("no such SKU".to_owned(), |(sku, total, reserved)| {
                format!("SKU {sku}: total {total}, reserved {reserved}")
            })
        };
        let actual = actual
            .map(|StockView { opening, total, reserved }| (opening.sku.get(), total, reserved));
        self.fail(wrong, comparison, describe(actual), describe(expected))
    }

    pub(super) fn compare_deadlines(&self, comparison: Comparison<'_>) -> Verdict {
        let (subject, model, injected) = (&self.subject.state, &self.model, &self.injected);
        let deadline = subject.next_deadline().map(|time| time.as_nanos());
        let deadline = injected
            .alter(Compared::NextDeadline, deadline, |deadline| deadline.map_or(Some(0), |_| None));
        if deadline != model.next_deadline() {
            let describe = |deadline: Option<u64>| match deadline {
                Some(at) => format!("next deadline at {at}ns"),
                None => "no next deadline".to_owned(),
            };
            let (actual, expected) = (describe(deadline), describe(model.next_deadline()));
            return self.fail(Compared::NextDeadline, Some(comparison), actual, expected);
        }
        let orders = u64::try_from(self.orders.len()).expect("lengths fit 64 bits");
        let of_model = u64::try_from(model.orders()).expect("lengths fit 64 bits");
        let mut actual = [subject.index(), subject.events(), subject.events(), orders];
        if let Some(place) = COUNTS.iter().position(|&at| injected.altered == Some(at)) {
            actual[place] += 1;
        }
        let expected = [model.entries(), model.transitions(), self.sequence, of_model];
        match (0..COUNTS.len()).find(|&place| actual[place] != expected[place]) {
            None => Ok(()),
            Some(place) => {
                let text = |counts: [u64; 4]| {
                    let [entries, events, _, orders] = counts;
                    format!("{entries} entries, {events} transitions, {orders} orders")
                };
                self.fail(COUNTS[place], Some(comparison), text(actual), text(expected))
            }
        }
    }

    /// The digest changes in a call if and only if there is an event.
    pub(super) fn compare_digests(&self, comparison: Comparison<'_>, before: Digest) -> Verdict {
        let digest = self.subject.state.digest();
        let other = || Subject::<S>::open(&self.world).state.digest();
        let after = self.injected.alter(Compared::DigestWithoutEvent, digest, |_| other());
        let after = self.injected.alter(Compared::EventWithoutDigest, after, |_| before);
        let (actual, compared) = match (before != after, !self.subject.events.is_empty()) {
            (true, false) => ("the digest changed", Compared::DigestWithoutEvent),
            (false, true) => ("the digest is the same", Compared::EventWithoutDigest),
            (true, true) | (false, false) => return Ok(()),
        };
        let expected = format!("there are events: {}", !self.subject.events.is_empty());
        self.fail(compared, Some(comparison), actual.to_owned(), expected)
    }

    /// An entry that is earlier than the last one is refused, whatever its command is.
    pub(super) fn compare_earlier_entry(&mut self) -> Verdict {
        let now = self.subject.state.now();
        let Some(at) = now.as_nanos().checked_sub(1).map(Timestamp::from_nanos) else {
            return Ok(());
        };
        let index = self.subject.state.index() + 1;
        let entry = Entry { index, at, command: Command::Tick };
        let result = self.subject.state.apply(&entry, &mut Vec::new());
        let result = self.injected.alter(Compared::EarlierEntry, result, |_| Ok(Outcome::Ticked));
        let expected = Err(Rejection::ClockWentBack { now, at });
        if result == expected {
            return Ok(());
        }
        let [actual, expected] = [result, expected].map(|result| format!("{result:?}"));
        self.fail(Compared::EarlierEntry, None, actual, expected)
    }

    /// The parts of the state are all that it consists of.
    pub(super) fn compare_restored(&self) -> Verdict {
        let state = &self.subject.state;
        let restored = LomsState::<S>::restore(state.parts(), KEY_HASH_SECRET);
        let restored = restored.map(|state| state.digest()).map_err(|wrong| wrong.to_string());
        let wrong = |_| Err("injected".to_owned());
        let restored = self.injected.alter(Compared::RestoredDigest, restored, wrong);
        if restored == Ok(state.digest()) {
            return Ok(());
        }
        let actual = restored.map_or_else(|wrong| wrong, |digest| format!("digest {digest}"));
        let expected = format!("digest {}, restored from its parts", state.digest());
        self.fail(Compared::RestoredDigest, None, actual, expected)
    }
}

/// The counts that are compared after every command.
const COUNTS: [Compared; 4] =
    [Compared::Entries, Compared::EventsOfModel, Compared::EventsSeen, Compared::OrderCount];

/// What the comparisons of a stock record get.
struct StockSeen {
    sku: u32,
    total: u64,
    reserved: u64,
    /// The opening reservation and the reserved units, which are ascending. Only the opening
    /// reservation may be above the total.
    bounds: [u64; 2],
}

impl StockSeen {
    fn of(record: StockView, altered: Option<Compared>) -> Self {
        let StockView { opening, total, reserved } = record;
        let sku = opening.sku.get();
        let mut seen = Self { sku, total, reserved, bounds: [opening.reserved, reserved] };
        match altered {
            Some(Compared::StockSku) => seen.sku ^= 1,
            Some(Compared::StockTotal) => seen.total ^= 1,
            Some(Compared::StockReserved) => seen.reserved ^= 1,
            Some(Compared::ReservedInTotal) => seen.bounds[1] = u64::MAX,
            Some(Compared::OpeningReservation) => seen.bounds[0] = u64::MAX,
            Some(_) | None => {}
        }
        seen
    }

    fn agrees(&self, expected: Option<(u32, u64, u64)>) -> bool {
        let [opening, reserved] = self.bounds;
        expected == Some((self.sku, self.total, self.reserved))
            && reserved <= self.total.max(opening)
            && opening <= reserved
    }

    /// The comparison that does not agree.
    fn wrong(&self, expected: Option<(u32, u64, u64)>) -> Compared {
        let [opening, reserved] = self.bounds;
        match expected {
            Some((sku, ..)) if sku != self.sku => Compared::StockSku,
            Some((_, total, _)) if total != self.total => Compared::StockTotal,
            Some((.., expected)) if expected != self.reserved => Compared::StockReserved,
            None => Compared::StockSku,
            Some(_) if reserved > self.total.max(opening) => Compared::ReservedInTotal,
            Some(_) => Compared::OpeningReservation,
        }
    }
}
