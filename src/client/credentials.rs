//! Whom a client trusts, and how it proves who it is.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::refusal::error_chain;

/// Whom a client trusts, and how it proves who it is. The default is nothing, for `http` addresses.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The authorities of servers. An `https` address needs them.
    ca: Option<Vec<u8>>,
    /// A certificate and its key.
    identity: Option<[Vec<u8>; 2]>,
    /// The `authorization` metadata of every call.
    authorization: Option<MetadataValue<Ascii>>,
}

/// The files of [`Credentials`]. All are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// `loms.ca`: the authorities of servers, PEM.
    pub ca: Option<PathBuf>,
    /// `loms.cert`: the certificate of the client, PEM.
    pub cert: Option<PathBuf>,
    /// `loms.cert_key`: its private key, PEM.
    pub cert_key: Option<PathBuf>,
    /// `loms.token_file`: the token. Spaces and line ends around it are not part of it.
    pub token: Option<PathBuf>,
}

/// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// The authorities of servers, as PEM. They are the only ones that the client trusts.
    #[must_use]
    pub fn with_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// The certificate that the client shows, and its private key, both as PEM.
    #[must_use]
    pub fn with_identity(mut self, cert: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some([cert.into(), key.into()]);
        self
    }

    /// The token that the client sends with every call. Without TLS everybody on the network can
    /// read it.
    ///
    /// # Errors
    /// The token has other characters than visible ASCII. The text says so.
    pub fn with_token(mut self, token: &str) -> Result<Self, String> {
        let is_token = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
        let header = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        let (true, Ok(mut header)) = (is_token, header) else {
            return Err("a token is one word of visible ASCII characters".to_owned());
        };
        // Otherwise header compression keeps it.
        header.set_sensitive(true);
        self.authorization = Some(header);
        Ok(self)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// One line, which names the key, the file and the reason.
    pub fn read(files: &CredentialFiles) -> Result<Self, String> {
        let mut credentials = Self::default();
        if let Some(file) = &files.ca {
            credentials = credentials.with_ca(read("loms.ca", file)?);
        }
        match (&files.cert, &files.cert_key) {
            (Some(cert), Some(key)) => {
                let cert = read("loms.cert", cert)?;
                credentials = credentials.with_identity(cert, read("loms.cert_key", key)?);
            }
            (None, None) => {}
            (Some(_), None) => return Err("loms.cert_key: not set; loms.cert needs it".to_owned()),
            (None, Some(_)) => return Err("loms.cert: not set; loms.cert_key needs it".to_owned()),
        }
        if let Some(file) = &files.token {
            let token = read("loms.token_file", file)?;
            let token = String::from_utf8_lossy(&token);
            credentials = credentials
                .with_token(token.trim())
                .map_err(|problem| format!("loms.token_file: {}: {problem}", file.display()))?;
        }
        Ok(credentials)
    }

    /// The `authorization` metadata of every call.
    #[must_use]
    pub fn authorization(&self) -> Option<&MetadataValue<Ascii>> {
        self.authorization.as_ref()
    }

    /// The endpoint with TLS, if its address is `https`.
    ///
    /// # Errors
    /// There are no authorities, or something is not PEM. The text says so.
    pub fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, String> {
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let Some(ca) = &self.ca else {
            return Err("https needs the authorities of the server: set --ca or loms.ca".to_owned());
        };
        // Otherwise the client would trust nobody, without a word.
        if !String::from_utf8_lossy(ca).contains("-----BEGIN CERTIFICATE-----") {
            return Err("the authorities (--ca, loms.ca): no certificates in PEM".to_owned());
        }
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some([cert, key]) = &self.identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        endpoint
            .tls_config(tls)
            .map_err(|error| format!("the certificates or the key: {}", error_chain(&error)))
    }

    /// The authorities, and the certificate with its key, as PEM.
    #[must_use]
    pub fn pem(&self) -> (Option<&[u8]>, Option<[&[u8]; 2]>) {
        let identity = self.identity.as_ref().map(|[cert, key]| [&cert[..], &key[..]]);
        (self.ca.as_deref(), identity)
    }
}

/// Adds the token to a call of a generated client.
impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

fn read(name: &str, file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{name}: {}: {error}", file.display()))
}
