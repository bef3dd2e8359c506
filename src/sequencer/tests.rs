//! The wake-ups of the ticker and of waiting calls, in every interleaving of their threads. A lost
//! wake-up is a deadlock, which `loom` reports, or an order that is overdue at the end.

use std::future::{Future, pending, poll_fn};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread::{self, JoinHandle};

use super::Sequencer;
use super::model::{Notify, Time, block_on};
use crate::state_machine::{
    Command, Count, Demand, Line, LomsState, OpeningStock, OrderId, Rules, Sku, Span, StockRecord,
    Timestamp, UserId,
};

/// How long an order may await payment, in milliseconds: less than the longest sleep of the ticker.
const TIMEOUT: u64 = 600;

/// A sequencer without its service.
struct Shop {
    time: Arc<Time>,
    sequencer: Arc<Sequencer>,
    stop: Arc<Notify>,
    ticker: JoinHandle<()>,
}

impl Shop {
    /// With this many orders, each with another deadline, this many milliseconds later. A
    /// ticker on a thread of its own expires one order in each step.
    fn open(orders: usize, milliseconds: u64) -> Self {
        let time = Time::start();
        let sku = Sku::new(1).expect("above 0");
        let stock = OpeningStock::new(vec![StockRecord { sku, total: 10, reserved: 0 }]);
        let state = LomsState::new(rules(TIMEOUT), &stock.expect("one record"), 1);
        let clock = Arc::clone(&time);
        let clock = Box::new(move || Timestamp::from_nanos(clock.now()));
        let sequencer = Sequencer::new(state, clock).with_expiry_step(NonZeroUsize::MIN);
        let sequencer = Arc::new(sequencer);
        (0..orders).for_each(|_| sequencer.submit_now(create()));
        time.advance(milliseconds);
        let stop = Arc::new(Notify::new());
        let ticking = (Arc::clone(&sequencer), Arc::clone(&stop));
        let ticker = thread::spawn(move || tick_until(&ticking.0, &ticking.1));
        Self { time, sequencer, stop, ticker }
    }

    /// Runs this on a thread.
    fn spawn(&self, run: impl FnOnce(&Sequencer) + 'static) -> JoinHandle<()> {
        let sequencer = Arc::clone(&self.sequencer);
        thread::spawn(move || run(&sequencer))
    }

    /// Ends the ticker when it waits. Everything that is due must have expired, and the ticker must
    /// not have ticked more often than this.
    fn close(self, most_ticks: usize) {
        self.stop.notify_one();
        self.ticker.join().expect("the ticker ends");
        let inner = self.sequencer.lock();
        let now = Timestamp::from_nanos(self.time.now());
        assert!(!inner.behind, "the ticker waits, but there is a backlog");
        assert!(!inner.is_due(now), "the ticker waits, but an order is due");
        let ticks = self.time.ticks();
        assert!(ticks <= most_ticks, "{ticks} ticks, at most {most_ticks} have work to do");
    }
}

impl Sequencer {
    fn submit_now(&self, command: Command) {
        let present = self.present().expect("there is no backlog");
        present.submit(command).value.expect("the command is valid");
    }

    /// A read that waits for the end of the backlog.
    fn read(&self) {
        let present = block_on(self.present_after_backlog(pending())).expect("it is never late");
        assert!(!present.inner.is_due(present.called), "the call sees an order that is overdue");
    }

