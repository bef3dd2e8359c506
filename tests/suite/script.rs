//! Runs a script of calls against a real server over a loopback socket. A script is text, one call
//! per line. The page that it returns has the answer below each call.
//!
//! ```text
//! create user=1 1002:2 1003:1 key=k      OrderCreate
//! info 1                                 OrderInfo; pay and cancel work the same way
//! stock 1002                             StocksInfo
//! wait 10m                               moves the server's clock forward
//! ```

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCreateRequest, OrderCreateResponse, OrderInfoRequest,
    OrderPayRequest, Shortage, StocksInfoRequest,
};
use loms::grpc::service::ServiceOptions;
use loms::sequencer::{Clock, Sequencer};
use loms::server::{Drained, ServerOptions, serve};
use loms::state_machine::{LomsState, OpeningStock, Rules, Sku, StockRecord, Timestamp};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// When the clock of every script starts: 2026-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_767_225_600);

/// A clock that moves only when a test moves it.
#[derive(Clone, Debug)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(nanos(START))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(nanos(by), Ordering::SeqCst);
    }

    pub(crate) fn go_back(&self, by: Duration) {
        self.0.fetch_sub(nanos(by), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Box::new(move || Timestamp::from_nanos(now.load(Ordering::SeqCst)))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

/// Parses stock records: `sku=total/reserved`, separated by spaces.
pub(crate) fn opening(stock: &str) -> OpeningStock {
    let records = stock.split_whitespace().map(|record| {
        let (sku, units) = record.split_once('=').unwrap();
        let (total, reserved) = units.split_once('/').unwrap();
        StockRecord {
            sku: Sku::new(sku.parse().unwrap()).unwrap(),
            total: total.parse().unwrap(),
            reserved: reserved.parse().unwrap(),
        }
    });
    OpeningStock::new(records.collect()).unwrap()
}

/// Two threads, so that calls reach the sequencer from both.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// A server on a free port, and what a test needs to call it.
pub(crate) struct Shop {
    pub(crate) client: LomsClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) address: String,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) clock: HandClock,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) served: JoinHandle<std::io::Result<Drained>>,
}

impl Shop {
    pub(crate) async fn open(stock: &str, options: ServiceOptions) -> Self {
        Self::open_with(&opening(stock), options).await
    }

    pub(crate) async fn open_with(stock: &OpeningStock, options: ServiceOptions) -> Self {
        Self::open_on(THREADS, stock, options).await
    }

    /// With one thread, everything happens on the clock of the test.
    pub(crate) async fn open_on(
        threads: NonZeroUsize,
        stock: &OpeningStock,
        options: ServiceOptions,
    ) -> Self {
        let options = ServerOptions { service: options, ..ServerOptions::on(threads) };
        Self::serve(stock, options).await
    }

    /// With TLS, `channel` and `client` cannot call it.
    pub(crate) async fn serve(stock: &OpeningStock, options: ServerOptions) -> Self {
        let clock = HandClock::new();
        let state = LomsState::new(Rules::default(), stock, 1);
        let sequencer = Arc::new(Sequencer::new(state, clock.clock()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, Arc::clone(&sequencer), options, async {
            // When a test ends without a stop, the sender is dropped and the server stops too.
            let _ = stopped.await;
        }));
        let channel = Channel::from_shared(address.clone())
            .unwrap()
            .http2_max_header_list_size(1 << 20)
            .connect()
            .await
            .unwrap();
        let client = LomsClient::new(channel.clone());
        Self { client, channel, address, sequencer, clock, stop, served }
    }

