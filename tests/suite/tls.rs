//! TLS: whom the server and its clients accept, and certificates that change under load.

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use loms::client::{Client, Credentials, Options};
use loms::grpc::proto::StocksInfoRequest;
use loms::grpc::proto::loms_client::LomsClient;
use loms::server::limits::PREFACE_TIMEOUT;
use loms::server::{Access, RateLimits, ServerOptions, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity as TonicIdentity};

use crate::certificates::{Authority, Identity};
use crate::process::{Process, isolate};
use crate::script::{Shop, opening};

/// The files of a server at `localhost`.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    /// With the certificates that the server and the clients trust.
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new() };
        files.authority.issue("server 1").write(files.path());
        fs::write(files.path().join("ca.pem"), files.authority.pem()).unwrap();
        files
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn text(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    fn access(&self, mutual: bool) -> Result<Access, String> {
        let client_ca = mutual.then(|| self.path().join("ca.pem"));
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| self.path().join(name));
        Access::load(Some(TlsFiles { cert, key, client_ca }), None, RateLimits::default())
    }

    /// A server in this process.
    async fn open(&self, mutual: bool) -> Shop {
        // With one thread, everything happens on the clock of the test.
        let options = ServerOptions::on(NonZeroUsize::MIN);
        let options = ServerOptions { access: self.access(mutual).unwrap(), ..options };
        Shop::serve(&opening("1002=10/0"), options).await
    }

    /// A server as a process.
    fn start(&self) -> Process {
        let config = "grpc: {tls: {cert: cert.pem, key: key.pem, client_ca: ca.pem}}\n\
                      log: {level: info}\n";
        fs::write(self.path().join("config.yaml"), config).unwrap();
        Process::start(&["--config", &self.text("config.yaml")])
    }
}

/// What a client gets that trusts this authority and shows this certificate.
async fn call(address: &str, trusted: &Authority, shown: Option<&Identity>) -> Result<u64, String> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted.pem()));
    if let Some(Identity { cert, key }) = shown {
        tls = tls.identity(TonicIdentity::from_pem(cert, key));
    }
    let address = address.replace("http://127.0.0.1", "https://localhost");
    let endpoint = Channel::from_shared(address).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    let request = StocksInfoRequest { sku: 1002 };
    let answer = LomsClient::new(channel).stocks_info(request).await;
    answer.map(|answer| answer.get_ref().count).map_err(|refused| format!("{refused:?}"))
}

#[tokio::test]
async fn client_accepts_only_a_valid_certificate_of_its_authority() {
    let files = Files::new();
    let shop = files.open(false).await;
    assert_eq!(call(&shop.address, &files.authority, None).await, Ok(10));
    let refused = call(&shop.address, &Authority::new(), None).await.unwrap_err();
    assert!(refused.contains("BadSignature") || refused.contains("UnknownIssuer"), "{refused}");
    files.authority.issue_expired("server").write(files.path());
    let shop = files.open(false).await;
    let refused = call(&shop.address, &files.authority, None).await.unwrap_err();
    assert!(refused.contains("Expired"), "{refused}");
}

#[tokio::test]
async fn server_accepts_only_clients_with_a_valid_certificate_of_its_authority() {
    let files = Files::new();
    let shop = files.open(true).await;
    let client = files.authority.issue("cart");
    assert_eq!(call(&shop.address, &files.authority, Some(&client)).await, Ok(10));
    for (shown, alert) in [
        (None, "CertificateRequired"),
        (Some(Authority::new().issue("cart")), ""),
        (Some(files.authority.issue_expired("cart")), "CertificateExpired"),
    ] {
        let refused = call(&shop.address, &files.authority, shown.as_ref()).await.unwrap_err();
        assert!(refused.contains(alert), "{alert}: {refused}");
    }
}

/// What a client negotiates with this version and these protocols, and the certificate it sees.
async fn negotiate(
    address: &str,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    protocol: &[u8],
) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let builder = builder.unwrap().with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    let (_, session) = stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(protocol));
    Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
}

