//! The comparisons of the state after a command: the stock, the deadlines and counts, the digest.

use loms::state_machine::{Digest, Sizes, StockView};

use super::{Checker, Comparison, Verdict};
use crate::check::compared::Compared;
use crate::check::subject::Subject;
use crate::mutation::injected::InjectedFaults;

impl<S: Sizes> Checker<S> {
    pub(super) fn compare_stock(&mut self, comparison: Comparison<'_>) -> Verdict {
        self.available.clear();
        let mut model = self.model.stock();
        let mut differing = None;
        for record in self.subject.state.stock() {
            let expected = model.next();
            if let Some(wrong) = wrong_stock(self.injected, record, expected) {
                differing = Some((wrong, Some(record), expected));
                break;
            }
            self.available.push(record.total - record.reserved);
        }
        let more = self.injected.alter(Compared::StockLength, model.next(), |_| Some((0, 0, 0)));
        if let (None, Some(more)) = (differing, more) {
            differing = Some((Compared::StockLength, None, Some(more)));
        }
        let Some((wrong, actual, expected)) = differing else { return Ok(()) };
        let describe = |record: Option<(u32, u64, u64)>| {
            record.map_or("no such SKU".to_owned(), |(sku, total, reserved)| {
                format!("SKU {sku}: total {total}, reserved {reserved}")
            })
        };
        let actual = actual
            .map(|StockView { opening, total, reserved }| (opening.sku.get(), total, reserved));
        self.fail(wrong, Some(comparison), describe(actual), describe(expected))
    }

    pub(super) fn compare_deadlines(&self, comparison: Comparison<'_>) -> Verdict {
        let (subject, model, injected) = (&self.subject.state, &self.model, self.injected);
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
        for (at, what, actual, expected) in [
            (Compared::Entries, "entries", subject.index(), model.entries()),
            (Compared::EventsOfModel, "transitions", subject.events(), model.transitions()),
            (Compared::EventsSeen, "transitions", subject.events(), self.sequence),
            (Compared::OrderCount, "orders", orders, of_model),
        ] {
            let actual = injected.alter(at, actual, |count| count + 1);
            if actual != expected {
                let (actual, expected) = (format!("{actual} {what}"), format!("{expected} {what}"));
                return self.fail(at, Some(comparison), actual, expected);
            }
        }
        Ok(())
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
}

/// What is wrong with a stock record, whose SKU, total and reserved units must be these.
fn wrong_stock(
    injected: InjectedFaults,
    record: StockView,
    expected: Option<(u32, u64, u64)>,
) -> Option<Compared> {
    let StockView { opening, total, reserved } = record;
    let sku = injected.alter(Compared::StockSku, opening.sku.get(), |sku| sku ^ 1);
    let total_seen = injected.alter(Compared::StockTotal, total, |total| total ^ 1);
    let reserved_seen = injected.alter(Compared::StockReserved, reserved, |units| units ^ 1);
    if expected.map(|expected| expected.0) != Some(sku) {
        Some(Compared::StockSku)
    } else if expected.map(|expected| expected.1) != Some(total_seen) {
        Some(Compared::StockTotal)
    } else if expected.map(|expected| expected.2) != Some(reserved_seen) {
        Some(Compared::StockReserved)
    } else if injected.alter(Compared::ReservedInTotal, reserved, |_| u64::MAX) > total {
        Some(Compared::ReservedInTotal)
    } else if injected.alter(Compared::OpeningReservation, opening.reserved, |_| u64::MAX)
        > reserved
    {
        Some(Compared::OpeningReservation)
    } else {
        None
    }
}
