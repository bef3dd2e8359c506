//! The limits of what one peer, and all peers together, can take from the server.

use std::time::Duration;

/// The time until a new connection must have sent the start of HTTP/2.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time until a new connection must have begun its first call. A client that has connected but
/// has nothing to ask is closed with GOAWAY, and connects again when it needs to.
pub const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// The time from the headers of a call until the last byte of its answer is sent. It ends requests
/// that never arrive and answers that nobody reads. Watches of the health have no limit.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// After this time without anything from the peer, TCP and HTTP/2 ask whether it is still there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// The time that the peer has to answer that question.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How many calls a client may cancel at once and in a second, in addition to as many as it lets
/// finish. The calls of shoppers who leave are cancelled, often many at once. A client that only
/// cancels uses the server without limit (CVE-2023-44487) and is disconnected.
pub const CANCELLED_CALLS: u32 = 1_000;

/// How many more SETTINGS than calls a client may send on a connection. Each one can change the
/// windows of all open calls, so a flood of them costs much more than it takes to send.
pub const SETTINGS: u64 = 100;

/// The most watches of the health at once, over all connections.
pub const WATCHES: usize = 1_000;

/// How much a client may send ahead of what the server has read, in bytes: for one call, and for
/// all calls of its connection.
pub const CALL_WINDOW: u32 = 64 << 10;
/// See [`CALL_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 256 << 10;

/// How much is read from a connection before the others of its thread have a turn, in bytes. It
/// bounds the work for frames that cost more to handle than to send.
pub const READ_PER_TURN: usize = 8 << 10;

/// The longest headers of a call, in bytes.
pub const HEADERS: u32 = 16 << 10;

/// The limits of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `grpc.max_connections`: the most connections at once. More are closed at once.
    pub max_connections: usize,
    /// `grpc.max_concurrent_streams`: the most calls in flight of one connection. The client
    /// delays more calls by itself.
    pub max_concurrent_streams: u32,
    /// `grpc.max_connection_idle`: a connection without calls is closed after this time, at the
    /// latest after one and a half times as long. `None`: never.
    pub max_connection_idle: Option<Duration>,
    /// `grpc.max_connection_age`: a connection is closed after this time, give or take a tenth, so
    /// that clients spread over new servers. `None`: never.
    pub max_connection_age: Option<Duration>,
    /// `grpc.max_connection_age_grace`: how long calls in flight may take after that.
    pub max_connection_age_grace: Duration,
    /// `grpc.stop_delay`: how long the server accepts connections and calls after a stop, with
    /// health already NOT_SERVING.
    pub stop_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_concurrent_streams: 256,
            max_connection_idle: Some(Duration::from_secs(2 * 60 * 60)),
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(30),
            stop_delay: Duration::ZERO,
        }
    }
}
