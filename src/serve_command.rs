//! `loms serve`: starts a server from the configuration and stops it at a signal.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process;
use std::sync::Arc;
use std::thread;

use loms::config::{Config, Log, LogFormat, StockSource};
use loms::grpc::service::ServiceOptions;
use loms::opening_stock;
use loms::sequencer::{Sequencer, wall_clock};
use loms::server;
use loms::signals::Signals;
use loms::state_machine::{LomsState, OpeningStock, Rules};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tracing::info;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Serves until a signal arrives and calls in flight are answered. An error is one line.
pub(crate) fn run(config: &Config) -> Result<(), String> {
    start_log(&config.log);
    let stock = load_stock(&config.stock)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the system has no event queue left: {error}"))?;
    runtime.block_on(serve(config, &stock))
}

async fn serve(config: &Config, stock: &OpeningStock) -> Result<(), String> {
    let signals = Signals::new()?;
    let listener = listen(config.grpc.listen).await?;
    let address = listener.local_addr().map_err(|error| format!("grpc.listen: {error}"))?;
    let rules = Rules {
        payment_timeout: config.orders.payment_timeout,
        idempotency_window: config.orders.idempotency_window,
    };
    let state = LomsState::new(rules, stock, rand::random());
    let sequencer = Arc::new(Sequencer::new(state, wall_clock()));
    let threads = match config.grpc.threads {
        Some(threads) => threads.into(),
        // If the system does not report the number of cores, one thread serves.
        None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let options = ServiceOptions {
        max_lines: config.orders.max_lines,
        failed_create: config.orders.failed_create,
    };
    let units: u128 = stock.records().iter().map(|record| u128::from(record.total)).sum();
    let file = match &config.stock {
        StockSource::Embedded => "built in".to_owned(),
        StockSource::File(path) => path.display().to_string(),
    };
    info!(%address, threads, stock = file, skus = stock.records().len(), units, "serving");
    let drained = server::serve(listener, threads, sequencer, options, first(signals)).await;
    let drained = drained.map_err(|error| format!("serving on {address} failed: {error}"))?;
    info!(?drained, "stopped");
    Ok(())
}

fn load_stock(source: &StockSource) -> Result<OpeningStock, String> {
    match source {
        StockSource::Embedded => Ok(opening_stock::embedded()),
        StockSource::File(path) => {
            opening_stock::load(path).map_err(|error| format!("stock.file: {error}"))
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let fix = if error.kind() == io::ErrorKind::AddrNotAvailable {
            "choose an address of this machine with --listen"
        } else {
            "choose another port with --listen, or stop the process that uses this one"
        };
        format!("grpc.listen: cannot listen on {address}: {error}; {fix}")
    })
}

/// Starts the log, which goes to stderr. `log.level` sets the level for each module.
fn start_log(log: &Log) {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(log.level.clone())).init();
}

/// Waits for the first signal. A second one ends the process at once, with the exit code that a
/// shell reports for that signal.
async fn first(mut signals: Signals) {
    signals.next().await;
    tokio::spawn(async move { process::exit(128 + signals.next().await) });
}
