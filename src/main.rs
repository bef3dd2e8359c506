//! The `loms` binary: serves LOMS, or calls a server. It turns the command line into a checked
//! configuration and runs one command with it.

mod client_commands;
mod memory;
mod serve_command;

use std::panic;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use client_commands::{CallFlags, ClientCommand};
use loms::client::{CredentialFiles, Credentials};
use loms::config::{Config, Loms, Sources};
use mimalloc::MiMalloc;

/// A call allocates about 24 times. With mimalloc the server answers 10 to 12% more calls per
/// second than with glibc's allocator (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ABOUT: &str = "LOMS, an order and stock service over gRPC: its server and its client. \
                     Without a command, loms serves.";

const EXIT_CODES: &str =
    "Exit codes: 0 success, 1 refused or failed, 2 wrong arguments. --help explains them.";

#[derive(Debug, Parser)]
#[command(name = "loms", version, about = ABOUT)]
#[command(after_help = EXIT_CODES, after_long_help = client_commands::LONG_HELP)]
struct Flags {
    /// The configuration file [default: config/config.yaml if it exists]
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
    /// Serve until SIGTERM, SIGINT or SIGQUIT
    Serve(ServerFlags),
    #[command(flatten)]
    Client(ClientCommand),
}

/// Each flag overrides a key of the configuration. The configuration validates the text.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Serving")]
struct ServerFlags {
    /// Address to listen on [default: 0.0.0.0:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Number of threads, or `cores` for one per core [default: cores]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// The stock file, a JSON array [default: built in]
    #[arg(long, value_name = "FILE")]
    stock: Option<String>,
    /// Time until an unpaid order expires; 0 means never [default: 10m]
    #[arg(long, value_name = "DURATION")]
    payment_timeout: Option<String>,
    /// Log level, also by module, such as info,loms::sequencer=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log format: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServerFlags {
    /// The keys that these flags override, with the new values.
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

/// Makes every panic end the process. Without this, tokio catches a panic of a task, and the server
/// continues with a state whose invariants do not hold.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::abort();
    }));
}

fn main() -> ExitCode {
    abort_on_panic();
    let flags = Flags::parse();
    let file = flags.config.as_deref();
    let result = match flags.command {
        None => serve(file, flags.server, ServerFlags::default(), &flags.call),
        Some(Command::Serve(server)) => serve(file, flags.server, server, &flags.call),
        Some(Command::Client(command)) => call(file, &flags.server, flags.call, command),
    };
    result.unwrap_or_else(|problem| {
        client_commands::print_error(&problem);
        ExitCode::FAILURE
    })
}

/// Serves. The flags may be before and after `serve`; a later flag overrides an earlier one.
fn serve(
    file: Option<&Path>,
    before: ServerFlags,
    after: ServerFlags,
    call: &CallFlags,
) -> Result<ExitCode, String> {
    if *call != CallFlags::default() {
        wrong_arguments("flags for calling are for commands that call a server");
    }
    let mut overrides = before.overrides();
    for (key, text) in after.overrides() {
        overrides.retain(|(earlier, _)| *earlier != key);
        overrides.push((key, text));
    }
    let file = file.map(Path::to_owned);
    let load = move || {
        let config = Config::load(sources(file.as_deref(), &overrides));
        config.map_err(|error| error.to_string())
    };
    serve_command::run(&load()?, Box::new(load))?;
    Ok(ExitCode::SUCCESS)
}

/// Calls a server. The flags for calling may be before and after the command, too.
fn call(
    file: Option<&Path>,
    server: &ServerFlags,
    before: CallFlags,
    command: ClientCommand,
) -> Result<ExitCode, String> {
    if *server != ServerFlags::default() {
        wrong_arguments("flags for serving cannot be used with a command that calls a server");
    }
    let flags = before.overridden_by(command.flags());
    let overrides = flags.overrides();
    let loms = Loms::load(sources(file, &overrides)).map_err(|error| error.to_string())?;
    let misspelt = loms.misspelt_variables.iter();
    misspelt.for_each(|variable| client_commands::print_error(&variable.to_string()));
    let Loms { address, ca, cert, cert_key, token_file: token, .. } = loms;
    let credentials = Credentials::read(&CredentialFiles { ca, cert, cert_key, token })?;
    Ok(client_commands::run(command, &flags, &address, &credentials))
}

/// The file, the environment and these flags.
fn sources<'a>(
    file: Option<&'a Path>,
    flags: &'a [(&'static str, String)],
) -> Sources<'a, std::env::VarsOs> {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
    let environment = std::env::vars_os();
    Sources { directory: Path::new(""), file, environment, flags }
}

/// Ends the process as clap does for wrong arguments.
fn wrong_arguments(problem: &str) -> ! {
    Flags::command().error(ErrorKind::ArgumentConflict, problem).exit()
}
