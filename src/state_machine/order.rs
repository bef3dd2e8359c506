//! [`Order`]: an order as owned data.

use super::command::Line;
use super::ids::{OrderId, Timestamp, UserId};
use super::lifecycle::{Cause, OrderStatus};
use super::outcome::Shortage;

/// An order as owned data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The user who placed it.
    pub user: UserId,
    /// Its status.
    pub status: OrderStatus,
    /// Why it has that status.
    pub cause: Cause,
    /// When it was placed.
    pub created: Timestamp,
    /// When its status last changed.
    pub updated: Timestamp,
    /// What was ordered, by ascending SKU.
    pub lines: Vec<Line>,
    /// The lines that were short when it was placed, by ascending SKU; none unless it failed.
    pub shortages: Vec<Shortage>,
}
