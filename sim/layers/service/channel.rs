//! The in-memory channel between a client and the server. It holds a request until the network
//! delivers it, and the response likewise.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// The channel of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel(Rc<RefCell<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    request: Option<Request>,
    response: Option<Response>,
}

impl Channel {
    /// Takes the request out of the channel.
    #[must_use]
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.0.borrow_mut().request.take()
    }

    /// Puts the response into the channel.
    pub(crate) fn put_response(&self, response: Response) {
        self.0.borrow_mut().response = Some(response);
    }
}

impl Service<Request> for Channel {
    type Response = Response;
    type Error = Infallible;
    type Future = Waiting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Waiting {
        self.0.borrow_mut().request = Some(request);
        Waiting(self.clone())
    }
}

/// A client that waits for the response. It is never woken: the network polls it after it puts the
/// response here.
#[derive(Debug)]
pub(crate) struct Waiting(Channel);

impl Future for Waiting {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0
            .0
            .borrow_mut()
            .response
            .take()
            .map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
    }
}

/// Holds a request's body back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Delivers the body.
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The request with its body behind this gate.
    #[must_use]
    pub(crate) fn before(&self, request: Request) -> Request {
        request.map(|body| Body::new(Gated { gate: self.clone(), body }))
    }
}

struct Gated {
    gate: Gate,
    body: Body,
}

impl HttpBody for Gated {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        if self.gate.0.load(Ordering::SeqCst) {
            Pin::new(&mut self.body).poll_frame(context)
        } else {
            Poll::Pending
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gate.0.load(Ordering::SeqCst) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
