//! The one test binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod client;
mod client_commands;
mod scripted_server;
