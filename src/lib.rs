//! LOMS.

pub mod client;
pub mod grpc;
pub mod state_machine;
