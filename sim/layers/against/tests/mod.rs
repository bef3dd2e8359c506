//! Our own server passes every rule; a server with one bug breaks exactly the rule of that bug.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use loms::client::Credentials;
use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::loms_server::{Loms, LomsServer};
use loms::grpc::proto::{
    OrderCancelRequest, OrderCancelResponse, OrderCreateRequest, OrderCreateResponse,
    OrderInfoRequest, OrderInfoResponse, OrderPayRequest, OrderPayResponse, StocksInfoRequest,
    StocksInfoResponse,
};
use loms::grpc::service::{LomsService, ServiceOptions};
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::state_machine::{LomsState, Rules, Span};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, async_trait};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::mutation::planted_bugs::Bug;

mod facets;
mod model_server;

use model_server::ModelServer;

/// A bug of a test server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Units of a paid order become available again.
    PayReleases,
    SecondCancelRefused,
    /// An empty OK for an order that does not exist.
    MissingOrderOk,
    /// Refusals have no details.
    NoDetails,
    /// It has only the fields of the first version of the API.
    OldFields,
    /// It checks, yields to other calls, and then changes the state (check-then-act).
    ChecksThenActs,
    /// The third pay of an order is refused: no rule describes this.
    ThirdPayRefused,
}

struct Fake {
    inner: LomsClient<LomsService>,
    fault: Fault,
    /// Orders that are paid, for the bug that pays by cancelling.
    paid: Mutex<BTreeSet<i64>>,
    pays: Mutex<BTreeMap<i64, u32>>,
}

impl Fake {
    async fn status(&self, order_id: i64) -> Option<OrderInfoResponse> {
        let info = self.inner.clone().order_info(Request::new(OrderInfoRequest { order_id })).await;
        info.ok().map(Response::into_inner)
    }

    fn spoil(&self, status: Status) -> Status {
        if self.fault == Fault::NoDetails {
            return Status::new(status.code(), status.message());
        }
        status
    }
}

#[async_trait]
impl Loms for Fake {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        let lines = request.get_ref().items.len();
        let mut looked_good = self.fault == Fault::ChecksThenActs && lines == 1;
        if looked_good {
            for item in &request.get_ref().items {
                let request = Request::new(StocksInfoRequest { sku: item.sku });
                let there = self
                    .inner
                    .clone()
                    .stocks_info(request)
                    .await
                    .map(|stock| stock.get_ref().count);
                looked_good &= there.is_ok_and(|there| there >= u64::from(item.count));
            }
            for _ in 0..2_000 {
                tokio::task::yield_now().await;
            }
        }
        let mut response =
            self.inner.clone().order_create(request).await.map_err(|status| self.spoil(status))?;
        let created = response.get_mut();
        if looked_good && created.status == "failed" {
            created.status = "awaiting payment".to_owned();
            created.shortages.clear();
        }
        if self.fault == Fault::OldFields {
            (created.status, created.shortages) = Default::default();
        }
        Ok(response)
    }

    async fn order_info(
        &self,
        request: Request<OrderInfoRequest>,
    ) -> Result<Response<OrderInfoResponse>, Status> {
        let order = request.get_ref().order_id;
        match self.inner.clone().order_info(request).await {
            Err(_) if self.fault == Fault::MissingOrderOk && order > 0 => {
                Ok(Response::new(OrderInfoResponse::default()))
            }
            Err(status) => Err(self.spoil(status)),
            Ok(mut response) => {
                if self.paid.lock().unwrap().contains(&order) {
                    let info = response.get_mut();
                    (info.status, info.reason) = ("paid".to_owned(), String::new());
                }
                if self.fault == Fault::OldFields {
                    let info = response.get_mut();
                    (info.created_at, info.updated_at) = (None, None);
                    (info.reason, info.shortages) = Default::default();
                }
                Ok(response)
            }
        }
    }

    async fn order_pay(
        &self,
        request: Request<OrderPayRequest>,
    ) -> Result<Response<OrderPayResponse>, Status> {
        let order = request.get_ref().order_id;
        let awaits = self.status(order).await.is_some_and(|info| info.status == "awaiting payment");
        let is_paid = self.paid.lock().unwrap().contains(&order);
        if self.fault == Fault::PayReleases && (awaits || is_paid) {
            self.inner
                .clone()
                .order_cancel(Request::new(OrderCancelRequest { order_id: order }))
                .await?;
            self.paid.lock().unwrap().insert(order);
            return Ok(Response::new(OrderPayResponse {}));
        }
        let response =
            self.inner.clone().order_pay(request).await.map_err(|status| self.spoil(status))?;
        let mut pays = self.pays.lock().unwrap();
        let pays = pays.entry(order).or_default();
        *pays += 1;
        if self.fault == Fault::ThirdPayRefused && *pays > 2 {
            return Err(Status::failed_precondition("enough"));
        }
        Ok(response)
    }

    async fn order_cancel(
        &self,
        request: Request<OrderCancelRequest>,
    ) -> Result<Response<OrderCancelResponse>, Status> {
        let order = request.get_ref().order_id;
        if self.paid.lock().unwrap().contains(&order) {
            let facts = [("order_id", order.to_string()), ("status", "paid".to_owned())];
            let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
            let reason = "ORDER_NOT_AWAITING_PAYMENT";
            let details = ErrorDetails::with_error_info(reason, "loms", facts);
            return Err(Status::with_error_details(Code::FailedPrecondition, "paid", details));
        }
        let before = self.status(order).await;
        if self.fault == Fault::SecondCancelRefused
            && before.is_some_and(|info| info.status == "cancelled")
        {
            return Err(Status::failed_precondition("it is cancelled"));
        }
        self.inner.clone().order_cancel(request).await.map_err(|status| self.spoil(status))
    }

    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        self.inner.clone().stocks_info(request).await.map_err(|status| self.spoil(status))
    }
}

