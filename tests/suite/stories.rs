//! Every rule of the contract, over real gRPC. Each test writes a page in `snapshots/`.

use loms::grpc::service::{FailedCreate, ServiceOptions};

use crate::script::Shop;
use crate::story::snapshot;

/// Available: 8 of SKU 1, 5 of SKU 2, none of SKU 3.
const STOCK: &str = "1=10/2 2=5/0 3=7/7";

async fn check(name: &str, script: &str) {
    check_with(name, ServiceOptions::default(), script).await;
}

async fn check_with(name: &str, options: ServiceOptions, script: &str) {
    let page = Shop::open(STOCK, options).await.run(script).await;
    snapshot(name, &page);
}

#[tokio::test]
async fn create_reserves_every_line_or_none() {
    let script = "
        # Every line is reserved.
        create user=7 2:1 1:8
        info 1
        stock 1
        stock 2
        # One line is short: nothing is reserved, and the order is stored as failed.
        create user=7 2:4 1:1
        info 2
        stock 2
        # The answer lists every short line. A failed order uses an id too.
        create user=8 1:1 2:5 3:1
        create user=8 2:4
        info 4
    ";
    check("contract_create", script).await;
}

#[tokio::test]
async fn create_with_unknown_sku_fails() {
    let script = "
        create user=7 1:1 99:3
        info 1
        stock 1
        stock 99
    ";
    check("contract_create_unknown_sku", script).await;
}

#[tokio::test]
async fn create_merges_lines_of_one_sku() {
    let script = "
        # 5 + 3 is exactly what is available of SKU 1.
        create user=7 1:5 2:1 1:3
        info 1
        # 3 + 2 is one too many of SKU 2, although each line alone is not.
        create user=7 2:3 2:2
        info 2
        # Two sums are over u32: the answer names the lower SKU.
        create user=7 2:4294967295 2:1 1:4294967295 1:1
        # The largest sum is a normal shortage.
        create user=7 1:4294967294 1:1
    ";
    check("contract_create_merge", script).await;
}

#[tokio::test]
async fn create_refuses_invalid_requests() {
    let script = "
        create user=0 1:1
        create user=-5 1:1
        create user=7
        create user=7 0:1
        create user=7 1:1 2:0
        create user=7 1:1*1001
        create user=7 1:1 key=é*128
        create user=7 1:1 key=k*256
        # A request that breaks several rules is refused for the first of them.
        create user=0 0:0*1001 key=k*256
        create user=7 0:0*1001 key=k*256
        create user=7 1:4294967295 1:1 2:0 0:1 key=k*256
        create user=7 1:4294967295 1:1 2:1 0:0 key=k*256
        create user=7 1:4294967295 1:1 key=k*256
        # Refusals used no id. The largest order and the longest key are accepted.
        create user=7 3:1*1000 key=k*255
    ";
    check("contract_create_refusals", script).await;
}

#[tokio::test]
async fn failed_create_is_a_refusal_if_configured() {
    let options =
        ServiceOptions { failed_create: FailedCreate::FailedPrecondition, ..Default::default() };
    let script = "
        create user=7 1:9 3:1 key=k
        # Only the answer differs: the order and its key are stored.
        info 1
        create user=7 1:9 3:1 key=k
        create user=7 1:8
    ";
    check_with("contract_create_failed_precondition", options, script).await;
}

#[tokio::test]
async fn create_with_key_makes_one_order() {
    let script = "
        create user=7 1:2 2:1 key=a
        # The same lines, written in another way.
        create user=7 2:1 1:1 1:1 key=a
        stock 1
        # Other lines.
        create user=7 1:2 key=a
        create user=7 1:2 2:2 key=a
        # The same key of another user is another key. A create without a key is never a repeat.
        create user=8 1:2 2:1 key=a
        create user=7 1:2 2:1
        # A failed create is repeated as failed, even if there is enough stock now.
        create user=7 1:4 key=b
        cancel 2
        stock 1
        create user=7 1:4 key=b
        # The first answer is repeated, although the order is paid now.
        pay 1
        create user=7 1:2 2:1 key=a
        info 1
    ";
    check("contract_create_key", script).await;
}

#[tokio::test]
async fn key_is_forgotten_after_its_window() {
    let script = "
        create user=7 1:1 key=a
        wait 23h59m59s
        # A repeat does not extend the window.
        create user=7 1:1 key=a
        create user=7 1:2 key=a
        wait 2s
        create user=7 1:2 key=a
        create user=7 1:2 key=a
        # Several keys can end at the same time.
        create user=7 2:1 key=b
        create user=7 2:1 key=c
        create user=7 2:1 key=d
        wait 25h
        create user=7 2:2 key=d
    ";
    check("contract_create_key_window", script).await;
}

#[tokio::test]
async fn info_returns_the_order() {
    let script = "
        create user=9223372036854775807 2:1 1:1
        wait 5s
        pay 1
        info 1
        info 2
        info 0
        info -1
        info 9223372036854775807
    ";
    check("contract_info", script).await;
}

#[tokio::test]
async fn pay_deducts_stock() {
    let script = "
        create user=7 1:3
        stock 1
        pay 1
        # Total and reserved decrease: what is available stays.
        stock 1
        info 1
        # Again: no effect.
        pay 1
        stock 1
        # These cannot be paid.
        create user=7 1:1
        cancel 2
        pay 2
        create user=7 3:1
        pay 3
        pay 4
        pay 0
        pay -9223372036854775808
        # A paid order cannot be cancelled: 5 of 8 are left.
        cancel 1
        create user=7 1:6
        create user=7 1:5
    ";
    check("contract_pay", script).await;
}

#[tokio::test]
async fn cancel_releases_stock() {
    let script = "
        create user=7 1:3
        create user=7 1:4
        cancel 1
        stock 1
        info 1
        # Again: no effect.
        cancel 1
        stock 1
        # These cannot be cancelled.
        pay 2
        cancel 2
        create user=7 3:1
        cancel 3
        cancel 4
        cancel 0
        stock 1
        stock 3
    ";
    check("contract_cancel", script).await;
}

#[tokio::test]
async fn stock_returns_available_units() {
    let script = "
        stock 1
        stock 2
        stock 3
        stock 4
        stock 0
        stock 4294967295
    ";
    check("contract_stock", script).await;
}

#[tokio::test]
async fn unpaid_order_expires() {
    let script = "
        create user=7 1:3
        wait 5m
        create user=7 1:4
        create user=7 2:1
        pay 3
        wait 4m59s
        stock 1
        info 1
        wait 2s
        # The order is due: every call sees it as cancelled.
        stock 1
        info 1
        pay 1
        cancel 1
        info 2
        # The next order is due too: here a pay is the first call to see it.
        wait 1h
        pay 2
        info 2
        stock 1
        # A paid order never expires.
        info 3
    ";
    check("contract_expiry", script).await;
}
