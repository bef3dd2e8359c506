//! All tests of LOMS from outside: one binary, one module per topic.
#![allow(clippy::unwrap_used, reason = "an unwrap that fails fails the test")]

mod allocation;
mod calls;
mod certificates;
mod client;
mod client_commands;
mod client_peers;
mod client_retries;
mod config;
mod costs;
mod docs;
mod environment;
mod expiry;
mod foreign;
mod health_command;
mod hostile;
mod imports;
mod laws;
mod limits;
mod load;
mod logs;
mod numbers;
mod opening_stock;
mod process;
mod races;
mod roles;
mod script;
mod scripted_server;
mod serving;
mod signals;
mod sim_pages;
mod stories;
mod story;
mod tidy;
mod wiring;
mod workers;
