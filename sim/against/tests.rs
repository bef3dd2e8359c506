//! Our own server keeps every rule; servers with one bug each break just the rule of that bug.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

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
use tonic::{Request, Response, Status, async_trait};

use super::*;

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// What is paid can be sold again.
    PayReleases,
    SecondCancelRefused,
    /// An empty OK for an order that does not exist.
    MissingOrderOk,
    /// Ids are used up by invalid creates: here, one in two is skipped.
    NoDetails,
    /// It knows only what carts were first generated from.
    OldFields,
    /// It looks, lets others go first, and then believes what it saw.
    ChecksThenActs,
    /// The third pay of an order is refused: no rule says it in words.
    ThirdPayRefused,
}

struct Fake {
    inner: LomsService,
    fault: Fault,
    released: Mutex<BTreeMap<u32, u64>>,
    pays: Mutex<BTreeMap<i64, u32>>,
}

impl Fake {
    async fn status(&self, order_id: i64) -> Option<OrderInfoResponse> {
        let info = self.inner.order_info(Request::new(OrderInfoRequest { order_id })).await;
        info.ok().map(Response::into_inner)
    }

    fn spoil(&self, status: Status) -> Status {
        match self.fault {
            Fault::NoDetails => Status::new(status.code(), status.message()),
            _ => status,
        }
    }
}

#[async_trait]
impl Loms for Fake {
    async fn order_create(
        &self,
        request: Request<OrderCreateRequest>,
    ) -> Result<Response<OrderCreateResponse>, Status> {
        let mut looked_good = self.fault == Fault::ChecksThenActs;
        if looked_good {
            for item in &request.get_ref().items {
                let request = Request::new(StocksInfoRequest { sku: item.sku });
                let there =
                    self.inner.stocks_info(request).await.map(|stock| stock.get_ref().count);
                looked_good &= there.is_ok_and(|there| there >= u64::from(item.count));
            }
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
        let mut response =
            self.inner.order_create(request).await.map_err(|status| self.spoil(status))?;
        let created = response.get_mut();
        if looked_good && created.status == "failed" && created.shortages.len() == 1 {
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
        let invalid = request.get_ref().order_id <= 0;
        match self.inner.order_info(request).await {
            Err(_) if self.fault == Fault::MissingOrderOk && !invalid => {
                Ok(Response::new(OrderInfoResponse::default()))
            }
            Err(status) => Err(self.spoil(status)),
            Ok(mut response) => {
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
        let before = self.status(order).await;
        let response = self.inner.order_pay(request).await.map_err(|status| self.spoil(status))?;
        if let Some(info) = before.filter(|info| info.status == "awaiting payment")
            && self.fault == Fault::PayReleases
        {
            let mut released = self.released.lock().unwrap();
            for item in info.items {
                *released.entry(item.sku).or_default() += u64::from(item.count);
            }
        }
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
        let before = self.status(request.get_ref().order_id).await;
        if self.fault == Fault::SecondCancelRefused
            && before.is_some_and(|info| info.status == "cancelled")
        {
            return Err(Status::failed_precondition("it is cancelled"));
        }
        self.inner.order_cancel(request).await.map_err(|status| self.spoil(status))
    }

    async fn stocks_info(
        &self,
        request: Request<StocksInfoRequest>,
    ) -> Result<Response<StocksInfoResponse>, Status> {
        let sku = request.get_ref().sku;
        let mut response =
            self.inner.stocks_info(request).await.map_err(|status| self.spoil(status))?;
        response.get_mut().count += self.released.lock().unwrap().get(&sku).unwrap_or(&0);
        Ok(response)
    }
}

/// Judges a server with this fault; it opens as the shipped stock file says.
fn judged(fault: Fault) -> (String, Exit) {
    let runtime = Runtime::new().unwrap();
    let rules = Rules { payment_timeout: Span::from_secs(0), ..Rules::default() };
    let state = LomsState::new(rules, &opening_stock::embedded());
    let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
    let inner = LomsService::new(sequencer, ServiceOptions::default());
    let (released, pays) = Default::default();
    let fake = LomsServer::new(Fake { inner, fault, released, pays });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_service(fake).serve_with_incoming(incoming);
    let server = runtime.spawn(server);
    let judged = judge(&address, 1, &opening_stock::embedded(), true);
    server.abort();
    judged
}

/// The names of the rules that are told as broken.
fn broken(fault: Fault) -> Vec<String> {
    let (text, exit) = judged(fault);
    assert_eq!(exit, Exit::Oracle, "{text}");
    text.lines().filter_map(|line| line.strip_prefix("BROKEN  ")).map(str::to_owned).collect()
}

#[test]
fn our_own_server_keeps_every_rule() {
    let (text, exit) = judged(Fault::Nothing);
    assert_eq!((text.lines().count(), exit), (1, Exit::Ok), "{text}");
}

#[test]
fn a_server_without_the_new_fields_keeps_the_rules_that_are_left() {
    let (text, exit) = judged(Fault::OldFields);
    assert_eq!(exit, Exit::Ok, "{text}");
    assert_eq!(text.matches("not offered").count(), 2, "{text}");
}

#[test]
fn pay_that_releases_is_named() {
    assert_eq!(broken(Fault::PayReleases), ["a pay leaves what is available alone"]);
}

#[test]
fn a_second_cancel_refused_is_named() {
    assert_eq!(broken(Fault::SecondCancelRefused), ["a cancel of a cancelled order is OK"]);
}

#[test]
fn an_empty_ok_for_a_missing_order_is_named() {
    let rule = "OrderInfo of an unknown order is NOT_FOUND";
    assert_eq!(broken(Fault::MissingOrderOk), [rule]);
}

#[test]
fn refusals_without_details_are_named_once_for_each_detail() {
    let rules = ["a refusal has an ErrorInfo", "INVALID_ARGUMENT names the field"];
    assert_eq!(broken(Fault::NoDetails), rules);
}

#[test]
fn check_then_act_is_seen_by_clients_at_once() {
    assert_eq!(broken(Fault::ChecksThenActs), ["calls at once are as if one by one"]);
}

#[test]
fn what_no_rule_says_is_found_by_random_programs_and_made_small() {
    let (text, exit) = judged(Fault::ThirdPayRefused);
    assert_eq!(exit, Exit::Oracle, "{text}");
    let story: Vec<&str> = text.lines().collect();
    assert_eq!(story[0], "BROKEN  a pay of a paid order is answered as the contract has it");
    let steps = story.iter().filter(|line| line.contains("pay order#")).count();
    assert_eq!(steps, 3, "{text}");
}
