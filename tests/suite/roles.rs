//! Roles: what a caller without one, or with the wrong one, gets from a running server.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::proto::{OrderPayRequest, StocksInfoRequest};
use loms::server::{Access, RateLimits, ServerOptions, TlsFiles};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_types::StatusExt;

use crate::certificates::Authority;
use crate::process::Process;
use crate::script::{Shop, create_request, opening};

/// The SHA-256 of `secret` and of `other`.
const SECRET: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const OTHER: &str = "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

async fn open(folder: &Path, callers: &str, tls: Option<TlsFiles>) -> Shop {
    open_limited(folder, callers, tls, RateLimits::default()).await
}

async fn open_limited(
    folder: &Path,
    callers: &str,
    tls: Option<TlsFiles>,
    rates: RateLimits,
) -> Shop {
    let file = folder.join("callers");
    fs::write(&file, callers).unwrap();
    let access = Access::load(tls, Some(file), rates).unwrap();
    let options = ServerOptions { access, ..ServerOptions::on(NonZeroUsize::MIN) };
    Shop::serve(&opening("1002=10/0"), options).await
}

fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    let header = token.map(|token| format!("Bearer {token}").parse().unwrap());
    let metadata: &mut MetadataMap = request.metadata_mut();
    header.into_iter().for_each(|header| drop(metadata.insert("authorization", header)));
    request
}

/// The code of a read and of a pay of an order that does not exist.
async fn read_and_pay(channel: &Channel, token: Option<&str>) -> [Code; 2] {
    let mut loms = LomsClient::new(channel.clone());
    let read = loms.stocks_info(with_token(StocksInfoRequest { sku: 1002 }, token)).await;
    let pay = loms.order_pay(with_token(OrderPayRequest { order_id: 1 }, token)).await;
    let code = |refused: Status| refused.code();
    [read.map_or_else(code, |_| Code::Ok), pay.map_or_else(code, |_| Code::Ok)]
}

#[tokio::test]
async fn token_gives_the_calls_of_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let callers = format!("shop cart {SECRET}\nboard reader {OTHER}");
    let shop = open(folder.path(), &callers, None).await;
    let codes = async |token| read_and_pay(&shop.channel, token).await;
    assert_eq!(codes(Some("secret")).await, [Code::Ok, Code::NotFound]);
    assert_eq!(codes(Some("other")).await, [Code::Ok, Code::PermissionDenied]);
    assert_eq!(codes(Some("wrong")).await, [Code::Unauthenticated; 2]);
    assert_eq!(codes(None).await, [Code::Unauthenticated; 2]);
}

#[tokio::test]
async fn refusal_has_a_reason_and_its_facts() {
    let folder = tempfile::tempdir().unwrap();
    let shop = open(folder.path(), &format!("board reader {OTHER}"), None).await;
    let pay = async |token| {
        let request = with_token(OrderPayRequest { order_id: 1 }, token);
        let refused = LomsClient::new(shop.channel.clone()).order_pay(request).await.unwrap_err();
        let info = refused.get_details_error_info().unwrap();
        let mut facts: Vec<_> = info.metadata.into_iter().collect();
        facts.sort();
        (info.reason, facts)
    };
    assert_eq!(pay(None).await, ("NO_CREDENTIALS".to_owned(), vec![]));
    assert_eq!(pay(Some("wrong")).await, ("UNKNOWN_CREDENTIALS".to_owned(), vec![]));
    let facts = [("caller", "board"), ("role", "reader")];
    let facts = facts.map(|(name, fact)| (name.to_owned(), fact.to_owned())).to_vec();
    assert_eq!(pay(Some("other")).await, ("ROLE_NOT_ALLOWED".to_owned(), facts));
}

#[tokio::test]
async fn health_is_open_and_reflection_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let shop = open(folder.path(), &format!("board reader {SECRET}"), None).await;
    let mut health = HealthClient::new(shop.channel.clone());
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
    let reflect = async |token| {
        let questions = tokio_stream::iter([ServerReflectionRequest::default()]);
        let request = with_token(questions, token);
        let mut reflection = ServerReflectionClient::new(shop.channel.clone());
        reflection.server_reflection_info(request).await.map(drop).map_err(|error| error.code())
    };
    assert_eq!(reflect(None).await, Err(Code::Unauthenticated));
    assert_eq!(reflect(Some("secret")).await, Ok(()));
}

#[tokio::test]
async fn certificate_gives_the_calls_of_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("server").write(folder.path());
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.path().join(name));
    fs::write(&ca, authority.pem()).unwrap();
    let tls = TlsFiles { cert, key, client_ca: Some(ca) };
    let shop = open(folder.path(), "board reader certificate:Board 1", Some(tls)).await;
    for (name, codes) in
        [("Board 1", [Code::Ok, Code::PermissionDenied]), ("Board 2", [Code::Unauthenticated; 2])]
    {
        let shown = authority.issue(name);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.pem()))
            .identity(Identity::from_pem(shown.cert, shown.key));
        let address = shop.address.replace("http://127.0.0.1", "https://localhost");
        let endpoint = Channel::from_shared(address).unwrap().tls_config(tls).unwrap();
        let channel = endpoint.connect().await.unwrap();
        assert_eq!(read_and_pay(&channel, None).await, codes, "{name}");
    }
}

