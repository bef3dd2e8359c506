//! Encodes and decodes messages like tonic's codec, with buffers of the size of our messages.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// The size of the buffers that each call gets, and the step by which they grow, in bytes. An
/// order of ten lines has about 100 bytes. tonic's default of 8 KiB is larger than the blocks that
/// the allocator caches, and allocating it twice per call is slow.
const BUFFER: usize = 512;

/// How many bytes of an answer are buffered before they are sent: tonic's default.
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
