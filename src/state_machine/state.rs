//! [`LomsState`] and its one door, [`LomsState::apply`].

use super::arena::size;
use super::command::{Action, Command, Demand, IdempotencyKey};
use super::digest::{Digest, Digester};
use super::ids::{OrderId, Sku, Span, Timestamp, UserId};
use super::invariants::{self, Violation};
use super::keys::{KeyHash, Keys};
use super::order::{OrderRecord, OrderStatus, OrderView, Orders};
use super::outcome::{Cause, Outcome, Rejection, Transition};
use super::stock::{OpeningStock, ShelfId, Stock, StockView};

/// What a machine holds to for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long an order may await payment: it expires at `created + payment_timeout`. Zero means
    /// that it never does.
    pub payment_timeout: Span,
    /// How long an idempotency key is remembered: it is forgotten at
    /// `created + idempotency_window`. Zero means that keys are not remembered at all.
    pub idempotency_window: Span,
    /// Spreads keys over the index in a way that clients cannot foresee. It decides how fast the
    /// machine is, never what it answers, and is no part of the digest.
    pub key_hash_secret: u64,
}

impl Default for Rules {
    /// Ten minutes to pay, and keys remembered for a day.
    fn default() -> Self {
        Self {
            payment_timeout: Span::from_secs(600),
            idempotency_window: Span::from_secs(86_400),
            key_hash_secret: 0,
        }
    }
}

/// All orders and all stock. The same commands from the same opening always lead to the same
/// state, with the same answers and the same transitions on the way.
#[derive(Clone, Debug)]
pub struct LomsState {
    rules: Rules,
    now: Timestamp,
    transitions: u64,
    stock: Stock,
    orders: Orders,
    keys: Keys,
    /// The deadline of the oldest order that awaits payment.
    next_deadline: Option<Timestamp>,
    /// The shelves of the create at work; kept for its room alone.
    shelves: Vec<ShelfId>,
}

impl LomsState {
    /// A machine that opens with this stock, at time 0.
    #[must_use]
    pub fn new(rules: Rules, opening: &OpeningStock) -> Self {
        Self {
            rules,
            now: Timestamp::default(),
            transitions: 0,
            stock: Stock::new(opening),
            orders: Orders::default(),
            keys: Keys::new(rules.idempotency_window, rules.key_hash_secret),
            next_deadline: None,
            shelves: Vec::new(),
        }
    }

    /// Lets time pass to the command's, which expires what is due by then, and does what the
    /// command wishes. Every change of an order's status is appended to `transitions`.
    ///
    /// # Errors
    /// A [`Rejection`]: the command itself changed nothing.
    pub fn apply(
        &mut self,
        command: Command<'_>,
        transitions: &mut Vec<Transition>,
    ) -> Result<Outcome, Rejection> {
        let Command { at, action } = command;
        if at < self.now {
            return Err(Rejection::ClockWentBack { now: self.now, at });
        }
        self.now = at;
        if self.next_deadline.is_some_and(|deadline| deadline <= at) {
            self.expire_due(transitions);
        }
        if self.keys.oldest_end().is_some_and(|end| end <= at) {
            self.keys.drop_some(at);
        }
        match action {
            Action::CreateOrder { user, demand, key } => {
                self.create(user, demand, key, transitions)
            }
            Action::PayOrder(order) => self.pay(order, transitions),
            Action::CancelOrder(order) => self.cancel(order, transitions),
            Action::Tick => Ok(Outcome::Ticked),
        }
    }

