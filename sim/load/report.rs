//! The report of a run: a table for people, JSON for scripts.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use loms::client::code_name;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::call_stats::{CallStats, ErrorSamples, KindStats};
use super::check::OrderCheck;
use super::loops::LoopMode;
use super::mix::CallKind;
use crate::words::noun;

/// The quantiles in the report, with their headings and their JSON names.
const QUANTILES: [(&str, &str, f64); 4] =
    [("P50", "p50", 0.5), ("P90", "p90", 0.9), ("P99", "p99", 0.99), ("P99.9", "p999", 0.999)];

/// The result of a run and its check.
#[derive(Debug)]
pub(crate) struct LoadReport {
    pub(crate) address: String,
    pub(crate) mode: LoopMode,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// The measured time.
    pub(crate) measured: Duration,
    /// Whether a signal ended the run early.
    pub(crate) stopped: bool,
    pub(crate) stats: CallStats,
    pub(crate) refused: ErrorSamples,
    pub(crate) unanswered_creates: u64,
    /// `None` with `--no-check`.
    pub(crate) check: Option<OrderCheck>,
}

impl LoadReport {
    /// Whether calls were measured, every order is correct, and no valid call was refused.
    pub(crate) fn is_good(&self) -> bool {
        self.problems().is_empty()
    }