    /// A read that is refused at once if it would wait.
    fn read_or_give_up(&self) {
        let reading = pin!(self.present_after_backlog(pending()));
        let _ = reading.poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// Runs the ticker until it is stopped and has nothing left to do.
fn tick_until(sequencer: &Sequencer, stop: &Notify) {
    let (mut ticking, mut stopped) = (pin!(sequencer.expire_on_time()), pin!(stop.notified()));
    let mut stopping = false;
    block_on(poll_fn(|context| {
        stopping = stopping || stopped.as_mut().poll(context).is_ready();
        match ticking.as_mut().poll(context) {
            Poll::Ready(never) => match never {},
            Poll::Pending if stopping => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }));
}

fn rules(milliseconds: u64) -> Rules {
    let payment_timeout = Span::from_nanos(milliseconds * 1_000_000);
    Rules { payment_timeout, ..Rules::default() }
}

fn create() -> Command {
    let line = Line { sku: Sku::new(1).expect("above 0"), count: Count::new(1).expect("above 0") };
    let demand = Demand::merge(vec![line]).expect("one line");
    Command::CreateOrder { user: UserId::new(7).expect("above 0"), demand, key: None }
}

fn cancel(order: i64) -> Command {
    Command::CancelOrder(OrderId::new(order).expect("above 0"))
}

/// Runs this in every interleaving that switches away from a thread that could continue at most
/// this often; `None` for every interleaving. Their number grows fast with threads and steps.
fn explore(preemptions: Option<usize>, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(run);
}

#[test]
fn waiting_call_is_woken_when_the_backlog_is_worked_off() {
    explore(None, || {
        let shop = Shop::open(2, TIMEOUT + 1);
        shop.sequencer.read();
        // The start, the create, the call that finds the backlog, and a step.
        shop.close(4);
    });
}

#[test]
fn every_waiting_call_is_woken() {
    explore(Some(3), || {
        let shop = Shop::open(2, TIMEOUT + 1);
        let call = shop.spawn(Sequencer::read);
        shop.sequencer.read();
        call.join().expect("the call is answered");
        shop.close(4);
    });
}

#[test]
fn backlog_may_begin_between_any_steps_of_calls_and_ticker() {
    explore(Some(2), || {
        let shop = Shop::open(2, 0);
        let calls = [(); 2].map(|()| shop.spawn(Sequencer::read));
        shop.time.advance(TIMEOUT + 1);
        calls.into_iter().for_each(|call| call.join().expect("the call is answered"));
        // The start, the create, the deadline, the call that finds the backlog, and a step.
        shop.close(5);
    });
}

#[test]
fn call_that_gives_up_takes_no_wake_up_from_another() {
    explore(Some(2), || {
        let shop = Shop::open(2, 0);
        let calls = [shop.spawn(Sequencer::read_or_give_up), shop.spawn(Sequencer::read)];
        shop.time.advance(TIMEOUT + 1);
        calls.into_iter().for_each(|call| call.join().expect("the call is answered"));
        shop.close(5);
    });
}

#[test]
fn backlog_after_a_backlog_is_worked_off() {
    explore(Some(3), || {
        let shop = Shop::open(2, 0);
        for _ in 0..2 {
            shop.time.advance(TIMEOUT + 1);
            shop.sequencer.read();
            (0..2).for_each(|_| shop.sequencer.submit_now(create()));
        }
        // The start, three creates that are the next to expire, and for each backlog the deadline,
        // the call that finds it, and a step.
        shop.close(10);
    });
}

#[test]
fn order_expires_when_it_is_due_whatever_changes_the_next_deadline() {
    explore(Some(3), || {
        let shop = Shop::open(0, 0);
        let calls = shop.spawn(|sequencer| {
            sequencer.submit_now(create());
            sequencer.submit_now(cancel(1));
            sequencer.submit_now(create());
        });
        shop.time.advance(TIMEOUT / 2);
        calls.join().expect("the calls are answered");
        shop.time.advance(TIMEOUT + 1);
        // The start, two creates that are the next to expire, two deadlines.
        shop.close(5);
    });
}

#[test]
fn order_expires_when_new_rules_make_it_due_earlier() {
    explore(Some(3), || {
        let shop = Shop::open(1, 0);
        let shorter = rules(TIMEOUT / 2);
        let calls = shop.spawn(move |shop| shop.submit_now(Command::ChangeRules(shorter)));
        calls.join().expect("the call is answered");
        shop.time.advance(TIMEOUT / 2 + 1);
        // The start, the create, the new rules, the deadline.
        shop.close(4);
    });
}

#[test]
fn ticker_does_not_tick_before_a_deadline() {
    explore(Some(3), || {
        let shop = Shop::open(1, 0);
        (0..5).for_each(|_| shop.time.advance(1));
        shop.time.advance(TIMEOUT);
        // The start, the create, the deadline, and a timer that is early.
        shop.close(4);
    });
}

#[test]
fn reply_has_the_index_of_the_state_that_it_shows() {
    explore(Some(3), || {
        let shop = Shop::open(0, 0);
        let call = shop.spawn(|sequencer| sequencer.submit_now(create()));
        let present = shop.sequencer.present().expect("there is no backlog");
        let read = present.available(Sku::new(1).expect("above 0"));
        // Each entry is a create of one unit.
        assert_eq!(read.value, Some(10 - read.index));
        call.join().expect("the call is answered");
        // The start, the create.
        shop.close(2);
    });
}
