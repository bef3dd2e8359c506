//! LOMS.

pub mod grpc;
pub mod state_machine;
