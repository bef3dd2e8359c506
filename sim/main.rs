//! `sim`, the simulator: it finds bugs in the order and stock logic within seconds, and reports
//! each one as a short plan that reproduces it. The manual is `sim/README.md`.
//!
//! ```text
//!  seed ──► workload ──► generator ──► plan ──► checker ──► all agree, or a failure ──► report
//!                        step by       steps    subject │   at the command           shrunk to
//!                        step          as data  model   │   that caused it           a few steps
//! ```
//!
//! The **subject** is the real state machine behind the service's own validation. The **model** is
//! an independent implementation of the contract with a different structure. The checker compares
//! them after every command. All randomness comes from the seed, by key, so a seed is always the
//! same plan; the output on stdout is the same for the same arguments.
//!
//! | folder or file | contents |
//! |---|---|
//! | `model` | calls and answers of the API, and the model that gives the right answers |
//! | `plan` | plans as data and as text; the workload and the generator of a seed |
//! | `check` | the subject, the checker, the laws, and the swarm and exhaustive layers |
//! | `shrink` | makes failing plans small, for every layer |
//! | `coverage` | counts and marks: what the runs reach |
//! | `mutation` | planted bugs and what finds them, injected faults, regression plans |
//! | `layers` | the service in process, concurrent clients, any other server |
//! | `load` | puts a real server under load and checks its answers |
//! | `hostile` | attacks a server process, with an honest client beside each attack |
//! | `report` | failures, runs and pages as text |
//! | `runner` | many seeds on many cores |
//! | `progress` | ends a check that makes no progress |
//! | `cli`, `ci`, `exit`, `clock` | the command line, what CI runs, exit codes, the wall clock |
//! | `credentials` | the flags for TLS and tokens |

mod check;
mod ci;
mod cli;
mod clock;
mod coverage;
mod credentials;
mod exit;
mod hostile;
mod layers;
mod load;
mod model;
mod mutation;
mod plan;
mod progress;
mod report;
mod runner;
mod shrink;
mod words;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The same allocator as the `loms` binary: `sim load` and the server share the machine.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    check::panic::install_hook();
    cli::run()
}
