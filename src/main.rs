//! `loms`: serves LOMS, or calls it. Flags become a configuration, and that is served or called.

mod client_commands;
mod serve_command;

use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use client_commands::{CallFlags, ClientCommand};
use loms::config::{Config, Sources};
use mimalloc::MiMalloc;

/// A call asks for memory some two dozen times, for much of it in sizes that glibc is slow at:
/// this gives an eighth more calls a second (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ABOUT: &str = "Orders and stock for carts, over gRPC. Without a command it serves.";

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 usage; more in --help";

#[derive(Debug, Parser)]
#[command(name = "loms", version, about = ABOUT)]
#[command(after_help = EXIT_CODES, after_long_help = client_commands::LONG_HELP)]
struct Flags {
    /// The configuration file [default: config/config.yaml if there is one, else built in]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    call: CallFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until SIGTERM or SIGINT
    Serve(ServerFlags),
    #[command(flatten)]
    Client(ClientCommand),
}

/// Each overrides a key of the configuration, which also checks the text.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Serving")]
struct ServerFlags {
    /// Where to serve, such as 0.0.0.0:50051
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// How many threads to serve on, or cores for one a core
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// The opening stock, a JSON array
    #[arg(long, value_name = "FILE")]
    stock: Option<String>,
    /// How long an order may stay unpaid, such as 10m; 0 for ever
    #[arg(long, value_name = "DURATION")]
    payment_timeout: Option<String>,
    /// What to log, such as debug, or loms::sequencer=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How to log: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServerFlags {
    /// The keys that the flags override, with their texts.
    fn overrides(self) -> Vec<(&'static str, String)> {
        let flags = [
            ("grpc.listen", self.listen),
            ("grpc.threads", self.threads),
            ("stock.file", self.stock),
            ("orders.payment_timeout", self.payment_timeout),
            ("log.level", self.log_level),
            ("log.format", self.log_format),
        ];
        flags.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }
}

/// A broken invariant stops the process, whichever thread or task finds it: tokio would catch the
/// panic and go on with a state that nobody can trust.
fn stop_at_a_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        process::abort();
    }));
}

fn main() -> ExitCode {
    stop_at_a_panic();
    let flags = Flags::parse();
    let config = flags.config.as_deref();
    match flags.command {
        None => finish(serve(config, &served(flags.server, ServerFlags::default(), &flags.call))),
        Some(Command::Serve(server)) => {
            finish(serve(config, &served(flags.server, server, &flags.call)))
        }
        Some(Command::Client(command)) => match caller(config, &flags.server, &flags.call) {
            Ok(config) => client_commands::run(command, &flags.call, &config.loms.address),
            Err(problem) => finish(Err(problem)),
        },
    }
}

/// The configuration of a command that calls.
fn caller(file: Option<&Path>, server: &ServerFlags, call: &CallFlags) -> Result<Config, String> {
    if *server != ServerFlags::default() {
        usage("flags for serving do not go with a command that calls");
    }
    load(file, call.address.clone().map(|text| ("loms.address", text)).as_slice())
}

/// What the flags before and after `serve` override; where both do, the later one counts.
fn served(
    before: ServerFlags,
    after: ServerFlags,
    call: &CallFlags,
) -> Vec<(&'static str, String)> {
    if *call != CallFlags::default() {
        usage("--json, --address and --timeout go with the commands that call, not with serving");
    }
    let mut overrides = before.overrides();
    for (key, text) in after.overrides() {
        overrides.retain(|(earlier, _)| *earlier != key);
        overrides.push((key, text));
    }
    overrides
}

/// What file, environment and these flags say together.
fn load(file: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Config, String> {
    let directory = Path::new("");
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let environment = std::env::vars_os();
    let sources = Sources { directory, file, environment, flags };
    Config::load(sources).map_err(|error| error.to_string())
}

fn serve(file: Option<&Path>, flags: &[(&'static str, String)]) -> Result<(), String> {
    serve_command::run(&load(file, flags)?)
}

/// Ends the process as clap does for a command line that makes no sense.
fn usage(problem: &str) -> ! {
    Flags::command().error(ErrorKind::ArgumentConflict, problem).exit()
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

/// One line on stderr. That nobody reads it is no reason to fail.
fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "loms: {problem}");
}
