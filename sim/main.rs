//! The simulator.

mod against;
mod bug_base;
mod campaign;
mod ci;
mod cli;
mod clock;
mod concurrent;
mod contract;
mod coverage;
mod crash;
mod exhaustive;
mod failure;
mod fingerprint;
mod fleet;
mod generate;
mod judge;
mod laws;
mod machine;
mod marker;
mod marks;
mod model;
mod mutants;
mod pages;
mod plan;
mod plan_text;
mod report;
mod rig;
mod rng;
mod selfcheck;
mod service;
mod shrink;
mod swarm;
mod tally;
mod wire;
mod words;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    crash::announce();
    cli::run()
}
