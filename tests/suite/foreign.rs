//! Clients that send what no generated client sends: [`Foreign`] chooses the headers and the bytes
//! of a request, [`Wire`] chooses the HTTP/2 frames.

use std::fmt;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::request::Builder;
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Status;
use tonic_types::StatusExt;

/// A connection.
pub(crate) struct Foreign(SendRequest<Bytes>);

/// The answer to a request.
pub(crate) struct Reply {
    pub(crate) http: u16,
    /// The code OK has no message.
    pub(crate) status: Status,
    pub(crate) headers: HeaderMap,
    /// The message without its prefix.
    pub(crate) message: Bytes,
}

/// HTTP status, code, reason and message.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.http, self.status.code())?;
        let details = self.status.get_error_details();
        if let Some(info) = details.error_info() {
            write!(f, " {}", info.reason)?;
        }
        if self.status.message().is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.status.message())
        }
    }
}

impl Foreign {
    /// Connects to `http://HOST:PORT`.
    pub(crate) async fn connect(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// A gRPC request to this path. Headers can be added.
    pub(crate) fn post(path: &str) -> Builder {
        let uri = format!("http://loms{path}");
        Request::post(uri).header("te", "trailers").header("content-type", "application/grpc")
    }

    /// Sends headers.
    pub(crate) async fn begin(&self, request: Builder) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.0.clone().ready().await.unwrap();
        sender.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// Sends a request with these pieces of data.
    pub(crate) async fn call(&self, request: Builder, pieces: &[Vec<u8>]) -> Reply {
        let (answer, mut body) = self.begin(request).await;
        for piece in pieces {
            // Fails if the server has refused the request before its end.
            let _ = body.send_data(piece.clone().into(), false);
        }
        let _ = body.send_data(Bytes::new(), true);
        Self::reply(answer).await
    }

    /// Receives an answer.
    pub(crate) async fn reply(answer: ResponseFuture) -> Reply {
        let (head, mut body) = answer.await.unwrap().into_parts();
        let mut message = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            message.extend_from_slice(&data);
        }
        let trailers = body.trailers().await.unwrap();
        let status = Status::from_header_map(trailers.as_ref().unwrap_or(&head.headers));
        Reply {
            http: head.status.as_u16(),
            status: status.expect("every answer has a gRPC status"),
            headers: head.headers,
            message: message.split_off(message.len().min(5)).into(),
        }
    }
}

/// A message with its prefix.
pub(crate) fn prefixed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

/// A Protobuf field with an integer.
pub(crate) fn int(field: u8, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// A Protobuf field with bytes.
pub(crate) fn nested(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut nested = int(field, u64::try_from(bytes.len()).unwrap());
    nested[0] |= 2;
    nested.extend_from_slice(bytes);
    nested
}

/// A connection on which a test writes frames.
pub(crate) struct Wire(TcpStream);

/// Frames of HTTP/2, as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A frame of the server.
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The frames of a gRPC request. Without an end, the client could send more data.
pub(crate) fn request(stream: u8, path: &str, message: &[u8], ends: bool) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "loms"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in headers {
        // A literal of HPACK that changes no table.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let end = if ends { END_STREAM } else { 0 };
    let data = frame(DATA, end, stream.into(), &prefixed(0, message));
    [frame(HEADERS, END_HEADERS, stream.into(), &block), data].concat()
}

/// The answer to a PING.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PING, ACK, 0, payload)
}

/// A frame that resets a stream.
pub(crate) fn reset(stream: u8, reason: h2::Reason) -> Vec<u8> {
    frame(RST_STREAM, 0, stream.into(), &u32::from(reason).to_be_bytes())
}

impl Wire {
    /// Connects to `http://HOST:PORT`.
    pub(crate) async fn connect(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        // Otherwise a short write waits until the one before it is acknowledged.
        stream.set_nodelay(true).unwrap();
        let mut wire = Self(stream);
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        wire.send(&frame(4, 0, 0, &[])).await;
        wire
    }

    /// Sends these bytes in one segment.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame of the server; `None` when it has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, .., stream] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Received { kind, flags, stream, payload })
    }

    /// Waits for a frame of this kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Received {
        loop {
            let received = self.next().await.expect("the server closes later");
            if received.kind == kind {
                return received;
            }
        }
    }

    /// Waits for the end of this stream.
    pub(crate) async fn end_of(&mut self, of: u8) {
        loop {
            let Received { kind, flags, stream, .. } = self.next().await.unwrap();
            let has_end = [DATA, HEADERS].contains(&kind) && flags & END_STREAM > 0;
            if of == stream && (has_end || kind == RST_STREAM) {
                return;
            }
        }
    }
}
