//! LOMS.

pub mod state_machine;
