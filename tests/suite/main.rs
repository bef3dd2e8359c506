//! All tests of LOMS from outside: one binary, a module per matter.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod allocation;
mod client;
mod client_commands;
mod config;
mod expiry;
mod laws;
mod load;
mod opening_stock;
mod process;
mod races;
mod script;
mod scripted_server;
mod serving;
mod sim_pages;
mod stories;
mod story;
mod tidy;
mod workers;
