//! Reads back every order that a run placed, and holds it against what the run knows.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loms::grpc::proto::{OrderInfoRequest, OrderInfoResponse};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ledger::{Place, Verdict};
use super::mix::Kind;
use super::shopper::Shopper;
use super::tally::Complaints;

/// Reads in flight on each connection.
const AT_ONCE: usize = 64;

/// What came of it. An order is counted once: under the first of these that fits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Check {
    /// Orders that the server said it had placed.
    pub(crate) made: u64,
    /// Orders that were told, right or wrong.
    pub(crate) read: u64,
    /// Orders that the server says are not there.
    pub(crate) missing: u64,
    /// Orders that the server did not tell.
    pub(crate) unread: u64,
    /// Orders that are not as they should be, or whose id was given twice.
    pub(crate) wrong: Complaints,
    /// The first few of those that are missing or unread.
    pub(crate) lost: Complaints,
    /// The ids of the orders made.
    pub(crate) ids: Vec<i64>,
}

impl Check {
    pub(crate) fn add(&mut self, other: Self) {
        self.made += other.made;
        self.read += other.read;
        self.missing += other.missing;
        self.unread += other.unread;
        self.wrong.add(other.wrong);
        self.lost.add(other.lost);
        self.ids.extend(other.ids);
    }

    /// Once all parts are added up: no id was given twice.
    pub(crate) fn compare_ids(&mut self) {
        self.ids.sort_unstable();
        for pair in self.ids.windows(2) {
            if pair[0] == pair[1] {
                self.wrong.note(|| format!("two orders were given the id {}", pair[0]));
            }
        }
    }

    /// How many were asked for, whatever came of it.
    fn asked(&self) -> u64 {
        self.read + self.missing + self.unread
    }

    fn note(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.read += 1,
            Verdict::Wrong(what) => {
                self.read += 1;
                self.wrong.note(|| what);
            }
            Verdict::Missing(what) => {
                self.missing += 1;
                self.lost.note(|| what);
            }
            Verdict::Unread(what) => {
                self.unread += 1;
                self.lost.note(|| what);
            }
        }
    }
}

/// Reads back all orders of these shoppers. Every order is asked for once; it stops when nothing
/// was answered for the time of `patience`, and what was not answered then is unread.
pub(crate) async fn read_back(
    shoppers: &[Rc<Shopper>],
    connections: usize,
    patience: Duration,
    progress: Arc<AtomicU64>,
) -> Check {
    let mut check = Check::default();
    for shopper in shoppers {
        let ledger = shopper.ledger.borrow();
        check.ids.extend(ledger.ids());
    }
    check.made = u64::try_from(check.ids.len()).expect("a count of orders");
    // What is placed from now on, by a call that was given up, is no part of this.
    let queue = |shopper: &Rc<Shopper>| Queue {
        shopper: Rc::clone(shopper),
        places: 0..shopper.ledger.borrow().len(),
    };
    let reading = Rc::new(Reading {
        queues: RefCell::new(shoppers.iter().map(queue).collect()),
        check: RefCell::new(check),
        progress,
    });
    let mut readers = JoinSet::new();
    for _ in 0..AT_ONCE * connections {
        let reading = Rc::clone(&reading);
        readers.spawn_local(async move { while reading.read_one().await {} });
    }
    let mut before = 0;
    loop {
        let all = async { while readers.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_ok() {
            break;
        }
        let read = reading.check.borrow().asked();
        if read == before {
            break;
        }
        before = read;
    }
    // Their calls are given up with them.
    readers.shutdown().await;
    let mut check = reading.check.take();
    let silent = check.made - check.asked();
    if silent > 0 {
        check.unread += silent;
        check.lost.note(|| format!("{silent} orders were asked for in vain: no answer came"));
    }
    check
}

/// What the readers share.
#[derive(Debug)]
struct Reading {
    /// One order of each shopper in turn, so that all connections are busy.
    queues: RefCell<VecDeque<Queue>>,
    check: RefCell<Check>,
    progress: Arc<AtomicU64>,
}

/// The orders of a shopper that are still to be read.
#[derive(Debug)]
struct Queue {
    shopper: Rc<Shopper>,
    places: Range<usize>,
}

impl Reading {
    /// Reads the next order back. False where there is none.
    async fn read_one(&self) -> bool {
        let Some((shopper, place)) = self.next() else { return false };
        let order_id = shopper.ledger.borrow().id(place);
        let request = OrderInfoRequest { order_id };
        let answer = shopper.link.call::<OrderInfoResponse>(Kind::Info, &request).await;
        let verdict = shopper.ledger.borrow().judge(place, &shopper.assortment, &answer);
        self.check.borrow_mut().note(verdict);
        self.progress.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn next(&self) -> Option<(Rc<Shopper>, Place)> {
        let mut queues = self.queues.borrow_mut();
        loop {
            let mut queue = queues.pop_front()?;
            if let Some(place) = queue.places.next() {
                let shopper = Rc::clone(&queue.shopper);
                queues.push_back(queue);
                return Some((shopper, Place(place)));
            }
        }
    }
}
