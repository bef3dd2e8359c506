//! TLS of the connections of `sim load`.

use std::io;
use std::sync::Arc;

use http::uri::Authority;
use loms::client::Credentials;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Makes the TLS handshakes of a load.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    server: ServerName<'static>,
}

impl Tls {
    /// TLS with these credentials.
    pub(crate) fn new(to: &Authority, credentials: &Credentials) -> Result<Self, String> {
        let (ca, identity) = credentials.pem();
        let ca = ca.ok_or("https needs the authorities of the server: set --ca or loms.ca")?;
        let config = config(ca, identity).map_err(|error| error.to_string())?;
        let server = ServerName::try_from(host(to).to_owned());
        let server = server.map_err(|_invalid| format!("{to}: not the name of a server"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server })
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.server.clone(), stream).await
    }
}

fn config(ca: &[u8], identity: Option<[&[u8]; 2]>) -> io::Result<ClientConfig> {
    let certificates = |bytes| {
        let certificates: Result<Vec<_>, pem::Error> =
            CertificateDer::pem_slice_iter(bytes).collect();
        certificates.map_err(io::Error::other)
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca)? {
        roots.add(authority).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some([cert, key]) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(io::Error::other)?;
            builder.with_client_auth_cert(certificates(cert)?, key).map_err(io::Error::other)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The host without the brackets of an IPv6 address.
pub(crate) fn host(to: &Authority) -> &str {
    to.host().trim_start_matches('[').trim_end_matches(']')
}
