//! Another server, and a model that starts from its present stock.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use loms::client::Credentials;
use loms::grpc::proto::loms_client::LomsClient;
use tokio::runtime::Runtime;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::compare::{Facet, differences};
use super::situation::Situation;
use crate::layers::wire::{self, Received, Reply};
use crate::model::contract::{Answer, Call, Limits};
use crate::model::{ContainerSizes, Model, World};
use crate::plan::{CreatedOrders, KeyText, Op, Step};
use crate::progress;

/// Timeout of a call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Maximum difference between the two clocks.
const CLOCKS: Duration = Duration::from_secs(2);

/// Maximum number of lines of a create.
pub(crate) const MAX_LINES: u32 = 1_000;

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) runtime: Runtime,
    /// The address.
    endpoint: Endpoint,
    rpc: Rpc,
    credentials: Credentials,
    /// The SKUs in use.
    pub(crate) skus: Vec<u32>,
    /// The id of the newest order, once it is known.
    pub(crate) last_id: Option<i64>,
    /// Facets that are known to differ or are not sent.
    pub(crate) ignored: BTreeSet<Facet>,
    /// A new user id, whose keys have not been used.
    user: i64,
}

impl Session {
    /// Connects to the server.
    ///
    /// # Errors
    /// There is no connection.
    pub(crate) fn connect(
        address: &str,
        credentials: &Credentials,
        skus: Vec<u32>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(io::Error::other)?
            .tcp_nodelay(true)
            .http2_max_header_list_size(1 << 20)
            .connect_timeout(DEADLINE);
        let endpoint = credentials.secure(endpoint).map_err(io::Error::other)?;
        let channel = runtime.block_on(endpoint.connect()).map_err(io::Error::other)?;
        let since_1970 = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let user = i64::try_from(since_1970.as_micros()).unwrap_or(1);
        Ok(Self {
            rpc: client(channel, credentials),
            credentials: credentials.clone(),
            runtime,
            endpoint,
            skus,
            last_id: None,
            ignored: BTreeSet::new(),
            user,
        })
    }

    /// Makes a call.
    pub(crate) fn call(&mut self, call: Call<'_>) -> Received {
        let Self { runtime, rpc, .. } = self;
        runtime.block_on(in_time(rpc, call))
    }

    /// Available units of a SKU; `None` if the server does not return them.
    pub(crate) fn available(&mut self, sku: u32) -> Option<u64> {
        let Reply::Stock(units) = self.call(Call::Stock(sku)).reply else { return None };
        Some(units)
    }

    /// A world with the present stock of the server.
    pub(crate) fn world(&mut self) -> World {
        let skus = self.skus.clone();
        let stock = skus.into_iter().filter_map(|sku| Some((sku, self.available(sku)?, 0)));
        let stock = stock.collect();
        World {
            stock,
            payment_timeout: 0,
            idempotency_window: u64::MAX,
            limits: Limits::default(),
            max_lines: MAX_LINES,
            sizes: ContainerSizes::Shipped,
        }
    }

    /// A client on a new connection.
    pub(crate) async fn another(&self) -> Option<Rpc> {
        Some(client(self.endpoint.connect().await.ok()?, &self.credentials))
    }

    /// The first of sixteen new user ids and keys.
    pub(crate) fn new_users(&mut self) -> i64 {
        self.user = self.user.wrapping_add(16).max(1);
        self.user
    }
}

/// A client that sends its token, if it has one.
pub(crate) type Rpc = LomsClient<InterceptedService<Channel, Credentials>>;

fn client(channel: Channel, credentials: &Credentials) -> Rpc {
    LomsClient::with_interceptor(channel, credentials.clone())
}

/// A call with a timeout.
pub(crate) async fn in_time(rpc: &mut Rpc, call: Call<'_>) -> Received {
    let given_up =
        || Received { index: None, reply: Reply::Nothing("no answer in 5 s".to_owned()) };
    progress::step(0);
    tokio::time::timeout(DEADLINE, wire::call(rpc, call)).await.unwrap_or_else(|_| given_up())
}

#[expect(clippy::disallowed_methods, reason = "the other side's clock is the real one")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The reply to one step, and the expected answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The reply.
    pub(crate) reply: Reply,
    /// The model's answer, with the server's ids.
    pub(crate) expected: Answer,
    /// The facets that differ.
    pub(crate) facets: BTreeSet<Facet>,
    /// The most specific situation of the call.
    pub(crate) situation: Situation,
}

/// Bounds for the time of an event.
#[derive(Clone, Copy, Debug)]
struct TimeBounds {
    /// Earliest time by our clock.
    from: SystemTime,
    /// Latest time by our clock.
    to: SystemTime,
    /// Earliest time by the server's clock, in nanoseconds since 1970.
    after: u64,
}

impl TimeBounds {
    fn fits(self, stamp: Option<u64>) -> bool {
        stamp.is_some_and(|nanos| {
            let stamp = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            self.after <= nanos && self.from <= stamp && stamp <= self.to
        })
    }
}

/// A running program, with its own model.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    session: &'a mut Session,
    model: Model,
    created: CreatedOrders,
    first_user: i64,
    /// The server's order ids, by the model's id - 1.
    ids: Vec<i64>,
    /// Times of the create and of the last change, by the model's id - 1.
    times: Vec<[TimeBounds; 2]>,
    /// The latest server time seen so far.
    seen: u64,
}