/// Checks a server with this bug; it starts with the default stock file.
fn check_faulty_server(fault: Fault) -> (String, Exit) {
    let rules = Rules { payment_timeout: Span::from_secs(0), ..Rules::default() };
    let state = LomsState::new(rules, &opening_stock::embedded(), 0);
    let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
    let inner = LomsClient::new(LomsService::new(sequencer, ServiceOptions::default()));
    let (paid, pays) = Default::default();
    // A bug without a rule needs more random programs.
    let (programs, rounds) = if fault == Fault::ThirdPayRefused { (40, 0) } else { (12, 8) };
    check_service(Fake { inner, fault, paid, pays }, Effort { programs, rounds })
}

fn check_service(service: impl Loms, effort: Effort) -> (String, Exit) {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_service(LomsServer::new(service));
    let server = runtime.spawn(server.serve_with_incoming(incoming));
    let result = check_server(
        &address,
        &Credentials::default(),
        1,
        &opening_stock::embedded(),
        true,
        effort,
    );
    server.abort();
    result
}

/// The world of the default stock file.
fn default_world() -> World {
    let opening = opening_stock::embedded();
    let stock =
        opening.records().iter().map(|record| (record.sku.get(), record.total, record.reserved));
    let stock = stock.collect();
    let (payment_timeout, idempotency_window) = (0, u64::MAX);
    let sizes = ContainerSizes::Shipped;
    let limits = Limits::default();
    World { stock, payment_timeout, idempotency_window, max_lines: 1_000, limits, sizes }
}

/// Checks a server made of the model, with a planted bug.
fn check_model(bug: Option<Bug>, effort: Effort) -> (String, Exit) {
    check_service(ModelServer::open(&default_world(), bug), effort)
}

#[test]
fn another_opening_stock_is_reported() {
    let mut world = default_world();
    world.stock[0].1 += 1;
    let effort = Effort { programs: 0, rounds: 0 };
    let (text, exit) = check_service(ModelServer::open(&world, None), effort);
    assert_eq!(exit, Exit::Oracle, "{text}");
    assert!(text.contains("BROKEN  available is total - reserved of the stock file"), "{text}");
}

