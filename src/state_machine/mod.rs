//! The core: a pure, deterministic state machine of orders and stock.
//!
//! ```text
//! LomsState + Entry ──apply──► LomsState' + Outcome + Events
//!                              or a Rejection, and nothing but the time has changed
//! ```
//!
//! The same entries always give the same answers: the core uses no clock, random numbers, threads,
//! sockets or files. The time is a field of each [`Entry`]. [`LomsState::next_deadline`] returns
//! the time of the next tick. The core returns [`Event`]s and never logs.
//!
//! A command is all or nothing: everything that can be refused is decided before the first change.
//! Assertions check what cannot happen. A failed assertion stops the process, because a wrong stock
//! count is worse than no answer.
//!
//! Reads take `&LomsState` and change nothing.
//!
//! Start with [`LomsState::apply`], then [`OrderStatus::may_change`], the lifecycle of an order.
//!
//! | module | content |
//! |---|---|
//! | `ids` | SKUs, counts, users, order ids, times: values that are always in range |
//! | `lifecycle` | the statuses of an order, and the table of legal changes |
//! | `rules` | the settings that decide answers |
//! | `command` | commands and entries |
//! | `event` | facts about what has happened |
//! | `outcome` | answers: outcomes and rejections |
//! | `record` | the record of a stored order |
//! | `order` | an order as owned data |
//! | `orders` | the stored orders |
//! | `stock` | the stock: reserve, release, deduct |
//! | `keys` | the idempotency keys that are remembered |
//! | `state` | [`LomsState`], `apply`, and a handler for each command |
//! | `restore` | converts a state to a list of parts (a snapshot) and back |
//! | `invariants` | checks of the whole state |
//! | `digest` | a fingerprint of the whole state |
//! | `storage` | containers with a bounded worst case |
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "the tests inside the core compute with small numbers"
    )
)]

mod command;
mod digest;
mod event;
mod ids;
mod invariants;
mod keys;
mod lifecycle;
mod order;
mod orders;
mod outcome;
mod record;
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
pub use order::Order;
pub use orders::OrderView;
pub use outcome::{Outcome, Rejection, Shortage};
pub use restore::Parts;
pub use rules::Rules;
pub use state::LomsState;
pub use stock::{DuplicateSku, OpeningStock, StockRecord, StockView};
pub use storage::{Shipped, Sizes, Tiny};
