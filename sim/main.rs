//! The simulator.

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
mod rig;
mod rng;
mod swarm;
mod tally;
mod words;
mod world;

fn main() {}
