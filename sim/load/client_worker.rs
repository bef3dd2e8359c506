//! Makes calls over one connection, as one user: turns the operations of the mix into calls,
//! measures their latency and records their results.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loms::client::{code_name, idempotency_key};
use loms::grpc::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use tokio::time::Instant;
use tonic::Code;

use super::call_stats::{CallStats, ErrorSamples};
use super::connection::Connection;
use super::mix::{CallKind, Mix, Operation};
use super::order_log::{OrderGenerator, OrderIndex, OrderLog, is_refusal};
use super::random::SplitMix64;

/// The records that all workers of one thread share.
#[derive(Debug)]
pub(crate) struct ThreadRecords {
    pub(crate) stats: RefCell<CallStats>,
    /// Refusals of valid calls, warm-up included.
    pub(crate) refused: RefCell<ErrorSamples>,
    /// Creates without an answer, warm-up included. Each may have placed an order.
    pub(crate) unanswered_creates: Cell<u64>,
    /// Calls that are due from this time on are counted.
    pub(crate) measured_from: Instant,
    /// When it is true, calls are no longer counted.
    pub(crate) closed: Cell<bool>,
    /// The number of calls so far, for the progress bar.
    pub(crate) calls: Arc<AtomicU64>,
}

/// One user of the load tool.
#[derive(Debug)]
pub(crate) struct ClientWorker {
    pub(crate) connection: Rc<Connection>,
    pub(crate) generator: Arc<OrderGenerator>,
    pub(crate) records: Rc<ThreadRecords>,
    pub(crate) order_log: RefCell<OrderLog>,
    user: i64,
    random: RefCell<SplitMix64>,
    creates: Cell<u32>,
}

impl ClientWorker {
    pub(crate) fn new(
        user: u32,
        connection: Rc<Connection>,
        generator: Arc<OrderGenerator>,
        records: Rc<ThreadRecords>,
    ) -> Self {
        // The lower numbers of this user are the streams of its orders.
        let random = SplitMix64::new(generator.seed, (u64::from(user) << 32) | u64::from(u32::MAX));
        let user = i64::from(user);
        Self {
            connection,
            generator,
            records,
            order_log: RefCell::new(OrderLog::new(user)),
            user,
            random: RefCell::new(random),
            creates: Cell::new(0),
        }
    }

    pub(crate) fn choose(&self, mix: &Mix) -> Operation {
        mix.choose(&mut self.random.borrow_mut())
    }

    /// Makes the calls of an operation and returns the code of the last one. The latency of the
    /// first call counts from `due`, even if the call is sent later.
    pub(crate) async fn perform(&self, operation: Operation, due: Instant) -> Code {
        match operation {
            Operation::Single(kind) => self.single(kind, due).await,
            Operation::Lifecycle => match self.create(due).await {
                Ok(order) => {
                    let code = self.info(order, Instant::now()).await;
                    let pays = code == Code::Ok && self.order_log.borrow().is_awaiting(order);
                    if pays { self.pay(order, Instant::now()).await } else { code }
                }
                Err(code) => code,
            },
        }
    }

    /// A call of this kind, or a create if there is no order for it yet.
    async fn single(&self, kind: CallKind, due: Instant) -> Code {
        let order = match kind {
            CallKind::Stock => return self.stock(due).await,
            CallKind::Create => None,
            CallKind::Info => self.order_log.borrow().random_order(&mut self.random.borrow_mut()),
            CallKind::Pay | CallKind::Cancel => {
                self.order_log.borrow_mut().take_awaiting(&mut self.random.borrow_mut())
            }
        };
        match (kind, order) {
            (CallKind::Info, Some(order)) => self.info(order, due).await,
            (CallKind::Pay, Some(order)) => self.pay(order, due).await,
            (CallKind::Cancel, Some(order)) => self.cancel(order, due).await,
            (_, _) => match self.create(due).await {
                Ok(order) => {
                    self.order_log.borrow_mut().make_available(order);
                    Code::Ok
                }
                Err(code) => code,
            },
        }
    }

