//! `loms serve`: starts a server from the configuration and stops it at a signal.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use loms::config::{self, Config, Grpc, MaxBytes, StockSource};
use loms::grpc::service::ServiceOptions;
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::server::limits::Limits;
use loms::server::{self, Access, RateLimits, ServerOptions, TlsFiles};
use loms::signals::Signals;
use loms::state_machine::{LomsState, OpeningStock, Rules, Span};
use loms::telemetry::Telemetry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tracing::field::{Value, display};
use tracing::{info, warn};

use crate::memory;

/// Reads the configuration again, from the same sources.
pub(crate) type Reload = Box<dyn Fn() -> Result<Config, String> + Send>;

/// Serves until a signal arrives and calls in flight are answered. An error is one line.
pub(crate) fn run(config: &Config, reload: Reload) -> Result<(), String> {
    let telemetry = Arc::new(Telemetry::start(&config.log));
    let served = run_logged(config, reload, &telemetry);
    telemetry.end();
    served
}

fn run_logged(config: &Config, reload: Reload, telemetry: &Arc<Telemetry>) -> Result<(), String> {
    config.unknown_variables.iter().for_each(|variable| warn!("{variable}"));
    let stock = load_stock(&config.stock)?;
    opening_stock::log_warnings(&stock);
    let access = access(config)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the system has no event queue left: {error}"))?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        let shutdown = stop(signals, reload, Arc::clone(telemetry), access.clone());
        tokio::select! {
            biased;
            served = serve(config, &stock, access.clone(), shutdown) => served,
            never = telemetry.report_dropped() => match never {},
            never = access.follow_files() => match never {},
        }
    })
}

async fn serve(
    config: &Config,
    stock: &OpeningStock,
    access: Access,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let listener = listen(config.grpc.listen)?;
    let address = listener.local_addr().map_err(|error| format!("grpc.listen: {error}"))?;
    let rules = rules(config);
    let state = LomsState::new(rules, stock, rand::random());
    let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
    let threads = match config.grpc.threads {
        Some(threads) => threads.into(),
        // If the system does not report the number of cores, one thread serves.
        None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let service = ServiceOptions {
        max_lines: config.orders.max_lines,
        failed_create: config.orders.failed_create,
    };
    let wanted = config.grpc.max_connections.into();
    let max_connections = possible_connections(threads).min(wanted);
    let limits = limits(&config.grpc, max_connections);
    let units: u128 = stock.records().iter().map(|record| u128::from(record.total)).sum();
    // A number if it fits, so that it is one in JSON too.
    let units: Box<dyn Value> = match u64::try_from(units) {
        Ok(units) => Box::new(units),
        Err(_over) => Box::new(display(units)),
    };
    let file = match &config.stock {
        StockSource::Embedded => "built in".to_owned(),
        StockSource::File(path) => path.display().to_string(),
    };
    let skus = stock.records().len();
    let max_bytes = rules.max_bytes;
    info!(%address, threads, stock = file, skus, units = &*units, max_bytes, "serving");
    warn_if_open(address, &access);
    if max_connections < wanted {
        warn!(max_connections, "the limit of open files (ulimit -n) allows fewer connections");
    }
    let options = ServerOptions { threads, service, limits, access };
    let drained = server::serve(listener, sequencer, options, shutdown).await;
    let drained = drained.map_err(|error| format!("serving on {address} failed: {error}"))?;
    info!(?drained, "stopped");
    Ok(())
}

/// The rules of the configuration.
fn rules(config: &Config) -> Rules {
    let config::Orders { payment_timeout, idempotency_window, keep, keep_failed, .. } =
        config.orders;
    Rules {
        payment_timeout,
        idempotency_window,
        keep,
        keep_failed,
        retry_failed: config.orders.retry_failed,
        max_bytes: match config.orders.max_bytes {
            // Without limit if the system does not report its memory.
            MaxBytes::Half => memory::available().map_or(0, |bytes| bytes / 2),
            MaxBytes::Bytes(bytes) => bytes,
        },
        open_orders: config.limits.open_orders,
    }
}

fn load_stock(source: &StockSource) -> Result<OpeningStock, String> {
    match source {
        StockSource::Embedded => Ok(opening_stock::embedded()),
        StockSource::File(path) => {
            opening_stock::load(path).map_err(|error| format!("stock.file: {error}"))
        }
    }
}

/// Warns if others on the network can read the calls, or make calls.
fn warn_if_open(address: SocketAddr, access: &Access) {
    let missing = match (access.has_tls(), access.has_roles()) {
        _ if address.ip().to_canonical().is_loopback() => return,
        (true, true) => return,
        (false, true) => "TLS (grpc.tls.cert)",
        (true, false) => "roles (auth.tokens)",
        (false, false) => "TLS (grpc.tls.cert) and no roles (auth.tokens)",
    };
    warn!("other machines can reach the server, which has no {missing}");
}

/// Loads who may call the server.
fn access(config: &Config) -> Result<Access, String> {
    let config::Limits { calls_per_second: calls, creates_per_second: creates, .. } = config.limits;
    let rates = RateLimits { calls, creates };
    Access::load(tls_files(&config.tls)?, config.callers.clone(), rates)
}

/// The files of TLS; `None` without TLS.
fn tls_files(tls: &config::Tls) -> Result<Option<TlsFiles>, String> {
    let config::Tls { cert, key, client_ca } = tls.clone();
    let missing = match (cert, key) {
        (Some(cert), Some(key)) => return Ok(Some(TlsFiles { cert, key, client_ca })),
        (None, None) if client_ca.is_none() => return Ok(None),
        (Some(_), None) => "grpc.tls.key",
        (None, _) => "grpc.tls.cert",
    };
    Err(format!("{missing}: not set; TLS needs grpc.tls.cert and grpc.tls.key"))
}

fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    bind(address).map_err(|error| {
        let fix = if error.kind() == io::ErrorKind::AddrNotAvailable {
            "choose an address of this machine with --listen"
        } else {
            "choose another port with --listen, or stop the process that uses this one"
        };
        format!("grpc.listen: cannot listen on {address}: {error}; {fix}")
    })
}