    /// Runs a script and returns its page.
    pub(crate) async fn run(&mut self, script: &str) -> String {
        let mut page = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                writeln!(page, "#{comment}").unwrap();
                continue;
            }
            writeln!(page, "> {line}").unwrap();
            if let Some(time) = line.strip_prefix("wait ") {
                self.clock.advance(humantime::parse_duration(time).unwrap());
                continue;
            }
            let answer = self.call(line).await.unwrap_or_else(|refusal| render(&refusal));
            writeln!(page, "{answer}").unwrap();
        }
        page
    }

    async fn call(&mut self, line: &str) -> Result<String, Status> {
        let mut words = line.split_whitespace();
        let (call, words) = (words.next().unwrap(), words.collect::<Vec<_>>());
        let id = || words[0].parse().unwrap();
        match call {
            "create" => {
                let created = self.client.order_create(create_request(&words)).await?;
                Ok(render_created(created.get_ref()))
            }
            "info" => {
                let request = OrderInfoRequest { order_id: id() };
                let order = self.client.order_info(request).await?.into_inner();
                let (created, updated) =
                    (since_start(order.created_at), since_start(order.updated_at));
                let mut shown = format!("OK {}, user {}", order.status, order.user);
                for Item { sku, count } in &order.items {
                    write!(shown, ", {count} of {sku}").unwrap();
                }
                write!(shown, "; created {created}, updated {updated}").unwrap();
                if !order.reason.is_empty() {
                    write!(shown, "; {}", order.reason).unwrap();
                }
                shown.push_str(&render_shortages(&order.shortages));
                Ok(shown)
            }
            "pay" => {
                self.client.order_pay(OrderPayRequest { order_id: id() }).await?;
                Ok("OK".to_owned())
            }
            "cancel" => {
                self.client.order_cancel(OrderCancelRequest { order_id: id() }).await?;
                Ok("OK".to_owned())
            }
            "stock" => {
                let request = StocksInfoRequest { sku: words[0].parse().unwrap() };
                let stock = self.client.stocks_info(request).await?;
                Ok(format!("OK {}", stock.get_ref().count))
            }
            other => panic!("unknown call: {other}"),
        }
    }
}

/// Parses `user=1 1002:2 key=k`; `1:1*1001` repeats a line, `key=k*65` a letter.
pub(crate) fn create_request(words: &[&str]) -> OrderCreateRequest {
    let mut request = OrderCreateRequest::default();
    for word in words {
        if let Some(user) = word.strip_prefix("user=") {
            request.user = user.parse().unwrap();
        } else if let Some(key) = word.strip_prefix("key=") {
            request.idempotency_key = match key.split_once('*') {
                Some((letter, times)) => letter.repeat(times.parse().unwrap()),
                None => key.to_owned(),
            };
        } else {
            let (line, times) = word.split_once('*').unwrap_or((word, "1"));
            let (sku, count) = line.split_once(':').unwrap();
            let item = Item { sku: sku.parse().unwrap(), count: count.parse().unwrap() };
            request.items.extend(vec![item; times.parse().unwrap()]);
        }
    }
    request
}

/// A refusal with all its details.
pub(crate) fn render(refusal: &Status) -> String {
    let details = refusal.get_error_details();
    let info = details.error_info().expect("every refusal carries an ErrorInfo");
    assert_eq!(info.domain, "loms");
    let mut facts: Vec<_> =
        info.metadata.iter().map(|(name, fact)| format!("{name}={fact}")).collect();
    facts.sort();
    let mut shown = format!("{:?} {} [{}]", refusal.code(), info.reason, facts.join(", "));
    write!(shown, ": {}", refusal.message()).unwrap();
    if refusal.code() == Code::InvalidArgument {
        let [violation] = details.bad_request().unwrap().field_violations.as_slice() else {
            panic!("there is one violation: of the strongest rule");
        };
        // The details repeat the field and the message.
        assert_eq!(info.metadata["field"], violation.field);
        assert_eq!(refusal.message(), violation.description);
    }
    if let Some(created) = order_in_details(refusal) {
        write!(shown, "\n  in the details: {}", render_created(&created)).unwrap();
    }
    shown
}

/// The order in the details of a failed create, with `failed_create: failed_precondition`.
fn order_in_details(refusal: &Status) -> Option<OrderCreateResponse> {
    let details = tonic_types::pb::Status::decode(refusal.details()).unwrap();
    let packed = details
        .details
        .iter()
        .find(|detail| detail.type_url == "type.googleapis.com/loms.OrderCreateResponse")?;
    Some(OrderCreateResponse::decode(packed.value.as_slice()).unwrap())
}

fn render_created(created: &OrderCreateResponse) -> String {
    let shortages = render_shortages(&created.shortages);
    format!("OK order {}, {}{shortages}", created.order_id, created.status)
}

fn render_shortages(shortages: &[Shortage]) -> String {
    let lines = shortages.iter().map(|Shortage { sku, requested, available }| {
        format!("\n  short of {sku}: {requested} requested, {available} available")
    });
    lines.collect()
}

/// Whole seconds since the start of the script. The sequencer adds nanoseconds, so that each
/// command has its own time.
fn since_start(time: Option<prost_types::Timestamp>) -> String {
    let seconds = u64::try_from(time.unwrap().seconds).unwrap() - START.as_secs();
    format!("at {seconds} s")
}
