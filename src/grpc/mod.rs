//! Converts between the gRPC wire and the core.
//!
//! | module | holds |
//! |---|---|
//! | [`convert`] | requests → checked values, and values of the core → responses |
//! | [`status`] | refusals → gRPC statuses with google.rpc details |
//! | [`service`] | the service: convert, submit, convert |
//! | [`protocol`] | the rules of gRPC over HTTP/2: method, content type, timeout |
//! | `unary` | requests and responses ↔ messages |
//! | `requests` | request messages, with every integer as it is on the wire |
//! | `codec` | messages ↔ bytes, for clients |
//!
//! Generated types never leave this module and `client.rs`.

mod codec;
#[cfg(feature = "server")]
pub mod convert;
#[cfg(feature = "server")]
pub mod protocol;
#[cfg(feature = "server")]
mod requests;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod status;
#[cfg(feature = "server")]
mod unary;

/// The type URL of an OrderCreateResponse among the details of a status.
pub(crate) const ORDER_CREATE_RESPONSE: &str = "type.googleapis.com/loms.OrderCreateResponse";

/// Code generated from `proto/loms.proto`.
#[allow(
    missing_docs,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated"
)]
pub mod proto {
    tonic::include_proto!("loms");

    /// The contract itself, for the reflection service.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("loms_descriptor");
}
