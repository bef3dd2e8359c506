//! Calls that come while the server has a backlog of due orders: they wait until the ticker has
//! worked it off, or are refused after a while.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::faulty_run::{Event, FaultyRun};
use crate::check::checker::Verdict;
use crate::check::failure::Oracle;
use crate::plan::rng::Purpose;

/// When the simulated server has refused a call that waits for the end of a backlog. The service
/// lets it wait for 1 ms, and tokio's timers are up to 1 ms late.
const REFUSED_AFTER: u64 = 2_000_000;

/// How long the ticker takes to do one step of a backlog, in nanoseconds. The longest are longer
/// than a call waits.
const TICK_DELAYS: [u64; 5] = [0, 100, 100_000, 2_500_000, 2_500_000];

impl FaultyRun<'_> {
    /// A call waits for the end of a backlog; the first one wakes the ticker.
    pub(super) fn wait_for_ticker(&mut self, place: usize, was_behind: bool) -> Verdict {
        if !was_behind && !self.ticker_is_woken() {
            let (actual, expected) = ("nothing wakes the ticker", "a call finds a backlog");
            let (actual, expected) = (actual.to_owned(), expected.to_owned());
            return Err(self.checker.at_the_end(Oracle::Liveness, actual, expected));
        }
        if !self.waiting.contains(&place) {
            self.waiting.push(place);
            self.push(REFUSED_AFTER, Event::Refuse(place));
        }
        Ok(())
    }

    /// Whether the server has woken its ticker since this was last asked.
    pub(super) fn ticker_is_woken(&self) -> bool {
        let needed = pin!(self.server.sequencer.tick_needed());
        needed.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The server has let a call wait for as long as it does.
    pub(super) fn refuse(&mut self, place: usize) -> Verdict {
        let Some(waiting) = self.waiting.iter().position(|&waiting| waiting == place) else {
            return Ok(());
        };
        self.waiting.remove(waiting);
        // At the end of time the event comes too soon.
        self.timers.advance_to(self.now);
        if self.now == u64::MAX {
            self.timers.advance(REFUSED_AFTER);
        }
        self.serve(place)?;
        if self.in_flight[place].serving.is_none() {
            return Ok(());
        }
        let (actual, expected) = ("a call still waits".to_owned(), "CATCHING_UP".to_owned());
        Err(self.checker.at_the_end(Oracle::Liveness, actual, expected))
    }

    /// Schedules the ticker while there is a backlog. After its end, the calls that wait for it
    /// are answered.
    pub(super) fn follow_backlog(&mut self) -> Verdict {
        if !self.checker.behind {
            for place in std::mem::take(&mut self.waiting) {
                self.serve(place)?;
                let answered = self.in_flight[place].serving.is_none();
                self.fault_counts.waited += u64::from(answered);
            }
        }
        if self.checker.behind && !self.ticking {
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
        if self.checker.behind {
            self.fault_counts.backlog_steps += 1;
            self.checker.tick(self.clock(), 0, &self.server.sequencer)?;
        }
        if self.checker.behind {
            self.schedule_tick();
        }
        Ok(())
    }
}
