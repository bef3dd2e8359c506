//! The stock file: valid files, and every error.

use std::fs;

use loms::opening_stock;
use loms::state_machine::{OpeningStock, StockRecord};

use crate::logs::Log;
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
fn whole_number_is_read_exactly_in_any_spelling() {
    let read = |number: &str| {
        let stock = parse(&format!(r#"[{{"sku": 1, "total_count": {number}, "reserved": 0}}]"#));
        stock.map(|stock| listed(&stock)[0].1)
    };
    for (number, expected) in [
        ("150.0", 150),
        ("1e3", 1_000),
        ("1E+3", 1_000),
        ("1.5e1", 15),
        ("1500e-2", 15),
        ("0.00015e6", 150),
        ("-0", 0),
        ("-0.0e9", 0),
        ("0e99999999999999999999", 0),
        // 2⁵³ + 1 and 2⁶⁴ − 1: a floating-point number would round them.
        ("9007199254740993.0", 9_007_199_254_740_993),
        ("1844674407370955161.5e1", u64::MAX),
    ] {
        assert_eq!(read(number), Ok(expected), "{number}");
    }
    for number in [
        "1.5",
        "15e-1",
        "1e-1",
        "9007199254740993.5",
        "18446744073709551616",
        "1844674407370955161.6e1",
        "1e20",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "-1.0",
        "true",
        "\"1\"",
        "\"0e0\"",
        "[]",
    ] {
        let refusal = read(number).unwrap_err();
        let expected =
            format!("`total_count` of SKU 1 cannot be {number}; expected a whole number");
        assert!(refusal.contains(&expected), "{number}: {refusal}");
    }
    for number in ["1.", ".5", "01", "+1", "1e", "0x10", "NaN"] {
        let refusal = read(number).unwrap_err();
        assert!(refusal.contains(": not JSON: "), "{number}: {refusal}");
    }
}

#[test]
fn byte_order_mark_is_no_part_of_the_stock_file() {
    let text = r#"[{"sku": 8, "total_count": 5, "reserved": 0}]"#;
    assert_eq!(parse(&format!("\u{feff}{text}")), parse(text));
    let refusal = parse("\u{feff}[5]").unwrap_err();
    assert!(refusal.starts_with("stock.json:1:2: invalid type: integer `5`"), "{refusal}");
}

#[test]
fn warnings_name_what_is_probably_not_intended() {
    let warned = |text: &str| {
        let stock = parse(text).unwrap();
        let log = Log::capture();
        opening_stock::log_warnings(&stock);
        log.lines()
    };
    let records = |skus: u32, reserved: u32| {
        let record = |sku| format!(r#"{{"sku":{sku},"total_count":100,"reserved":{reserved}}}"#);
        format!("[{}]", (1..=skus).map(record).collect::<Vec<_>>().join(","))
    };
    assert!(warned(&records(11, 100)).is_empty());
    assert_eq!(
        warned("[]"),
        ["WARN loms::opening_stock: the stock file has no records: every create fails for lack \
             of stock"]
    );
    let over = "WARN loms::opening_stock: more is reserved than there is: nothing is available";
    assert_eq!(warned(&records(1, 101)), [format!("{over} skus=1 records=\"1 (101 of 100)\"")]);
    let ten: Vec<_> = (1..=10).map(|sku| format!("{sku} (101 of 100)")).collect();
    let ten = ten.join(", ");
    assert_eq!(warned(&records(10, 101)), [format!("{over} skus=10 records=\"{ten}\"")]);
    assert_eq!(warned(&records(11, 101)), [format!("{over} skus=11 records=\"{ten}, …\"")]);
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
        r#"[{"sku": 8, "total_count": 1e999, "reserved": 0}]"#,
        r#"[{"sku": 8, "total_count": [1,  2], "reserved": 0}]"#,
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