impl<'a> Program<'a> {
    /// Starts from the present state of the server.
    pub(crate) fn begin(session: &'a mut Session, world: &World) -> Self {
        let first_user = session.new_users();
        let (ids, times) = (Vec::new(), Vec::new());
        let model = Model::new(world, None);
        Self { session, model, created: CreatedOrders::default(), first_user, ids, times, seen: 0 }
    }

    /// The situations of a step; the first is the most specific.
    #[must_use]
    pub(crate) fn situations(&self, step: &Step) -> Vec<Situation> {
        let mut buffer = KeyText::default();
        let call = step.call(&self.created, &mut buffer);
        super::situation::of(&self.model, call)
    }

    /// Sends a step to both sides.
    pub(crate) fn step(&mut self, step: &Step) -> Exchange {
        let step = &self.with_new_key(step);
        let situation = self.situations(step)[0];
        let mut buffer = KeyText::default();
        let call = step.call(&self.created, &mut buffer);
        let about = step.op.target().map(|target| self.created.find(target));
        let before = about.and_then(|order| self.model.order(order)).map(|info| info.status);
        let call = self.with_new_user(call);
        let orders = self.model.orders();
        let mut expected = self.model.answer(0, call);
        let sent = now();
        let received = self.session.call(self.theirs(call));
        let bounds = TimeBounds { from: sent - CLOCKS, to: now() + CLOCKS, after: self.seen };
        if let Answer::Created { order, .. } = &expected {
            self.created.note(step.number, *order);
        }
        if self.model.orders() > orders {
            self.new_order(&received.reply);
            self.times.push([bounds, bounds]);
        }
        if let Some(order) = about
            && before != self.model.order(order).map(|info| info.status)
        {
            self.times[place(order)][1] = bounds;
        }
        if let Answer::Created { order, .. } = &mut expected {
            *order = self.ids[place(*order)];
        }
        if let Answer::Refused(crate::model::contract::Refusal::IdempotencyKeyReused(order)) =
            &mut expected
        {
            *order = self.ids[place(*order)];
        }
        let mut facets = differences(&received.reply, &expected);
        if let (Reply::Order(order), Some(about), Answer::Order(_)) =
            (&received.reply, about, &expected)
        {
            let [created, updated] = self.times[place(about)];
            if !created.fits(order.created_at) || !updated.fits(order.updated_at) {
                facets.insert(Facet::Times);
            }
            self.seen = self.seen.max(order.created_at.max(order.updated_at).unwrap_or(0));
        }
        let facets = facets.difference(&self.session.ignored).copied().collect();
        Exchange { reply: received.reply, expected, facets, situation }
    }

    /// The same step with a key that no user has used.
    fn with_new_key(&self, step: &Step) -> Step {
        let mut step = step.clone();
        if let Op::Create { key, .. } = &mut step.op
            && key.name > 0
        {
            let first = self.first_user.rem_euclid(1 << 31);
            key.name += u32::try_from(first).expect("below 2^31");
        }
        step
    }

    /// The same call with a new user.
    fn with_new_user<'c>(&self, call: Call<'c>) -> Call<'c> {
        if let Call::Create { user, items, key } = call
            && user > 0
        {
            return Call::Create { user: user.saturating_add(self.first_user), items, key };
        }
        call
    }

    /// The same call with the server's ids.
    fn theirs<'c>(&self, call: Call<'c>) -> Call<'c> {
        let theirs = |order: i64| match usize::try_from(order) {
            Ok(nth) if nth > 0 => self.ids.get(nth - 1).copied().unwrap_or(i64::MAX),
            Ok(_) | Err(_) => order,
        };
        match call {
            Call::Info(order) => Call::Info(theirs(order)),
            Call::Pay(order) => Call::Pay(theirs(order)),
            Call::Cancel(order) => Call::Cancel(theirs(order)),
            other @ (Call::Create { .. }
            | Call::Stock(_)
            | Call::Tick
            | Call::ChangeRules { .. }) => other,
        }
    }

    /// Maps a new order of the model to the next id of the server.
    fn new_order(&mut self, reply: &Reply) {
        let seen = if let Reply::Created { order, .. } = reply { Some(*order) } else { None };
        let next = self.session.last_id.and_then(|last| last.checked_add(1)).or(seen);
        // The id of the first order of a program is not checked.
        let any = self.ids.is_empty() || self.session.ignored.contains(&Facet::Id);
        let id = if any { seen.or(next) } else { next };
        self.ids.push(id.unwrap_or(i64::MAX));
        self.session.last_id = seen.or(self.session.last_id);
    }

    /// Cancels the orders that still await payment.
    pub(crate) fn end(self) {
        for order in self.model.awaiting() {
            let _ = self.session.call(Call::Cancel(self.ids[place(order)]));
        }
    }
}

fn place(order: i64) -> usize {
    usize::try_from(order - 1).expect("the model's ids start at 1")
}

/// Whether a step only reads.
#[must_use]
pub(crate) const fn is_read(op: Op) -> bool {
    matches!(op, Op::Info(_) | Op::Stock(_) | Op::Tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_of_its_bounds_is_detected() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let bounds = |after| TimeBounds { from: at(10), to: at(20), after };
        let nanos = |seconds: u64| Some(seconds * 1_000_000_000);
        assert!(bounds(0).fits(nanos(10)) && bounds(0).fits(nanos(20)));
        for wrong in [None, nanos(9), nanos(21)] {
            assert!(!bounds(0).fits(wrong), "{wrong:?}");
        }
        assert!(!bounds(12_000_000_000).fits(nanos(11)));
    }
}
