//! All tests of LOMS from outside: one binary, a module per matter.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod config;
mod opening_stock;
mod story;
