//! The stock file: valid files, and every error.

use std::fs;

use loms::opening_stock;
use loms::state_machine::{OpeningStock, StockRecord};

use crate::story::snapshot;

fn parse(text: &str) -> Result<OpeningStock, String> {
    opening_stock::parse(text, "stock.json").map_err(|error| error.to_string())
}

fn listed(stock: &OpeningStock) -> Vec<(u32, u64, u64)> {
    let tuple = |record: &StockRecord| (record.sku.get(), record.total, record.reserved);
    stock.records().iter().map(tuple).collect()
}

#[test]
fn embedded_stock_has_five_skus() {
    let five = [
        (1002, 200, 20),
        (1003, 250, 30),
        (1004, 300, 40),
        (1005, 350, 50),
        (773_297_411, 150, 10),
    ];
    assert_eq!(listed(&opening_stock::embedded()), five);
}

#[test]
fn stock_file_accepts_no_records_and_largest_numbers() {
    assert_eq!(listed(&parse("[]").unwrap()), []);
    let edges = r#"[
        {"reserved": 18446744073709551615, "sku": 4294967295, "total_count": 18446744073709551615},
        {"sku": 1, "total_count": 0, "reserved": 0}
    ]"#;
    let stock = parse(edges).unwrap();
    assert_eq!(listed(&stock), [(1, 0, 0), (u32::MAX, u64::MAX, u64::MAX)]);
}

#[test]
fn stock_file_with_a_hundred_thousand_skus_loads() {
    let records: Vec<String> = (1..=100_000)
        .rev()
        .map(|sku| format!(r#"{{"sku":{sku},"total_count":{sku},"reserved":1}}"#))
        .collect();
    let stock = parse(&format!("[{}]", records.join(",\n"))).unwrap();
    let expected = (1..=100_000).map(|sku| (sku, u64::from(sku), 1));
    assert!(listed(&stock).into_iter().eq(expected));
}

#[test]
fn stock_file_errors_have_line_and_reason() {
    let not_records = [
        "",
        "[",
        "nonsense",
        r#"[{"sku": 1, "total_count": 5, "reserved": 0},]"#,
        "[\n  {\"sku\": 1, \"total_count\": 5, \"reserved\": 0}\n  {\"sku\": 2",
        r#"[{"sku": 1, "total_count": 5, "reserved": 1e999}]"#,
        r#"[{"sku": 1, "total_count": 5, "reserved": 0}] []"#,
        r#"{"sku": 1, "total_count": 5, "reserved": 0}"#,
        "5",
        "[5]",
        "[[1, 5, 0]]",
    ];
    let bad_records = [
        r#"[{"sku": 0, "total_count": 5, "reserved": 0}]"#,
        r#"[{"sku": -1, "total_count": 5, "reserved": 0}]"#,
        r#"[{"sku": 4294967296, "total_count": 5, "reserved": 0}]"#,
        r#"[{"sku": "1", "total_count": 5, "reserved": 0}]"#,
        "[\n  {\"sku\": 7, \"total_count\": 5, \"reserved\": 0},\n  {\n    \"sku\": 8,\n    \
         \"total_count\": -5,\n    \"reserved\": 0\n  }\n]",
        r#"[{"total_count": -5, "sku": 8, "reserved": 0}]"#,
        r#"[{"sku": 8, "total_count": 1.5, "reserved": 0}]"#,
        r#"[{"sku": 8, "total_count": 18446744073709551616, "reserved": 0}]"#,
        r#"[{"sku": 8, "total_count": null, "reserved": 0}]"#,
        r#"[{"sku": 8, "total_count": 5, "reserved": -1}]"#,
        r#"[{"sku": 8, "total_count": 5, "reserved": 6}]"#,
        r#"[{"sku": 8, "total_count": 5}]"#,
        r#"[{"sku": 8, "reserved": 5}]"#,
        r#"[{"total_count": 5, "reserved": 0}]"#,
        "[{}]",
        r#"[{"sku": 8, "total_count": 5, "reserved": 0, "price": 1}]"#,
        "[{\"sku\": 8, \"total\\ncount\": 5, \"reserved\": 0}]",
        r#"[{"sku": 8, "total_count": 5, "total_count": 5, "reserved": 0}]"#,
        "[\n  {\"sku\": 7, \"total_count\": 5, \"reserved\": 0},\n  \
         {\"sku\": 8, \"total_count\": 5, \"reserved\": 0},\n  \
         {\"sku\": 9, \"total_count\": 5, \"reserved\": 0},\n  \
         {\"sku\": 8, \"total_count\": 5, \"reserved\": 0}\n]",
    ];
    let refused = |texts: &[&str]| {
        let lines = texts.iter().map(|text| {
            let refusal = parse(text).unwrap_err();
            assert_eq!(refusal.lines().count(), 1, "{refusal:?}");
            format!("{text}\n  → {refusal}\n")
        });
        lines.collect::<String>()
    };
    snapshot("stock_file_refusals", &refused(&not_records));
    snapshot("stock_record_refusals", &refused(&bad_records));
}

#[test]
fn stock_file_is_loaded_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.json");
    let load = || opening_stock::load(&path).map_err(|error| error.to_string());
    let refused = |rest: &str| format!("{}{rest}", path.display());

    let missing = load().unwrap_err();
    let expected = refused(": the stock file cannot be read: No such file or directory");
    assert!(missing.starts_with(&expected), "{missing}");

    fs::write(&path, b"[\n\n\xff]").unwrap();
    let fix = ":3: not UTF-8; save the stock file as UTF-8";
    assert_eq!(load().unwrap_err(), refused(fix));

    fs::write(&path, r#"[{"sku": 8, "total_count": 5, "reserved": 4}]"#).unwrap();
    assert_eq!(listed(&load().unwrap()), [(8, 5, 4)]);
}
