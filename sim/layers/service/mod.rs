//! The service layer: the real tonic service and the generated client in one process, without
//! sockets, on a simulated clock.
//!
//! | part | what it does |
//! |---|---|
//! | `server` | the service under test, with a clock set by hand |
//! | `checker` | compares each answer with the model, in the server's order |
//! | `fault_free` | without faults: the same answers as the swarm layer |
//! | `faulty_run` | with faults: one queue of messages over `channel`s; then the `drain` |
//! | `fault_schedule` | the faults as data |
//! | `run` | seeds, and shrinking of failures |

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

pub(crate) use self::checker::kind_of;
pub(crate) use self::run::{replay, run_covered, run_many, seed};
pub(crate) use self::server::{ManualClock, options};
