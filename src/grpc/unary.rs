//! The messages of a unary call: reads the one of the request, writes the one of the answer.
//!
//! On the wire, five bytes before a message say whether it is compressed, and its length. Answers
//! are never compressed: most have less than 100 bytes.

use std::future::poll_fn;
use std::io::Read;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use flate2::bufread::MultiGzDecoder;
use http_body::Frame;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, header};
use tonic::codegen::{Body as HttpBody, Bytes};
use tonic::metadata::MetadataValue;

use super::status;

/// The number of bytes before a message.
const PREFIX: usize = 5;

/// The most bytes of requests that have arrived in part, over all connections.
const MAX_PARTIAL_BYTES: usize = 32 << 20;

/// Memory of requests that have arrived in part.
#[derive(Clone, Debug, Default)]
pub(super) struct PartialRequests(Arc<AtomicUsize>);

/// Reads the message of a request, which may have up to `limit` bytes, compressed or not. No memory
/// is reserved for bytes that have not arrived.
///
/// # Errors
/// A status without details: the request never reaches LOMS.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    partial: &PartialRequests,
) -> Result<Bytes, Status> {
    let mut body = pin!(body);
    let mut incoming =
        Incoming { limit, first: Bytes::new(), joined: Vec::new(), partial, counted: 0 };
    while let Some(data) = next_data(body.as_mut()).await? {
        incoming.add(data)?;
        if body.is_end_stream() {
            break;
        }
        incoming.keep()?;
    }
    let (compressed, message) = incoming.finish()?;
    if compressed { decompress(&message, headers, limit) } else { Ok(message) }
}

/// The next data of a request; `None` at its end. Trailers of a request have no meaning.
async fn next_data(mut body: Pin<&mut Body>) -> Result<Option<Bytes>, Status> {
    let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
    Ok(frame.transpose()?.and_then(|frame| frame.into_data().ok()))
}

/// The bytes of a request that have arrived.
struct Incoming<'a> {
    limit: usize,
    /// The first frame, which mostly holds the whole message and is not copied.
    first: Bytes,
    /// All frames, if there are several.
    joined: Vec<u8>,
    partial: &'a PartialRequests,
    /// What `partial` counts for this request, in bytes.
    counted: usize,
}

/// What is before a message.
struct Prefix {
    compressed: bool,
    /// Where the message ends, from the beginning of its prefix.
    end: usize,
}

impl Incoming<'_> {
    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() { &self.first } else { &self.joined }
    }

    fn add(&mut self, data: Bytes) -> Result<(), Status> {
        if self.first.is_empty() {
            self.first = data;
        } else if !data.is_empty() {
            self.join();
            self.joined.extend_from_slice(&data);
        }
        match self.prefix()? {
            Some(Prefix { end, .. }) if end < self.bytes().len() => Err(not_one_message("several")),
            Some(_) | None => Ok(()),
        }
    }

    fn join(&mut self) {
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
    }

    /// Keeps what has arrived until more arrives. A frame is copied, because it shares the memory
    /// of all that was read with it.
    fn keep(&mut self) -> Result<(), Status> {
        self.join();
        let more = self.joined.capacity().saturating_sub(self.counted);
        self.counted += more;
        let before = self.partial.0.fetch_add(more, Ordering::Relaxed);
        if before + more > MAX_PARTIAL_BYTES {
            Err(status::too_many_partial_requests())
        } else {
            Ok(())
        }
    }

    /// The prefix, once it has arrived.
    fn prefix(&self) -> Result<Option<Prefix>, Status> {
        let Some((&[flag, len @ ..], _)) = self.bytes().split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let compressed = match flag {
            0 => false,
            1 => true,
            _ => return Err(Status::internal(format!("invalid compression flag: {flag}"))),
        };
        let len = usize::try_from(u32::from_be_bytes(len)).ok();
        let len = len
            .filter(|&len| len <= self.limit)
            .ok_or_else(|| status::request_too_large(self.limit))?;
        Ok(Some(Prefix { compressed, end: PREFIX + len }))
    }

    /// The message and whether it is compressed, at the end of the request.
    fn finish(mut self) -> Result<(bool, Bytes), Status> {
        let prefix = self.prefix()?.filter(|prefix| prefix.end == self.bytes().len());
        let Some(Prefix { compressed, .. }) = prefix else {
            return Err(if self.bytes().is_empty() {
                not_one_message("no")
            } else {
                Status::internal("the request ends within a message")
            });
        };
        let all = if self.joined.is_empty() {
            mem::take(&mut self.first)
        } else {
            Bytes::from(mem::take(&mut self.joined))
        };
        Ok((compressed, all.slice(PREFIX..)))
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        self.partial.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// Decompresses a message, up to the limit.
fn decompress(message: &[u8], headers: &HeaderMap, limit: usize) -> Result<Bytes, Status> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        Some(b"gzip") => {}
        None | Some(b"identity") => {
            return Err(Status::internal("compressed message without a grpc-encoding"));
        }
        Some(_) => {
            let mut refusal = Status::unimplemented("the grpc-encoding must be gzip or identity");
            let accepted = MetadataValue::from_static("gzip,identity");
            refusal.metadata_mut().insert("grpc-accept-encoding", accepted);
            return Err(refusal);
        }
    }
    let mut decompressed = Vec::new();
    let most = u64::try_from(limit).expect("lengths fit 64 bits");
    let read = MultiGzDecoder::new(message).take(most + 1).read_to_end(&mut decompressed);
    read.map_err(|error| Status::internal(format!("invalid gzip: {error}")))?;
    if decompressed.len() > limit {
        Err(status::request_too_large(limit))
    } else {
        Ok(decompressed.into())
    }
}

/// gRPC's table of status codes has this code for it.
fn not_one_message(number: &str) -> Status {
    Status::unimplemented(format!("{number} messages in a request that must have one"))
}

/// Decodes a message.
///
/// # Errors
/// It is not Protobuf.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::internal(error.to_string()))
}

/// The response with this message.
pub(super) fn answer(message: &impl Message) -> Response<Body> {
    let len = message.encoded_len();
    let mut bytes = Vec::with_capacity(PREFIX + len);
    bytes.push(0);
    bytes.extend(u32::try_from(len).expect("an answer is far below 4 GiB").to_be_bytes());
    message.encode(&mut bytes).expect("a Vec has room");
    let mut response =
        Response::new(Body::new(Answer { message: Some(bytes.into()), ends: false }));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// The body of an answer: its message, then the trailers of a call that is OK.
struct Answer {
    message: Option<Bytes>,
    ends: bool,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if mem::replace(&mut self.ends, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ends
    }
}
