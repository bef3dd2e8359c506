//! The simulator tests itself: bugs planted in the model and in the shipped code, faults injected
//! into the simulator, and regression plans.

pub(crate) mod altered;
pub(crate) mod comparisons;
pub(crate) mod injected;
pub(crate) mod kill_table;
pub(crate) mod machine_kills;
pub(crate) mod planted_bugs;
pub(crate) mod regressions;
pub(crate) mod selfcheck;
