//! Counts, latencies and gRPC codes of calls.

use std::time::Duration;

use hdrhistogram::Histogram;
use tonic::Code;

use super::mix::CallKind;

/// The highest latency that is recorded. A longer call counts as this, and is counted separately.
const MAX_LATENCY: Duration = Duration::from_secs(3_600);

/// How many errors of a sort are kept as text.
const MAX_SAMPLES: usize = 3;

/// The calls of one kind, or of all kinds.
#[derive(Clone, Debug)]
pub(crate) struct KindStats {
    /// In nanoseconds, with three significant digits.
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

/// The calls of the measured time, of one thread or of all threads.
#[derive(Clone, Debug)]
pub(crate) struct CallStats {
    kinds: [KindStats; CallKind::ALL.len()],
    /// How late calls were sent, in nanoseconds; open loop only.
    pub(crate) late: Histogram<u64>,
    /// Creates that failed for lack of stock.
    pub(crate) failed_orders: u64,
    /// Calls longer than [`MAX_LATENCY`].
    pub(crate) saturated: u64,
    /// Calls without an answer at the end of the run.
    pub(crate) unfinished: u64,
    /// Open loop only: calls that were due but not sent.
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
        calls.codes[code_index(code)] += 1;
        if latency > MAX_LATENCY {
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

/// The number of errors of one sort, and the first few as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorSamples {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl ErrorSamples {
    pub(crate) fn add_sample(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MAX_SAMPLES {
            self.keep(text());
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        for text in other.first {
            self.keep(text);
        }
    }

    /// Keeps a text once.
    fn keep(&mut self, text: String) {
        if self.first.len() < MAX_SAMPLES && !self.first.contains(&text) {
            self.first.push(text);
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanos(MAX_LATENCY), 3).expect("the bounds are valid")
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn code_index(code: Code) -> usize {
    usize::try_from(i32::from(code)).expect("codes are not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_three_digits_and_all_is_the_sum_of_kinds() {
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
    fn call_longer_than_an_hour_counts_as_one_hour() {
        let mut stats = CallStats::new();
        stats.record(CallKind::Info, Duration::from_secs(7_200), Code::Ok);
        assert_eq!(stats.saturated, 1);
        let hour = 3_600_000_000_000_u64;
        assert!(stats.of(CallKind::Info).latency.max().abs_diff(hour) <= hour / 1_000);
    }
}
