//! The figures of one attack, and what is wrong with them.

use std::time::Duration;

/// Log lines that a server may write under one attack: more fill a disk.
const LOG_LINES: u64 = 1_000;

/// What the server may take under an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Bytes over the memory at its start.
    pub(crate) memory: u64,
    /// The latency of honest calls. `None`: not judged, because the machine has other work.
    pub(crate) p99: Option<Duration>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Resident memory of the server before the attack, at most, and some time after, in bytes.
    pub(crate) memory_before: u64,
    pub(crate) memory_peak: u64,
    pub(crate) memory_after: u64,
    /// Honest calls with an answer.
    pub(crate) calls: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// What went wrong for the honest client.
    pub(crate) failures: Vec<String>,
    pub(crate) log_lines: u64,
    /// From the signal to stop until the end of the process.
    pub(crate) stop: Duration,
    /// What went wrong with the process, or with the attack itself.
    pub(crate) broken: Vec<String>,
}

impl Figures {
    /// What is wrong.
    pub(crate) fn problems(&self, allowed: Allowed) -> Vec<String> {
        let mut problems = [self.broken.clone(), self.failures.clone()].concat();
        if self.calls == 0 {
            problems.push("no honest call was answered".to_owned());
        }
        let over = self.over(self.memory_peak);
        if over > allowed.memory {
            problems.push(format!(
                "the server took {} MiB, more than {} MiB",
                mib(over),
                mib(allowed.memory)
            ));
        }
        if let Some(most) = allowed.p99.filter(|most| self.p99 > *most) {
            problems.push(format!("honest p99 is {:.1?}, more than {most:?}", self.p99));
        }
        if self.log_lines > LOG_LINES {
            problems.push(format!("{} log lines, more than {LOG_LINES}", self.log_lines));
        }
        problems
    }

    /// How much this memory is over that before the attack. It can be less.
    fn over(&self, memory: u64) -> u64 {
        memory.max(self.memory_before) - self.memory_before
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        format!(
            "memory +{} MiB, +{} MiB after; honest {} calls, p50 {:.1?}, p99 {:.1?}, {} failures; \
             {} log lines; stop {:.0?}",
            mib(self.over(self.memory_peak)),
            mib(self.over(self.memory_after)),
            self.calls,
            self.p50,
            self.p99,
            self.failures.len(),
            self.log_lines,
            self.stop,
        )
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed { memory: 256 << 20, p99: Some(Duration::from_millis(25)) };

    /// A server that takes all that is allowed.
    fn good() -> Figures {
        Figures {
            memory_before: 9 << 20,
            memory_peak: (9 + 256) << 20,
            memory_after: 1 << 20,
            calls: 1,
            p99: Duration::from_millis(25),
            log_lines: LOG_LINES,
            ..Figures::default()
        }
    }

    fn problems(change: impl FnOnce(&mut Figures)) -> Vec<String> {
        let mut figures = good();
        change(&mut figures);
        figures.problems(ALLOWED)
    }

    #[test]
    fn each_figure_can_fail() {
        assert!(problems(|_| {}).is_empty());
        for (change, problem) in [
            ((|f| f.memory_peak += 1) as fn(&mut Figures), "the server took 256 MiB, more than"),
            (|f| f.p99 += Duration::from_micros(100), "honest p99 is 25.1ms, more than 25ms"),
            (|f| f.log_lines += 1, "1001 log lines, more than 1000"),
            (|f| f.calls = 0, "no honest call was answered"),
            (|f| f.failures.push("UNAVAILABLE: 1".to_owned()), "UNAVAILABLE: 1"),
            (|f| f.broken.push("the server ended".to_owned()), "the server ended"),
        ] {
            let problems = problems(change);
            assert!(problems.len() == 1 && problems[0].starts_with(problem), "{problems:?}");
        }
    }

    #[test]
    fn latency_is_not_judged_on_a_busy_machine() {
        let slow = Figures { p99: Duration::from_secs(1), ..good() };
        assert!(slow.problems(Allowed { p99: None, ..ALLOWED }).is_empty());
    }
}
