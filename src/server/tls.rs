//! TLS: the certificate of the server, the authorities of its clients, and the handshake.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::certificate;
use super::drain::Stopped;
use super::limits::PREFACE_TIMEOUT;
use super::reloaded::Reloaded;
use super::repeated::Repeated;

/// The files of TLS, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `grpc.tls.cert`: the certificate of the server, then those between it and its authority.
    pub cert: PathBuf,
    /// `grpc.tls.key`: its private key.
    pub key: PathBuf,
    /// `grpc.tls.client_ca`: the authorities of client certificates. With it, every client must
    /// have a certificate.
    pub client_ca: Option<PathBuf>,
}

/// TLS with the current certificates.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Reloaded<ServerConfig>,
    failed: Mutex<Repeated>,
}

impl Tls {
    /// Loads the files. The error names the key and the file.
    pub(super) fn load(files: TlsFiles) -> Result<Self, String> {
        let paths = [&files.cert, &files.key].into_iter().chain(&files.client_ca);
        let paths = paths.cloned().collect();
        let config = Reloaded::new(paths, Box::new(move || config(&files)))?;
        Ok(Self { config, failed: Mutex::default() })
    }

    /// The connection after its handshake; `None` if there will be none.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        stopped: Stopped,
    ) -> Option<TlsStream<TcpStream>> {
        let peer = stream.peer_addr().ok()?;
        let handshake = TlsAcceptor::from(self.config.current()).accept(stream);
        let accepted = tokio::select! {
            biased;
            () = stopped.wait() => return None,
            accepted = timeout(PREFACE_TIMEOUT, handshake) => accepted,
        };
        let error = match accepted {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => error,
            Err(_elapsed) => io::ErrorKind::TimedOut.into(),
        };
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // Probes only connect.
            debug!(%peer, "a connection was closed before its TLS handshake");
        } else if let Some(suppressed) =
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).admit()
        {
            warn!(%peer, %error, suppressed, "a TLS handshake failed");
        }
        None
    }
}

/// TLS 1.2 or 1.3 with these certificates.
fn config(files: &TlsFiles) -> Result<ServerConfig, String> {
    let TlsFiles { cert, key, client_ca } = files;
    let chain = certificates("grpc.tls.cert", cert)?;
    warn_if_expired(cert, &chain);
    let refuse_key = |problem: String| format!("grpc.tls.key: {}: {problem}", key.display());
    let private = PrivateKeyDer::from_pem_slice(&read("grpc.tls.key", key)?).map_err(|error| {
        refuse_key(format!("no private key in PEM without a password: {error}"))
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let refuse = |problem: &dyn std::fmt::Display| {
                format!("grpc.tls.client_ca: {}: {problem}", file.display())
            };
            let mut roots = RootCertStore::empty();
            for authority in certificates("grpc.tls.client_ca", file)? {
                roots.add(authority).map_err(|error| refuse(&error))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refuse(&error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| {
        if matches!(error, Error::InconsistentKeys(_)) {
            refuse_key(format!("not the key of the certificate {} (grpc.tls.cert)", cert.display()))
        } else {
            format!("grpc.tls.cert: {}: {error}", cert.display())
        }
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn read(name: &str, file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{name}: {}: {error}", file.display()))
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let refuse =
        |problem: String| format!("{name}: {}: no certificates in PEM{problem}", file.display());
    let bytes = read(name, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| refuse(format!(": {error}")))?;
    if certificates.is_empty() { Err(refuse(String::new())) } else { Ok(certificates) }
}

/// Not an error: orders still expire on time, and the certificate can be replaced while the server
/// runs.
fn warn_if_expired(file: &Path, chain: &[CertificateDer<'_>]) {
    let since_1970 = std::time::Duration::from_secs(UnixTime::now().as_secs());
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::UNIX_EPOCH + since_1970);
    let now: String = now.to_string().chars().filter(char::is_ascii_digit).collect();
    if let Some(last) = chain.first().and_then(|first| certificate::last_second(first))
        && last < now
    {
        warn!(grpc.tls.cert = %file.display(), expired = last, "the certificate has expired: \
              clients refuse it");
    }
}
