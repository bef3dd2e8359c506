//! The flags of the commands that call a server over TLS or with a token.

use std::path::PathBuf;

use clap::Args;
use loms::client::{CredentialFiles, Credentials};

/// The same flags as those of `loms`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CredentialFlags {
    /// Authorities of the server, PEM, for an https address
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<String>,
    /// Certificate to show to the server, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<String>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert_key: Option<String>,
    /// File with the token to send to the server
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
}

impl CredentialFlags {
    /// Reads the files.
    pub(crate) fn read(self) -> Result<Credentials, String> {
        let Self { ca, cert, cert_key, token_file } = self;
        let [ca, cert, cert_key, token] =
            [ca, cert, cert_key, token_file].map(|file| file.map(PathBuf::from));
        Credentials::read(&CredentialFiles { ca, cert, cert_key, token })
    }
}