/// On a connection that stays open.
#[tokio::test(flavor = "multi_thread")]
async fn token_that_is_removed_is_refused_after_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let callers = folder.path().join("callers");
    let config = folder.path().join("config.yaml");
    fs::write(&callers, format!("shop cart {SECRET}")).unwrap();
    fs::write(&config, "auth: {tokens: callers}\nlog: {level: info}").unwrap();
    let mut process = Process::start(&["--config", config.to_str().unwrap()]);
    let channel = Channel::from_shared(process.address.clone()).unwrap().connect().await.unwrap();
    assert_eq!(read_and_pay(&channel, Some("secret")).await[0], Code::Ok);
    let mut reload = |text: &str| {
        fs::write(&callers, text).unwrap();
        process.signal("HUP");
        loop {
            let event = process.next_event();
            if event["message"] != "log level reloaded" {
                return event["message"].as_str().unwrap().to_owned();
            }
        }
    };
    let refused = reload("shop boss secret");
    assert!(refused.contains("callers:1: unknown role \"boss\""), "{refused}");
    assert_eq!(read_and_pay(&channel, Some("secret")).await[0], Code::Ok);
    assert_eq!(reload(&format!("shop cart {OTHER}")), "reloaded");
    assert_eq!(read_and_pay(&channel, Some("secret")).await, [Code::Unauthenticated; 2]);
    assert_eq!(read_and_pay(&channel, Some("other")).await[0], Code::Ok);
    drop(channel);
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}

/// One warning names all that is missing.
#[test]
fn server_without_tls_or_roles_warns_if_others_can_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("server").write(folder.path());
    fs::write(folder.path().join("callers"), "").unwrap();
    let config = folder.path().join("config.yaml");
    let tls = "  tls: {cert: cert.pem, key: key.pem}\n";
    let roles = "auth: {tokens: callers}\n";
    let neither = "TLS (grpc.tls.cert) and no roles (auth.tokens)";
    for (listen, text, missing) in [
        ("0.0.0.0:0", String::new(), Some(neither)),
        ("[::]:0", tls.to_owned(), Some("roles (auth.tokens)")),
        ("0.0.0.0:0", roles.to_owned(), Some("TLS (grpc.tls.cert)")),
        ("0.0.0.0:0", [tls, roles].concat(), None),
        ("127.0.0.1:0", String::new(), None),
    ] {
        let listen = format!("log: {{format: json}}\ngrpc:\n  listen: '{listen}'\n");
        fs::write(&config, listen + &text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loms"));
        let command = crate::process::isolate(&mut command);
        let mut process = Process::run(command.args(["--config", config.to_str().unwrap()]));
        process.signal("TERM");
        let (log, _) = process.end();
        let warnings: Vec<_> = log.iter().filter(|event| event["level"] == "WARN").collect();
        let expected = missing
            .map(|missing| format!("other machines can reach the server, which has no {missing}"));
        let warnings: Vec<_> = warnings.iter().map(|event| event["message"].as_str()).collect();
        assert_eq!(warnings, expected.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
    }
}

/// Each caller has its own limit, over all of its connections. Health has none.
#[tokio::test(start_paused = true)]
async fn caller_makes_as_many_calls_a_second_as_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let callers = format!("shop cart {SECRET}\nboard reader {OTHER}");
    let rates = RateLimits { calls: 10, creates: 2 };
    let shop = open_limited(folder.path(), &callers, None, rates).await;
    let another = Channel::from_shared(shop.address.clone()).unwrap().connect().await.unwrap();
    let read = async |channel: &Channel, token| {
        let request = with_token(StocksInfoRequest { sku: 1002 }, Some(token));
        LomsClient::new(channel.clone()).stocks_info(request).await
    };
    let create = async || {
        let request = with_token(create_request(&["user=7", "1002:1"]), Some("secret"));
        LomsClient::new(shop.channel.clone()).order_create(request).await
    };
    for _ in 0..2 {
        assert!(create().await.is_ok());
    }
    let refused = create().await.unwrap_err();
    let details = refused.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((refused.code(), &*info.reason), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(info.metadata["caller"], "shop");
    assert_eq!(info.metadata["limit"], "limits.creates_per_second");
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    for channel in [&shop.channel, &another].repeat(4) {
        assert!(read(channel, "secret").await.is_ok());
    }
    let refused = read(&another, "secret").await.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.metadata["limit"], "limits.calls_per_second");
    assert!(read(&another, "other").await.is_ok());
    let mut health = HealthClient::new(another.clone());
    for _ in 0..20 {
        assert!(health.check(HealthCheckRequest::default()).await.is_ok());
    }
    tokio::time::advance(wait).await;
    assert!(create().await.is_ok(), "after {wait:?}");
}
