//! The reference model: the simulator compares every answer of the server with its answer.
//!
//! It is written from the API contract alone and gives the one right [`Answer`] to every [`Call`].
//! Its structure differs from the server's: it keeps a list of all orders ([`records`]) and, for
//! each SKU, [`accounts`] that only grow; the stock is derived from them. [`Model::audit`] derives
//! everything again from the orders. A model can be created with one planted [`Bug`], to prove that
//! the simulator detects it.
//!
//! Start at [`Model::answer`]. `create.rs` handles OrderCreate, `time.rs` expiry and changes of the
//! rules, `keeping.rs` what is forgotten and how much room there is, `audit.rs` the audit.

mod accounts;
mod audit;
pub(crate) mod contract;
mod create;
mod keeping;
mod records;
pub(crate) mod refusal;
pub(crate) mod status;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;

use self::accounts::SkuAccount;
use self::records::OrderRecords;
use crate::model::contract::{Answer, Call, Limits, OrderInfo, Reason, Refusal, Shortage, Status};
use crate::mutation::planted_bugs::Bug;

/// The initial state and the rules of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    /// SKU, total and base reservation, in any order; no SKU is 0 or appears twice. A base may
    /// be larger than its total: then nothing is available.
    pub(crate) stock: Vec<(u32, u64, u64)>,
    /// Payment timeout in nanoseconds; 0 means that orders never expire.
    pub(crate) payment_timeout: u64,
    /// Idempotency window in nanoseconds; 0 means that keys are not stored.
    pub(crate) idempotency_window: u64,
    /// Maximum number of lines of a create, counted before lines of the same SKU are merged.
    pub(crate) max_lines: u32,
    /// How long finished orders are kept, and how much room there is.
    pub(crate) limits: Limits,
    /// How the state machine under test stores it. The model ignores this.
    pub(crate) sizes: ContainerSizes,
}

/// The sizes of the containers of the state machine under test. No answer depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ContainerSizes {
    /// Those of the product.
    #[default]
    Shipped,
    /// The smallest, so that short plans cross the boundaries of all containers.
    Tiny,
}

/// The model; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    bug: Option<Bug>,
    timeout: u64,
    window: u64,
    limits: Limits,
    max_lines: usize,
    /// Time of the last command that passed validation. Reads do not move it.
    now: u64,
    /// When the rules last changed; 0 if never.
    rules_since: u64,
    /// All orders before this place are forgotten; there may be more.
    first_kept: usize,
    /// Number of entries in the server's log. A command that changes something is one entry. All
    /// orders that expire before a call are one more.
    entries: u64,
    /// By ascending SKU.
    accounts: Vec<SkuAccount>,
    records: OrderRecords,
    /// Index of the oldest order that awaits payment, or the number of orders. All orders have the
    /// same payment timeout, so this order expires next.
    oldest: usize,
    transitions: u64,
    /// Number of rule changes, which are events too.
    rule_changes: u64,
    /// The merged lines of the current create; a scratch buffer.
    demand: Vec<(u32, u32)>,
    quirks: Quirks,
}

/// The fields of an order that OrderInfo returns, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderFields<'a> {
    /// Its status.
    pub(crate) status: Status,
    /// The user who created it.
    pub(crate) user: i64,
    /// Merged, by ascending SKU.
    pub(crate) items: &'a [(u32, u32)],
    /// Nanoseconds since 1970.
    pub(crate) created_at: u64,
    /// Nanoseconds since 1970.
    pub(crate) updated_at: u64,
    /// The reason why it failed or was cancelled.
    pub(crate) reason: Reason,
    /// Not empty if and only if the order failed.
    pub(crate) shortages: &'a [Shortage],
}

/// State that only planted bugs need.
#[derive(Clone, Debug, Default)]
struct Quirks {
    /// Number of cancellations.
    cancels: u64,
    /// The lines as the client sent them, by order index.
    as_sent: BTreeMap<usize, Vec<(u32, u32)>>,
    /// Time of the last repeated create, by order index.
    repeated: BTreeMap<usize, u64>,
}

