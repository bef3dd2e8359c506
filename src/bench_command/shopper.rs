//! Makes calls over one link, as one user: turns wishes into calls that make sense, times them,
//! and keeps the books.

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

use super::draw::Draw;
use super::ledger::{Assortment, Ledger, Place, is_refusal};
use super::link::Link;
use super::mix::{Kind, Mix, Wish};
use super::tally::{Complaints, Tally};

/// What the shoppers of one thread write to.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) tally: RefCell<Tally>,
    /// Refusals of calls that this run knows to be right, in the warm-up too.
    pub(crate) refused: RefCell<Complaints>,
    /// Creates without an answer, in the warm-up too: each may have left an order.
    pub(crate) unanswered_creates: Cell<u64>,
    /// Calls due from here on are counted.
    pub(crate) measured_from: Instant,
    /// Once it is set nothing more is written.
    pub(crate) closed: Cell<bool>,
    /// All calls so far, for the progress bar.
    pub(crate) calls: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct Shopper {
    pub(crate) link: Rc<Link>,
    pub(crate) assortment: Arc<Assortment>,
    pub(crate) books: Rc<Books>,
    pub(crate) ledger: RefCell<Ledger>,
    user: i64,
    draw: RefCell<Draw>,
    creates: Cell<u32>,
}

impl Shopper {
    pub(crate) fn new(
        user: u32,
        link: Rc<Link>,
        assortment: Arc<Assortment>,
        books: Rc<Books>,
    ) -> Self {
        // Orders have the other streams of this user.
        let draw = Draw::new(assortment.seed, (u64::from(user) << 32) | u64::from(u32::MAX));
        let user = i64::from(user);
        Self {
            link,
            assortment,
            books,
            ledger: RefCell::new(Ledger::new(user)),
            user,
            draw: RefCell::new(draw),
            creates: Cell::new(0),
        }
    }

    pub(crate) fn wish(&self, mix: &Mix) -> Wish {
        mix.draw(&mut self.draw.borrow_mut())
    }

    /// Makes the call or calls of a wish, the first of which is due at this time: from then on its
    /// latency counts, however late it is sent. The code is that of the last.
    pub(crate) async fn fulfil(&self, wish: Wish, due: Instant) -> Code {
        match wish {
            Wish::One(kind) => self.one(kind, due).await,
            Wish::Life => match self.create(due).await {
                Ok(order) => {
                    let code = self.info(order, Instant::now()).await;
                    let pays = code == Code::Ok && self.ledger.borrow().is_awaiting(order);
                    if pays { self.pay(order, Instant::now()).await } else { code }
                }
                Err(code) => code,
            },
        }
    }

    /// A call of this kind, or a create where there is no order yet to call for.
    async fn one(&self, kind: Kind, due: Instant) -> Code {
        let order = match kind {
            Kind::Stock => return self.stock(due).await,
            Kind::Create => None,
            Kind::Info => self.ledger.borrow().draw(&mut self.draw.borrow_mut()),
            Kind::Pay | Kind::Cancel => {
                self.ledger.borrow_mut().take_awaiting(&mut self.draw.borrow_mut())
            }
        };
        match (kind, order) {
            (Kind::Info, Some(order)) => self.info(order, due).await,
            (Kind::Pay, Some(order)) => self.pay(order, due).await,
            (Kind::Cancel, Some(order)) => self.cancel(order, due).await,
            (_, _) => match self.create(due).await {
                Ok(order) => {
                    self.ledger.borrow_mut().offer(order);
                    Code::Ok
                }
                Err(code) => code,
            },
        }
    }

    async fn create(&self, due: Instant) -> Result<Place, Code> {
        let create = self.creates.get();
        self.creates.set(create + 1);
        let request = OrderCreateRequest {
            user: self.user,
            items: self.assortment.lines_of(self.user, create),
            idempotency_key: if self.assortment.keys { idempotency_key() } else { String::new() },
        };
        let answer = self.link.call::<OrderCreateResponse>(Kind::Create, &request).await;
        let code = self.record(Kind::Create, due, &answer);
        match answer {
            Ok(placed) => {
                let failed = placed.status == "failed";
                if failed {
                    self.count_failed(due);
                }
                Ok(self.ledger.borrow_mut().placed(create, placed.order_id, failed))
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
                    let count = &self.books.unanswered_creates;
                    count.set(count.get() + 1);
                }
                Err(code)
            }
        }
    }

    async fn info(&self, order: Place, due: Instant) -> Code {
        let order_id = self.ledger.borrow().id(order);
        let request = OrderInfoRequest { order_id };
        let answer = self.link.call::<OrderInfoResponse>(Kind::Info, &request).await;
        let code = self.record(Kind::Info, due, &answer);
        if is_refusal(code) {
            self.complain(|| format!("info of order {order_id} was refused: {}", code_name(code)));
        }
        code
    }

    async fn pay(&self, order: Place, due: Instant) -> Code {
        let order_id = self.ledger.borrow().id(order);
        self.ledger.borrow_mut().pay_sent(order);
        let request = OrderPayRequest { order_id };
        let answer = self.link.call::<OrderPayResponse>(Kind::Pay, &request).await;
        let code = self.record(Kind::Pay, due, &answer);
        // Whether a refusal was right shows when the order is read back.
        self.ledger.borrow_mut().answered(order, code);
        code
    }

    async fn cancel(&self, order: Place, due: Instant) -> Code {
        let order_id = self.ledger.borrow().id(order);
        self.ledger.borrow_mut().cancel_sent(order);
        let request = OrderCancelRequest { order_id };
        let answer = self.link.call::<OrderCancelResponse>(Kind::Cancel, &request).await;
        let code = self.record(Kind::Cancel, due, &answer);
        self.ledger.borrow_mut().answered(order, code);
        code
    }

    async fn stock(&self, due: Instant) -> Code {
        let skus = &self.assortment.skus;
        let sku = skus[self.draw.borrow_mut().place(skus)];
        let request = StocksInfoRequest { sku };
        let answer = self.link.call::<StocksInfoResponse>(Kind::Stock, &request).await;
        let code = self.record(Kind::Stock, due, &answer);
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
        due >= self.books.measured_from && !self.books.closed.get()
    }

    fn record<A>(&self, kind: Kind, due: Instant, answer: &Result<A, Code>) -> Code {
        let code = answer.as_ref().err().copied().unwrap_or(Code::Ok);
        if self.is_measured(due) {
            self.books.tally.borrow_mut().record(kind, due.elapsed(), code);
        }
        // This thread alone writes it.
        let calls = self.books.calls.load(Ordering::Relaxed);
        self.books.calls.store(calls + 1, Ordering::Relaxed);
        code
    }

    fn count_failed(&self, due: Instant) {
        if self.is_measured(due) {
            self.books.tally.borrow_mut().failed_orders += 1;
        }
    }

    fn complain(&self, what: impl FnOnce() -> String) {
        self.books.refused.borrow_mut().note(what);
    }
}
