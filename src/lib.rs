//! LOMS, the Logistics and Order Management System: what is in stock, orders that reserve it,
//! and orders that are paid or cancelled, served to carts over gRPC.
//!
//! ```text
//!  cart ══ gRPC ══► server ─► grpc ─────────► sequencer ────────► state_machine
//!                             convert,        the one lock,       LomsState::apply
//!                             refuse          stamps the time     pure, deterministic
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`state_machine`] | the core: orders and stock as a pure machine. Start here |
//! | [`sequencer`] | the one lock, and the clock |
//! | [`grpc`] | requests and answers of the wire, checked and converted |
//! | [`server`] | serving from a listener until a shutdown: health, reflection, drain |
//! | [`client`] | the client that a cart uses |
//! | [`config`] | file, environment and flags as one checked configuration |
//! | [`signals`] | SIGTERM and SIGINT |
//! | [`opening_stock`] | the stock file |
//!
//! Imports go one way: `server → grpc → sequencer → state_machine`, and the machine uses nothing
//! but a little of `std`. `tests/suite/tidy.rs` holds that rule.

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
