//! Invalid values of keys: each refusal names the key, its source and what is expected.

use std::fmt::Write;

use crate::config::Start;
use crate::story::snapshot;

#[test]
fn invalid_values_are_refused_with_key_and_source() {
    let values = [
        ("grpc.listen", &["localhost:50051", "0.0.0.0", ":50051", "0.0.0.0:65536", ""][..]),
        (
            "loms.address",
            &[
                "localhost",
                "ftp://localhost:50051",
                "loms:50051:1",
                "me@loms:50051",
                "loms:0",
                "loms:50051/api",
                "http://",
                "http://loms:0",
                "http://loms:65536",
                "http://me@loms:50051",
                "http://loms:50051/api",
                "http://loms:50051?a=b",
            ],
        ),
        ("stock.file", &[""]),
        ("orders.max_lines", &["0", "-1", "65536", "1.5", "1_000", "many"]),
        (
            "orders.payment_timeout",
            &[
                "-1m",
                "10",
                "10 parsecs",
                "m",
                "",
                "never",
                "585years",
                "18446744073709551615s1000ms",
            ],
        ),
        ("orders.idempotency_window", &["-1m", "18446744073s 709551616ns"]),
        ("orders.retry_failed", &["true", ""]),
        ("orders.max_bytes", &["-1", "1.5GiB", "quarter", "18446744073709551616", "16777216TiB"]),
        ("orders.failed_create", &["OK", "failed"]),
        (
            "log.level",
            &["inof", "", "info,", "info,loms::grpc", "loms=", "loms:=info", "3", "=info"],
        ),
        ("log.format", &["xml", "text\nlog", "Text"]),
    ];
    let mut page = String::new();
    for (key, texts) in values {
        for text in texts {
            let start = Start::new().flag(key, text);
            let is_client = key.starts_with("loms.");
            let refusal = if is_client { start.client_refusal() } else { start.refusal() };
            writeln!(page, "{refusal}").unwrap();
        }
    }
    let long = "9".repeat(1_000);
    writeln!(page, "{}", Start::new().flag("orders.max_lines", &long).refusal()).unwrap();
    let variable = Start::new().variable("LOMS_ORDERS_MAX_LINES", "0");
    writeln!(page, "{}", variable.refusal()).unwrap();
    writeln!(page, "{}", Start::new().flag("orders.max_line", "5").refusal()).unwrap();
    snapshot("config_value_refusals", &page);
}
