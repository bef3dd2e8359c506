//! LOMS, the Logistics and Order Management System: what is in stock, orders that reserve it,
//! and orders that are paid or cancelled, served to carts over gRPC.

pub mod client;
pub mod grpc;
pub mod sequencer;
pub mod server;
pub mod state_machine;
