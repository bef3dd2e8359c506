//! The one test binary.

mod client;
mod scripted_server;
