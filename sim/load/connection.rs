//! One HTTP/2 connection, and calls over it. It uses `h2` directly, because the load tool shares
//! the machine with the server and its calls must be cheap. Calls are never retried.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};
use loms::client::Credentials;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tonic::Code;

use super::mix::CallKind;
use super::tls::{Tls, host};

/// Flow-control windows that are larger than any answer, so that no call waits for them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// The same limit as in `loms::client`: the details of a refusal are headers.
const MAX_HEADER_LIST_BYTES: u32 = 1 << 20;

/// The pause before a lost connection is opened again.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// The gRPC prefix of a message: one byte for compression, four for the length.
const PREFIX_BYTES: usize = 5;

/// A connection that is opened again whenever it is lost. While it is down, every call fails at
/// once with UNAVAILABLE.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` while the connection is down.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    uris: [Uri; CallKind::ALL.len()],
    headers: HeaderMap,
}

/// The server, and how to call it.
#[derive(Clone)]
pub(crate) struct Destination {
    authority: Authority,
    tls: Option<Tls>,
    /// The `authorization` header of every call.
    authorization: Option<HeaderValue>,
}

impl Destination {
    /// The server at `http://HOST:PORT` or `https://HOST:PORT`.
    pub(crate) fn new(address: &str, credentials: &Credentials) -> Result<Self, String> {
        let advice = || format!("{address}: use http://HOST:PORT or https://HOST:PORT");
        let uri: Uri = address.parse().map_err(|_invalid| advice())?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if !(secure || uri.scheme() == Some(&Scheme::HTTP)) || !matches!(uri.path(), "" | "/") {
            return Err(advice());
        }
        let authority = uri.into_parts().authority.ok_or_else(advice)?;
        let tls = secure.then(|| Tls::new(&authority, credentials)).transpose()?;
        let authorization = credentials.authorization().map(|token| {
            let mut header = HeaderValue::from_bytes(token.as_bytes()).expect("metadata is one");
            header.set_sensitive(true);
            header
        });
        Ok(Self { authority, tls, authorization })
    }
}

/// Ends when a connection is lost.
type Lost = Pin<Box<dyn Future<Output = ()>>>;

impl Connection {
    /// Connects. A task on this thread reopens the connection when it is lost.
    pub(crate) async fn connect(to: Destination) -> io::Result<Rc<Self>> {
        let connection = Self::down(&to);
        let kept = Rc::clone(&connection);
        // Waits for the first handshake, so that a server without HTTP/2 is an error at once.
        let mut lost = Some(kept.reach(&to).await?);
        spawn_local(async move {
            loop {
                if let Some(lost) = lost.take() {
                    lost.await;
                }
                kept.sender.replace(None);
                sleep(RECONNECT_PAUSE).await;
                lost = kept.reach(&to).await.ok();
            }
        });
        Ok(connection)
    }

    /// A connection over an existing stream. It is not reopened.
    #[cfg(test)]
    pub(crate) async fn over<S>(stream: S) -> io::Result<Rc<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let connection = Self::down(&Destination {
            authority: Authority::from_static("test"),
            tls: None,
            authorization: None,
        });
        let lost = connection.open(stream).await?;
        spawn_local(lost);
        Ok(connection)
    }

    fn down(to: &Destination) -> Rc<Self> {
        let uri = |kind: CallKind| {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(if to.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(to.authority.clone());
            parts.path_and_query = Some(PathAndQuery::from_static(kind.path()));
            Uri::from_parts(parts).expect("scheme, authority and path make a URI")
        };
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.extend(to.authorization.clone().map(|header| (AUTHORIZATION, header)));
        Rc::new(Self { sender: RefCell::new(None), uris: CallKind::ALL.map(uri), headers })
    }

    /// Connects, with TLS if the address is https.
    async fn reach(&self, to: &Destination) -> io::Result<Lost> {
        let socket = dial(to).await?;
        Ok(match &to.tls {
            Some(tls) => Box::pin(self.open(tls.connect(socket).await?).await?),
            None => Box::pin(self.open(socket).await?),
        })
    }

    /// Does the handshake. The returned future ends when the connection is lost.
    async fn open<S>(&self, stream: S) -> io::Result<impl Future<Output = ()> + use<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .handshake::<S, Bytes>(stream)
            .await
            .map_err(io::Error::other)?;
        self.sender.replace(Some(sender));
        Ok(async move {
            // The calls on this connection report the error.
            let _ = connection.await;
        })
    }

    /// One call. `Err` is any code except OK.
    pub(crate) async fn call<A>(&self, kind: CallKind, message: &impl Message) -> Result<A, Code>
    where
        A: Message + Default,
    {
        let sender = self.sender.borrow().clone();
        let mut sender = sender.ok_or(Code::Unavailable)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uris[kind.index()].clone();
        request.headers_mut().clone_from(&self.headers);
        let (answer, mut body) = sender.send_request(request, false).map_err(|e| code_of(&e))?;
        body.send_data(frame(message), true).map_err(|error| code_of(&error))?;
        let (head, body) = answer.await.map_err(|error| code_of(&error))?.into_parts();
        // A refusal without a message has its status in the headers.
        if let Some(status) = head.headers.get(GRPC_STATUS) {
            return Err(Code::from_bytes(status.as_bytes()));
        }
        receive(body).await
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

async fn dial(Destination { authority, tls, .. }: &Destination) -> io::Result<TcpStream> {
    let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((host(authority), port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("requests are short"));
    message.encode(&mut frame).expect("a BytesMut grows as needed");
    frame.freeze()
}

/// Receives the message of an answer and the status after it. Flow control needs no code here: h2
/// releases the window when the stream is dropped.
async fn receive<A: Message + Default>(mut body: RecvStream) -> Result<A, Code> {
    let mut received = Bytes::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| code_of(&error))?;
        received = if received.is_empty() { piece } else { [received, piece].concat().into() };
    }
    let trailers = body.trailers().await.map_err(|error| code_of(&error))?;
    let status = trailers.as_ref().and_then(|trailers| trailers.get(GRPC_STATUS));
    // An answer without a status violates the gRPC protocol.
    let code = status.map_or(Code::Internal, |status| Code::from_bytes(status.as_bytes()));
    if code != Code::Ok {
        return Err(code);
    }
    if received.len() < PREFIX_BYTES {
        return Err(Code::Internal);
    }
    received.advance(PREFIX_BYTES);
    A::decode(received).map_err(|_not_protobuf| Code::Internal)
}

/// The gRPC code for an HTTP/2 error.
fn code_of(error: &h2::Error) -> Code {
    if error.is_io() || error.is_go_away() {
        return Code::Unavailable;
    }
    match error.reason() {
        Some(Reason::REFUSED_STREAM) | None => Code::Unavailable,
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(_) => Code::Internal,
    }
}
