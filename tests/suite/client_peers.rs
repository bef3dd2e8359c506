//! The client's connections: servers that hang, break off in the middle of a call, or disappear.

use std::num::NonZeroU32;
use std::time::Duration;

use loms::client::{Client, ClientError, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::scripted_server::ScriptedServer;

const MS: Duration = Duration::from_millis(1);

/// Retries soon and often, so that only the deadline ends a call.
fn options() -> Options {
    Options {
        deadline: Duration::from_secs(300),
        attempts: NonZeroU32::MIN.saturating_add(99),
        first_pause: MS,
        longest_pause: Duration::from_millis(10),
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

// HTTP/2 frames: their types, and the flag for the last frame of a stream.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The response headers `:status: 200` and these, in HPACK without compression.
fn headers(last: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    const END_HEADERS: u8 = 4;
    let mut block = vec![0x88];
    for (name, value) in [&[("content-type", "application/grpc")], fields].concat() {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | last, 1, &block)
}

/// Reads a whole request.
async fn read_request(stream: &mut TcpStream) {
    const PREFACE: usize = 24;
    let mut head = [0; PREFACE];
    stream.read_exact(&mut head).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0 {
            return;
        }
    }
}

/// Accepts a connection, reads a request, sends these bytes, and closes the connection.
async fn break_off(listener: &TcpListener, reply: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    stream.write_all(&[&settings, reply].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    // Until the client has closed its side, too: otherwise it may not receive the reply.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Replies that are not complete, or that say to retry.
fn broken_replies() -> Vec<(&'static str, Vec<u8>)> {
    let start = headers(0, &[]);
    // A gRPC message of two bytes, with its length before it.
    let message = frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 8, 7]);
    let half_message = frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 8]);
    let mut replies = vec![
        ("nothing", vec![]),
        ("half a frame", start[..12].to_vec()),
        ("headers", start.clone()),
        ("half a message", [start.clone(), half_message.clone()].concat()),
        ("no trailers", [start.clone(), message].concat()),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        ("UNAVAILABLE", headers(END_STREAM, &[("grpc-status", "14")])),
    ];
    // INTERNAL_ERROR, REFUSED_STREAM, CANCEL. hyper reports NO_ERROR as the end of the message.
    for reason in [2, 7, 8] {
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, reason]);
        replies.push(("reset", reset.clone()));
        let late = [start.clone(), half_message.clone(), reset].concat();
        replies.push(("reset in the message", late));
    }
    replies
}

#[tokio::test]
async fn broken_reply_is_retried_on_another_connection() {
    for (name, reply) in broken_replies() {
        let (listener, address) = listener().await;
        let client = Client::lazy(&address, options()).unwrap();
        let server = ScriptedServer::new([]);
        let break_then_serve = async {
            break_off(&listener, &reply).await;
            server.serve(listener);
        };
        let (answer, ()) = tokio::join!(client.stock(3), break_then_serve);
        assert_eq!((answer, server.calls().len()), (Ok(300), 1), "{name}: {reply:?}");
    }
}

#[tokio::test]
async fn connection_that_closes_at_once_is_replaced() {
    let (listener, address) = listener().await;
    let client = Client::lazy(&address, options()).unwrap();
    let server = ScriptedServer::new([]);
    let close_then_serve = async {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        server.serve(listener);
    };
    let (answer, ()) = tokio::join!(client.stock(3), close_then_serve);
    assert_eq!((answer, server.calls().len()), (Ok(300), 1));
}

#[tokio::test]
async fn server_that_disappears_is_unreachable() {
    let (listener, address) = listener().await;
    let options = Options { attempts: NonZeroU32::new(7).unwrap(), ..options() };
    let client = Client::lazy(&address, options).unwrap();
    let unavailable = headers(END_STREAM, &[("grpc-status", "14")]);
    let break_then_disappear = async {
        break_off(&listener, &unavailable).await;
        drop(listener);
    };
    let (answer, ()) = tokio::join!(client.stock(3), break_then_disappear);
    let error = answer.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { attempts: 7, .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// The kernel completes the connect, so the client sends its call and waits.
#[tokio::test(start_paused = true)]
async fn silent_server_costs_no_more_than_the_deadline() {
    let (_listener, address) = listener().await;
    let client = Client::lazy(&address, options()).unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let error = client.stock(3).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 300s");
        let late = start.elapsed().checked_sub(options().deadline);
        assert!(late.is_some_and(|late| late <= MS), "{late:?}");
    }
}

/// A listener whose backlog is full, so that the system drops further attempts to connect; and the
/// connections in its backlog.
async fn full_listener() -> (TcpListener, Vec<TcpStream>, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut backlog = Vec::new();
    // The clock is paused, so the timeout passes once the connect has to wait.
    while let Ok(connected) = tokio::time::timeout(MS, TcpStream::connect(address)).await {
        backlog.push(connected.unwrap());
    }
    (listener, backlog, format!("http://{address}"))
}

#[tokio::test(start_paused = true)]
async fn hanging_connect_costs_one_call_its_deadline_and_the_next_one_nothing() {
    let (listener, backlog, address) = full_listener().await;
    let start = Instant::now();
    let error = Client::connect(&address, options()).await.unwrap_err();
    let hangs = |error: &ClientError| {
        matches!(error, ClientError::DeadlineExceeded { last_cause: None, .. })
            || matches!(error, ClientError::Unreachable { attempts: 1, cause }
                if cause.contains("deadline"))
    };
    assert!(hangs(&error), "{error:?}");
    let client = Client::lazy(&address, options()).unwrap();
    let error = client.stock(3).await.unwrap_err();
    assert!(hangs(&error), "{error:?}");
    let late = start.elapsed().checked_sub(2 * options().deadline);
    assert!(late.is_some_and(|late| late <= 2 * MS), "{late:?}");

    // The server recovers.
    drop(backlog);
    let server = ScriptedServer::new([]);
    server.serve(listener);
    assert_eq!(client.stock(3).await, Ok(300));
}

#[tokio::test]
async fn unreachable_server_is_an_error() {
    // Bound, so that no other process gets the port. Not listening, so that it refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let twice = Options { attempts: NonZeroU32::new(2).unwrap(), ..options() };

    let error = Client::connect(&address, twice).await.unwrap_err().to_string();
    assert!(error.starts_with("unreachable after 1 attempt: "), "{error}");
    assert!(error.contains("refused"), "{error}");
    let client = Client::lazy(&address, twice).unwrap();
    let error = client.stock(1002).await.unwrap_err().to_string();
    assert!(error.starts_with("unreachable after 2 attempts: "), "{error}");
    assert!(error.contains("refused"), "{error}");
}
