//! Makes calls over one connection, as one user: turns the operations of the mix into calls, measures
//! their latency and records their results.

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

/// What the workers of one thread write to.
#[derive(Debug)]
pub(crate) struct ThreadRecords {
    pub(crate) stats: RefCell<CallStats>,
    /// Refusals of calls that this run knows to be right, in the warm-up too.
    pub(crate) refused: RefCell<ErrorSamples>,
    /// Creates without an answer, in the warm-up too: each may have left an order.
    pub(crate) unanswered_creates: Cell<u64>,
    /// KindStats due from here on are counted.
    pub(crate) measured_from: Instant,
    /// Once it is set nothing more is written.
    pub(crate) closed: Cell<bool>,
    /// All calls so far, for the progress bar.
    pub(crate) calls: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct ClientWorker {
    pub(crate) connection: Rc<Connection>,
    pub(crate) generator: Arc<OrderGenerator>,
    pub(crate) records: Rc<ThreadRecords>,
    pub(crate) order_log: RefCell<OrderLog>,
    user: i64,
    draw: RefCell<SplitMix64>,
    creates: Cell<u32>,
}

impl ClientWorker {
    pub(crate) fn new(
        user: u32,
        connection: Rc<Connection>,
        generator: Arc<OrderGenerator>,
        records: Rc<ThreadRecords>,
    ) -> Self {
        // Orders have the other streams of this user.
        let draw = SplitMix64::new(generator.seed, (u64::from(user) << 32) | u64::from(u32::MAX));
        let user = i64::from(user);
        Self {
            connection,
            generator,
            records,
            order_log: RefCell::new(OrderLog::new(user)),
            user,
            draw: RefCell::new(draw),
            creates: Cell::new(0),
        }
    }

    pub(crate) fn operation(&self, mix: &Mix) -> Operation {
        mix.draw(&mut self.draw.borrow_mut())
    }

    /// Makes the calls of an operation and returns the code of the last one. The latency of the first
    /// call counts from `due`, even if it is sent later.
    pub(crate) async fn perform(&self, operation: Operation, due: Instant) -> Code {
        match operation {
            Operation::Single(kind) => self.one(kind, due).await,
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

    /// A call of this kind, or a create where there is no order yet to call for.
    async fn one(&self, kind: CallKind, due: Instant) -> Code {
        let order = match kind {
            CallKind::Stock => return self.stock(due).await,
            CallKind::Create => None,
            CallKind::Info => self.order_log.borrow().draw(&mut self.draw.borrow_mut()),
            CallKind::Pay | CallKind::Cancel => {
                self.order_log.borrow_mut().take_awaiting(&mut self.draw.borrow_mut())
            }
        };
        match (kind, order) {
            (CallKind::Info, Some(order)) => self.info(order, due).await,
            (CallKind::Pay, Some(order)) => self.pay(order, due).await,
            (CallKind::Cancel, Some(order)) => self.cancel(order, due).await,
            (_, _) => match self.create(due).await {
                Ok(order) => {
                    self.order_log.borrow_mut().offer(order);
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
                Ok(self.order_log.borrow_mut().placed(create, placed.order_id, failed))
            }
            // A server may be set to answer failed orders so.
            Err(Code::FailedPrecondition) => {
                self.count_failed(due);
                Err(code)
            }
            Err(_) => {
                if is_refusal(code) {
                    self.complain(|| format!("a create was refused: {}", code_name(code)));
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
            self.complain(|| format!("info of order {order_id} was refused: {}", code_name(code)));
        }
        code
    }

    async fn pay(&self, order: OrderIndex, due: Instant) -> Code {
        let order_id = self.order_log.borrow().id(order);
        self.order_log.borrow_mut().pay_sent(order);
        let request = OrderPayRequest { order_id };
        let answer = self.connection.call::<OrderPayResponse>(CallKind::Pay, &request).await;
        let code = self.record(CallKind::Pay, due, &answer);
        // Whether a refusal was right shows when the order is read back.
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
        let sku = skus[self.draw.borrow_mut().place(skus)];
        let request = StocksInfoRequest { sku };
        let answer = self.connection.call::<StocksInfoResponse>(CallKind::Stock, &request).await;
        let code = self.record(CallKind::Stock, due, &answer);
        if is_refusal(code) {
            self.complain(|| {
                format!(
                    "stock of SKU {sku} was refused: {}; give --stock the server's file",
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
        // This thread alone writes it.
        let calls = self.records.calls.load(Ordering::Relaxed);
        self.records.calls.store(calls + 1, Ordering::Relaxed);
        code
    }

    fn count_failed(&self, due: Instant) {
        if self.is_measured(due) {
            self.records.stats.borrow_mut().failed_orders += 1;
        }
    }

    fn complain(&self, what: impl FnOnce() -> String) {
        self.records.refused.borrow_mut().note(what);
    }
}
