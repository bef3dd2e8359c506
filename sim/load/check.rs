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

use super::call_stats::ErrorSamples;
use super::client_worker::ClientWorker;
use super::mix::CallKind;
use super::order_log::{OrderIndex, ReadResult};

/// Reads in flight on each connection.
const AT_ONCE: usize = 64;

/// What came of it. An order is counted once: under the first of these that fits.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderCheck {
    /// Orders that the server said it had placed.
    pub(crate) made: u64,
    /// Orders that were told, right or wrong.
    pub(crate) read: u64,
    /// Orders that the server says are not there.
    pub(crate) missing: u64,
    /// Orders that the server did not tell.
    pub(crate) unread: u64,
    /// Orders that are not as they should be, or whose id was given twice.
    pub(crate) wrong: ErrorSamples,
    /// The first few of those that are missing or unread.
    pub(crate) lost: ErrorSamples,
    /// The ids of the orders made.
    pub(crate) ids: Vec<i64>,
}

impl OrderCheck {
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

    fn note(&mut self, verdict: ReadResult) {
        match verdict {
            ReadResult::Right => self.read += 1,
            ReadResult::Wrong(what) => {
                self.read += 1;
                self.wrong.note(|| what);
            }
            ReadResult::Missing(what) => {
                self.missing += 1;
                self.lost.note(|| what);
            }
            ReadResult::Unread(what) => {
                self.unread += 1;
                self.lost.note(|| what);
            }
        }
    }
}

/// Reads back all orders of these workers. Every order is asked for once; it stops when nothing
/// was answered for the time of `patience`, and what was not answered then is unread.
pub(crate) async fn read_back(
    workers: &[Rc<ClientWorker>],
    connections: usize,
    patience: Duration,
    progress: Arc<AtomicU64>,
) -> OrderCheck {
    let mut check = OrderCheck::default();
    for worker in workers {
        let order_log = worker.order_log.borrow();
        check.ids.extend(order_log.ids());
    }
    check.made = u64::try_from(check.ids.len()).expect("a count of orders");
    // What is placed from now on, by a call that was given up, is no part of this.
    let queue = |worker: &Rc<ClientWorker>| ReadQueue {
        worker: Rc::clone(worker),
        places: 0..worker.order_log.borrow().len(),
    };
    let reading = Rc::new(ReadState {
        queues: RefCell::new(workers.iter().map(queue).collect()),
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
struct ReadState {
    /// Single order of each worker in turn, so that all connections are busy.
    queues: RefCell<VecDeque<ReadQueue>>,
    check: RefCell<OrderCheck>,
    progress: Arc<AtomicU64>,
}

/// The orders of a worker that are still to be read.
#[derive(Debug)]
struct ReadQueue {
    worker: Rc<ClientWorker>,
    places: Range<usize>,
}

impl ReadState {
    /// Reads the next order back. False where there is none.
    async fn read_one(&self) -> bool {
        let Some((worker, place)) = self.next() else { return false };
        let order_id = worker.order_log.borrow().id(place);
        let request = OrderInfoRequest { order_id };
        let answer = worker.connection.call::<OrderInfoResponse>(CallKind::Info, &request).await;
        let verdict = worker.order_log.borrow().judge(place, &worker.generator, &answer);
        self.check.borrow_mut().note(verdict);
        self.progress.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn next(&self) -> Option<(Rc<ClientWorker>, OrderIndex)> {
        let mut queues = self.queues.borrow_mut();
        loop {
            let mut queue = queues.pop_front()?;
            if let Some(place) = queue.places.next() {
                let worker = Rc::clone(&queue.worker);
                queues.push_back(queue);
                return Some((worker, OrderIndex(place)));
            }
        }
    }
}
