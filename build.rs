//! Compiles `proto/` into the generated gRPC code. It uses protox, so `protoc` is not needed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

#[expect(clippy::disallowed_methods, reason = "cargo passes OUT_DIR and features this way")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/loms.proto"], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // The reflection service sends this to clients such as grpcurl.
    fs::write(out.join("loms_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::Protobuf")
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(descriptors)?;
    Ok(())
}
