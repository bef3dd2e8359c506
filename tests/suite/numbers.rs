//! Every number keeps all its bits on the way from the stock file and from a request to an answer.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::str::FromStr;

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCreateRequest, OrderInfoRequest, OrderPayRequest,
    StocksInfoRequest,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use crate::process::Process;

/// 0, 1, and the numbers around 2⁸, 2¹⁶, 2³¹, 2³², 2⁵³, 2⁶³ and 2⁶⁴.
fn edges() -> impl Iterator<Item = u64> {
    let around = [8, 16, 31, 32, 53, 63].map(|bits| {
        let edge = 1_u64 << bits;
        [edge - 1, edge, edge + 1]
    });
    [0, 1].into_iter().chain(around.into_iter().flatten()).chain([u64::MAX - 1, u64::MAX])
}

/// A random number of a random length, from 1 to 64 bits.
fn random(draws: &mut ChaCha8Rng) -> u64 {
    let length = draws.next_u64() % 64;
    draws.next_u64() >> length
}

/// The edges in the range of this type, and some random numbers in it.
fn some<T: TryFrom<u64>>(draws: &mut ChaCha8Rng) -> Vec<T> {
    let random: Vec<u64> = (0..20).map(|_| random(draws)).collect();
    edges().chain(random).filter_map(|number| T::try_from(number).ok()).collect()
}

/// A server with this stock, from a file: total and reserved units by SKU.
fn serve(stock: &BTreeMap<u32, (u64, u64)>) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.json");
    let records = stock.iter().map(|(sku, (total, reserved))| {
        format!(r#"{{"sku":{sku},"total_count":{total},"reserved":{reserved}}}"#)
    });
    fs::write(&path, format!("[{}]", records.collect::<Vec<_>>().join(","))).unwrap();
    // The server has read the file when it logs its start.
    Process::start(&["--stock", path.to_str().unwrap()])
}

#[tokio::test]
async fn stock_of_a_file_is_served_to_the_unit() {
    let mut draws = ChaCha8Rng::seed_from_u64(1);
    let counts: Vec<u64> = some(&mut draws);
    let pairs =
        counts.iter().flat_map(|total| counts.iter().map(move |reserved| (*total, *reserved)));
    let pairs: Vec<_> = pairs.filter(|(total, reserved)| reserved <= total).collect();
    let mut skus: Vec<u32> = some(&mut draws);
    while skus.len() < pairs.len() {
        skus.push(u32::try_from(draws.next_u64() >> 32).unwrap());
    }
    skus.retain(|sku| *sku != 0);
    let stock: BTreeMap<_, _> = skus.into_iter().zip(pairs).collect();
    let server = serve(&stock);

    let units: u128 = stock.values().map(|(total, _)| u128::from(*total)).sum();
    let [skus, logged] = server.started_with(["skus", "units"]);
    assert_eq!((skus, logged), (stock.len().to_string(), format!("\"{units}\"")));

    let mut loms = LomsClient::connect(server.address.clone()).await.unwrap();
    for (&sku, (total, reserved)) in &stock {
        let answer = loms.stocks_info(StocksInfoRequest { sku }).await.unwrap();
        assert_eq!(answer.into_inner().count, total - reserved, "{sku}: {total} - {reserved}");
    }

    // The command shows the same, as text and as JSON.
    let mut arguments = "stock".to_owned();
    stock.keys().for_each(|sku| arguments += &format!(" {sku}"));
    let text = String::from_utf8(server.call(&arguments).stdout).unwrap();
    let json = String::from_utf8(server.call(&format!("{arguments} --json")).stdout).unwrap();
    let text = text.lines().map(|line| {
        let [sku, count, "available"] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        (sku.parse().unwrap(), count.parse().unwrap())
    });
    let json = json.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["sku"].as_u64().unwrap(), whole(&line["count"]))
    });
    let expected = stock.iter().map(|(sku, (total, reserved))| (u64::from(*sku), total - reserved));
    let expected: Vec<_> = expected.collect();
    assert_eq!(text.collect::<Vec<(u64, u64)>>(), expected);
    assert_eq!(json.collect::<Vec<(u64, u64)>>(), expected);
}

