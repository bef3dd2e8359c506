//! Layers above the state machine: the service in process, the server with concurrent clients,
//! and any other server.

pub(crate) mod against;
pub(crate) mod concurrent;
pub(crate) mod service;
pub(crate) mod wire;