#[tokio::test]
async fn server_speaks_http2_over_tls_1_2_and_1_3() {
    let files = Files::new();
    let shop = files.open(false).await;
    for version in [&TLS12, &TLS13] {
        negotiate(&shop.address, &files.authority, version, b"h2").await.unwrap();
        let refused = negotiate(&shop.address, &files.authority, version, b"http/1.1").await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    }
    let mut plain = LomsClient::new(shop.channel.clone());
    assert!(plain.stocks_info(StocksInfoRequest { sku: 1002 }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn connection_without_a_handshake_is_closed() {
    let files = Files::new();
    let shop = files.open(false).await;
    for bytes in [&b""[..], &[22, 3, 1, 0, 200, 1]] {
        let start = Instant::now();
        let address = shop.address.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert_eq!(start.elapsed().as_secs(), PREFACE_TIMEOUT.as_secs(), "{bytes:?}");
    }
}

#[test]
fn wrong_files_are_refused_by_key_and_file() {
    let files = Files::new();
    let refusal = |files: &Files| files.access(true).unwrap_err();
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| files.text(name));
    let another = files.authority.issue("another");
    fs::write(&key, &another.key).unwrap();
    let expected =
        format!("grpc.tls.key: {key}: not the key of the certificate {cert} (grpc.tls.cert)");
    assert_eq!(refusal(&files), expected);
    fs::write(&key, &another.cert).unwrap();
    let refused = refusal(&files);
    assert!(
        refused.starts_with(&format!("grpc.tls.key: {key}: no private key in PEM")),
        "{refused}"
    );
    fs::write(&cert, &another.key).unwrap();
    assert_eq!(refusal(&files), format!("grpc.tls.cert: {cert}: no certificates in PEM"));
    another.write(files.path());
    fs::write(&ca, "").unwrap();
    assert_eq!(refusal(&files), format!("grpc.tls.client_ca: {ca}: no certificates in PEM"));
    fs::remove_file(&ca).unwrap();
    let refused = refusal(&files);
    assert!(refused.starts_with(&format!("grpc.tls.client_ca: {ca}: No such file")), "{refused}");
}

/// Calls on one connection until `stop`, and fails if one fails.
async fn calls(channel: Channel, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    let mut client = LomsClient::new(channel);
    while !stop.load(Ordering::Relaxed) {
        client.stocks_info(StocksInfoRequest { sku: 1002 }).await.unwrap();
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// By a signal, and without one.
#[tokio::test(flavor = "multi_thread")]
async fn certificate_changes_under_load_and_a_wrong_one_is_ignored() {
    let files = Files::new();
    let mut process = files.start();
    let shown = files.authority.issue("cart");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(files.authority.pem()))
        .identity(TonicIdentity::from_pem(&shown.cert, &shown.key));
    let address = process.address.replace("http://127.0.0.1", "https://localhost");
    let connect = || Channel::from_shared(address.clone()).unwrap().tls_config(tls.clone());
    let channel = connect().unwrap().connect().await.unwrap();
    let (stop, answered) = (Arc::default(), Arc::default());
    let load = tokio::spawn(calls(channel, Arc::clone(&stop), Arc::clone(&answered)));
    let mut message = |signal: Option<&str>| {
        signal.into_iter().for_each(|name| process.signal(name));
        loop {
            let event = process.next_event();
            let message = event["message"].as_str().unwrap();
            if message != "log level reloaded" {
                return format!("{} {message}", event["level"].as_str().unwrap());
            }
        }
    };
    // Nobody else uses the process meanwhile, and the calls are on other threads.
    fs::write(files.path().join("cert.pem"), "nonsense").unwrap();
    let refused = message(Some("HUP"));
    assert!(refused.starts_with("WARN not reloaded, the old one stays in use: grpc.tls.cert:"));
    assert_eq!(call(&address, &files.authority, Some(&shown)).await, Ok(180));
    let other = Authority::new();
    for (signal, authority) in [(Some("HUP"), &other), (None, &files.authority)] {
        authority.issue("server 2").write(files.path());
        assert_eq!(message(signal), "INFO reloaded");
        assert_eq!(call(&address, authority, Some(&shown)).await, Ok(180));
    }
    let before = answered.load(Ordering::Relaxed);
    while answered.load(Ordering::Relaxed) == before {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}

#[test]
fn start_without_the_key_of_the_certificate_fails() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    for (given, missing) in
        [("cert", "grpc.tls.key"), ("key", "grpc.tls.cert"), ("client_ca", "grpc.tls.cert")]
    {
        fs::write(&config, format!("grpc: {{tls: {{{given}: x.pem}}}}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
        let Output { status, stderr, .. } = isolate(&mut command)
            .args(["serve", "--config", config.to_str().unwrap()])
            .output()
            .unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(
            stderr,
            format!("loms: {missing}: not set; TLS needs grpc.tls.cert and grpc.tls.key\n")
        );
        assert_eq!(status.code(), Some(1));
    }
}

/// A call by the client library, which connects at once or later.
async fn client_call(address: &str, credentials: &Credentials) -> [Result<u64, String>; 2] {
    let options = Options { attempts: NonZeroU32::MIN, ..Options::default() };
    let later = Client::lazy_with(address, options, credentials).unwrap();
    let later = later.stock(1002).await.map_err(|error| error.to_string());
    let at_once = match Client::connect_with(address, options, credentials).await {
        Ok(client) => client.stock(1002).await,
        Err(error) => Err(error),
    };
    [later, at_once.map_err(|error| error.to_string())]
}

#[tokio::test]
async fn client_library_calls_over_mutual_tls() {
    let files = Files::new();
    let shop = files.open(true).await;
    let address = shop.address.replace("http://", "https://");
    let Identity { cert, key } = files.authority.issue("cart");
    let trusting = Credentials::default().with_ca(files.authority.pem());
    let both = trusting.clone().with_identity(cert.clone(), key.clone());
    assert_eq!(client_call(&address, &both).await, [Ok(10), Ok(10)]);
    let others = Credentials::default().with_ca(Authority::new().pem()).with_identity(cert, key);
    for refused in [&trusting, &others] {
        for answer in client_call(&address, refused).await {
            assert!(answer.clone().unwrap_err().starts_with("unreachable"), "{answer:?}");
        }
    }
    let refused = Client::lazy(&address, Options::default()).unwrap_err().to_string();
    assert!(refused.contains("https needs the authorities of the server"), "{refused}");
    let nonsense = Credentials::default().with_ca("nonsense");
    let refused = Client::lazy_with(&address, Options::default(), &nonsense);
    assert!(refused.is_err(), "{refused:?}");
}

/// With flags; `wiring.rs` tests the other sources.
#[test]
fn commands_call_over_mutual_tls() {
    let files = Files::new();
    let mut process = files.start();
    let address = process.address.replace("http://127.0.0.1", "https://localhost");
    let credentials = [("--ca", "ca.pem"), ("--cert", "cert.pem"), ("--cert-key", "key.pem")];
    let flags: Vec<_> = credentials
        .into_iter()
        .flat_map(|(flag, file)| [flag.to_owned(), files.text(file)])
        .collect();
    let mut others = flags.clone();
    others[1] = files.text("other.pem");
    fs::write(&others[1], Authority::new().pem()).unwrap();
    let load = "load --concurrency 2 --warm-up 0s --duration 100ms --address".split(' ');
    for (binary, words) in [
        (env!("CARGO_BIN_EXE_loms"), vec!["stock", "1002", "--address"]),
        (env!("CARGO_BIN_EXE_loms"), vec!["health", "--address"]),
        (env!("CARGO_BIN_EXE_sim"), load.collect()),
        (env!("CARGO_BIN_EXE_sim"), vec!["against"]),
    ] {
        let run = |flags: &[String]| {
            let mut command = Command::new(binary);
            isolate(&mut command).args(&words).arg(&address).args(flags).output().unwrap()
        };
        let called = run(&flags);
        assert!(called.status.success(), "{words:?}: {called:?}");
        assert!(!run(&others).status.success(), "{words:?}");
    }
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}
