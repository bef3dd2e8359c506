//! The simulator.

mod cli;
mod contract;
mod crash;
mod failure;
mod fingerprint;
mod generate;
mod judge;
mod laws;
mod machine;
mod marks;
mod model;
mod plan;
mod plan_text;
mod report;
mod rig;
mod rng;
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
