//! Calls that arrive while the server has a backlog of due orders. They wait until the ticker has
//! expired all of it; the server refuses those that wait too long.

use super::faulty_run::{Event, FaultyRun};
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::plan::rng::Purpose;

/// How long a call waits for the end of a backlog, in nanoseconds, before it is refused.
const WAITS: u64 = 1_000_000;

/// After this time, in nanoseconds, a call that waits for the end of a backlog must be refused. The
/// service lets it wait for 1 ms, and tokio's timers are up to 1 ms late.
const REFUSED_AFTER: u64 = 2_000_000;

/// How long the ticker takes for one step of a backlog, in nanoseconds. The longest delay exceeds
/// [`REFUSED_AFTER`], so that the server refuses calls.
const TICK_DELAYS: [u64; 5] = [0, 100, 100_000, 2_500_000, 2_500_000];

impl FaultyRun<'_> {
    /// A call waits for the end of a backlog; the first one wakes the ticker.
    pub(super) fn wait_for_ticker(&mut self, place: usize, had_backlog: bool) -> Verdict {
        let at = Compared::BacklogWakesTicker;
        if !had_backlog && !self.injected.alter(at, self.server.ticker_is_woken(), |_| false) {
            let (actual, expected) = ("the ticker is not woken", "a backlog wakes the ticker");
            let (actual, expected) = (actual.to_owned(), expected.to_owned());
            return Err(self.checker.without_call(at, actual, expected));
        }
        if !self.waiting.contains(&place) {
            self.waiting.push(place);
            self.push(REFUSED_AFTER, Event::Refuse(place));
        }
        Ok(())
    }

    /// The server has refused a call: it must have waited for [`WAITS`] before.
    pub(super) fn has_waited(&self, place: usize) -> Verdict {
        let finished = self.in_flight[place].log.finished;
        let waited = finished.map_or(0, |finished| self.now - finished);
        let waited = self.injected.alter(Compared::WaitedBefore, waited, |_| 0);
        // Virtual time stops at `u64::MAX`.
        if waited >= WAITS || self.now == u64::MAX {
            return Ok(());
        }
        let (actual, expected) =
            (format!("refused after {waited} ns"), format!("after {WAITS} ns"));
        Err(self.checker.without_call(Compared::WaitedBefore, actual, expected))
    }

    /// A call has waited for [`REFUSED_AFTER`]: if it still waits, the server must refuse it now.
    pub(super) fn refuse(&mut self, place: usize) -> Verdict {
        let Some(waiting) = self.waiting.iter().position(|&waiting| waiting == place) else {
            return Ok(());
        };
        self.waiting.remove(waiting);
        // Virtual time cannot exceed `u64::MAX`, so there the event comes before the timeout.
        self.timers.advance_to(self.now);
        if self.now == u64::MAX {
            self.timers.advance(REFUSED_AFTER);
        }
        self.serve(place)?;
        let answered = self.in_flight[place].serving.is_none();
        if self.injected.alter(Compared::RefusedInTime, answered, |_| false) {
            return Ok(());
        }
        let (actual, expected) = ("a call still waits".to_owned(), "CATCHING_UP".to_owned());
        Err(self.checker.without_call(Compared::RefusedInTime, actual, expected))
    }

    /// If there is a backlog, schedules the ticker. If there is none, the server answers the calls
    /// that waited for its end.
    pub(super) fn follow_backlog(&mut self) -> Verdict {
        if !self.checker.has_backlog {
            for place in std::mem::take(&mut self.waiting) {
                self.serve(place)?;
                let answered = self.in_flight[place].serving.is_none();
                self.fault_counts.waited += u64::from(answered);
            }
        }
        if self.checker.has_backlog && !self.ticking {
            self.fault_counts.backlogs += 1;
            self.schedule_tick();
        }
        Ok(())
    }

    fn schedule_tick(&mut self) {
        self.ticking = true;
        self.draws.turn_to(self.queued);
        let delay = self.draws.draw(Purpose::GAP).pick(&TICK_DELAYS);
        self.push(delay, Event::Tick);
    }

    pub(super) fn tick_backlog(&mut self) -> Verdict {
        self.ticking = false;
        if self.checker.has_backlog {
            self.fault_counts.backlog_steps += 1;
            self.checker.tick(self.clock(), 0, &self.server.sequencer)?;
        }
        if self.checker.has_backlog {
            self.schedule_tick();
        }
        Ok(())
    }
}
