//! The contract, row by row, over real gRPC. Each story is a page in `snapshots/`.

use loms::grpc::service::{FailedCreate, ServiceOptions};

use crate::script::Shop;
use crate::story::snapshot;

/// SKU 1 can promise 8, SKU 2 can promise 5, SKU 3 nothing.
const STOCK: &str = "1=10/2 2=5/0 3=7/7";

async fn tell(name: &str, script: &str) {
    tell_with(name, ServiceOptions::default(), script).await;
}

async fn tell_with(name: &str, options: ServiceOptions, script: &str) {
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
        # One line is short: nothing is reserved, and the order is on record.
        create user=7 2:4 1:1
        info 2
        stock 2
        # Every short line is told, and the next id follows on the failed order's.
        create user=8 1:1 2:5 3:1
        create user=8 2:4
        info 4
    ";
    tell("contract_create", script).await;
}

#[tokio::test]
async fn create_with_an_unknown_sku_fails_on_record() {
    let script = "
        create user=7 1:1 99:3
        info 1
        stock 1
        stock 99
    ";
    tell("contract_create_unknown_sku", script).await;
}

#[tokio::test]
async fn create_merges_lines_of_one_sku() {
    let script = "
        # 5 + 3 is just what SKU 1 can promise.
        create user=7 1:5 2:1 1:3
        info 1
        # 3 + 2 is one too many for SKU 2, though each line alone would do.
        create user=7 2:3 2:2
        info 2
        # A sum over u32, of the lowest SKU that has one.
        create user=7 2:4294967295 2:1 1:4294967295 1:1
        # At the edge of u32 it is a shortage like any other.
        create user=7 1:4294967294 1:1
    ";
    tell("contract_create_merge", script).await;
}

#[tokio::test]
async fn create_refuses_what_is_no_order() {
    let script = "
        create user=0 1:1
        create user=-5 1:1
        create user=7
        create user=7 0:1
        create user=7 1:1 2:0
        create user=7 1:1*1001
        create user=7 1:1 key=é*33
        create user=7 1:1 key=k*65
        # What breaks several rules is refused for the first of them.
        create user=0 0:0*1001 key=k*65
        create user=7 0:0*1001 key=k*65
        create user=7 1:4294967295 1:1 2:0 0:1 key=k*65
        create user=7 1:4294967295 1:1 2:1 0:0 key=k*65
        create user=7 1:4294967295 1:1 key=k*65
        # None of it used an id. The longest order and the longest key pass.
        create user=7 3:1*1000 key=k*64
    ";
    tell("contract_create_refusals", script).await;
}

#[tokio::test]
async fn create_can_answer_a_failed_order_by_a_refusal() {
    let options =
        ServiceOptions { failed_create: FailedCreate::FailedPrecondition, ..Default::default() };
    let script = "
        create user=7 1:9 3:1 key=k
        # Only the edge differs: the order is on record, and its key is known.
        info 1
        create user=7 1:9 3:1 key=k
        create user=7 1:8
    ";
    tell_with("contract_create_failed_precondition", options, script).await;
}

#[tokio::test]
async fn create_with_a_key_is_done_once() {
    let script = "
        create user=7 1:2 2:1 key=a
        # The same lines, however they are written.
        create user=7 2:1 1:1 1:1 key=a
        stock 1
        # Other lines.
        create user=7 1:2 key=a
        create user=7 1:2 2:2 key=a
        # Another user's key is another key, and so is no key at all.
        create user=8 1:2 2:1 key=a
        create user=7 1:2 2:1
        # A failed order is answered again as well, even when there would be enough by now.
        create user=7 1:4 key=b
        cancel 2
        stock 1
        create user=7 1:4 key=b
        # The first answer comes again, whatever has become of the order.
        pay 1
        create user=7 1:2 2:1 key=a
        info 1
    ";
    tell("contract_create_key", script).await;
}

#[tokio::test]
async fn key_is_forgotten_after_its_window() {
    let script = "
        create user=7 1:1 key=a
        wait 23h59m59s
        # Asking again does not make it last.
        create user=7 1:1 key=a
        create user=7 1:2 key=a
        wait 2s
        create user=7 1:2 key=a
        create user=7 1:2 key=a
        # So is every key, however many are due at once.
        create user=7 2:1 key=b
        create user=7 2:1 key=c
        create user=7 2:1 key=d
        wait 25h
        create user=7 2:2 key=d
    ";
    tell("contract_create_key_window", script).await;
}

#[tokio::test]
async fn info_tells_an_order() {
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
    tell("contract_info", script).await;
}

#[tokio::test]
async fn pay_lets_stock_leave() {
    let script = "
        create user=7 1:3
        stock 1
        pay 1
        # What was promised has left: as much as before can be promised.
        stock 1
        info 1
        # Again: no effect.
        pay 1
        stock 1
        # What cannot be paid.
        create user=7 1:1
        cancel 2
        pay 2
        create user=7 3:1
        pay 3
        pay 4
        pay 0
        pay -9223372036854775808
        # A paid order does not come back: 5 are left of the 8.
        cancel 1
        create user=7 1:6
        create user=7 1:5
    ";
    tell("contract_pay", script).await;
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
        # What cannot be cancelled.
        pay 2
        cancel 2
        create user=7 3:1
        cancel 3
        cancel 4
        cancel 0
        stock 1
        stock 3
    ";
    tell("contract_cancel", script).await;
}

#[tokio::test]
async fn stock_tells_what_can_be_promised() {
    let script = "
        stock 1
        stock 2
        stock 3
        stock 4
        stock 0
        stock 4294967295
    ";
    tell("contract_stock", script).await;
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
        # Due: nobody sees the order, or its stock, any other way.
        stock 1
        info 1
        pay 1
        cancel 1
        info 2
        # The next one, seen first by a payment that comes too late.
        wait 1h
        pay 2
        info 2
        stock 1
        # What is paid never expires.
        info 3
    ";
    tell("contract_expiry", script).await;
}
