//! The drain at the end of a run: every order reaches a final status.

use loms::state_machine::{Sizes, StockView};

use super::{Checker, Verdict};
use crate::check::compared::Compared;
use crate::mutation::injected::SimulatorFault;
use crate::plan::{Op, Step, Target};

impl<S: Sizes> Checker<S> {
    /// Drains the run: each order that awaits payment is paid, cancelled or expires.
    ///
    /// # Errors
    /// As for [`Checker::step`], or units stay reserved.
    pub(crate) fn drain(&mut self) -> Verdict {
        if self.injected.has(SimulatorFault::IncompleteDrain) {
            return self.check_nothing_reserved();
        }
        let awaiting: Vec<i64> = self.model.awaiting().collect();
        let expires = self.model.next_deadline().is_some();
        for (turn, order) in awaiting.into_iter().enumerate() {
            let place = usize::try_from(order - 1).expect("order ids start at 1");
            let target = self
                .orders
                .get(place)
                .map_or(Target::Id(order), |found| Target::CreatedBy(found.created_by));
            match (turn % 3, expires) {
                (0, _) => self.drain_step(Op::Pay(target), self.last_at)?,
                (1, _) | (_, false) => self.drain_step(Op::Cancel(target), self.last_at)?,
                (_, true) => {}
            }
        }
        while let Some(deadline) = self.model.next_deadline() {
            self.drain_step(Op::Tick, deadline.saturating_sub(self.start))?;
            let at = Compared::DeadlineAfterTick;
            let next = self.injected.alter(at, self.model.next_deadline(), |_| Some(deadline));
            if next == Some(deadline) {
                let actual = format!("after a tick at {deadline}ns the deadline is the same");
                return self.fail(at, None, actual, "a later one".to_owned());
            }
        }
        // Orders with a deadline past the end of time never expire; cancel them.
        let left: Vec<i64> = self.model.awaiting().collect();
        for order in left {
            self.drain_step(Op::Cancel(Target::Id(order)), self.last_at)?;
        }
        self.check_nothing_reserved()
    }

    /// Only the opening reservation is still reserved.
    fn check_nothing_reserved(&self) -> Verdict {
        for StockView { opening, reserved, .. } in self.subject.state.stock() {
            let at = Compared::ReservedAtEnd;
            let reserved = self.injected.alter(at, reserved, |units| units ^ 1);
            if reserved != opening.reserved {
                let actual = format!("SKU {}: {reserved} reserved at the end", opening.sku);
                let expected = format!("{} at the start", opening.reserved);
                return self.fail(at, None, actual, expected);
            }
        }
        Ok(())
    }

    fn drain_step(&mut self, op: Op, at: u64) -> Verdict {
        let number = self.last_number + 1;
        let step = Step { number, at, op, ..Step::default() };
        self.drained.push(step.clone());
        self.step(&step)
    }
}
