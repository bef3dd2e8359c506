//! Runs that are checked: the state machine and the model get the same commands and are compared
//! after each one.

mod behavior;
pub(crate) mod checker;
pub(crate) mod compared;
pub(crate) mod exhaustive;
pub(crate) mod expiries;
pub(crate) mod failure;
pub(crate) mod laws;
pub(crate) mod panic;
pub(crate) mod subject;
pub(crate) mod swarm;
