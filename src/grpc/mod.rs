//! The contract's edge.

/// Messages, server trait and bare client, as generated from `proto/loms.proto`.
pub mod proto {
    #![allow(
        missing_docs,
        clippy::allow_attributes_without_reason,
        clippy::missing_errors_doc,
        clippy::too_many_lines,
        reason = "generated"
    )]

    tonic::include_proto!("loms");

    /// The contract as the reflection service hands it out.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("loms_descriptor");
}
