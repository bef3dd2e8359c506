//! One call: whether its request has arrived, and whether it is answered or cancelled.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use super::activity::{Activity, ArrivingRequest, OpenCall};

/// How a call sends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// One message, which arrives before the call is executed.
    Unary,
    /// Several messages.
    Stream,
    /// A watch of the health. It has no time limit.
    Watch,
}

/// A call of a service.
#[derive(Debug)]
pub(super) struct Call<F> {
    answer: Answer<F>,
    open: OpenCall,
}

/// The answer of a call.
#[derive(Debug)]
enum Answer<F> {
    /// A refusal that does not look at the request. `None` once it is returned.
    Refusal(Option<Response<Body>>),
    OfService(F),
}

impl<F> Call<F> {
    pub(super) fn new<S>(
        service: &mut S,
        request: Request<Incoming>,
        kind: CallKind,
        activity: &Arc<Activity>,
    ) -> Self
    where
        S: Service<Request<Body>, Future = F>,
    {
        let open = OpenCall::new(activity);
        let request = request.map(|body| match kind {
            CallKind::Unary => {
                Body::new(Arriving { body, last: None, _request: ArrivingRequest::new(activity) })
            }
            CallKind::Stream | CallKind::Watch => Body::new(body),
        });
        Self { answer: Answer::OfService(service.call(request)), open }
    }

    /// A call that is refused before its request arrives.
    pub(super) fn refused(refusal: Status, activity: &Arc<Activity>) -> Self {
        let answer = Answer::Refusal(Some(refusal.into_http()));
        Self { answer, open: OpenCall::new(activity) }
    }
}

impl<F> Future for Call<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.answer {
            Answer::Refusal(refusal) => Ok(refusal.take().expect("a call is answered once")),
            Answer::OfService(answer) => ready!(Pin::new(answer).poll(cx)),
        };
        self.open.answer();
        Poll::Ready(response)
    }
}

/// The body of a request that is arriving. If the client cancels the call before the end of this
/// body, the call stays pending, and hyper drops it without executing it.
#[derive(Debug)]
struct Arriving {
    body: Incoming,
    /// The last item, which is held back for one poll.
    last: Option<Option<Frame<Bytes>>>,
    _request: ArrivingRequest,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(last) = self.last.take() {
            return Poll::Ready(last.map(Ok));
        }
        let last = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) if !self.body.is_end_stream() => return Poll::Ready(Some(Ok(frame))),
            Some(Ok(frame)) => Some(frame),
            None if self.body.is_end_stream() => None,
            // Cancelled. hyper ends some bodies then as if the request were complete.
            Some(Err(_)) | None => return Poll::Pending,
        };
        self.last = Some(last);
        // A complete request looks the same when it is cancelled. hyper looks for a cancel whenever
        // a call is pending.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
