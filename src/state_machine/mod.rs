//! The core: a pure, deterministic machine of orders and stock.
//!
//! ```text
//! LomsState + Command ──apply──► LomsState' + Outcome + Transitions
//!                                or a Rejection, and nothing changed
//! ```
//!
//! It promises that the same commands give the same answers, for ever: it knows no clock, no
//! chance, no thread, no socket and no file. Time is a field of the [`Command`]; what it wants
//! done later it says ([`LomsState::next_deadline`]); what happened it returns ([`Transition`])
//! and never logs. It does not fail half way: all that can be refused is decided before anything
//! changes. What cannot happen is asserted, and an assertion that breaks stops the process, for a
//! wrong stock count is worse than none.
//!
//! Start with [`LomsState::apply`], then [`OrderStatus::may_go`], the table of an order's life.
//!
//! | module | holds |
//! |---|---|
//! | `ids` | SKUs, counts, users, order ids, times: values that cannot be out of range |
//! | `command` | what can be asked |
//! | `outcome` | what is answered, refused, and has happened |
//! | `state` | [`LomsState`]: the one door, and a handler per command |
//! | `order` | the orders on record, and the lifecycle |
//! | `awaiting` | which orders await payment |
//! | `stock` | the shelves: reserve, release, deduct |
//! | `keys` | the idempotency keys that are still remembered |
//! | `arena` | storage that never copies itself whole |
//! | `invariants` | what must hold of the whole state |
//! | `digest` | a fingerprint of the whole state |
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::unwrap_used
)]

mod arena;
mod awaiting;
mod command;
mod digest;
mod ids;
mod invariants;
mod keys;
mod order;
mod outcome;
mod state;
mod stock;

pub use command::{Action, Command, Demand, DemandError, IdempotencyKey, Line};
pub use digest::Digest;
pub use ids::{Count, OrderId, Sku, Span, Timestamp, UserId};
pub use invariants::Violation;
pub use order::{OrderStatus, OrderView};
pub use outcome::{Cause, Outcome, Rejection, Shortage, Transition};
pub use state::{LomsState, Rules};
pub use stock::{OpeningStock, OpeningStockError, StockRecord, StockView};
