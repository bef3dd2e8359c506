//! Random and mutated requests: the server must answer or refuse each one, and neither panic nor
//! hang. Two kinds: correct HTTP/2 with a mutated message or a mutated header, and mutated bytes of
//! a whole connection.

use std::net::SocketAddr;
use std::time::Duration;

use loms::grpc::proto::{
    Item, OrderCancelRequest, OrderCreateRequest, OrderInfoRequest, OrderPayRequest,
    StocksInfoRequest,
};
use tokio::time::Instant;

use super::attacker::{Attacker, Counts, Peer};
use super::frames::{Block, Frames, HEAD, PREFACE, message, stream};
use crate::load::random::SplitMix64;
use crate::progress;

/// How many requests are sent before their answers are awaited. Together they are shorter than the
/// window of a connection.
const BATCH: u32 = 100;

/// How many batches a connection has.
const BATCHES: u32 = 1_000;

/// A request without an answer after this time hangs.
const HANG: Duration = Duration::from_secs(10);

/// Paths of calls, existing or not.
const PATHS: [&str; 9] = [
    "/loms.LOMS/OrderCreate",
    "/loms.LOMS/OrderInfo",
    "/loms.LOMS/OrderPay",
    "/loms.LOMS/OrderCancel",
    "/loms.LOMS/StocksInfo",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/loms.LOMS/",
    "*",
];

/// Headers that the service looks at, with values at their limits.
const HEADERS: [(&str, &str); 14] = [
    ("grpc-timeout", "0n"),
    ("grpc-timeout", "99999999H"),
    ("grpc-timeout", "-1S"),
    ("grpc-timeout", "100000000000S"),
    ("grpc-encoding", "gzip"),
    ("grpc-encoding", "identity"),
    ("grpc-accept-encoding", "gzip,br,,"),
    ("idempotency-key", "key"),
    ("idempotency-key", ""),
    ("content-type", "text/plain"),
    ("content-length", "18446744073709551616"),
    ("te", "gzip"),
    ("connection", "close"),
    (":path", "/"),
];

/// How many requests to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutations {
    pub(crate) requests: u64,
    pub(crate) seed: u64,
}

impl Mutations {
    /// Sends them all, or stops at the first that hangs.
    pub(crate) async fn run(self, to: SocketAddr) -> Counts {
        let attacker = Attacker::new(to, Instant::now() + Duration::from_secs(24 * 60 * 60));
        let mut random = SplitMix64::new(self.seed, 0);
        let mut sent = 0;
        let mut open = None;
        while sent < self.requests {
            let round = sent;
            progress::step(0);
            let (peer, batches) = match open.take() {
                Some((peer, batches)) if batches < BATCHES => (Some(peer), batches),
                Some(_) | None => (Peer::open(&attacker, false).await, 0),
            };
            let Some(mut peer) = peer else { break };
            let mut frames = if batches == 0 { Frames::start(&[]) } else { Frames::default() };
            for number in 0..BATCH {
                add_request(&mut random, stream(batches * BATCH + number), &mut frames);
            }
            peer.send(&frames.0).await;
            sent += u64::from(BATCH);
            let answered = peer.has_ended(u64::from((batches + 1) * BATCH), HANG).await;
            if answered && !peer.is_closed() {
                open = Some((peer, batches + 1));
            }
            let mut peer = Peer::open(&attacker, false).await.filter(|_| answered);
            let mut closed = answered;
            if let Some(peer) = &mut peer {
                peer.send(&connection(&mut random)).await;
                peer.finish().await;
                sent += 1;
                closed = peer.has_ended(u64::MAX, HANG).await;
            }
            if !closed {
                let what = if answered { "a connection" } else { "a request" };
                let mut counts = attacker.counts.borrow_mut();
                counts.failures.push(format!("{what} hangs after {round} requests"));
                break;
            }
        }
        let mut counts = attacker.counts.take();
        // A connection that the server closes takes the rest of its batch along.
        if counts.ended < sent / 2 {
            let ended = counts.ended;
            counts.failures.push(format!("only {ended} of {sent} requests were answered"));
        }
        counts
    }
}

