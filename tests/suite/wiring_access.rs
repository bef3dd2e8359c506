//! The probes of the keys that say who may call the server, for `wiring.rs`.

use std::fs;
use std::process::{Command, Output};

use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic_types::StatusExt;

use crate::certificates::Authority;
use crate::process::Process;
use crate::script::create_request;

/// The only caller has the token `secret`.
const CALLERS: &str =
    "me cart sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// The files that the values of these keys name.
pub(crate) struct AccessFiles {
    folder: TempDir,
    authority: Authority,
    /// A server that asks clients for a certificate and a token.
    server: Process,
}

impl AccessFiles {
    pub(crate) fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.issue("server").write(folder.path());
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        fs::write(folder.path().join("token"), "secret\n").unwrap();
        fs::write(folder.path().join("callers"), CALLERS).unwrap();
        let config = "grpc: {tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem}}\n\
                      auth: {tokens: callers}";
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        let config = folder.path().join("config.yaml");
        let server = Process::start(&["--config", config.to_str().unwrap()]);
        Self { folder, authority, server }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Another value of a key than its default, and what is observed with the default and with the
/// other value. `None` if the key is about something else.
pub(crate) fn probe(name: &str, files: &AccessFiles) -> Option<(String, [String; 2])> {
    let (other, observed) = match name {
        "grpc.tls.cert" => (files.path("cert.pem"), ["grpc.tls.cert: not set", "TLS"]),
        "grpc.tls.key" => (files.path("key.pem"), ["grpc.tls.key: not set", "TLS"]),
        "grpc.tls.client_ca" => (files.path("ca.pem"), ["TLS", "mutual TLS"]),
        "auth.tokens" => (files.path("callers"), ["TLS", "TLS, Unauthenticated"]),
        "limits.calls_per_second" => {
            ("1".to_owned(), ["all", "limited by limits.calls_per_second"])
        }
        "limits.creates_per_second" => {
            ("1".to_owned(), ["all", "limited by limits.creates_per_second"])
        }
        "loms.ca" => (files.path("ca.pem"), ["no authorities", "180 available"]),
        "loms.cert" => (files.path("cert.pem"), ["loms.cert: not set", "180 available"]),
        "loms.cert_key" => (files.path("key.pem"), ["loms.cert_key: not set", "180 available"]),
        "loms.token_file" => (files.path("token"), ["UNKNOWN_CREDENTIALS", "180 available"]),
        _ => return None,
    };
    Some((other, observed.map(ToOwned::to_owned)))
}

/// The command that uses this key.
pub(crate) fn command(name: &str) -> &'static [&'static str] {
    if name.starts_with("loms.") { &["stock", "1002"] } else { &["serve"] }
}

/// What is observed of [`command`], which has a value of the key already.
pub(crate) fn observe(name: &str, command: &mut Command, files: &AccessFiles) -> String {
    if name.starts_with("loms.") {
        return observe_client(name, command, files);
    }
    let others: &[_] = match name {
        "limits.calls_per_second" | "limits.creates_per_second" => &[],
        "grpc.tls.cert" => &[("LOMS_GRPC_TLS_KEY", "key.pem")],
        "grpc.tls.key" => &[("LOMS_GRPC_TLS_CERT", "cert.pem")],
        _ => &[("LOMS_GRPC_TLS_CERT", "cert.pem"), ("LOMS_GRPC_TLS_KEY", "key.pem")],
    };
    command.env("LOMS_GRPC_LISTEN", "127.0.0.1:0").env("LOMS_LOG_FORMAT", "json");
    command.envs(others.iter().map(|(variable, file)| (variable, files.path(file))));
    match Process::try_run(command) {
        Ok(process) if others.is_empty() => limit(&process),
        Ok(process) => security(&process, &files.authority),
        Err(refusal) => refusal.split(';').next().unwrap().trim_start_matches("loms: ").to_owned(),
    }
}

/// What `loms stock` says when it has all other credentials.
fn observe_client(name: &str, command: &mut Command, files: &AccessFiles) -> String {
    let others = [
        ("LOMS_CA", "ca.pem"),
        ("LOMS_CERT", "cert.pem"),
        ("LOMS_CERT_KEY", "key.pem"),
        ("LOMS_TOKEN_FILE", "token"),
    ];
    for (variable, file) in others {
        if variable != name.replace('.', "_").to_uppercase() {
            command.env(variable, files.path(file));
        }
    }
    let address = files.server.address.replace("http://127.0.0.1", "https://localhost");
    let Output { stdout, stderr, .. } = command.env("LOMS_ADDRESS", address).output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    let known = [
        ("180 available", "180 available"),
        ("https needs the authorities", "no authorities"),
        ("UNKNOWN_CREDENTIALS", "UNKNOWN_CREDENTIALS"),
    ];
    match known.iter().find(|(part, _)| text.contains(part)) {
        Some((_, meaning)) => (*meaning).to_owned(),
        None => text.split(';').next().unwrap().trim_start_matches("loms: ").to_owned(),
    }
}

/// Which limit refuses many creates in a row.
fn limit(process: &Process) -> String {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut loms = LomsClient::connect(process.address.clone()).await.unwrap();
        for _ in 0..20 {
            let create = create_request(&["user=7", "1002:1"]);
            if let Err(refused) = loms.order_create(create).await {
                let info = refused.get_details_error_info().unwrap();
                assert_eq!(info.reason, "RATE_LIMITED");
                return format!("limited by {}", info.metadata["limit"]);
            }
        }
        "all".to_owned()
    })
}

/// What a server asks of a client that has no certificate.
fn security(process: &Process, authority: &Authority) -> String {
    let ca = Certificate::from_pem(authority.pem());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let called = runtime.block_on(async {
        let address = process.address.replace("http://127.0.0.1", "https://localhost");
        let tls = ClientTlsConfig::new().ca_certificate(ca);
        let endpoint = Channel::from_shared(address).unwrap().tls_config(tls).unwrap();
        let Ok(channel) = endpoint.connect().await else { return None };
        let called = LomsClient::new(channel).stocks_info(StocksInfoRequest { sku: 1002 }).await;
        match called {
            Ok(_) => Some(Code::Ok),
            Err(refused) if refused.code() == Code::Unauthenticated => Some(refused.code()),
            Err(_) => None,
        }
    });
    match called {
        Some(Code::Ok) => "TLS".to_owned(),
        Some(code) => format!("TLS, {code:?}"),
        None => "mutual TLS".to_owned(),
    }
}
