//! How many calls there were, how long they took, and how they ended.

use std::time::Duration;

use hdrhistogram::Histogram;
use tonic::Code;

use super::mix::CallKind;

/// What a latency is at most; a longer one counts as this, and is told.
const LONGEST: Duration = Duration::from_secs(3_600);

/// How many complaints are told in full.
pub(crate) const TOLD: usize = 3;

/// The calls of one kind, or of all.
#[derive(Clone, Debug)]
pub(crate) struct KindStats {
    /// In nanoseconds, to three digits.
    pub(crate) latency: Histogram<u64>,
    /// By the number of the code.
    pub(crate) codes: [u64; 17],
}

impl KindStats {
    fn new() -> Self {
        Self { latency: histogram(), codes: [0; 17] }
    }

    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all histograms have the same range");
        for (sum, count) in self.codes.iter_mut().zip(other.codes) {
            *sum += count;
        }
    }
}

/// What one thread counts in the measured time, and all of them together.
#[derive(Clone, Debug)]
pub(crate) struct CallStats {
    kinds: [KindStats; CallKind::ALL.len()],
    /// How late calls were sent, in nanoseconds; open loop only.
    pub(crate) late: Histogram<u64>,
    /// Creates whose order failed for want of stock.
    pub(crate) failed_orders: u64,
    /// KindStats longer than [`LONGEST`].
    pub(crate) saturated: u64,
    /// KindStats that had no answer when the run was over for good.
    pub(crate) unfinished: u64,
    /// KindStats that were due in an open loop and were not sent.
    pub(crate) unsent: u64,
}

impl CallStats {
    pub(crate) fn new() -> Self {
        Self {
            kinds: std::array::from_fn(|_| KindStats::new()),
            late: histogram(),
            failed_orders: 0,
            saturated: 0,
            unfinished: 0,
            unsent: 0,
        }
    }

    pub(crate) fn record(&mut self, kind: CallKind, latency: Duration, code: Code) {
        let calls = &mut self.kinds[kind.index()];
        calls.latency.saturating_record(nanos(latency));
        calls.codes[place(code)] += 1;
        if latency > LONGEST {
            self.saturated += 1;
        }
    }

    pub(crate) fn record_late(&mut self, late: Duration) {
        self.late.saturating_record(nanos(late));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, calls) in self.kinds.iter_mut().zip(&other.kinds) {
            sum.add(calls);
        }
        self.late.add(&other.late).expect("all histograms have the same range");
        self.failed_orders += other.failed_orders;
        self.saturated += other.saturated;
        self.unfinished += other.unfinished;
        self.unsent += other.unsent;
    }

    pub(crate) fn of(&self, kind: CallKind) -> &KindStats {
        &self.kinds[kind.index()]
    }

    pub(crate) fn all(&self) -> KindStats {
        let mut all = KindStats::new();
        for calls in &self.kinds {
            all.add(calls);
        }
        all
    }
}

/// How often something happened, and the first few times in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorSamples {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl ErrorSamples {
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.tell(what());
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        for what in other.first {
            self.tell(what);
        }
    }

    /// The same once more tells nothing.
    fn tell(&mut self, what: String) {
        if self.first.len() < TOLD && !self.first.contains(&what) {
            self.first.push(what);
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanos(LONGEST), 3).expect("three digits up to an hour")
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn place(code: Code) -> usize {
    usize::try_from(i32::from(code)).expect("codes count from 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits_and_all_is_the_sum_of_kinds() {
        let mut stats = CallStats::new();
        for micros in 1..=1_000 {
            stats.record(CallKind::Stock, Duration::from_micros(micros), Code::Ok);
            stats.record(CallKind::Pay, Duration::from_micros(micros), Code::NotFound);
        }
        let all = stats.all();
        assert_eq!((all.latency.len(), all.codes[0], all.codes[5]), (2_000, 1_000, 1_000));
        for (quantile, micros) in [(0.5, 500), (0.99, 990), (1.0, 1_000)] {
            let found = all.latency.value_at_quantile(quantile);
            let exact = micros * 1_000;
            assert!(found.abs_diff(exact) <= exact / 1_000, "{found} for {exact}");
        }
    }

    #[test]
    fn call_of_hours_counts_as_one_hour_and_is_told() {
        let mut stats = CallStats::new();
        stats.record(CallKind::Info, Duration::from_secs(7_200), Code::Ok);
        assert_eq!(stats.saturated, 1);
        let hour = 3_600_000_000_000_u64;
        assert!(stats.of(CallKind::Info).latency.max().abs_diff(hour) <= hour / 1_000);
    }
}
