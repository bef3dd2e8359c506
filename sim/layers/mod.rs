//! Layers above the state machine: the service in one process, the server with concurrent clients,
//! and any other server. `wire` makes calls over the generated client.

pub(crate) mod against;
pub(crate) mod concurrent;
pub(crate) mod service;
pub(crate) mod wire;