impl Model {
    /// The model of a server that starts with this world and without orders.
    ///
    /// # Panics
    /// If the world's stock breaks the rules of [`World::stock`].
    pub(crate) fn new(world: &World, bug: Option<Bug>) -> Self {
        let mut accounts = Vec::with_capacity(world.stock.len());
        for &(sku, total, base) in &world.stock {
            assert!(sku != 0, "no stock record: SKU {sku}");
            accounts.push(SkuAccount::new(sku, total, base));
        }
        accounts.sort_unstable_by_key(|account| account.sku);
        assert!(accounts.windows(2).all(|two| two[0].sku < two[1].sku), "a SKU appears twice");
        Model {
            bug,
            timeout: world.payment_timeout,
            window: world.idempotency_window,
            limits: world.limits,
            max_lines: usize::try_from(world.max_lines).expect("usize has at least 32 bits"),
            now: 0,
            rules_since: 0,
            first_kept: 0,
            entries: 0,
            accounts,
            records: OrderRecords::new(),
            oldest: 0,
            transitions: 0,
            rule_changes: 0,
            demand: Vec::new(),
            quirks: Quirks::default(),
        }
    }

    /// Makes room for this many orders.
    pub(crate) fn reserve(&mut self, orders: usize) {
        self.records.reserve(orders);
    }

    /// The right answer to a call at this time, in nanoseconds since 1970.
    ///
    /// A call that fails validation changes nothing and makes nothing expire: it does not reach the
    /// state machine. Before any other call, including reads and refused calls, all due orders
    /// expire.
    ///
    /// # Panics
    /// If `at` is earlier than the time of a previous call.
    pub(crate) fn answer(&mut self, at: u64, call: Call<'_>) -> Answer {
        self.result(at, call).unwrap_or_else(Answer::Refused)
    }

    fn result(&mut self, at: u64, call: Call<'_>) -> Result<Answer, Refusal> {
        match call {
            Call::Create { user, items, key } => {
                self.validate(user, items, key)?;
                self.command(at, |model| model.create(user, items, key))
            }
            Call::Info(id) => {
                let id = valid_order(id)?;
                if !self.has(Bug::InfoSeesExpired) {
                    self.pass(at);
                }
                Ok(Answer::Order(self.shown(self.place_at(id, at)?)))
            }
            Call::Pay(id) => {
                let id = valid_order(id)?;
                self.command(at, |model| model.pay(id))
            }
            Call::Cancel(id) => {
                let id = valid_order(id)?;
                self.command(at, |model| model.cancel(id))
            }
            Call::Stock(0) => Err(Refusal::InvalidSku),
            Call::Stock(sku) => {
                if !self.has(Bug::StockSeesExpired) {
                    self.pass(at);
                }
                self.stock_of(sku)
            }
            Call::Tick => self.command(at, |_| Ok(Answer::Done)),
            Call::ChangeRules { timeout, window, limits } => self.command(at, |model| {
                model.change_rules(timeout, window, limits);
                Ok(Answer::Done)
            }),
        }
    }

    /// The order as of the last call; `None` if it does not exist.
    pub(crate) fn order(&self, id: i64) -> Option<OrderInfo> {
        Some(self.shown(self.place(id).ok()?))
    }

