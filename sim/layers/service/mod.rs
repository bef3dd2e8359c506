//! The service layer: the shipped tonic service and the generated client in one process, without
//! sockets, on a clock of the simulator's own.
//!
//! | part | what it does |
//! |---|---|
//! | `server` | the service under test, with a clock set by hand |
//! | `checker` | the model, taken along in the server's own order |
//! | `calm` | faults off: the answers of the swarm layer to the same plan |
//! | `storm` | faults on: one queue of messages, over `line`s, and the `drain` at the end |
//! | `faults` | what goes wrong, as data |
//! | `run` | seeds, and failures made small |

mod backlog;
mod channel;
mod checker;
mod drain;
mod fault_free;
mod fault_schedule;
mod faulty_run;
mod run;
mod server;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use self::checker::kind_of;
pub(crate) use self::run::{replay, run_covered, run_many, seed};
pub(crate) use self::server::{ManualClock, options};