    /// The machine's time: that of the last command.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What the machine holds to.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// When the next order expires, if none is paid or cancelled before: the moment at which the
    /// machine wants a [`Action::Tick`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_deadline
    }

    /// The furthest that time can go, up to `at`, for at most `most` orders to expire on the way;
    /// further only where more than that many expire at one and the same moment. What a caller
    /// with a large backlog needs to work it off in small steps.
    #[must_use]
    pub fn expiry_horizon(&self, at: Timestamp, most: usize) -> Timestamp {
        let Some(first) = self.next_deadline().filter(|&deadline| deadline <= at) else {
            return at;
        };
        match self.orders.awaiting().nth(most).and_then(|order| self.deadline(order)) {
            Some(beyond) if beyond <= at => {
                let before = Timestamp::from_nanos(beyond.as_nanos().saturating_sub(1));
                if before < first { beyond } else { before }
            }
            Some(_) | None => at,
        }
    }

    /// The order of this id.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderView<'_>> {
        self.orders.get(id).and_then(|(order, _)| self.orders.view(order))
    }

    /// All orders, by ascending id.
    pub fn orders(&self) -> impl Iterator<Item = OrderView<'_>> {
        self.orders.views()
    }

    /// How many units of this SKU can still be promised; `None` for one without a stock record.
    #[must_use]
    pub fn available(&self, sku: Sku) -> Option<u64> {
        self.stock.find(sku).map(|shelf| self.stock.available(shelf))
    }

    /// All shelves, by ascending SKU.
    pub fn stock(&self) -> impl Iterator<Item = StockView> {
        self.stock.views()
    }

    /// How many transitions there have been: the sequence number of the last one.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Looks at the whole state, order by order and shelf by shelf.
    ///
    /// # Errors
    /// The first [`Violation`] found. There is none, but for a bug in the machine.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        invariants::check(self)
    }

    /// The fingerprint of all that the machine knows: rules, time, stock, orders, keys.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digester = Digester::new();
        digester.word(self.rules.payment_timeout.as_nanos());
        digester.word(self.rules.idempotency_window.as_nanos());
        digester.word(self.now.as_nanos());
        digester.word(self.transitions);
        digester.length(self.stock.len());
        for shelf in self.stock() {
            digester.word(u64::from(shelf.opening.sku.get()));
            digester.word(shelf.opening.total);
            digester.word(shelf.opening.reserved);
            digester.word(shelf.total);
            digester.word(shelf.reserved);
        }
        digester.length(size(self.orders.len()));
        for order in self.orders() {
            digester.word(order.user().get().cast_unsigned());
            digester.word(code_of(order.status(), order.cause()));
            digester.word(order.created().as_nanos());
            digester.word(order.updated().as_nanos());
            digester.length(order.lines().len());
            for line in order.lines() {
                digester.word(u64::from(line.sku.get()));
                digester.word(u64::from(line.count.get()));
            }
            digester.length(order.shortages().count());
            for shortage in order.shortages() {
                digester.word(u64::from(shortage.sku.get()));
                digester.word(shortage.available);
            }
        }
        digester.length(self.remembered_keys().count());
        for (order, key) in self.remembered_keys() {
            digester.word(u64::from(order));
            digester.bytes(key);
        }
        digester.finish()
    }

    #[inline(never)]
    fn create(
        &mut self,
        user: UserId,
        demand: &Demand,
        key: Option<&IdempotencyKey>,
        transitions: &mut Vec<Transition>,
    ) -> Result<Outcome, Rejection> {
        let key = key.map(|key| (self.keys.hash(user, key), key));
        if let Some(first) = key.and_then(|(hash, key)| self.remembered(user, hash, key)) {
            return self.repeat(first, demand);
        }
        if !self.orders.has_room_for(demand) {
            return Err(Rejection::Full);
        }
        self.shelves.clear();
        let enough = demand.lines().iter().all(|line| {
            let shelf = self.stock.find(line.sku);
            self.shelves.extend(shelf);
            shelf.is_some_and(|shelf| self.stock.available(shelf) >= u64::from(line.count.get()))
        });
        // Nothing below can fail.
        let order = self.orders.push(user, demand, self.now);
        self.note(order, None, OrderStatus::New, Cause::Placement, self.now, transitions);
        if let Some((hash, key)) = key {
            self.keys.insert(hash, key, order, self.now);
        }
        let id = OrderId::at_index(order);
        if enough {
            for (line, shelf) in demand.lines().iter().zip(&self.shelves) {
                self.stock.reserve(*shelf, line.count);
            }
            let (to, cause) = (OrderStatus::AwaitingPayment, Cause::Reservation);
            self.set_status(order, to, cause, self.now, transitions);
            Ok(Outcome::Reserved(id))
        } else {
            for (line, place) in demand.lines().iter().zip(0..) {
                let available = self.available(line.sku).unwrap_or(0);
                if available < u64::from(line.count.get()) {
                    self.orders.push_shortage(order, place, available);
                }
            }
            let (to, cause) = (OrderStatus::Failed, Cause::OutOfStock);
            self.set_status(order, to, cause, self.now, transitions);
            Ok(Outcome::OutOfStock(id))
        }
    }

    /// A create whose key is known: the first create's answer, or a refusal for other lines.
    fn repeat(&self, first: u32, demand: &Demand) -> Result<Outcome, Rejection> {
        let order = OrderId::at_index(first);
        let record = self.orders.at(first);
        if !self.orders.lines(record).eq(demand.lines().iter().copied()) {
            return Err(Rejection::KeyReused { order });
        }
        let answered = match record.status {
            OrderStatus::Failed => OrderStatus::Failed,
            OrderStatus::New
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Cancelled => OrderStatus::AwaitingPayment,
        };
        Ok(Outcome::Repeated { order, answered })
    }

    #[inline(never)]
    fn pay(
        &mut self,
        id: OrderId,
        transitions: &mut Vec<Transition>,
    ) -> Result<Outcome, Rejection> {
        let (order, record) = self.orders.get(id).ok_or(Rejection::UnknownOrder(id))?;
        match (record.status, record.cause) {
            (OrderStatus::AwaitingPayment, _) => {}
            (OrderStatus::Paid, _) => return Ok(Outcome::AlreadyPaid),
            (OrderStatus::Cancelled, Cause::PaymentTimeout) => {
                return Err(Rejection::OrderExpired(id));
            }
            (status, _) => return Err(Rejection::NotAwaitingPayment { order: id, status }),
        }
        // Nothing below can fail.
        self.orders.lines(record).for_each(|line| self.stock.deduct(line.sku, line.count));
        self.set_status(order, OrderStatus::Paid, Cause::Payment, self.now, transitions);
        Ok(Outcome::Paid)
    }

    #[inline(never)]
    fn cancel(
        &mut self,
        id: OrderId,
        transitions: &mut Vec<Transition>,
    ) -> Result<Outcome, Rejection> {
        let (order, record) = self.orders.get(id).ok_or(Rejection::UnknownOrder(id))?;
        match record.status {
            OrderStatus::AwaitingPayment => {}
            OrderStatus::Cancelled => return Ok(Outcome::AlreadyCancelled),
            status @ (OrderStatus::New | OrderStatus::Failed | OrderStatus::Paid) => {
                return Err(Rejection::NotAwaitingPayment { order: id, status });
            }
        }
        // Nothing below can fail.
        self.call_off(order, Cause::CancelledByClient, self.now, transitions);
        Ok(Outcome::Cancelled)
    }

    /// Expires what is due by now. All orders have the same time to be paid in, so that the order
    /// of deadlines is the order of ids.
    #[inline(never)]
    fn expire_due(&mut self, transitions: &mut Vec<Transition>) {
        while let Some(deadline) = self.next_deadline.filter(|deadline| *deadline <= self.now) {
            let order = self.orders.oldest_awaiting().expect("the deadline is an order's");
            self.call_off(order, Cause::PaymentTimeout, deadline, transitions);
        }
    }

    /// Takes an order's promises back.
    #[inline(always)]
    fn call_off(
        &mut self,
        order: u32,
        cause: Cause,
        time: Timestamp,
        transitions: &mut Vec<Transition>,
    ) {
        let lines = self.orders.lines(self.orders.at(order));
        lines.for_each(|line| self.stock.release(line.sku, line.count));
        self.set_status(order, OrderStatus::Cancelled, cause, time, transitions);
    }

    #[inline(always)]
    fn set_status(
        &mut self,
        order: u32,
        to: OrderStatus,
        cause: Cause,
        time: Timestamp,
        transitions: &mut Vec<Transition>,
    ) {
        let oldest = self.orders.oldest_awaiting();
        let from = self.orders.set_status(order, to, cause, time);
        if self.orders.oldest_awaiting() != oldest {
            let oldest = self.orders.oldest_awaiting();
            self.next_deadline = oldest.and_then(|order| self.deadline(order));
        }
        self.note(order, Some(from), to, cause, time, transitions);
    }

    #[inline(always)]
    fn note(
        &mut self,
        order: u32,
        from: Option<OrderStatus>,
        to: OrderStatus,
        cause: Cause,
        time: Timestamp,
        transitions: &mut Vec<Transition>,
    ) {
        let sequence = self.transitions.checked_add(1).expect("fewer than four an order");
        self.transitions = sequence;
        let order = OrderId::at_index(order);
        transitions.push(Transition { sequence, order, from, to, cause, time });
    }

    fn deadline(&self, order: u32) -> Option<Timestamp> {
        if self.rules.payment_timeout == Span::default() {
            return None;
        }
        // A deadline past the end of time is none.
        self.orders.at(order).created.checked_add(self.rules.payment_timeout)
    }

    /// The order that this user's key made, if it is still remembered.
    fn remembered(&self, user: UserId, hash: KeyHash, key: &IdempotencyKey) -> Option<u32> {
        self.keys.find(hash, key, |order| {
            let record = self.orders.at(order);
            record.user == user && !self.has_forgotten_key(record)
        })
    }

    pub(super) fn remembered_keys(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.keys.iter().filter(|(order, _)| !self.has_forgotten_key(self.orders.at(*order)))
    }

    fn has_forgotten_key(&self, record: &OrderRecord) -> bool {
        let end = record.created.checked_add(self.rules.idempotency_window);
        end.is_some_and(|end| end <= self.now)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn awaiting(&self) -> impl Iterator<Item = OrderId> {
        self.orders.awaiting().map(OrderId::at_index)
    }
}

/// A status with its cause, as a number that stays: digests are compared across versions.
fn code_of(status: OrderStatus, cause: Cause) -> u64 {
    match (status, cause) {
        (OrderStatus::New, _) => 1,
        (OrderStatus::AwaitingPayment, _) => 2,
        (OrderStatus::Failed, _) => 3,
        (OrderStatus::Paid, _) => 4,
        (OrderStatus::Cancelled, Cause::PaymentTimeout) => 6,
        (OrderStatus::Cancelled, _) => 5,
    }
}
