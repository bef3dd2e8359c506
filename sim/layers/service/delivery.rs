//! What happens to a request: it arrives, the server works on it and answers, the reply is sent.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use tonic::codegen::Service;

use super::checker::{SentCall, call_of};
use super::effects;
use super::faulty_run::{Event, FaultyRun, InFlight};
use crate::check::checker::Verdict;
use crate::check::compared::Compared;
use crate::model::contract::Answer;
use crate::plan::{KeyText, Op};

impl FaultyRun<'_> {
    pub(super) fn arrive(&mut self, place: usize) -> Verdict {
        let place = self.in_order.as_mut().and_then(VecDeque::pop_front).unwrap_or(place);
        self.fault_counts.reordered += u64::from(place < self.latest_arrived);
        self.latest_arrived = self.latest_arrived.max(place);
        let (mut slow, mut disconnect) = (None, None);
        let InFlight { faults, duplicate, .. } = self.in_flight[place];
        if !duplicate {
            slow = self.happens(&faults, effects::BODY_DELAYED);
            disconnect = self.happens(&faults, effects::DISCONNECT);
        }
        let flight = &mut self.in_flight[place];
        flight.log.arrived = Some(self.now);
        let request = flight.channel.take_request().expect("a request arrives once");
        flight.serving = Some(self.server.loms.call(flight.gate.before(request)));
        match (disconnect, slow) {
            (Some(span), _) => self.push(span, Event::Disconnect(place)),
            (None, Some(span)) => self.push(span, Event::Finish(place)),
            (None, None) => return self.finish(place),
        }
        // The handler has the headers of the request and waits for the body.
        let serving = self.in_flight[place].serving.as_mut().expect("it has just been called");
        let polled = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the service answers before the body has arrived");
        Ok(())
    }

    /// The whole request has arrived: the server works on it.
    pub(super) fn finish(&mut self, place: usize) -> Verdict {
        let flight = &mut self.in_flight[place];
        flight.log.finished = Some(self.now);
        flight.gate.open();
        self.serve(place)
    }

    /// The server answers a complete request. While it has a backlog of due orders, it lets the
    /// call wait, and refuses it if it waits too long.
    pub(super) fn serve(&mut self, place: usize) -> Verdict {
        let clock = self.clock();
        let flight = &mut self.in_flight[place];
        let Some(mut serving) = flight.serving.take() else {
            // The server has restarted since, or the client has disconnected.
            return Ok(());
        };
        let (step, order) = (flight.step, flight.order);
        let mut buffer = KeyText::default();
        let call = call_of(step, order, &mut buffer);
        let sent = SentCall { number: step.number, call };
        let had_backlog = self.checker.has_backlog;
        let must_wait = self.checker.must_wait(clock, call);
        if must_wait {
            self.timers.advance_to(self.now);
            // Only a wake-up by this call counts, so clear earlier ones.
            self.server.ticker_is_woken();
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = {
            let _timers = self.timers.enter();
            // A call that has waited for a backlog yields once before it goes on.
            match serving.as_mut().poll(&mut context) {
                Poll::Pending => serving.as_mut().poll(&mut context),
                ready => ready,
            }
        };
        let flight = &mut self.in_flight[place];
        let Poll::Ready(Ok(response)) = polled else {
            flight.serving = Some(serving);
            self.checker.not_answered(Compared::Answered, sent, must_wait, "no answer")?;
            return self.wait_for_ticker(place, had_backlog);
        };
        flight.log.answered = Some(self.now);
        flight.channel.put_response(response);
        let Poll::Ready(received) = flight.calling.as_mut().poll(&mut context) else {
            panic!("the client still waits after the response has arrived");
        };
        flight.retry_after = self.checker.catching_up(&received);
        if flight.retry_after.is_some() {
            let at = Compared::NotCatchingUp;
            self.checker.not_answered(at, sent, must_wait, "CATCHING_UP")?;
            self.has_waited(place)?;
            self.fault_counts.catching_up += 1;
        } else if self.injected.alter(Compared::NoAnswerInBacklog, must_wait, |_| true) {
            return Err(self.checker.answered_during_backlog(sent, &received));
        } else {
            let answer = self.checker.answered(clock, sent, &received)?;
            self.one_key_one_order(place, &answer)?;
            self.in_flight[place].answer = Some(answer);
        }
        self.send_reply(place);
        Ok(())
    }

    /// The server has answered: its reply is on the way to the client, or lost.
    fn send_reply(&mut self, place: usize) {
        let InFlight { faults, duplicate, .. } = self.in_flight[place];
        let mut lost = duplicate;
        let mut back = 0;
        if !duplicate {
            back = self.happens(&faults, effects::REPLY_DELAYED).unwrap_or(0);
            lost = self.happens(&faults, effects::REPLY_LOST).is_some();
        }
        if lost {
            self.fault_counts.not_received += 1;
        } else {
            self.push(back, Event::Reply(place));
        }
    }

    /// If keys never expire, all attempts of a create with a key give the same order.
    fn one_key_one_order(&mut self, place: usize, answer: &Answer) -> Verdict {
        let InFlight { step, .. } = self.in_flight[place];
        let keyed = matches!(step.op, Op::Create { key, .. } if key.name > 0);
        let (true, true, Answer::Created { order, .. }) =
            (keyed, self.plan.keys_never_expire(), answer)
        else {
            return Ok(());
        };
        let first = *self.keyed.entry(step.number).or_insert(*order);
        let order = self.injected.alter(Compared::OneOrder, *order, |order| order + 1);
        if first == order {
            return Ok(());
        }
        let (actual, expected) =
            (format!("order {order} for a repeated create"), format!("order {first}"));
        Err(self.checker.without_call(Compared::OneOrder, actual, expected))
    }
}