/// A request of correct HTTP/2.
fn add_request(random: &mut SplitMix64, stream: u32, frames: &mut Frames) {
    let (path, mut bytes) = request(random);
    let mut block = Block::call(path);
    match random.below(8) {
        0 => bytes = noise(random, 200),
        1 => {
            let (name, value) = HEADERS[random.index(&HEADERS)];
            block.add(name.as_bytes(), value.as_bytes());
        }
        2 => {
            // A control character is an error of the whole connection.
            let allowed = |byte: &u8| *byte >= b' ' && *byte != 0x7F;
            let value: Vec<u8> = noise(random, 100).into_iter().filter(allowed).collect();
            block.add(b"idempotency-key", &value);
        }
        3 => block = Block::call(PATHS[random.index(&PATHS)]),
        _ => {
            for _ in 0..=random.below(4) {
                mutate(random, &mut bytes);
            }
        }
    }
    frames.add_request(stream, &block, &bytes);
}

/// The bytes of a whole connection.
fn connection(random: &mut SplitMix64) -> Vec<u8> {
    let mut frames = Frames::start(&[]);
    for number in 0..=random.below(8) {
        let (path, bytes) = request(random);
        frames.add_request(stream(number), &Block::call(path), &bytes);
    }
    let start = if random.below(16) == 0 { 0 } else { PREFACE.len() };
    let mut rest = frames.0.split_off(start);
    for _ in 0..=random.below(4) {
        if random.below(2) == 0 {
            mutate(random, &mut rest);
        } else {
            mutate_head(random, &mut rest);
        }
    }
    frames.0.extend(rest);
    frames.0
}

/// A correct request.
fn request(random: &mut SplitMix64) -> (&'static str, Vec<u8>) {
    let order_id = i64::from(random.below(2_000));
    let sku = random.below(120);
    // Few creates, because the server keeps their orders.
    match random.below(12) {
        0 => {
            let item = |_| Item { sku: random.below(120), count: random.below(3) };
            let items: Vec<Item> = (0..4).map(item).collect();
            let idempotency_key = if sku < 60 { String::new() } else { format!("key-{sku}") };
            (PATHS[0], message(&OrderCreateRequest { user: 7, items, idempotency_key }))
        }
        1..=3 => (PATHS[1], message(&OrderInfoRequest { order_id })),
        4..=5 => (PATHS[2], message(&OrderPayRequest { order_id })),
        6..=7 => (PATHS[3], message(&OrderCancelRequest { order_id })),
        _ => (PATHS[4], message(&StocksInfoRequest { sku })),
    }
}

/// Random bytes.
fn noise(random: &mut SplitMix64, most: u32) -> Vec<u8> {
    (0..random.below(most)).map(|_| byte(random)).collect()
}

fn byte(random: &mut SplitMix64) -> u8 {
    u8::try_from(random.below(256)).expect("below 256")
}

/// Changes some of the bytes.
fn mutate(random: &mut SplitMix64, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(byte(random));
    }
    let at = random.index(bytes);
    match random.below(7) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = byte(random),
        2 => {
            let inserted = noise(random, 16);
            bytes.splice(at..at, inserted);
        }
        3 => {
            let end = (at + random.index(&[(); 16])).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let end = (at + random.index(&[(); 64])).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => bytes.truncate(at),
        // The longest number that Protobuf and HPACK can write.
        _ => {
            bytes.splice(at..=at, [0xFF; 9].into_iter().chain([1]));
        }
    }
}

/// Changes the length, the type, the flags or the stream of a frame.
fn mutate_head(random: &mut SplitMix64, bytes: &mut [u8]) {
    let mut heads = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEAD) {
        heads.push(at);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        at += HEAD + usize::try_from(length).expect("24 bits");
    }
    if heads.is_empty() {
        return;
    }
    let head = heads[random.index(&heads)];
    let field = [0, 1, 2, 3, 4, 5, 8][random.index(&[(); 7])];
    // Small values are types, flags and streams that exist.
    bytes[head + field] = if random.below(2) == 0 { byte(random) & 0xF } else { byte(random) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_determines_all_bytes() {
        let bytes = |seed| {
            let mut random = SplitMix64::new(seed, 0);
            let mut frames = Frames::default();
            add_request(&mut random, 1, &mut frames);
            [frames.0, connection(&mut random)].concat()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    /// A batch must fit in the window of a connection, or the requests wait for themselves.
    #[test]
    fn batch_is_shorter_than_the_window() {
        let mut random = SplitMix64::new(1, 0);
        for _ in 0..1_000 {
            let mut frames = Frames::default();
            for number in 0..BATCH {
                add_request(&mut random, stream(number), &mut frames);
            }
            assert!(frames.0.len() < (256 << 10) / 2, "{}", frames.0.len());
        }
    }
}
