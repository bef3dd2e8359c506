//! Environment variables: which are read, which are ignored, and which are reported.

use loms::config::keys::KEYS;
use loms::config::{Config, Orders};

use crate::config::Start;

#[test]
fn kubernetes_variables_are_ignored() {
    let mut start = Start::new();
    for (name, text) in [
        ("LOMS_SERVICE_HOST", "10.0.0.7"),
        ("LOMS_SERVICE_PORT", "50051"),
        ("LOMS_SERVICE_PORT_GRPC", "50051"),
        ("LOMS_PORT", "tcp://10.0.0.7:50051"),
        ("LOMS_PORT_50051_TCP", "tcp://10.0.0.7:50051"),
        ("LOMS_PORT_50051_TCP_PROTO", "tcp"),
        ("LOMS_PORT_50051_TCP_PORT", "50051"),
        ("LOMS_PORT_50051_TCP_ADDR", "10.0.0.7"),
        ("LOMS_PORT_50052_UDP", "udp://10.0.0.7:50052"),
        ("LOMS_CANARY_SERVICE_HOST", "10.0.0.8"),
        ("LOMS_CANARY_PORT_50051_TCP_ADDR", "10.0.0.8"),
        ("HOME", "/root"),
        ("loms_grpc_listen", "lower case is ignored"),
    ] {
        start = start.variable(name, text);
    }
    assert_eq!(start.load().unwrap(), Config::default());
}

#[test]
fn empty_variable_is_unset() {
    let mut start = Start::new().with("config/config.yaml", "orders: {max_lines: 2}");
    let known = KEYS.iter().map(|key| key.variable);
    for name in known.chain(["LOMS_CONFIG", "LOMS_NAME", "LOMS_GRPC_LISTN"]) {
        start = start.variable(name, "");
    }
    let orders = Orders { max_lines: 2, ..Config::default().orders };
    assert_eq!(start.load().unwrap(), Config { orders, ..Config::default() });
    assert_eq!(start.load_client().unwrap(), Start::new().load_client().unwrap());
}

#[test]
fn unknown_variable_is_a_warning_and_a_near_miss_names_the_key() {
    let mut start = Start::new();
    for name in [
        "LOMS_ADDRES",
        "LOMS_CONFG",
        "LOMS_GRPC_LISTN",
        "LOMS_HELP_ME",
        "LOMS_HOST",
        "LOMS_LISTEN",
        "LOMS_NAME",
        "LOMS_PORT",
        "LOMS_VERSION",
        "LOMS_\n\u{1b}[1m",
    ] {
        start = start.variable(name, "50051");
    }
    let unknown = start.load().unwrap().unknown_variables;
    assert_eq!(
        unknown.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "LOMS_  [1m: unknown environment variable, ignored",
            "LOMS_ADDRES: unknown environment variable, ignored; did you mean LOMS_ADDRESS?",
            "LOMS_CONFG: unknown environment variable, ignored; did you mean LOMS_CONFIG?",
            "LOMS_GRPC_LISTN: unknown environment variable, ignored; did you mean \
             LOMS_GRPC_LISTEN?",
            "LOMS_HELP_ME: unknown environment variable, ignored",
            "LOMS_HOST: unknown environment variable, ignored",
            "LOMS_LISTEN: unknown environment variable, ignored; did you mean LOMS_GRPC_LISTEN?",
            "LOMS_NAME: unknown environment variable, ignored",
            "LOMS_PORT: unknown environment variable, ignored",
            "LOMS_VERSION: unknown environment variable, ignored",
        ]
    );
    // A command that calls a server uses no other key.
    let misspelt = start.load_client().unwrap().misspelt_variables;
    assert_eq!(misspelt.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["LOMS_ADDRES"]);
}

#[test]
fn address_without_a_scheme_is_http() {
    for (text, address) in [
        ("localhost:50051", "http://localhost:50051"),
        ("10.0.0.7:80/", "http://10.0.0.7:80"),
        ("[::1]:50051", "http://[::1]:50051"),
        ("http://loms", "http://loms"),
    ] {
        let start = Start::new().variable("LOMS_ADDRESS", text);
        assert_eq!(start.load_client().unwrap().address, address, "{text}");
    }
}
