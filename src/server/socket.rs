//! The socket of a connection: reads in turns, and follows the frames that it reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::frames::Frames;
use super::limits::{READ_PER_TURN, SETTINGS};

/// The socket of a connection, at its worker, with or without TLS.
pub(super) struct Socket<IO> {
    // Dropped before the stream: once a client sees the close, the connection is not counted.
    _token: Arc<()>,
    stream: IO,
    activity: Arc<Activity>,
    frames: Frames,
    /// Filtered bytes that h2 has not taken yet.
    filtered: Vec<u8>,
    /// Bytes read in this turn.
    read: usize,
}

impl<IO: Unpin> Socket<IO> {
    /// The socket of an accepted connection, and what happens on it. The token counts it.
    pub(super) fn new(stream: IO, token: Arc<()>) -> (Self, Arc<Activity>) {
        let activity = Arc::new(Activity::default());
        let (shared, frames) = (Arc::clone(&activity), Frames::new());
        let filtered = Vec::new();
        let socket = Self { _token: token, stream, activity: shared, frames, filtered, read: 0 };
        (socket, activity)
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut IO> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Socket<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= READ_PER_TURN {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.activity.closes() || !self.filtered.is_empty() {
            return self.poll_read_filtered(cx, buffer);
        }
        let before = buffer.filled().len();
        ready!(self.as_mut().poll_read_all(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        self.frames.follow(bytes);
        if self.frames.settings() > SETTINGS + self.activity.begun() {
            return Poll::Ready(Err(io::Error::other("too many SETTINGS")));
        }
        if self.frames.have_begun() && !self.activity.spoke() {
            self.activity.speak();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> Socket<IO> {
    /// Reads all that has arrived.
    fn poll_read_all(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Poll::Ready(result) = self.as_mut().stream().poll_read(cx, buffer) else {
            self.read = 0;
            return Poll::Pending;
        };
        self.read += buffer.filled().len() - before;
        Poll::Ready(result)
    }

    /// Reads without the frames that h2 must not see.
    fn poll_read_filtered(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.filtered.is_empty() {
            let mut bytes = [0; 4_096];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(self.as_mut().poll_read_all(cx, &mut bytes))?;
            if bytes.filled().is_empty() {
                // The client has closed.
                return Poll::Ready(Ok(()));
            }
            let this = &mut *self;
            this.frames.filter(bytes.filled(), &mut this.filtered);
            if this.filtered.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let taken = self.filtered.len().min(buffer.remaining());
        buffer.put_slice(&self.filtered[..taken]);
        self.filtered.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Socket<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
