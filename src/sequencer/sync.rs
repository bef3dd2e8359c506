//! What threads and tasks of the sequencer wait with. The tests of this module use models of the
//! same types instead.

#[cfg(test)]
pub(super) use super::model::{Instant, Mutex, MutexGuard, Notify, sleep_until, yield_now};
#[cfg(not(test))]
pub(super) use std::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(super) use tokio::sync::Notify;
#[cfg(not(test))]
pub(super) use tokio::task::yield_now;
#[cfg(not(test))]
pub(super) use tokio::time::{Instant, sleep_until};
