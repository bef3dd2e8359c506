//! Concurrent calls from many connections, over real gRPC on several threads.

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    OrderCancelRequest, OrderCreateResponse, OrderInfoRequest, OrderPayRequest,
};
use loms::grpc::service::ServiceOptions;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

use crate::script::{Shop, create_request};

async fn connections(shop: &Shop, count: usize) -> Vec<LomsClient<Channel>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(LomsClient::connect(shop.address.clone()).await.unwrap());
    }
    clients
}

fn units(shop: &Shop) -> (u64, u64) {
    let present = shop.sequencer.present().unwrap();
    present.state().check_invariants().unwrap();
    let stock = present.state().stock().next().unwrap();
    (stock.total, stock.reserved)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_reserve_exactly_the_stock() {
    let shop = Shop::open("1=210/10", ServiceOptions::default()).await;
    let mut calls = JoinSet::new();
    for client in connections(&shop, 10).await {
        for user in 1..=30 {
            let mut client = client.clone();
            calls.spawn(async move {
                let request = create_request(&[&format!("user={user}"), "1:1"]);
                client.order_create(request).await.unwrap().into_inner()
            });
        }
    }
    let mut answers: Vec<OrderCreateResponse> = calls.join_all().await;
    answers.sort_by_key(|answer| answer.order_id);
    assert!(answers.iter().map(|answer| answer.order_id).eq(1..=300), "every order has its own id");
    let reserved = answers.iter().filter(|answer| answer.status == "awaiting payment").count();
    let failed = answers.iter().filter(|answer| answer.status == "failed").count();
    assert_eq!((reserved, failed), (200, 100));
    assert_eq!(units(&shop), (210, 210));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_with_one_key_make_one_order() {
    let shop = Shop::open("1=100/0", ServiceOptions::default()).await;
    let mut calls = JoinSet::new();
    for mut client in connections(&shop, 10).await {
        calls.spawn(async move {
            let request = create_request(&["user=7", "1:3", "key=once"]);
            client.order_create(request).await.unwrap().into_inner().order_id
        });
    }
    assert_eq!(calls.join_all().await, [1; 10]);
    assert_eq!(units(&shop), (100, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_pays_deduct_stock_once() {
    let mut shop = Shop::open("1=100/0", ServiceOptions::default()).await;
    shop.run("create user=7 1:3").await;
    let mut calls = JoinSet::new();
    for mut client in connections(&shop, 10).await {
        calls.spawn(
            async move { client.order_pay(OrderPayRequest { order_id: 1 }).await.map(drop) },
        );
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(units(&shop), (97, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_pay_and_cancel_have_one_winner() {
    let mut shop = Shop::open("1=100/0", ServiceOptions::default()).await;
    let clients = connections(&shop, 2).await;
    let (mut total, mut paid) = (100, 0);
    for order_id in 1..=50 {
        shop.run("create user=7 1:2").await;
        let (mut payer, mut canceller) = (clients[0].clone(), clients[1].clone());
        let pay = tokio::spawn(async move { payer.order_pay(OrderPayRequest { order_id }).await });
        let cancel =
            tokio::spawn(
                async move { canceller.order_cancel(OrderCancelRequest { order_id }).await },
            );
        let (pay, cancel) = (pay.await.unwrap(), cancel.await.unwrap());
        let info = shop.client.order_info(OrderInfoRequest { order_id }).await.unwrap();
        let loser = match info.into_inner().status.as_str() {
            "paid" => {
                assert!(pay.is_ok());
                total -= 2;
                paid += 1;
                cancel.unwrap_err()
            }
            "cancelled" => {
                assert!(cancel.is_ok());
                pay.unwrap_err()
            }
            other => panic!("order {order_id} is {other}"),
        };
        assert_eq!(loser.code(), Code::FailedPrecondition);
        assert_eq!(units(&shop), (total, 0), "after {paid} payments");
    }
}
