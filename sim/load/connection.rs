//! Single HTTP/2 connection, and calls over it: `h2` itself, since what a call costs here is taken
//! from the server that shares the machine. KindStats are never repeated.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tonic::Code;

use super::mix::CallKind;

/// Windows that no answer can fill, so that no call waits for one.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// As much as the client's own: what a refusal tells travels as headers.
const MAX_HEADER_LIST_BYTES: u32 = 1 << 20;

/// The pause before a lost connection is tried anew.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// gRPC's frame around a message: a flag for compression, and the length.
const PREFIX: usize = 5;

/// A connection that is made anew whenever it is lost. While it is down every call is
/// UNAVAILABLE at once.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` while the connection is down.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    uris: [Uri; CallKind::ALL.len()],
    headers: HeaderMap,
}

/// `HOST:PORT` of `http://HOST:PORT`.
pub(crate) fn authority(address: &str) -> Result<Authority, String> {
    let advice = || format!("{address}: write http://HOST:PORT");
    let uri: Uri = address.parse().map_err(|_invalid| advice())?;
    if uri.scheme() != Some(&Scheme::HTTP) || !matches!(uri.path(), "" | "/") {
        return Err(advice());
    }
    uri.into_parts().authority.ok_or_else(advice)
}

impl Connection {
    /// Connects, and keeps the connection until the runtime ends.
    pub(crate) async fn connect(to: Authority) -> io::Result<Rc<Self>> {
        let connection = Self::down(&to);
        let kept = Rc::clone(&connection);
        // The first handshake is awaited: a server that speaks no HTTP/2 is told at once.
        let mut lost = Some(kept.open(dial(&to).await?).await?);
        spawn_local(async move {
            loop {
                if let Some(lost) = lost.take() {
                    lost.await;
                }
                kept.sender.replace(None);
                sleep(PAUSE).await;
                if let Ok(socket) = dial(&to).await {
                    lost = kept.open(socket).await.ok();
                }
            }
        });
        Ok(connection)
    }

    /// A connection over a stream that is there already, and is not replaced.
    #[cfg(test)]
    pub(crate) async fn over<S>(stream: S) -> io::Result<Rc<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let connection = Self::down(&Authority::from_static("test"));
        let lost = connection.open(stream).await?;
        spawn_local(lost);
        Ok(connection)
    }

    fn down(to: &Authority) -> Rc<Self> {
        let uri = |kind: CallKind| {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(to.clone());
            parts.path_and_query = Some(PathAndQuery::from_static(kind.path()));
            Uri::from_parts(parts).expect("scheme, authority and path make a URI")
        };
        let mut headers = HeaderMap::new();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Rc::new(Self { sender: RefCell::new(None), uris: CallKind::ALL.map(uri), headers })
    }

    /// Shakes hands. What it returns ends when the connection is lost.
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
            // Why it was lost is told by the calls that were lost with it.
            let _ = connection.await;
        })
    }

    /// Single call. `Err` is any code but OK.
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
        // A refusal without a message has its status where the headers are.
        if let Some(status) = head.headers.get(GRPC_STATUS) {
            return Err(Code::from_bytes(status.as_bytes()));
        }
        receive(body).await
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

async fn dial(to: &Authority) -> io::Result<TcpStream> {
    let host = to.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, to.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("requests are short"));
    message.encode(&mut frame).expect("a buffer grows as it must");
    frame.freeze()
}

/// The rest of an answer: its message and the status after it. The window needs no care: it is
/// given back when the stream goes.
async fn receive<A: Message + Default>(mut body: RecvStream) -> Result<A, Code> {
    let mut received = Bytes::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| code_of(&error))?;
        received = if received.is_empty() { piece } else { [received, piece].concat().into() };
    }
    let trailers = body.trailers().await.map_err(|error| code_of(&error))?;
    let status = trailers.as_ref().and_then(|trailers| trailers.get(GRPC_STATUS));
    // A server that says nothing of the outcome has not kept to gRPC.
    let code = status.map_or(Code::Internal, |status| Code::from_bytes(status.as_bytes()));
    if code != Code::Ok {
        return Err(code);
    }
    if received.len() < PREFIX {
        return Err(Code::Internal);
    }
    received.advance(PREFIX);
    A::decode(received).map_err(|_not_protobuf| Code::Internal)
}

/// What gRPC says of an HTTP/2 failure.
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
