//! Counts of the faults in a run, and of their consequences.

use std::fmt::Write as _;

use super::fault_schedule::NetworkFault;

/// Counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultCounts {
    /// Number of faults that happened, by kind.
    pub(crate) faults: [u64; NetworkFault::KINDS],
    /// Steps whose client received an answer.
    pub(crate) resolved: u64,
    /// Steps whose client gave up after its last attempt.
    pub(crate) given_up: u64,
    /// Attempts after the first.
    pub(crate) retries: u64,
    /// Requests that arrived after one that was sent later.
    pub(crate) reordered: u64,
    /// Backlogs of due orders.
    pub(crate) backlogs: u64,
    /// Steps of the ticker that worked on a backlog.
    pub(crate) backlog_steps: u64,
    /// Calls that waited for the end of a backlog and were then answered.
    pub(crate) waited: u64,
    /// Calls that were refused because of a backlog.
    pub(crate) catching_up: u64,
    /// Answers that no client received.
    pub(crate) not_received: u64,
}

impl FaultCounts {
    pub(super) fn add(&mut self, next: &Self) {
        self.faults.iter_mut().zip(next.faults).for_each(|(sum, more)| *sum += more);
        self.resolved += next.resolved;
        self.given_up += next.given_up;
        self.retries += next.retries;
        self.reordered += next.reordered;
        self.not_received += next.not_received;
        self.backlogs += next.backlogs;
        self.backlog_steps += next.backlog_steps;
        self.waited += next.waited;
        self.catching_up += next.catching_up;
    }

    /// All counts with their names.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        let faults = NetworkFault::NAMES.iter().copied().zip(self.faults);
        let others = [
            ("resolved", self.resolved),
            ("given up", self.given_up),
            ("retries", self.retries),
            ("reordered", self.reordered),
            ("replies not received", self.not_received),
            ("backlogs", self.backlogs),
            ("backlog steps", self.backlog_steps),
            ("waited", self.waited),
            ("catching up", self.catching_up),
        ];
        faults.chain(others).collect()
    }

    pub(super) fn write(&self, text: &mut String) {
        for row in self.all().chunks(5) {
            let row: Vec<String> =
                row.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let _ = writeln!(text, "  {}", row.join(", "));
        }
    }
}