    async fn create(&self, due: Instant) -> Result<OrderIndex, Code> {
        let create = self.creates.get();
        self.creates.set(create + 1);
        let request = OrderCreateRequest {
            user: self.user,
            items: self.generator.lines_of(self.user, create),
            idempotency_key: if self.generator.keys { idempotency_key() } else { String::new() },
        };
        let answer = self.connection.call::<OrderCreateResponse>(CallKind::Create, &request).await;
        let code = self.record(CallKind::Create, due, &answer);
        match answer {
            Ok(placed) => {
                let failed = placed.status == "failed";
                if failed {
                    self.count_failed(due);
                }
                Ok(self.order_log.borrow_mut().add(create, placed.order_id, failed))
            }
            // A server with `orders.failed_create: failed_precondition` refuses failed creates.
            Err(Code::FailedPrecondition) => {
                self.count_failed(due);
                Err(code)
            }
            Err(_) => {
                if is_refusal(code) {
                    self.record_refusal(|| format!("a create was refused: {}", code_name(code)));
                } else {
                    let count = &self.records.unanswered_creates;
                    count.set(count.get() + 1);
                }
                Err(code)
            }
        }
    }

    async fn info(&self, order: OrderIndex, due: Instant) -> Code {
        let order_id = self.order_log.borrow().id(order);
        let request = OrderInfoRequest { order_id };
        let answer = self.connection.call::<OrderInfoResponse>(CallKind::Info, &request).await;
        let code = self.record(CallKind::Info, due, &answer);
        if is_refusal(code) {
            self.record_refusal(|| {
                format!("info of order {order_id} was refused: {}", code_name(code))
            });
        }
        code
    }

    async fn pay(&self, order: OrderIndex, due: Instant) -> Code {
        let order_id = self.order_log.borrow().id(order);
        self.order_log.borrow_mut().pay_sent(order);
        let request = OrderPayRequest { order_id };
        let answer = self.connection.call::<OrderPayResponse>(CallKind::Pay, &request).await;
        let code = self.record(CallKind::Pay, due, &answer);
        // The check at the end decides whether a refusal was correct.
        self.order_log.borrow_mut().answered(order, code);
        code
    }

    async fn cancel(&self, order: OrderIndex, due: Instant) -> Code {
        let order_id = self.order_log.borrow().id(order);
        self.order_log.borrow_mut().cancel_sent(order);
        let request = OrderCancelRequest { order_id };
        let answer = self.connection.call::<OrderCancelResponse>(CallKind::Cancel, &request).await;
        let code = self.record(CallKind::Cancel, due, &answer);
        self.order_log.borrow_mut().answered(order, code);
        code
    }

    async fn stock(&self, due: Instant) -> Code {
        let skus = &self.generator.skus;
        let sku = skus[self.random.borrow_mut().index(skus)];
        let request = StocksInfoRequest { sku };
        let answer = self.connection.call::<StocksInfoResponse>(CallKind::Stock, &request).await;
        let code = self.record(CallKind::Stock, due, &answer);
        if is_refusal(code) {
            self.record_refusal(|| {
                format!(
                    "stock of SKU {sku} was refused: {}; set --stock to the file of the server",
                    code_name(code)
                )
            });
        }
        code
    }

    fn is_measured(&self, due: Instant) -> bool {
        due >= self.records.measured_from && !self.records.closed.get()
    }

    fn record<A>(&self, kind: CallKind, due: Instant, answer: &Result<A, Code>) -> Code {
        let code = answer.as_ref().err().copied().unwrap_or(Code::Ok);
        if self.is_measured(due) {
            self.records.stats.borrow_mut().record(kind, due.elapsed(), code);
        }
        // Only this thread writes the counter.
        let calls = self.records.calls.load(Ordering::Relaxed);
        self.records.calls.store(calls + 1, Ordering::Relaxed);
        code
    }

    fn count_failed(&self, due: Instant) {
        if self.is_measured(due) {
            self.records.stats.borrow_mut().failed_orders += 1;
        }
    }

    fn record_refusal(&self, text: impl FnOnce() -> String) {
        self.records.refused.borrow_mut().add_sample(text);
    }
}
