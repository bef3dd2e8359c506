//! The service layer: the real tonic service and the generated client in one process, without
//! sockets, on a simulated clock.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the service under test, with a clock set by the run |
//! | `timers` | the service's timers, in virtual time |
//! | `checker` | the model, called in the order of the server's answers |
//! | `fault_free` | without faults: the answers of the swarm layer to the same plan |
//! | `faulty_run` | with faults: one queue of messages over a `channel` each; `drain` ends it |
//! | `fault_schedule` | the faults, as data |
//! | `delivery` | what happens to one request |
//! | `effects` | what each fault must do to a request |
//! | `edge` | the settings of a seed, and requests at the limits |
//! | `edge_counts` | how often settings and limits had an effect |
//! | `waiting` | calls that arrive while the server has a backlog of due orders |
//! | `fault_counts` | how often each fault and each of its consequences happened |
//! | `backlog` | plans with more due orders than the shipped server expires at once |
//! | `run` | runs seeds and shrinks failures |

mod backlog;
mod channel;
mod checker;
mod delivery;
mod drain;
mod edge;
mod edge_counts;
mod effects;
mod fault_counts;
mod fault_free;
mod fault_schedule;
mod faulty_run;
mod run;
mod server;
#[cfg(test)]
mod tests;
mod timers;
mod waiting;

pub(crate) use self::checker::kind_of;
pub(crate) use self::fault_schedule::NetworkFault;
pub(crate) use self::run::{
    NotCovered, covered, replay, run_covered, run_many, run_with_speed, seed,
};
pub(crate) use self::server::{ManualClock, options};