    /// As [`Model::order`], without copying; `None` if the order does not exist.
    pub(crate) fn with_order<T>(
        &self,
        id: i64,
        read: impl FnOnce(OrderFields<'_>) -> T,
    ) -> Option<T> {
        Some(read(self.seen(self.place(id).ok()?)))
    }

    /// Number of orders; the highest order id.
    pub(crate) fn orders(&self) -> usize {
        self.records.len()
    }

    /// SKU, total and reserved (with the base), by ascending SKU.
    pub(crate) fn stock(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        self.accounts.iter().map(|account| self.record(account))
    }

    /// The same of one SKU; `None` for a SKU without a stock record.
    pub(crate) fn stock_record(&self, sku: u32) -> Option<(u32, u64, u64)> {
        self.account(sku).map(|account| self.record(account))
    }

    fn record(&self, account: &SkuAccount) -> (u32, u64, u64) {
        (account.sku, self.reported(account.total()), self.reported(account.reserved()))
    }

    /// Ids of the orders that await payment, ascending.
    pub(crate) fn awaiting(&self) -> impl Iterator<Item = i64> {
        (self.oldest..self.records.len())
            .filter(|&place| self.records.entry(place).status == Status::AwaitingPayment)
            .map(id_of)
    }

    /// Number of events so far: two for a create, one for a payment, a cancellation, an expiry or a
    /// rule change.
    pub(crate) fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Whether a payment, a cancellation or a create would change anything now.
    pub(crate) fn would_change(&self, call: Call<'_>) -> bool {
        match call {
            Call::Create { user, key, .. } => {
                key.is_empty() || self.remembered(user, key, records::hash(user, key)).is_none()
            }
            Call::Pay(order) | Call::Cancel(order) => self
                .with_order(order, |fields| fields.status == Status::AwaitingPayment)
                .unwrap_or(false),
            Call::Info(_) | Call::Stock(_) | Call::Tick | Call::ChangeRules { .. } => false,
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn pay(&mut self, id: i64) -> Result<Answer, Refusal> {
        let place = match self.place(id) {
            Err(_) if self.has(Bug::MissingOrderDone) => return Ok(Answer::Done),
            found => found?,
        };
        let entry = self.records.entry(place);
        match (entry.status, entry.reason) {
            (Status::AwaitingPayment, _) => self.take(place),
            (Status::Paid, _) if self.has(Bug::SecondPayRefused) => {
                return Err(Refusal::OrderNotAwaitingPayment(Status::Paid));
            }
            (Status::Paid, _) if self.has(Bug::DoublePayTakesTwice) => self.take_anew(place),
            (Status::Paid, _) => {}
            (Status::Cancelled, Reason::PaymentTimeout) if self.has(Bug::PayAfterExpiry) => {
                self.take_anew(place);
            }
            (Status::Cancelled, Reason::PaymentTimeout)
                if !self.has(Bug::ExpiredPaySaysCancelled) =>
            {
                return Err(Refusal::OrderExpired);
            }
            (Status::Cancelled, Reason::CancelledByClient) if self.has(Bug::PayAfterCancel) => {
                self.take_anew(place);
            }
            (status @ (Status::Cancelled | Status::Failed), _) => {
                return Err(Refusal::OrderNotAwaitingPayment(status));
            }
        }
        Ok(Answer::Done)
    }

    /// Pays an order that awaits payment: its units leave the stock.
    fn take(&mut self, place: usize) {
        match self.bug {
            Some(Bug::PayReturnsStock) => {
                self.book_all(place, |account, units| account.returned += units);
            }
            Some(Bug::PayKeepsReserved) => self.book_all(place, |account, units| {
                account.sold += units;
                account.reserved_for_orders += units;
            }),
            _ => self.book_all(place, |account, units| account.sold += units),
        }
        let updated_at = self.records.entry(place).updated_at;
        let when = if self.has(Bug::UpdatedAtKeptOnPay) { updated_at } else { self.now };
        self.set(place, Status::Paid, Reason::None, when);
    }

    /// Pays an order that holds no units; only planted bugs do this.
    fn take_anew(&mut self, place: usize) {
        self.book_all(place, |account, units| {
            account.reserved_for_orders += units;
            account.sold += units;
        });
        self.set(place, Status::Paid, Reason::None, self.now);
    }

    fn cancel(&mut self, id: i64) -> Result<Answer, Refusal> {
        let place = match self.place(id) {
            Err(_) if self.has(Bug::MissingOrderDone) => return Ok(Answer::Done),
            found => found?,
        };
        let entry = self.records.entry(place);
        match (entry.status, entry.reason) {
            (Status::AwaitingPayment, _) => self.release(place),
            (Status::Cancelled, Reason::CancelledByClient)
                if self.has(Bug::SecondCancelRefused) =>
            {
                return Err(Refusal::OrderNotAwaitingPayment(Status::Cancelled));
            }
            (Status::Cancelled, _) if self.has(Bug::ReleaseClamps) => {
                self.book_all(place, |account, units| {
                    account.returned += units.min(account.reserved()).max(0);
                });
            }
            (Status::Cancelled, _) if self.has(Bug::CancelRewritesReason) => {
                self.records.entry_mut(place).reason = Reason::CancelledByClient;
            }
            (Status::Cancelled, _) => {}
            (Status::Failed, _) if self.has(Bug::CancelFailedReleases) => self.release(place),
            (Status::Paid, _) if self.has(Bug::CancelPaidAllowed) => self.release(place),
            (status @ (Status::Paid | Status::Failed), _) => {
                return Err(Refusal::OrderNotAwaitingPayment(status));
            }
        }
        Ok(Answer::Done)
    }

    /// Cancels an order for its client: its units become available again.
    fn release(&mut self, place: usize) {
        self.quirks.cancels += 1;
        if !(self.has(Bug::LeakAfter64Cancels) && self.quirks.cancels > 64) {
            self.book_all(place, |account, units| account.returned += units);
        }
        if self.has(Bug::CancelReleasesBase) {
            self.book_all(place, |account, units| account.base -= units.min(account.base));
        }
        self.set(place, Status::Cancelled, Reason::CancelledByClient, self.now);
    }

    fn stock_of(&self, sku: u32) -> Result<Answer, Refusal> {
        let account = self.account(sku).ok_or(Refusal::SkuNotFound)?;
        let count = match self.bug {
            Some(Bug::StockReturnsTotal) => account.total(),
            Some(Bug::StockForgetsBase) => account.available() + account.base,
            _ => self.available(account),
        };
        Ok(Answer::Stock(self.reported(count)))
    }

    fn available(&self, account: &SkuAccount) -> i128 {
        if self.has(Bug::ReservedSubtractedTwice) {
            return account.total() - 2 * account.reserved();
        }
        account.available()
    }

    fn account(&self, sku: u32) -> Option<&SkuAccount> {
        let place = self.accounts.binary_search_by_key(&sku, |account| account.sku).ok()?;
        Some(&self.accounts[place])
    }

    /// Changes the accounts of all lines of the order.
    fn book_all(&mut self, place: usize, book: impl Fn(&mut SkuAccount, i128)) {
        self.book(place, usize::MAX, book);
    }

    /// Changes the accounts of the first `lines` lines of the order.
    fn book(&mut self, place: usize, lines: usize, book: impl Fn(&mut SkuAccount, i128)) {
        for &(sku, count) in self.records.lines(place).iter().take(lines) {
            let units = units(self.bug, count);
            match self.accounts.binary_search_by_key(&sku, |account| account.sku) {
                Ok(found) => book(&mut self.accounts[found], units),
                Err(_) => {
                    assert!(self.bug.is_some(), "an order holds SKU {sku} without a stock record")
                }
            }
        }
    }

    /// The only place that sets the status of a stored order.
    fn set(&mut self, place: usize, status: Status, reason: Reason, when: u64) {
        let entry = self.records.entry_mut(place);
        entry.status = status;
        entry.reason = reason;
        entry.updated_at = when;
        self.transitions += 1;
        self.find_oldest();
    }

    fn find_oldest(&mut self) {
        while let Some(entry) = self.records.get(self.oldest)
            && entry.status != Status::AwaitingPayment
        {
            self.oldest += 1;
        }
    }

    fn place(&self, id: i64) -> Result<usize, Refusal> {
        self.place_at(id, self.now)
    }

    /// The place of an order that is not forgotten at this time.
    fn place_at(&self, id: i64, at: u64) -> Result<usize, Refusal> {
        let place = id.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        let is_kept =
            |place: &usize| self.records.get(*place).is_some_and(|entry| !self.is_gone(entry, at));
        place.filter(is_kept).ok_or(Refusal::OrderNotFound)
    }

    fn shown(&self, place: usize) -> OrderInfo {
        let OrderFields { status, user, items, created_at, updated_at, reason, shortages } =
            self.seen(place);
        let (items, shortages) = (items.to_vec(), shortages.to_vec());
        OrderInfo { status, user, items, created_at, updated_at, reason, shortages }
    }

    fn seen(&self, place: usize) -> OrderFields<'_> {
        let entry = self.records.entry(place);
        let hidden = self.has(Bug::FailedShownAwaiting) && entry.status == Status::Failed;
        OrderFields {
            status: if hidden { Status::AwaitingPayment } else { entry.status },
            user: entry.user,
            items: match self.bug {
                Some(Bug::LinesInClientOrder | Bug::LinesUnmerged) => &self.quirks.as_sent[&place],
                _ => self.records.lines(place),
            },
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            reason: entry.reason,
            shortages: &entry.shortages,
        }
    }

    /// A number as the API returns it. Only a planted bug makes it negative or too large; then it
    /// wraps.
    fn reported(&self, count: i128) -> u64 {
        u64::try_from(count).unwrap_or_else(|_| {
            assert!(self.bug.is_some(), "{count} units of a SKU");
            let low = count.rem_euclid(i128::from(u64::MAX) + 1);
            u64::try_from(low).expect("a remainder of 2^64 fits u64")
        })
    }
}

/// The number of units by which a line of this count changes the stock.
fn units(bug: Option<Bug>, count: u32) -> i128 {
    if bug == Some(Bug::CountCutTo16Bits) {
        return i128::from(count & 0xffff);
    }
    i128::from(count)
}

fn valid_order(id: i64) -> Result<i64, Refusal> {
    if id > 0 { Ok(id) } else { Err(Refusal::InvalidOrderId) }
}

/// The id of the order at this index.
fn id_of(place: usize) -> i64 {
    i64::try_from(place + 1).expect("a run has fewer than u32::MAX orders")
}
