//! One connection: HTTP/2 by hyper, under limits on what its client can hold open.
//!
//! A supervisor runs beside the connection. It closes connections that are silent, idle, old or
//! abused, and drains the connection at a stop.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tracing::debug;

use super::access::{Access, Guard};
use super::activity::{Activity, OpenStream};
use super::call::{Call, CallKind};
use super::drain::{DRAIN, LINGER, Stopped};
use super::limits::{
    CALL_TIMEOUT, CALL_WINDOW, CONNECTION_WINDOW, FIRST_CALL_TIMEOUT, HEADERS, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, Limits, PREFACE_TIMEOUT,
};

/// What a connection serves.
#[derive(Clone)]
pub(super) struct Served<S> {
    pub(super) service: S,
    pub(super) kind_of: fn(&str) -> CallKind,
    pub(super) limits: Limits,
    pub(super) access: Access,
    /// Decides about the calls of the connection. `None` admits all.
    pub(super) guard: Option<Guard>,
}

/// Serves one connection until its client closes it, it breaks a limit, or it has drained. Returns
/// the number of calls in flight that were dropped.
pub(super) async fn serve<IO, S>(
    io: IO,
    activity: Arc<Activity>,
    served: Served<S>,
    stopped: Stopped,
) -> u32
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Unpin + Send + 'static,
    S::Future: Unpin + Send + 'static,
{
    let limits = served.limits;
    let calls = Calls { served, activity: Arc::clone(&activity) };
    let mut connection = pin!(
        http2::Builder::new(Streams(Arc::clone(&activity)))
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(CALL_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_header_list_size(HEADERS)
            // Cancelled calls that have not been seen yet. More than all streams of the client,
            // because it replaces each cancelled call by a new one.
            .max_pending_accept_reset_streams(pending_resets(limits.max_concurrent_streams))
            .serve_connection(TokioIo::new(io), calls)
    );
    let reason = tokio::select! {
        biased;
        result = connection.as_mut() => {
            log_end(&result);
            return 0;
        }
        reason = end(&activity, &limits, stopped.clone()) => reason,
    };
    debug!(?reason, "closing a connection");
    if matches!(reason, Reason::Silent | Reason::Abused) {
        return activity.in_flight();
    }
    activity.close();
    connection.as_mut().graceful_shutdown();
    let closed = async {
        if reason == Reason::Old {
            let grace = limits.max_connection_age_grace;
            tokio::select! {
                biased;
                () = settled(&activity, Activity::open, grace) => return,
                () = stopped.wait() => {}
            }
        }
        settled(&activity, Activity::in_flight, DRAIN).await;
    };
    tokio::select! {
        biased;
        result = connection.as_mut() => {
            log_end(&result);
            0
        }
        () = closed => activity.in_flight(),
    }
}

fn log_end(result: &hyper::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "a connection failed");
    }
}

/// The limit of resets in one go, for this many streams. A client that resets more is
/// disconnected.
fn pending_resets(streams: u32) -> usize {
    usize::try_from(streams).map_or(usize::MAX, |streams| streams.max(256) * 4)
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// It has sent no HTTP/2.
    Silent,
    /// It has no calls.
    Idle,
    /// It has reached its age.
    Old,
    /// Its client cancels more calls than it lets finish.
    Abused,
    /// The server stops.
    Stopped,
}

/// Waits for a reason to close the connection.
async fn end(activity: &Activity, limits: &Limits, stopped: Stopped) -> Reason {
    let old = async {
        match limits.max_connection_age {
            Some(age) => sleep(spread(age)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stopped.wait() => if activity.spoke() { Reason::Stopped } else { Reason::Silent },
        () = activity.abused.notified() => Reason::Abused,
        () = old => Reason::Old,
        reason = unused(activity) => reason,
        reason = idle(activity, limits.max_connection_idle) => reason,
    }
}

/// Waits until the client has not begun to use the connection in time.
async fn unused(activity: &Activity) -> Reason {
    sleep(PREFACE_TIMEOUT).await;
    if !activity.spoke() {
        return Reason::Silent;
    }
    sleep(FIRST_CALL_TIMEOUT - PREFACE_TIMEOUT).await;
    if activity.begun() == 0 {
        return Reason::Idle;
    }
    std::future::pending().await
}

/// Waits until there has been no call for this time, or up to one and a half times as long. It
/// compares counts at intervals, so that calls do not have to look at a clock.
async fn idle(activity: &Activity, time: Option<Duration>) -> Reason {
    let Some(time) = time else { return std::future::pending().await };
    let mut before = activity.begun();
    let mut unchanged = 0;
    loop {
        sleep(time / 2).await;
        let begun = activity.begun();
        unchanged = if begun == before && activity.open() == 0 { unchanged + 1 } else { 0 };
        before = begun;
        if unchanged == 2 {
            return Reason::Idle;
        }
    }
}

/// Waits until none of these calls is left and nothing else has changed for [`LINGER`], but no
/// longer than `grace`.
async fn settled(activity: &Activity, calls: fn(&Activity) -> u32, grace: Duration) {
    /// How often the counts are compared. This happens only while a connection closes.
    const INTERVAL: Duration = Duration::from_millis(50);
    let settle = async {
        let (mut before, mut unchanged) = (activity.open(), Duration::ZERO);
        while calls(activity) > 0 || unchanged < LINGER {
            sleep(INTERVAL).await;
            let open = activity.open();
            unchanged = if open == before { unchanged + INTERVAL } else { Duration::ZERO };
            before = open;
        }
    };
    tokio::select! {
        biased;
        () = settle => {}
        () = sleep(grace) => {}
    }
}

/// This duration, shortened or prolonged by up to a tenth. Connections that were opened together
/// do not close together.
fn spread(age: Duration) -> Duration {
    let tenths: f64 = rand::random_range(0.9..1.1);
    age.mul_f64(tenths)
}

/// The service of one connection.
struct Calls<S> {
    served: Served<S>,
    activity: Arc<Activity>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Unpin,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Call<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Call<S::Future> {
        if let Some(guard) = &self.served.guard
            && let Err(refusal) = guard.admit(&request)
        {
            return Call::refused(refusal, &self.activity);
        }
        let kind = (self.served.kind_of)(request.uri().path());
        if kind == CallKind::Watch {
            self.activity.next_is_watch();
        }
        Call::new(&mut self.served.service.clone(), request, kind, &self.activity)
    }
}

/// Runs the streams of a connection: a task for each.
#[derive(Clone)]
struct Streams(Arc<Activity>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let limit = if self.0.take_watch() { Limit::None } else { Limit::NotStarted };
        tokio::spawn(Stream { stream, limit, _open: OpenStream::new(&self.0) });
    }
}

pin_project! {
    /// A stream from its headers to the last byte of its answer, within [`CALL_TIMEOUT`].
    struct Stream<F> {
        #[pin]
        stream: F,
        limit: Limit,
        _open: OpenStream,
    }
}

/// The time limit of a stream. It starts when the stream first waits: most never do.
enum Limit {
    None,
    NotStarted,
    Started(Pin<Box<Sleep>>),
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let limit = match this.limit {
            Limit::None => return Poll::Pending,
            Limit::NotStarted => {
                *this.limit = Limit::Started(Box::pin(sleep(CALL_TIMEOUT)));
                let Limit::Started(limit) = this.limit else { unreachable!("just set") };
                limit
            }
            Limit::Started(limit) => limit,
        };
        // When it is over, the stream is dropped, which resets it.
        limit.as_mut().poll(cx)
    }
}
