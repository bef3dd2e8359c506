//! `sim`, the simulator: any bug in the orders or the stock, found in seconds, told on a screen.
//!
//! ```text
//!  seed ──► world ──► generate ──► plan ──► checker ──► all agree, or failure ──► shrink ──► report
//!           what it    a step       steps,   machine  seen at the command       a handful
//!           is like    at a time    as data  │ model  that caused it            of commands
//! ```
//!
//! The **machine** is the shipped one, behind the shipped checks of its edge. The **model** is
//! another author's, of another shape, written from the contract. The checker compares them in full
//! after every command. Everything that is drawn is drawn by key, so that a seed is the same plan
//! for ever; everything that is told on stdout is the same for the same arguments.
//!
//! | to see how | start at |
//! |---|---|
//! | calls and answers are told | `contract`, `words` |
//! | the machine and the model answer | `machine`, `model` |
//! | a seed becomes a plan | `rng`, `world`, `generate`, `plan`, `plan_text` |
//! | a run is checked | `checker`, `laws`, `swarm`, `exhaustive`, `failure` |
//! | a failure becomes small and readable | `shrink`, `report` |
//! | many seeds run on many cores | `summary`, `request`, `counts`, `fingerprint` |
//! | it is proved to see what there is | `marks`, `marker`, `coverage` |
//! | it is proved to find bugs | `mutants`, `bug_base`, `selfcheck`, `injected` |
//! | a real server is put under load | `load` |
//! | people and CI ask | `cli`, `ci`, `exit`, `pages`, `crash`, `clock` |

mod check;
mod ci;
mod cli;
mod clock;
mod coverage;
mod exit;
mod layers;
mod load;
mod model;
mod mutation;
mod plan;
mod report;
mod runner;
mod shrink;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The same allocator as the `loms` binary: `sim load` and the server share the machine.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    check::panic::install_hook();
    cli::run()
}
