//! The core.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::unwrap_used
)]

mod command;
mod ids;
mod stock;

pub use command::{Action, Command, Demand, DemandError, IdempotencyKey, Line};
pub use ids::{Count, OrderId, Sku, Span, Timestamp, UserId};
pub use stock::{OpeningStock, OpeningStockError, StockRecord};
