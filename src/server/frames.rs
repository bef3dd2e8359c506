//! The frames that a client sends, as the socket reads them.
//!
//! While a connection closes, HTTP/2 wants the server to ignore all frames of calls after the last
//! one that its GOAWAY names. h2 0.4.20 ignores their HEADERS, DATA and RST_STREAM, but a
//! WINDOW_UPDATE is an error to it: it says GOAWAY with PROTOCOL_ERROR and drops the calls that are
//! still answered. So [`Frames::filter`] removes these.

/// The length of the start of HTTP/2, in bytes.
const PREFACE: usize = 24;

const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;
const ACK: u8 = 0x1;

/// What h2 sends in the PING between its two GOAWAYs. With the answer, the second one is decided:
/// it names the last call that has begun by then.
const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// The position in the frames of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// The header of the present frame, of which `known` bytes were read, or all if it is 0.
    header: [u8; 9],
    known: usize,
    /// How many of the known bytes h2 has got already.
    passed: usize,
    /// Bytes of the present frame that are missing.
    missing: usize,
    /// The start of HTTP/2 is complete.
    begun: bool,
    /// Number of SETTINGS.
    settings: u64,
    /// The last bytes of a PING.
    ping: [u8; 8],
    /// The last call that has begun.
    last: u32,
    /// The last call that h2 answers, once the final GOAWAY is decided.
    last_answered: Option<u32>,
    /// The present frame is removed.
    removed: bool,
}

impl Frames {
    /// The start of a connection.
    pub(super) fn new() -> Self {
        Self {
            header: [0; 9],
            known: 0,
            passed: 0,
            missing: PREFACE,
            begun: false,
            settings: 0,
            ping: [0; 8],
            last: 0,
            last_answered: None,
            removed: false,
        }
    }

    /// Whether the client has sent the start of HTTP/2.
    pub(super) fn have_begun(&self) -> bool {
        self.begun
    }

    /// Number of SETTINGS so far.
    pub(super) fn settings(&self) -> u64 {
        self.settings
    }

    /// Follows bytes that h2 gets as they are.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                self.payload(&mut bytes);
            } else {
                self.head(&mut bytes);
                self.passed = self.known;
            }
        }
    }

    /// Appends these bytes to those for h2, except the frames that it must not see.
    pub(super) fn filter(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let payload = self.payload(&mut bytes);
                if !self.removed {
                    out.extend_from_slice(payload);
                }
            } else if self.head(&mut bytes) {
                self.removed = self.passed == 0 && self.is_of_ignored_call();
                if !self.removed {
                    out.extend_from_slice(&self.header[self.passed..]);
                }
                self.passed = 0;
            }
        }
    }

    fn kind(&self) -> u8 {
        self.header[3]
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.header;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    fn is_of_ignored_call(&self) -> bool {
        self.kind() == WINDOW_UPDATE && self.last_answered.is_some_and(|last| self.stream() > last)
    }

    /// Takes bytes of a header. Returns whether it is complete.
    fn head(&mut self, bytes: &mut &[u8]) -> bool {
        let taken = take(bytes, self.header.len() - self.known);
        self.header[self.known..][..taken.len()].copy_from_slice(taken);
        self.known += taken.len();
        if self.known < self.header.len() {
            return false;
        }
        self.known = 0;
        let [a, b, c, ..] = self.header;
        self.missing = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("24 bits");
        match self.kind() {
            HEADERS => self.last = self.last.max(self.stream()),
            SETTINGS => self.settings += 1,
            _ => {}
        }
        true
    }

    /// Takes bytes of a payload.
    fn payload<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let payload = take(bytes, self.missing);
        self.missing -= payload.len();
        self.begun |= self.missing == 0;
        let [.., flags, _, _, _, _] = self.header;
        if self.kind() == PING && flags & ACK > 0 {
            for &byte in payload {
                self.ping.rotate_left(1);
                self.ping[7] = byte;
            }
            if self.missing == 0 && self.ping == SHUTDOWN_PING {
                self.last_answered = Some(self.last);
            }
        }
        payload
    }
}

/// Takes up to this many bytes from the beginning.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    #[test]
    fn only_windows_of_ignored_calls_are_removed_wherever_reads_end() {
        let start = [&[b'P'; PREFACE][..], &frame(HEADERS, 4, 3, b"header")].concat();
        let window = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]);
        let before = [frame(HEADERS, 4, 5, b""), window(5), window(7)].concat();
        let other_ping = frame(PING, ACK, 0, &[1; 8]);
        let ping = frame(PING, ACK, 0, &SHUTDOWN_PING);
        let after = [frame(HEADERS, 4, 7, b"late"), frame(0, 1, 7, b"data")].concat();
        let sent =
            [&*other_ping, &before, &ping, &after, &window(7), &window(5), &window(0)].concat();
        let seen = [&*other_ping, &before, &ping, &after, &window(5), &window(0)].concat();
        let all = [&*start, &sent].concat();
        for closes_at in start.len()..start.len() + 20 {
            for size in 1..sent.len() {
                let (mut frames, mut out) = (Frames::new(), all[..closes_at].to_vec());
                frames.follow(&out);
                all[closes_at..].chunks(size).for_each(|bytes| frames.filter(bytes, &mut out));
                assert_eq!(out[start.len()..], seen, "closes at {closes_at}, reads of {size}");
            }
        }
    }
}
