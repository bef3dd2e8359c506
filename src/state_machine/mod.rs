//! The core: a pure, deterministic state machine of orders and stock.
//!
//! ```text
//! LomsState + Entry ──apply──► LomsState' + Outcome + Events
//!                              or a Rejection, and nothing but the time has changed
//! ```
//!
//! The same entries give the same answers, for ever: the machine uses no clock, random numbers,
//! threads, sockets or files. The time is a field of each [`Entry`]. When it needs a tick it says
//! so ([`LomsState::next_deadline`]). What happened it returns as [`Event`]s; it never logs.
//!
//! A command is all or nothing: everything that can be refused is decided before the first change.
//! What cannot happen is asserted. A failed assertion stops the process, because a wrong stock
//! count is worse than no answer.
//!
//! Reads take `&LomsState` and change nothing.
//!
//! Start with [`LomsState::apply`], then [`OrderStatus::may_change`], the lifecycle of an order.
//!
//! | module | holds |
//! |---|---|
//! | `ids` | SKUs, counts, users, order ids, times: values that are always in range |
//! | `lifecycle` | the statuses of an order, and the table of legal changes |
//! | `rules` | the settings that decide answers |
//! | `command` | what can be asked: commands and entries |
//! | `event` | what has happened |
//! | `outcome` | what is answered: outcomes and rejections |
//! | `orders` | the stored orders |
//! | `stock` | the stock: reserve, release, deduct |
//! | `keys` | the idempotency keys that are remembered |
//! | `state` | [`LomsState`], `apply`, and a handler for each command |
//! | `restore` | a state as a list of parts, and back: what a snapshot holds |
//! | `invariants` | what must hold of the whole state |
//! | `digest` | a fingerprint of the whole state |
//! | `storage` | containers with a bounded worst case |
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::unwrap_used
)]

mod command;
mod digest;
mod event;
mod ids;
mod invariants;
mod keys;
mod lifecycle;
mod orders;
mod outcome;
mod restore;
mod rules;
mod state;
mod stock;
mod storage;

pub use command::{Command, Demand, DemandError, Entry, IdempotencyKey, Line};
pub use digest::Digest;
pub use event::{Event, Fact, Transition};
pub use ids::{Count, OrderId, Sku, Span, Timestamp, UserId};
pub use invariants::Violation;
pub use lifecycle::{Cause, OrderStatus};
pub use orders::{Order, OrderView};
pub use outcome::{Outcome, Rejection, Shortage};
pub use restore::Parts;
pub use rules::Rules;
pub use state::LomsState;
pub use stock::{OpeningStock, OpeningStockError, StockRecord, StockView};