/// The names of the broken rules.
fn broken(fault: Fault) -> Vec<String> {
    let (text, exit) = check_faulty_server(fault);
    assert_eq!(exit, Exit::Oracle, "{text}");
    text.lines().filter_map(|line| line.strip_prefix("BROKEN  ")).map(str::to_owned).collect()
}

#[test]
fn our_server_passes_every_rule() {
    let (text, exit) = check_faulty_server(Fault::Nothing);
    assert_eq!((text.lines().count(), exit), (1, Exit::Ok), "{text}");
}

#[test]
fn a_server_without_the_new_fields_passes_the_other_rules() {
    let (text, exit) = check_faulty_server(Fault::OldFields);
    assert_eq!(exit, Exit::Ok, "{text}");
    assert_eq!(text.matches("not sent by the server").count(), 2, "{text}");
}

#[test]
fn a_pay_that_releases_is_reported() {
    assert_eq!(broken(Fault::PayReleases), ["a pay does not change the available units"]);
}

#[test]
fn a_refused_second_cancel_is_reported() {
    assert_eq!(broken(Fault::SecondCancelRefused), ["a cancel of a cancelled order is OK"]);
}

#[test]
fn an_ok_for_a_missing_order_is_reported() {
    let rule = "OrderInfo of an unknown order is NOT_FOUND";
    assert_eq!(broken(Fault::MissingOrderOk), [rule]);
}

#[test]
fn refusals_without_details_are_reported_once_for_each_detail() {
    let rules = ["a refusal has an ErrorInfo", "INVALID_ARGUMENT names the field"];
    assert_eq!(broken(Fault::NoDetails), rules);
}

#[test]
fn check_then_act_is_found_by_concurrent_clients() {
    assert_eq!(broken(Fault::ChecksThenActs), ["concurrent calls are linearizable"]);
}

#[test]
fn a_bug_without_a_rule_is_found_by_random_programs_and_shrunk() {
    let (text, exit) = check_faulty_server(Fault::ThirdPayRefused);
    assert_eq!(exit, Exit::Oracle, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "BROKEN  a pay of a paid order is answered as the contract requires");
    let steps = lines.iter().filter(|line| line.contains("pay order#")).count();
    assert_eq!(steps, 3, "{text}");
}

#[test]
fn the_model_passes_every_rule() {
    let (text, exit) = check_model(None, Effort { programs: 8, rounds: 2 });
    assert_eq!((text.lines().count(), exit), (1, Exit::Ok), "{text}");
}

/// Bugs of real servers, and the rules that they break.
const REAL_BUGS: [(Bug, &[&str]); 10] = [
    (Bug::FailedCreateKeepsLines, &["a failed create reserves nothing"]),
    (Bug::PayReturnsStock, &["a pay does not change the available units"]),
    (Bug::CancelFailedReleases, &["a cancel of a failed order is FAILED_PRECONDITION"]),
    (Bug::ReleaseClamps, &["a cancel of a cancelled order releases nothing"]),
    (Bug::DoublePayTakesTwice, &["a pay of a paid order changes nothing"]),
    (
        Bug::MissingOrderDone,
        &["a pay of an unknown order is NOT_FOUND", "a cancel of an unknown order is NOT_FOUND"],
    ),
    (Bug::PayAfterCancel, &["a pay of a cancelled order is FAILED_PRECONDITION"]),
    (Bug::UpdatedAtKeptOnPay, &["a pay sets updatedAt"]),
    (Bug::IdReusedAfterFailure, &["a failed create takes an id"]),
    (Bug::KeyForWrongUser, &["keys of different users are independent"]),
];

#[test]
fn bugs_of_real_services_are_reported() {
    for (bug, rules) in REAL_BUGS {
        let (text, exit) = check_model(Some(bug), Effort { programs: 3, rounds: 0 });
        let broken = text.lines().filter_map(|line| line.strip_prefix("BROKEN  "));
        assert_eq!((broken.collect::<Vec<_>>().as_slice(), exit), (rules, Exit::Oracle), "{text}");
    }
}
