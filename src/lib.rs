//! LOMS, the Logistics and Order Management System: what is in stock, orders that reserve it,
//! and orders that are paid or cancelled, served to carts over gRPC.
//!
//! ```text
//!  cart ══ gRPC ══► server ─► grpc ─────────► sequencer ────────► state_machine
//!                             convert,        the one lock,       LomsState::apply
//!                             refuse          stamps the time     pure, deterministic
//! ```
//!
//! | module | purpose |
//! |---|---|
//! | [`state_machine`] | the core: a pure state machine of orders and stock. Start here |
//! | [`sequencer`] | the one lock, the clock, expiry of due orders, the log |
//! | [`grpc`] | requests and answers of the wire, checked and converted |
//! | [`server`] | serves from a listener until shutdown: health, reflection, drain |
//! | [`client`] | the client that a cart uses |
//! | [`config`] | file, environment and flags as one checked configuration |
//! | [`signals`] | the signals that stop the process or reload its settings |
//! | [`telemetry`] | the log |
//! | [`opening_stock`] | the stock file |
//!
//! Imports go in one direction: `server → grpc → sequencer → state_machine`. The state machine
//! uses only `std`. `tests/suite/imports.rs` checks this.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
pub mod grpc;
#[cfg(feature = "server")]
pub mod opening_stock;
#[cfg(feature = "server")]
pub mod sequencer;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod signals;
#[cfg(feature = "server")]
pub mod state_machine;
#[cfg(feature = "server")]
pub mod telemetry;
