//! Who may call the server: TLS, roles and rates. Their files are loaded again when they change.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tonic::Status;
use tonic::codegen::http::Request;

use super::auth::{self, Callers};
use super::rates::{Buckets, RateLimits, Rates};
use super::reloaded::Reloaded;
use super::tls::{Tls, TlsFiles};

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Who may call the server, and how. By default everybody may, without TLS.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub(super) tls: Option<Arc<Tls>>,
    /// The known callers. `None`: everybody may do everything.
    callers: Option<Arc<Reloaded<Callers>>>,
    /// `None`: without limits.
    rates: Option<Arc<Rates>>,
}

impl Access {
    /// Loads the files.
    ///
    /// # Errors
    /// One line, which names the key, the file and the reason.
    pub fn load(
        tls: Option<TlsFiles>,
        callers: Option<PathBuf>,
        rates: RateLimits,
    ) -> Result<Self, String> {
        let tls = tls.map(Tls::load).transpose()?.map(Arc::new);
        let callers = callers.map(|file| {
            let load = Box::new({
                let file = file.clone();
                move || Callers::read(&file)
            });
            Reloaded::new(vec![file], load)
        });
        let callers = callers.transpose()?.map(Arc::new);
        Ok(Self { tls, callers, rates: Rates::new(rates).map(Arc::new) })
    }

    /// Decides about the calls of a connection; `None` if all are admitted. `names` are those in
    /// the verified certificate of the client.
    pub(super) fn guard(&self, peer: Option<IpAddr>, names: Vec<String>) -> Option<Guard> {
        if self.callers.is_none() && self.rates.is_none() {
            return None;
        }
        let address = peer.map_or_else(|| "a closed connection".to_owned(), |ip| ip.to_string());
        let of_address = |rates: &Arc<Rates>| {
            let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            (Arc::clone(rates), rates.of_address(peer))
        };
        let rates = self.rates.as_ref().map(of_address);
        Some(Guard { callers: self.callers.clone(), rates, address, names })
    }

    /// Whether others on the network cannot read the calls.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a call needs a role.
    #[must_use]
    pub fn has_roles(&self) -> bool {
        self.callers.is_some()
    }

    /// Loads the files again. Files that are wrong are logged, and what was loaded before stays.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.config.reload();
        }
        if let Some(callers) = &self.callers {
            callers.reload();
        }
    }

    /// Loads files again soon after they change.
    pub async fn follow_files(&self) -> Infallible {
        if self.tls.is_none() && self.callers.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(CHECK_INTERVAL).await;
            let access = self.clone();
            // On another thread, because a file system can be slow. A panic ends the process.
            let _ = tokio::task::spawn_blocking(move || access.reload_if_changed()).await;
        }
    }

    fn reload_if_changed(&self) {
        if let Some(tls) = &self.tls {
            tls.config.reload_if_changed();
        }
        if let Some(callers) = &self.callers {
            callers.reload_if_changed();
        }
    }
}

/// Decides about the calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    callers: Option<Arc<Reloaded<Callers>>>,
    /// The limits, and the buckets of the peer's address.
    rates: Option<(Arc<Rates>, Arc<Buckets>)>,
    address: String,
    names: Vec<String>,
}

impl Guard {
    /// Admits a call or refuses it, by its headers.
    pub(super) fn admit<B>(&self, call: &Request<B>) -> Result<(), Status> {
        let path = call.uri().path();
        if auth::is_open(path) {
            return Ok(());
        }
        let callers = self.callers.as_ref().map(|callers| callers.current());
        let caller =
            callers.as_ref().map(|callers| callers.admit(path, call.headers(), &self.names));
        let caller = caller.transpose()?;
        let Some((rates, of_address)) = &self.rates else { return Ok(()) };
        let (name, buckets) = match caller {
            Some(caller) => (&caller.name, &caller.buckets),
            None => (&self.address, &**of_address),
        };
        rates.take(name, buckets, auth::is_create(path))
    }
}