    /// The problems of the run: one line for each sort, with the first few cases.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut sorts = Vec::new();
        if let Some(check) = &self.check {
            sorts.extend([("wrong", &check.wrong), ("missing or unread", &check.lost)]);
        }
        sorts.push(("valid calls refused", &self.refused));
        let line = |(sort, complaints): (&str, &ErrorSamples)| {
            let ErrorSamples { count, first } = complaints;
            let more = if *count > first.len() as u64 { "; …" } else { "" };
            format!("{sort}: {count}: {}{more}", first.join("; "))
        };
        let lines = sorts.into_iter().filter(|(_, complaints)| complaints.count > 0).map(line);
        let nothing = self.stats.all().latency.is_empty();
        let why = if self.stopped {
            "a signal ended the run before the first answer"
        } else {
            "the server answered none of them in time; check the server, or set a longer --duration"
        };
        let nothing = nothing.then(|| format!("no call was measured: {why}"));
        nothing.into_iter().chain(lines).collect()
    }

    fn per_second(&self, calls: u64) -> f64 {
        let seconds = self.measured.as_secs_f64();
        if seconds > 0.0 { float(calls) / seconds } else { 0.0 }
    }

    /// The report for people.
    pub(crate) fn table(&self) -> String {
        let all = self.stats.all();
        let mut rows = vec![
            ["", "CALLS", "CALLS/S"]
                .into_iter()
                .chain(QUANTILES.map(|(heading, _, _)| heading))
                .chain(["MAX"])
                .map(ToOwned::to_owned)
                .collect(),
        ];
        for kind in CallKind::ALL {
            let calls = self.stats.of(kind);
            if !calls.latency.is_empty() {
                rows.push(self.row(kind.name(), calls));
            }
        }
        rows.push(self.row("all", &all));
        let mut text = aligned(&rows);
        let codes: Vec<String> = occurring(&all)
            .map(|(code, count)| format!("{} {}", code_name(code), grouped(count)))
            .collect();
        if !codes.is_empty() {
            let _ = writeln!(text, "{}", codes.join(", "));
        }
        for note in self.notes() {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    fn row(&self, name: &str, calls: &KindStats) -> Vec<String> {
        let count = calls.latency.len();
        let quantile = |(_, _, at): (&str, &str, f64)| span(calls.latency.value_at_quantile(at));
        [name.to_owned(), grouped(count), grouped(rounded(self.per_second(count)))]
            .into_iter()
            .chain(QUANTILES.map(quantile))
            .chain([span(calls.latency.max())])
            .collect()
    }

    /// The lines below the table.
    fn notes(&self) -> Vec<String> {
        let CallStats { late, failed_orders, saturated, unfinished, unsent, .. } = &self.stats;
        let by = if self.stopped { ", ended by a signal" } else { "" };
        let mut notes = vec![format!("measured for {:.1} s{by}", self.measured.as_secs_f64())];
        if let LoopMode::Open { .. } = self.mode {
            let at = span(late.value_at_quantile(0.99));
            notes.push(format!("sent late by {at} at p99, {} at most", span(late.max())));
        }
        if *failed_orders > 0 {
            notes.push(format!(
                "{} failed for lack of stock; start the server and sim load with the same \
                 --stock, and with larger totals in it",
                several(*failed_orders, "order")
            ));
        }
        if *unsent > 0 {
            notes.push(format!("due but not sent: {}", several(*unsent, "call")));
        }
        if *unfinished > 0 {
            notes.push(format!(
                "{} had no answer at the end of the run",
                several(*unfinished, "call")
            ));
        }
        if *saturated > 0 {
            notes.push(format!("{} took more than an hour", several(*saturated, "call")));
        }
        if self.unanswered_creates > 0 {
            notes.push(format!(
                "{} had no answer; orders that may have been placed so are not checked",
                several(self.unanswered_creates, "create")
            ));
        }
        let refused = self.refused.count;
        if refused > 0 {
            notes.push(format!("{} valid calls were refused, warm-up included", grouped(refused)));
        }
        notes.push(self.check.as_ref().map_or("check: none (--no-check)".to_owned(), check_line));
        notes
    }

    /// The report for scripts: one object on one line.
    pub(crate) fn json(&self) -> String {
        let CallStats { late, failed_orders, saturated, unfinished, unsent, .. } = &self.stats;
        let all = self.stats.all();
        let mut object = self.calls(&all);
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        set("address", self.address.clone().into());
        match self.mode {
            LoopMode::Closed { concurrency } => {
                set("loop", "closed".into());
                set("concurrency", concurrency.into());
            }
            LoopMode::Open { rate } => {
                set("loop", "open".into());
                set("rate", rate.get().into());
                set("late_ns", latencies(late));
            }
        }
        set("connections", self.connections.into());
        set("threads", self.threads.into());
        set("seconds", self.measured.as_secs_f64().into());
        set("stopped", self.stopped.into());
        let kinds =
            CallKind::ALL.into_iter().filter(|kind| !self.stats.of(*kind).latency.is_empty());
        let kinds =
            kinds.map(|kind| (kind.name().to_owned(), self.calls(self.stats.of(kind)).into()));
        set("kinds", kinds.collect::<Map<_, _>>().into());
        set("failed_orders", (*failed_orders).into());
        set("saturated", (*saturated).into());
        set("unfinished", (*unfinished).into());
        set("unsent", (*unsent).into());
        set("refused", self.refused.count.into());
        let check = self.check.as_ref().map(|check| {
            let OrderCheck { made, read, missing, unread, wrong, .. } = check;
            json!({
                "made": made, "read_back": read, "missing": missing, "unread": unread,
                "wrong": wrong.count, "unanswered_creates": self.unanswered_creates,
            })
        });
        set("check", check.into());
        set("complaints", self.problems().into());
        set("ok", self.is_good().into());
        format!("{}\n", Value::Object(object))
    }

    fn calls(&self, calls: &KindStats) -> Map<String, Value> {
        let count = calls.latency.len();
        let codes =
            occurring(calls).map(|(code, count)| (code_name(code).to_owned(), count.into()));
        let facts = [
            ("calls", count.into()),
            ("calls_per_second", self.per_second(count).into()),
            ("latency_ns", latencies(&calls.latency)),
            ("codes", codes.collect::<Map<_, _>>().into()),
        ];
        facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
    }
}

/// The result of the check in one line.
fn check_line(check: &OrderCheck) -> String {
    let OrderCheck { made, read, missing, unread, wrong, .. } = check;
    let mut line = format!(
        "check: {} made, {} read back, {} wrong",
        several(*made, "order"),
        grouped(*read),
        grouped(wrong.count)
    );
    for (count, what) in [(*missing, "missing"), (*unread, "unreadable")] {
        if count > 0 {
            let _ = write!(line, ", {} {what}", grouped(count));
        }
    }
    line
}

fn latencies(histogram: &Histogram<u64>) -> Value {
    let quantile =
        |(_, name, at): (_, &str, f64)| (name.to_owned(), histogram.value_at_quantile(at).into());
    let mut object: Map<String, Value> = QUANTILES.into_iter().map(quantile).collect();
    object.insert("max".to_owned(), histogram.max().into());
    object.insert("mean".to_owned(), rounded(histogram.mean()).into());
    object.into()
}

/// The codes that occurred, in the order of their numbers.
fn occurring(calls: &KindStats) -> impl Iterator<Item = (Code, u64)> {
    let counts = (0..).map(Code::from_i32).zip(calls.codes);
    counts.filter(|(_, count)| *count > 0)
}

/// Columns are aligned to the right, except the first one.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match at {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 call`, or `1,234 calls`.
pub(crate) fn several(number: u64, one: &str) -> String {
    format!("{} {}", grouped(number), noun(number, one))
}

/// Three digits and a unit: `87.4 µs`.
fn span(nanos: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)];
    let Some((unit, size)) = units.into_iter().find(|(_, size)| nanos >= *size) else {
        return format!("{nanos} ns");
    };
    let number = float(nanos) / float(size);
    let decimals = if number >= 100.0 { 0 } else { usize::from(number < 10.0) + 1 };
    format!("{number:.decimals$} {unit}")
}

#[expect(clippy::cast_precision_loss, reason = "the report shows fewer than 16 digits")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are not negative and far below 2⁵³"
)]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_units() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let spans = [999, 1_000, 87_410, 874_100, 12_345_678, 3_000_000_000].map(span);
        assert_eq!(spans, ["999 ns", "1.00 µs", "87.4 µs", "874 µs", "12.3 ms", "3.00 s"]);
    }
}
