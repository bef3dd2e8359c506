//! What LOMS adds to the wire: the server compared with one that does nothing, and one way of
//! serving compared with another, in turn and within one run, under the load of `sim load`.
//!
//! `cargo bench --bench wire -- thin` compares LOMS with the no-op, `-- runtimes` the ways of
//! serving. `-- load` shows latency against load, `-- backlog` what a million orders due at once do
//! to calls, `-- expiry` creates while orders expire as fast as they come. `--save` writes
//! `benches/figures/`. The machine has to be quiet for these, and the load shares it with the
//! server. `-- instructions` counts the instructions of a call, on any machine.
#![expect(clippy::print_stdout, reason = "the results are tables on stdout")]

mod backlog;
#[path = "../callgrind.rs"]
mod callgrind;
mod expiry;
mod measure;
mod noop;
mod server;
mod tables;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As in the `loms` binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "LOMS beside a server that does nothing, under the load of `sim load`")]
struct Flags {
    /// Passed by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
    /// How often each server has its turn
    #[arg(long, global = true, default_value_t = 7)]
    rounds: usize,
    /// How long a turn takes, in seconds
    #[arg(long, global = true, default_value_t = 2)]
    seconds: u32,
    /// Write the numbers to benches/figures, from where the plots are drawn
    #[arg(long, global = true)]
    save: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// LOMS beside the no-op, for each kind of call
    Thin,
    /// A thread a core beside the runtime that shares its work among threads
    Runtimes,
    /// Latency against load, each call counted from when it was due
    Load,
    /// How long calls wait when a million orders are due at once
    Backlog,
    /// Creates per second while every order expires, relative to none
    Expiry,
    /// How many instructions a call costs the servers, by callgrind
    Instructions,
    /// Is one of the servers, until stdin ends
    #[command(hide = true)]
    Serve(server::Role),
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = match flags.command {
        Command::Thin => tables::thin(&flags),
        Command::Runtimes => tables::runtimes(&flags),
        Command::Load => tables::load(&flags),
        Command::Backlog => backlog::backlog(flags.rounds),
        Command::Expiry => expiry::expiry(&flags),
        Command::Instructions => tables::instructions(),
        Command::Serve(role) => server::be(role),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("wire: {problem}");
            ExitCode::FAILURE
        }
    }
}
