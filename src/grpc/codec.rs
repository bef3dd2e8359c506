//! Messages to bytes and back, as tonic does it, with buffers of the size that our messages have.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// The size of the buffers that each call gets, and the step by which they grow, in bytes. An
/// order of ten lines has some 100 bytes. tonic's own 8 KiB are more than the allocator keeps at
/// hand, so that asking for them, twice a call, costs far more than the bytes do.
const BUFFER: usize = 512;

/// How much of an answer is gathered before it is sent, in bytes: tonic's own default.
const YIELD_THRESHOLD: usize = 32 << 10;

/// Encodes `T` and decodes `U`. The generated code names it (`build.rs`).
#[derive(Debug)]
pub(super) struct Protobuf<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Protobuf<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Protobuf<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD_THRESHOLD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD_THRESHOLD))
    }
}
