//! The drain at the end of a run with faults: no more faults, and every order reaches a final
//! status.

use super::checker::SentCall;
use super::faulty_run::FaultyRun;
use super::server::call_now;
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::check::failure::Failure;
use crate::layers::wire::Received;
use crate::layers::wire::corruption::Corruption;
use crate::model::contract::Call;
use crate::progress;

impl FaultyRun<'_> {
    /// Pays, cancels or expires each order that awaits payment; then compares every order and the
    /// stock.
    pub(super) fn drain(&mut self) -> Verdict {
        self.catch_up()?;
        let awaiting: Vec<i64> = self.checker.model.awaiting().collect();
        let expires = self.checker.model.next_deadline().is_some();
        for (turn, order) in awaiting.into_iter().enumerate() {
            match (turn % 3, expires) {
                (0, _) => self.ask(Call::Pay(order))?,
                (1, _) | (_, false) => self.ask(Call::Cancel(order))?,
                (_, true) => {}
            }
        }
        while let Some(deadline) = self.checker.model.next_deadline() {
            let clock = self.server.clock.now().max(deadline);
            self.server.clock.set(clock);
            self.checker.tick(clock, 0, &self.server.sequencer)?;
        }
        self.catch_up()?;
        // Orders with a deadline past the end of time never expire; cancel them.
        let left: Vec<i64> = self.checker.model.awaiting().collect();
        left.into_iter().try_for_each(|order| self.ask(Call::Cancel(order)))?;
        let orders = i64::try_from(self.checker.model.orders()).expect("a run has few orders");
        for order in 1..=orders {
            self.ask_at_end(order)?;
        }
        self.checker.audit(self.server.clock.now(), &self.server.sequencer)
    }

    /// The ticker expires the whole backlog, step by step.
    fn catch_up(&mut self) -> Verdict {
        let clock = self.server.clock.now();
        while self.checker.must_wait(clock, Call::Tick) {
            self.checker.tick(clock, 0, &self.server.sequencer)?;
        }
        Ok(())
    }

    /// Compares an order.
    fn ask_at_end(&mut self, order: i64) -> Verdict {
        let at = Compared::OrderAtEnd;
        let call = Call::Info(order);
        let mut received = self.call(call);
        self.injected.alter(at, (), |()| Corruption::Status.apply(&mut received));
        self.answered(call, &received)
            .map_err(|failure| Box::new(Failure { compared: at, ..*failure }))
    }

    fn ask(&mut self, call: Call<'_>) -> Verdict {
        self.catch_up()?;
        let received = self.call(call);
        self.answered(call, &received)
    }

    fn call(&self, call: Call<'_>) -> Received {
        progress::step(0);
        call_now(&mut self.server.client(), call)
    }

    fn answered(&mut self, call: Call<'_>, received: &Received) -> Verdict {
        let clock = self.server.clock.now();
        self.checker.answered(clock, SentCall { number: 0, call }, received).map(drop)
    }
}
