//! Reads back every order that a run placed and compares it with the order log.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loms::grpc::proto::{OrderInfoRequest, OrderInfoResponse};
use tokio::task::JoinSet;
use tokio::time;

use super::call_stats::ErrorSamples;
use super::client_worker::ClientWorker;
use super::mix::CallKind;
use super::order_log::{OrderIndex, ReadResult};

/// Reads in flight per connection.
const READS_PER_CONNECTION: usize = 64;

/// The result of the check. `read`, `missing` and `unread` add up to the orders that were asked
/// for.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderCheck {
    /// Orders for which the server answered a create.
    pub(crate) made: u64,
    /// Orders that were read back, correct or wrong.
    pub(crate) read: u64,
    /// Orders that the server does not know.
    pub(crate) missing: u64,
    /// Orders that could not be read.
    pub(crate) unread: u64,
    /// Orders that differ from the order log, and ids that two orders have.
    pub(crate) wrong: ErrorSamples,
    /// The orders that are missing or unread.
    pub(crate) lost: ErrorSamples,
    /// The ids of all these orders.
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

    /// Finds ids that two orders have. Call it once the results of all threads are added.
    pub(crate) fn compare_ids(&mut self) {
        self.ids.sort_unstable();
        for pair in self.ids.windows(2) {
            if pair[0] == pair[1] {
                self.wrong.add_sample(|| format!("two orders have the id {}", pair[0]));
            }
        }
    }

    /// The number of reads that have ended.
    fn finished(&self) -> u64 {
        self.read + self.missing + self.unread
    }

    fn record(&mut self, result: ReadResult) {
        match result {
            ReadResult::Correct => self.read += 1,
            ReadResult::Wrong(text) => {
                self.read += 1;
                self.wrong.add_sample(|| text);
            }
            ReadResult::Missing(text) => {
                self.missing += 1;
                self.lost.add_sample(|| text);
            }
            ReadResult::Unread(text) => {
                self.unread += 1;
                self.lost.add_sample(|| text);
            }
        }
    }
}

/// Reads back all orders of these workers, each once. If no read ends for the time `timeout`, it
/// stops and the remaining orders are unread.
pub(crate) async fn read_back(
    workers: &[Rc<ClientWorker>],
    connections: usize,
    timeout: Duration,
    progress: Arc<AtomicU64>,
) -> OrderCheck {
    let mut check = OrderCheck::default();
    for worker in workers {
        let order_log = worker.order_log.borrow();
        check.ids.extend(order_log.ids());
    }
    check.made = u64::try_from(check.ids.len()).expect("a count of orders");
    // Orders that a late answer to a create adds from now on are not checked.
    let queue = |worker: &Rc<ClientWorker>| ReadQueue {
        worker: Rc::clone(worker),
        indexes: 0..worker.order_log.borrow().len(),
    };
    let state = Rc::new(ReadState {
        queues: RefCell::new(workers.iter().map(queue).collect()),
        check: RefCell::new(check),
        progress,
    });
    let mut readers = JoinSet::new();
    for _ in 0..READS_PER_CONNECTION * connections {
        let state = Rc::clone(&state);
        readers.spawn_local(async move { while state.read_one().await {} });
    }
    let mut previous = 0;
    loop {
        let all = async { while readers.join_next().await.is_some() {} };
        if time::timeout(timeout, all).await.is_ok() {
            break;
        }
        let read = state.check.borrow().finished();
        if read == previous {
            break;
        }
        previous = read;
    }
    // This cancels the calls of the readers, too.
    readers.shutdown().await;
    let mut check = state.check.take();
    let unanswered = check.made - check.finished();
    if unanswered > 0 {
        check.unread += unanswered;
        check.lost.add_sample(|| format!("{unanswered} orders: no answer to OrderInfo"));
    }
    check
}

/// The state that all readers share.
#[derive(Debug)]
struct ReadState {
    /// The readers take one order of each worker in turn, so that all connections are busy.
    queues: RefCell<VecDeque<ReadQueue>>,
    check: RefCell<OrderCheck>,
    progress: Arc<AtomicU64>,
}

/// The orders of a worker that are not yet read.
#[derive(Debug)]
struct ReadQueue {
    worker: Rc<ClientWorker>,
    indexes: Range<usize>,
}

impl ReadState {
    /// Reads the next order. Returns false if there is none.
    async fn read_one(&self) -> bool {
        let Some((worker, index)) = self.next() else { return false };
        let order_id = worker.order_log.borrow().id(index);
        let request = OrderInfoRequest { order_id };
        let answer = worker.connection.call::<OrderInfoResponse>(CallKind::Info, &request).await;
        let result = worker.order_log.borrow().compare(index, &worker.generator, &answer);
        self.check.borrow_mut().record(result);
        self.progress.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn next(&self) -> Option<(Rc<ClientWorker>, OrderIndex)> {
        let mut queues = self.queues.borrow_mut();
        loop {
            let mut queue = queues.pop_front()?;
            if let Some(index) = queue.indexes.next() {
                let worker = Rc::clone(&queue.worker);
                queues.push_back(queue);
                return Some((worker, OrderIndex(index)));
            }
        }
    }
}