/// A number of 64 bits. Protobuf's JSON has it as a string: JavaScript rounds large numbers.
fn whole<N: FromStr<Err: Debug>>(value: &Value) -> N {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn numbers_of_an_order_are_answered_exactly() {
    let mut draws = ChaCha8Rng::seed_from_u64(2);
    let (users, mut counts): (Vec<i64>, Vec<u32>) = (some(&mut draws), some(&mut draws));
    let mut skus: Vec<u32> = some(&mut draws);
    skus.retain(|sku| *sku != 0);
    counts.retain(|count| *count != 0);
    let mut left: BTreeMap<u32, u64> = skus.iter().map(|sku| (*sku, u64::MAX)).collect();
    let server = serve(&left.keys().map(|sku| (*sku, (u64::MAX, 0))).collect());
    let mut loms = LomsClient::connect(server.address.clone()).await.unwrap();
    let orders = users.into_iter().filter(|user| *user != 0).zip(counts.into_iter().cycle());
    for (number, (user, count)) in orders.enumerate() {
        let sku = skus[number % skus.len()];
        // Two lines of one SKU are one line of the order.
        let first = count - count / 2;
        let items = [first, count - first].into_iter().filter(|count| *count > 0);
        let items = items.map(|count| Item { sku, count }).collect();
        let request = OrderCreateRequest { user, items, idempotency_key: String::new() };
        let created = loms.order_create(request).await.unwrap().into_inner();
        let order_id = created.order_id;
        assert_eq!(created.status, "awaiting payment");

        let info = loms.order_info(OrderInfoRequest { order_id }).await.unwrap().into_inner();
        assert_eq!((info.user, &*info.items), (user, &[Item { sku, count }][..]));
        let json = server.call(&format!("info {order_id} --json")).stdout;
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(whole::<i64>(&json["user"]), user);
        let item = (json["items"][0]["sku"].as_u64(), json["items"][0]["count"].as_u64());
        assert_eq!(item, (Some(u64::from(sku)), Some(u64::from(count))));

        let units = left.get_mut(&sku).unwrap();
        *units -= u64::from(count);
        let stock = loms.stocks_info(StocksInfoRequest { sku }).await.unwrap();
        assert_eq!(stock.into_inner().count, *units, "after the create");
        if number % 2 == 0 {
            loms.order_pay(OrderPayRequest { order_id }).await.unwrap();
        } else {
            loms.order_cancel(OrderCancelRequest { order_id }).await.unwrap();
            *units += u64::from(count);
        }
        let stock = loms.stocks_info(StocksInfoRequest { sku }).await.unwrap();
        assert_eq!(stock.into_inner().count, *units, "after the pay or cancel");
    }
}

#[tokio::test]
async fn shortage_is_answered_to_the_unit() {
    let mut draws = ChaCha8Rng::seed_from_u64(3);
    let counts: Vec<u32> = some(&mut draws);
    let cases =
        (1..).zip(counts.iter().flat_map(|most| [(most - most.min(&1), *most), (0, *most)]));
    let cases: Vec<_> = cases.filter(|(_, (available, most))| available < most).collect();
    // Reserved units of the largest record, so that the difference has all bits.
    let record = |available: u32| (u64::MAX, u64::MAX - u64::from(available));
    let stock = cases.iter().map(|(sku, (available, _))| (*sku, record(*available)));
    let server = serve(&stock.collect());
    let mut loms = LomsClient::connect(server.address.clone()).await.unwrap();
    for (sku, (available, count)) in cases {
        let items = vec![Item { sku, count }];
        let request = OrderCreateRequest { user: 7, items, idempotency_key: String::new() };
        let created = loms.order_create(request).await.unwrap().into_inner();
        let [short] = &created.shortages[..] else { panic!("{created:?}") };
        let expected = (sku, u64::from(count), u64::from(available));
        assert_eq!((short.sku, short.requested, short.available), expected);
    }
}
