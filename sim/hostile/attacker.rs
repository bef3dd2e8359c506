//! Connections of an attacker, which send any bytes, and what the server says to them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::frames::{self, GO_AWAY, RST_STREAM};

/// The pause after a connection was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// One attack while it runs.
#[derive(Debug)]
pub(crate) struct Attacker {
    pub(crate) to: SocketAddr,
    /// When the attack ends.
    pub(crate) until: Instant,
    pub(crate) counts: RefCell<Counts>,
}

/// What an attacker has done, and what the server has said to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) disconnected: u64,
    /// Connections that the server did not accept.
    pub(crate) refused: u64,
    pub(crate) bytes: u64,
    /// Streams that the server has ended, by an answer or a reset.
    pub(crate) ended: u64,
    /// How often the server said what.
    pub(crate) said: BTreeMap<String, u64>,
    /// What went wrong for calls that must not fail.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    pub(crate) fn say(&mut self, what: String) {
        *self.said.entry(what).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, disconnected, refused, bytes, ended, said, failures: _ } = self;
        write!(f, "{connections} connections, {disconnected} disconnected, {refused} refused; ")?;
        write!(f, "{} KiB sent, {ended} streams ended", bytes >> 10)?;
        said.iter().try_for_each(|(what, count)| write!(f, "; {count} {what}"))
    }
}

impl Attacker {
    pub(crate) fn new(to: SocketAddr, until: Instant) -> Rc<Self> {
        Rc::new(Self { to, until, counts: RefCell::default() })
    }

    /// Whether the attack goes on.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    pub(crate) fn time_left(&self) -> Duration {
        self.until.duration_since(Instant::now())
    }

    /// A TCP connection, unless the attack ends first.
    pub(crate) async fn dial(&self) -> Option<TcpStream> {
        while self.goes_on() {
            if let Ok(Ok(socket)) = timeout_at(self.until, TcpStream::connect(self.to)).await {
                // Otherwise small frames wait for each other.
                let _ = socket.set_nodelay(true);
                self.counts.borrow_mut().connections += 1;
                return Some(socket);
            }
            self.counts.borrow_mut().refused += 1;
            sleep(REFUSED_PAUSE).await;
        }
        None
    }
}

/// A connection that sends any bytes.
#[derive(Debug)]
pub(crate) struct Peer {
    attacker: Rc<Attacker>,
    socket: OwnedWriteHalf,
    seen: Rc<Seen>,
    reader: Option<AbortHandle>,
}

/// What has arrived on a connection.
#[derive(Debug, Default)]
struct Seen {
    ended: Cell<u64>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Peer {
    /// Connects. A deaf connection never reads.
    pub(crate) async fn open(attacker: &Rc<Attacker>, deaf: bool) -> Option<Self> {
        let (read, socket) = attacker.dial().await?.into_split();
        let attacker = Rc::clone(attacker);
        let seen = Rc::new(Seen::default());
        let reader = (!deaf).then(|| {
            spawn_local(receive(read, Rc::clone(&attacker), Rc::clone(&seen))).abort_handle()
        });
        Some(Self { attacker, socket, seen, reader })
    }

    /// Sends these bytes. False once the server has closed the connection or the attack is over.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        if self.is_closed() || !self.attacker.goes_on() {
            return false;
        }
        let sent = timeout_at(self.attacker.until, self.socket.write_all(bytes)).await;
        let sent = matches!(sent, Ok(Ok(())));
        if sent {
            let length = u64::try_from(bytes.len()).expect("a length fits in 64 bits");
            self.attacker.counts.borrow_mut().bytes += length;
        }
        sent
    }

    /// Sends no more.
    pub(crate) async fn finish(&mut self) {
        // This fails if the connection is closed already.
        let _ = self.socket.shutdown().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.seen.closed.get()
    }

    /// Waits until this number of streams or the connection has ended. False if it takes too long.
    pub(crate) async fn has_ended(&self, streams: u64, within: Duration) -> bool {
        let ended = async {
            while self.seen.ended.get() < streams && !self.is_closed() {
                self.seen.changed.notified().await;
            }
        };
        timeout(within, ended).await.is_ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

/// Reads until the server closes the connection.
async fn receive(mut socket: OwnedReadHalf, attacker: Rc<Attacker>, seen: Rc<Seen>) {
    let mut buffer = vec![0; 1 << 16];
    let mut filled = 0;
    while let Ok(read @ 1..) = socket.read(&mut buffer[filled..]).await {
        filled += read;
        let mut bytes = &buffer[..filled];
        let mut counts = attacker.counts.borrow_mut();
        while let Some(frame) = frames::take(&mut bytes) {
            match frame.kind {
                RST_STREAM => counts.say(format!("RST_STREAM {}", frame.reason())),
                GO_AWAY => counts.say(format!("GOAWAY {}", frame.reason())),
                _ => {}
            }
            if frame.ends_stream() {
                counts.ended += 1;
                seen.ended.set(seen.ended.get() + 1);
            }
        }
        let left = bytes.len();
        buffer.copy_within(filled - left..filled, 0);
        filled = left;
        seen.changed.notify_one();
    }
    attacker.counts.borrow_mut().disconnected += 1;
    seen.closed.set(true);
    seen.changed.notify_one();
}
