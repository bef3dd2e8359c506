//! One call: waits until its request has arrived, within limits, and then passes it on.
//!
//! A request is stored as it arrives. Nothing is reserved for what its client announces. A call
//! that its client has cancelled before that has no effect.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{Request, Response};

use super::activity::{Activity, OpenCall};
use crate::grpc::status;

/// How a call sends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// One message, limited by [`Serving::max_request_bytes`].
    ///
    /// [`Serving::max_request_bytes`]: super::Serving::max_request_bytes
    Unary,
    /// Several messages, or one that the service itself limits.
    Stream,
    /// A watch of the health, which lasts as long as its client wishes.
    Watch,
}

/// The client cancelled the call, or its connection is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client cancelled the call")
    }
}

impl Error for Cancelled {}

/// A call of a service.
pub(super) struct Call<S: Service<Request<Body>>> {
    service: S,
    step: Step<S::Future>,
    open: OpenCall,
}

enum Step<F> {
    Arriving(Arriving),
    Answering(F),
}

impl<S> Call<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    pub(super) fn new(
        mut service: S,
        request: Request<Incoming>,
        kind: CallKind,
        limit: usize,
        activity: &Arc<Activity>,
    ) -> Self {
        let open = OpenCall::new(activity);
        let step = match kind {
            CallKind::Unary => {
                let (parts, body) = request.into_parts();
                Step::Arriving(Arriving {
                    parts: Some(parts),
                    body,
                    bytes: Arrived::Nothing,
                    limit,
                })
            }
            CallKind::Stream | CallKind::Watch => {
                Step::Answering(service.call(request.map(Body::new)))
            }
        };
        Self { service, step, open }
    }
}

impl<S> Future for Call<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    type Output = Result<Response<Body>, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Step::Arriving(arriving) = &mut this.step {
            let answer = match ready!(arriving.poll(cx)) {
                Ok(request) => {
                    this.open.arrive();
                    this.service.call(request)
                }
                Err(Failure::Cancelled) => return Poll::Ready(Err(Cancelled)),
                Err(Failure::TooLarge) => {
                    this.open.answer();
                    let refusal = status::request_too_large(arriving.limit);
                    return Poll::Ready(Ok(refusal.into_http()));
                }
            };
            this.step = Step::Answering(answer);
        }
        let Step::Answering(answer) = &mut this.step else { unreachable!("the request arrived") };
        let Ok(response) = ready!(Pin::new(answer).poll(cx));
        this.open.answer();
        Poll::Ready(Ok(response))
    }
}

/// A request that is arriving.
struct Arriving {
    /// `None` once it has arrived.
    parts: Option<Parts>,
    body: Incoming,
    bytes: Arrived,
    /// The largest message, in bytes.
    limit: usize,
}

/// The part of a request that is here. Nearly every request is one piece.
enum Arrived {
    Nothing,
    Piece(Bytes),
    Pieces(BytesMut),
}

impl Arrived {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Piece(piece) => piece.len(),
            Self::Pieces(pieces) => pieces.len(),
        }
    }

    /// The length of the message, which is written before it.
    fn announced(&self) -> Option<usize> {
        let bytes = match self {
            Self::Nothing => return None,
            Self::Piece(piece) => &piece[..],
            Self::Pieces(pieces) => &pieces[..],
        };
        let length = bytes.first_chunk::<PREFIX>()?.last_chunk()?;
        usize::try_from(u32::from_be_bytes(*length)).ok()
    }

    fn push(&mut self, next: Bytes) {
        match self {
            Self::Nothing => *self = Self::Piece(next),
            Self::Piece(piece) => {
                let mut pieces = BytesMut::from(&piece[..]);
                pieces.extend_from_slice(&next);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => pieces.extend_from_slice(&next),
        }
    }
}

enum Failure {
    Cancelled,
    TooLarge,
}

/// The flag and the length before each message, in bytes.
const PREFIX: usize = 5;

impl Arriving {
    /// The whole request. It has ended: after a cancellation the body of HTTP/2 has no end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Request<Body>, Failure>> {
        while !self.body.is_end_stream() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // What is not data are trailers, which no request of this service has.
                    let Ok(data) = frame.into_data() else { continue };
                    if self.bytes.len() + data.len() > PREFIX + self.limit {
                        return Poll::Ready(Err(Failure::TooLarge));
                    }
                    self.bytes.push(data);
                    if self.bytes.announced().is_some_and(|length| length > self.limit) {
                        return Poll::Ready(Err(Failure::TooLarge));
                    }
                }
                Some(Err(_cancelled)) => return Poll::Ready(Err(Failure::Cancelled)),
                None => break,
            }
        }
        let body = match std::mem::replace(&mut self.bytes, Arrived::Nothing) {
            Arrived::Nothing => Body::empty(),
            Arrived::Piece(piece) => Body::new(Full::new(piece)),
            Arrived::Pieces(pieces) => Body::new(Full::new(pieces.freeze())),
        };
        let parts = self.parts.take().expect("a request arrives once");
        Poll::Ready(Ok(Request::from_parts(parts, body)))
    }
}
