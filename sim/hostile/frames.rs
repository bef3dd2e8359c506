//! HTTP/2 frames as bytes, correct or not. `h2` refuses to send what an attacker sends.

/// The start of every connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The setting of the window that each stream starts with.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The length of the head of a frame, in bytes.
pub(crate) const HEAD: usize = 9;

/// The longest payload that a receiver accepts by default, in bytes.
pub(crate) const LONGEST: usize = 16_384;

/// The stream of the request with this number, from 0.
pub(crate) fn stream(number: u32) -> u32 {
    2 * number + 1
}

/// Frames one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames(pub(crate) Vec<u8>);

impl Frames {
    /// The start of a connection of a client with these settings, which takes answers of any
    /// length.
    pub(crate) fn start(settings: &[(u16, u32)]) -> Self {
        let mut frames = Self(PREFACE.to_vec());
        let setting = |(key, value): &(u16, u32)| {
            let mut bytes = key.to_be_bytes().to_vec();
            bytes.extend(value.to_be_bytes());
            bytes
        };
        let settings: Vec<u8> = settings.iter().flat_map(setting).collect();
        frames.add(SETTINGS, 0, 0, &settings);
        frames.add_window(0, (1 << 31) - (1 << 16));
        frames
    }

    pub(crate) fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a payload is short").to_be_bytes();
        self.0.extend(&length[1..]);
        self.0.extend([kind, flags]);
        self.0.extend(stream.to_be_bytes());
        self.0.extend(payload);
    }

    pub(crate) fn add_window(&mut self, stream: u32, bytes: u32) {
        self.add(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    /// A reset with the code CANCEL.
    pub(crate) fn add_reset(&mut self, stream: u32) {
        self.add(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }

    /// A whole request: its headers and this message, with its prefix.
    pub(crate) fn add_request(&mut self, stream: u32, block: &Block, message: &[u8]) {
        self.add(HEADERS, END_HEADERS, stream, &block.0);
        self.add(DATA, END_STREAM, stream, message);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= LONGEST
    }
}

/// A message with its prefix of gRPC.
pub(crate) fn message(message: &impl prost::Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("a message is short").to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

/// The fields of a request, encoded by HPACK without compression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block(pub(crate) Vec<u8>);

impl Block {
    /// The fields of a call of gRPC.
    pub(crate) fn call(path: &str) -> Self {
        let mut block = Self::default();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "loms"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            block.add(name.as_bytes(), value.as_bytes());
        }
        block
    }

    /// A field that the table of the receiver does not keep.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.add_literal(0, name, value);
    }

    /// A field that the table of the receiver keeps.
    pub(crate) fn add_kept(&mut self, name: &[u8], value: &[u8]) {
        self.add_literal(0x40, name, value);
    }

    /// A field of the receiver's table.
    pub(crate) fn add_indexed(&mut self, index: u64) {
        self.add_integer(0x80, 7, index);
    }

    /// A new size of the receiver's table.
    pub(crate) fn add_table_size(&mut self, size: u64) {
        self.add_integer(0x20, 5, size);
    }

    fn add_literal(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        self.0.push(kind);
        for text in [name, value] {
            self.add_integer(0, 7, u64::try_from(text.len()).expect("a length fits in 64 bits"));
            self.0.extend(text);
        }
    }

    /// An integer whose first byte has `bits` bits for it, and `first` in the others.
    fn add_integer(&mut self, first: u8, bits: u32, value: u64) {
        let most = (1_u64 << bits) - 1;
        let byte = |value: u64| u8::try_from(value).expect("seven bits at most");
        if value < most {
            self.0.push(first | byte(value));
            return;
        }
        self.0.push(first | byte(most));
        let mut rest = value - most;
        while rest > 0x7F {
            self.0.push(0x80 | byte(rest & 0x7F));
            rest >>= 7;
        }
        self.0.push(byte(rest));
    }
}

/// A frame that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
}

impl Received<'_> {
    /// Whether no frame of this stream follows.
    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM
            || matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of RST_STREAM, or of GOAWAY with its text.
    pub(crate) fn reason(&self) -> String {
        let (code, text) = match self.kind {
            GO_AWAY => (self.payload.get(4..8), self.payload.get(8..)),
            _ => (self.payload.get(..4), None),
        };
        let code = code.and_then(|code| code.first_chunk()).map(|code| u32::from_be_bytes(*code));
        let code = code.map_or_else(|| "no code".to_owned(), code_name);
        let text = text.map(String::from_utf8_lossy).unwrap_or_default();
        if text.is_empty() { code } else { format!("{code} ({text})") }
    }
}

fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("code {code}"), |name| (*name).to_owned())
}

/// Takes the next whole frame from the front of `bytes`.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Option<Received<'a>> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Received { kind: head[3], flags: head[4], payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn server_reads_the_request_that_was_built() {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut frames = Frames::start(&[(INITIAL_WINDOW_SIZE, 0)]);
        let mut block = Block::call("/loms.LOMS/OrderPay");
        let long = "v".repeat(300);
        block.add(b"long", long.as_bytes());
        block.add_kept(b"kept", b"yes");
        frames.add_request(stream(0), &block, b"body");
        // The second request takes `kept` from the table: 61 fields of it are static.
        block.add_indexed(62);
        frames.add_request(stream(1), &block, b"");
        client.write_all(&frames.0).await.unwrap();
        let mut server = h2::server::handshake(server).await.unwrap();
        for kept in [1, 2] {
            let (request, _) = server.accept().await.unwrap().unwrap();
            let (head, mut body) = request.into_parts();
            assert_eq!(head.uri, "http://loms/loms.LOMS/OrderPay");
            assert_eq!(head.headers["long"], long.as_str());
            assert_eq!(head.headers.get_all("kept").iter().count(), kept);
            let data = body.data().await.unwrap().unwrap();
            assert_eq!(data, if kept == 1 { &b"body"[..] } else { b"" });
        }
    }

    #[test]
    fn integers_are_those_of_rfc_7541() {
        for (bits, value, bytes) in
            [(5, 10, &[10][..]), (5, 1_337, &[31, 154, 10]), (8, 42, &[42]), (5, 31, &[31, 0])]
        {
            let mut block = Block::default();
            block.add_integer(0, bits, value);
            assert_eq!(block.0, bytes, "{value}");
        }
    }

    #[test]
    fn received_frames_are_taken_one_by_one_once_they_are_whole() {
        let mut frames = Frames::default();
        frames.add_reset(1);
        frames.add(GO_AWAY, 0, 0, &[&[0, 0, 0, 1, 0, 0, 0, 11][..], b"too_many"].concat());
        frames.add(DATA, END_STREAM, 3, b"answer");
        let mut bytes = &frames.0[..frames.0.len() - 1];
        let reset = take(&mut bytes).unwrap();
        assert_eq!((reset.kind, reset.ends_stream()), (RST_STREAM, true));
        assert_eq!(reset.reason(), "CANCEL");
        let go_away = take(&mut bytes).unwrap();
        assert_eq!(go_away.reason(), "ENHANCE_YOUR_CALM (too_many)");
        assert_eq!(take(&mut bytes), None);
        let whole = &frames.0[frames.0.len() - bytes.len() - 1..];
        assert!(take(&mut &whole[..]).unwrap().ends_stream());
    }
}