/// How many new connections may wait until they are accepted. Linux takes the smaller of this and
/// its own limit, which is 4,096 too.
const BACKLOG: u32 = 4_096;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again right after a stop gets its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The limits of the configuration.
fn limits(grpc: &Grpc, max_connections: usize) -> Limits {
    let duration = |span: Span| Duration::from_nanos(span.as_nanos());
    let or_never = |span: Span| (span.as_nanos() > 0).then(|| duration(span));
    Limits {
        max_connections,
        max_concurrent_streams: grpc.max_concurrent_streams.into(),
        max_connection_idle: or_never(grpc.max_connection_idle),
        max_connection_age: or_never(grpc.max_connection_age),
        max_connection_age_grace: duration(grpc.max_connection_age_grace),
        stop_delay: duration(grpc.stop_delay),
    }
}

/// The most connections for which there are file descriptors, at least 1. The process raises its
/// limit as far as it may.
fn possible_connections(threads: NonZeroUsize) -> usize {
    /// Descriptors of the process (standard streams, listener, signals) and of each thread.
    const FILES: [usize; 2] = [12, 4];
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, the limit stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    let [process, thread] = FILES;
    let others = process + thread * threads.get();
    files.map_or(usize::MAX, |files| files.saturating_sub(others).max(1))
}

/// Waits for the first signal to stop. A second one ends the process at once, with the exit code
/// that a shell reports for that signal. The signal to reload changes the log level, and loads the
/// files of the access again.
async fn stop(mut signals: Signals, reload: Reload, telemetry: Arc<Telemetry>, access: Access) {
    let log = Arc::clone(&telemetry);
    let mut reload = move || {
        match reload() {
            Ok(config) => log.set_level(&config.log.level),
            Err(problem) => warn!("the log level is not reloaded: {problem}"),
        }
        access.reload();
    };
    signals.stop(&mut reload).await;
    tokio::spawn(async move {
        let number = signals.stop(reload).await;
        telemetry.end();
        process::exit(128 + number)
    });
}
