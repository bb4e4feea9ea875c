//! What is on the wire between a subscriber and a server, made and read.
//!
//! [`record`] makes one event exactly as lmserver frames it, so that the bare limit moves the same
//! bytes. [`Decoder`] takes what a subscriber receives, cut anywhere, and tells each delivery's
//! offset and the time its publisher stamped into it.

use memchr::memmem;

/// How a subscriber listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Sse,
    WebSocket,
    CentrifugoJson,
    CentrifugoProtobuf,
}

impl Transport {
    /// The plain ones.
    pub const PLAIN: [Self; 2] = [Self::Sse, Self::WebSocket];
    /// Those of Centrifugo's client protocol, over WebSocket.
    pub const CENTRIFUGO: [Self; 2] = [Self::CentrifugoJson, Self::CentrifugoProtobuf];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sse => "SSE",
            Self::WebSocket => "WebSocket",
            Self::CentrifugoJson => "CentrifugoJSON",
            Self::CentrifugoProtobuf => "CentrifugoProtobuf",
        }
    }

    pub fn parse(word: &str) -> Result<Self, String> {
        let mut all = Self::PLAIN.into_iter().chain(Self::CENTRIFUGO);
        all.find(|t| t.name() == word)
            .ok_or_else(|| format!("no transport {word:?}"))
    }

    /// The request that opens a subscription to what comes from now on, and what follows it.
    pub fn request(self, channel: &str) -> Vec<u8> {
        let upgrade = |query: &str, protocol: &str| {
            format!(
                "GET /connection/websocket{query} HTTP/1.1\r\n\
                 Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{protocol}\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
        };
        let mut bytes = match self {
            Self::Sse => format!(
                "GET /connection/sse?channel={channel}&last_event_id=now HTTP/1.1\r\n\
                 Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            ),
            Self::WebSocket => upgrade(&format!("?channel={channel}&last_event_id=now"), ""),
            Self::CentrifugoJson => upgrade("", ""),
            Self::CentrifugoProtobuf => {
                upgrade("", "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n")
            }
        }
        .into_bytes();
        match self {
            Self::Sse | Self::WebSocket => {}
            Self::CentrifugoJson => {
                let commands = format!(
                    "{{\"id\":1,\"connect\":{{}}}}\n\
                     {{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
                );
                masked_frame(0x81, commands.as_bytes(), &mut bytes);
            }
            Self::CentrifugoProtobuf => {
                // Command { id: 1, connect: {} }, Command { id: 2, subscribe: { channel } }
                let mut commands = vec![4, 0x08, 1, 0x22, 0];
                let length = channel.len() as u8;
                commands.extend([length + 6, 0x08, 2, 0x2a, length + 2, 0x0a, length]);
                commands.extend(channel.bytes());
                masked_frame(0x82, &commands, &mut bytes);
            }
        }
        bytes
    }
}

/// A client's frame of less than 126 bytes; a mask of zeros leaves the payload as it is.
fn masked_frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend([first, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend(payload);
}

const STAMP: &str = "\"sent\":\"";
const STAMP_DIGITS: usize = 16;

/// The JSON of one message: the time it is published and a text of `text_bytes`.
pub fn data(sent: u64, text_bytes: usize) -> String {
    format!("{{{STAMP}{sent:016}\",\"text\":\"{:.<text_bytes$}\"}}", "")
}

/// One event as it stands on the wire.
pub fn record(transport: Transport, offset: u64, data: &str) -> Vec<u8> {
    let id = format!("k3f9a1-{offset}");
    match transport {
        Transport::Sse => {
            let event = format!("id: {id}\ndata: {data}\n\n");
            format!("{:06x}\r\n{event}\r\n", event.len()).into_bytes()
        }
        Transport::WebSocket => {
            let text = format!("{{\"id\":\"{id}\",\"data\":{data}}}");
            frame(0x81, text.as_bytes())
        }
        Transport::CentrifugoJson => {
            let text = format!(
                "{{\"push\":{{\"channel\":\"bench\",\"pub\":{{\"data\":{data},\"offset\":{offset}}}}}}}"
            );
            frame(0x81, text.as_bytes())
        }
        Transport::CentrifugoProtobuf => {
            let publication = [field(0x22, data.as_bytes()), vec![0x30], varint(offset)].concat();
            let push = [field(0x12, b"bench"), field(0x22, &publication)].concat();
            let reply = field(0x22, &push);
            frame(0x82, &[varint(reply.len() as u64), reply].concat())
        }
    }
}

/// A server's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// A field of Protobuf with a length.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [vec![tag], varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// The number at the front and how many bytes it has; none if it is not whole.
fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let digits = bytes[..=end].iter().rev();
    let value = digits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, end + 1))
}

/// One event received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub offset: u64,
    pub sent: u64,
}

/// Reads one subscriber's stream.
pub struct Decoder {
    transport: Transport,
    head_seen: bool,
    /// The client's subscription is answered, where there is an answer beside the head.
    subscribed: bool,
    kept: Vec<u8>,
    /// Pings received and not yet answered.
    pub pings: u32,
}

impl Decoder {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            head_seen: false,
            subscribed: Transport::PLAIN.contains(&transport),
            kept: Vec::new(),
            pings: 0,
        }
    }

    /// The server answers no command: the head is all.
    pub fn without_answers(self) -> Self {
        Self {
            subscribed: true,
            ..self
        }
    }

    /// True once the server has answered the request.
    pub fn is_open(&self) -> bool {
        self.head_seen && self.subscribed
    }

    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Delivery>) -> Result<(), String> {
        if self.kept.is_empty() {
            let used = self.read(bytes, out)?;
            self.kept.extend_from_slice(&bytes[used..]);
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(bytes);
            let used = self.read(&kept, out)?;
            if used < kept.len() {
                kept.drain(..used);
                self.kept = kept;
            }
        }
        Ok(())
    }

    /// Reads all that is complete and tells how much that was.
    fn read(&mut self, bytes: &[u8], out: &mut Vec<Delivery>) -> Result<usize, String> {
        let mut at = 0;
        if !self.head_seen {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 200") && !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(format!("refused: {}", String::from_utf8_lossy(bytes)));
            }
            self.head_seen = true;
            at = end + 4;
        }
        loop {
            let used = match self.transport {
                Transport::Sse => self.chunk(&bytes[at..], out)?,
                _ => self.frame(&bytes[at..], out)?,
            };
            if used == 0 {
                return Ok(at);
            }
            at += used;
        }
    }

    fn chunk(&self, bytes: &[u8], out: &mut Vec<Delivery>) -> Result<usize, String> {
        let mut size = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match char::from(byte).to_digit(16) {
                Some(digit) => size = size * 16 + digit as usize,
                None if byte == b'\r' => {
                    let Some(chunk) = bytes.get(at + 2..at + 2 + size) else {
                        return Ok(0);
                    };
                    if bytes.len() < at + 4 + size {
                        return Ok(0);
                    }
                    for event in Events(chunk) {
                        read_event(event, b"id: ", out)?;
                    }
                    return Ok(at + 4 + size);
                }
                None => return Err(format!("chunk size with byte {byte:#x}")),
            }
        }
        Ok(0)
    }

    fn frame(&mut self, bytes: &[u8], out: &mut Vec<Delivery>) -> Result<usize, String> {
        let (head, size) = match *bytes {
            [_, short @ 0..=125, ..] => (2, usize::from(short)),
            [_, 126, high, low, ..] => (4, usize::from(high) << 8 | usize::from(low)),
            [_, over @ 127..=255, ..] => return Err(format!("a frame with length {over}")),
            _ => return Ok(0),
        };
        let Some(payload) = bytes.get(head..head + size) else {
            return Ok(0);
        };
        match bytes[0] {
            0x81 if self.transport == Transport::CentrifugoJson => {
                for line in payload.split(|byte| *byte == b'\n') {
                    self.read_reply(line, out)?;
                }
            }
            0x81 => read_event(payload, b"{\"id\":\"", out)?,
            0x82 => self.read_messages(payload, out)?,
            0x89 => self.pings += 1,
            0x88 => {
                return Err(format!(
                    "closed: {}",
                    String::from_utf8_lossy(&payload[2..])
                ));
            }
            first => return Err(format!("frame with first byte {first:#x}")),
        }
        Ok(head + size)
    }
}

impl Decoder {
    fn read_reply(&mut self, line: &[u8], out: &mut Vec<Delivery>) -> Result<(), String> {
        let shown = || format!("reply {:?}", String::from_utf8_lossy(line));
        if line.starts_with(b"{\"id\":2,\"subscribe\"") {
            self.subscribed = true;
        } else if line.starts_with(b"{\"push\"") {
            let offset = memmem::rfind(line, b"\"offset\":").ok_or_else(shown)?;
            out.push(Delivery {
                offset: number(&line[offset + 9..]),
                sent: stamp(line).ok_or_else(shown)?,
            });
        } else if !line.starts_with(b"{\"id\":1,\"connect\"") && line != b"{}" {
            return Err(shown());
        }
        Ok(())
    }

    fn read_messages(&mut self, mut rest: &[u8], out: &mut Vec<Delivery>) -> Result<(), String> {
        let shown = || "a reply that is not understood".to_owned();
        while let Some((length, head)) = read_varint(rest) {
            let end = head + length as usize;
            let message = rest.get(head..end).ok_or_else(shown)?;
            rest = &rest[end..];
            match message {
                [0x08, 2, 0x32, ..] => self.subscribed = true,
                [0x22, ..] => {
                    let data = memmem::rfind(message, b"\"}0").ok_or_else(shown)?;
                    let (offset, _) = read_varint(&message[data + 3..]).ok_or_else(shown)?;
                    let sent = stamp(message).ok_or_else(shown)?;
                    out.push(Delivery { offset, sent });
                }
                [] | [0x08, 1, 0x2a, ..] => {}
                _ => return Err(shown()),
            }
        }
        Ok(())
    }
}

/// The blocks of a chunk of an event stream.
struct Events<'a>(&'a [u8]);

impl<'a> Iterator for Events<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memmem::find(self.0, b"\n\n")?;
        let (event, rest) = self.0.split_at(end);
        self.0 = &rest[2..];
        Some(event)
    }
}

/// Offset and stamp of one event; what has no id (a heartbeat) is passed over.
fn read_event(event: &[u8], id: &[u8], out: &mut Vec<Delivery>) -> Result<(), String> {
    let rest = match event.strip_prefix(id) {
        Some(rest) => rest,
        None => match memmem::find(event, id) {
            Some(at) => &event[at + id.len()..],
            None => return Ok(()),
        },
    };
    let shown = || format!("event {:?}", String::from_utf8_lossy(event));
    let dash = memchr::memchr(b'-', rest).ok_or_else(shown)?;
    let offset = number(&rest[dash + 1..]);
    let sent = stamp(rest).ok_or_else(shown)?;
    out.push(Delivery { offset, sent });
    Ok(())
}

/// The time that the publisher stamped into a message.
fn stamp(message: &[u8]) -> Option<u64> {
    let at = memmem::find(message, STAMP.as_bytes())? + STAMP.len();
    Some(number(message.get(at..at + STAMP_DIGITS)?))
}

/// The number that stands at the front.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(transport: Transport) -> (Vec<u8>, Vec<Delivery>) {
        let (head, extra): (&[u8], &[u8]) = match transport {
            Transport::Sse => (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nretry: 1000\n\r\n",
                b"6\r\n: hb\n\n\r\n",
            ),
            Transport::WebSocket => (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"\x89\x00"),
            Transport::CentrifugoJson => (
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n\
                  \x81\x2d{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}",
                b"\x81\x02{}",
            ),
            Transport::CentrifugoProtobuf => (
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x0a\x04\x08\x01\x2a\x00\x04\x08\x02\x32\x00",
                b"\x82\x01\x00",
            ),
        };
        let mut bytes = head.to_vec();
        let mut want = Vec::new();
        for (offset, text_bytes) in [(1, 0), (2, 20), (3, 500), (4, 5)] {
            bytes.extend(record(transport, offset, &data(offset * 1000, text_bytes)));
            bytes.extend(extra);
            want.push(Delivery {
                offset,
                sent: offset * 1000,
            });
        }
        (bytes, want)
    }

    #[test]
    fn deliveries_are_read_whatever_the_cut() {
        for transport in Transport::PLAIN.into_iter().chain(Transport::CENTRIFUGO) {
            let (bytes, want) = stream(transport);
            for cut in 0..bytes.len() {
                let mut decoder = Decoder::new(transport);
                let mut out = Vec::new();
                decoder.feed(&bytes[..cut], &mut out).unwrap();
                decoder.feed(&bytes[cut..], &mut out).unwrap();
                assert_eq!(out, want, "{transport:?} cut at {cut}");
                assert!(decoder.is_open());
            }
        }
    }

    #[test]
    fn retry_before_the_first_id_in_one_chunk_is_no_event() {
        let mut decoder = Decoder::new(Transport::Sse);
        let mut out = Vec::new();
        let event = format!("retry: 1000\nid: k3-7\ndata: {}\n\n", data(5, 3));
        let bytes = format!("HTTP/1.1 200 OK\r\n\r\n{:x}\r\n{event}\r\n", event.len());
        decoder.feed(bytes.as_bytes(), &mut out).unwrap();
        assert_eq!(out, [Delivery { offset: 7, sent: 5 }]);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut decoder = Decoder::new(Transport::Sse);
        let answer = b"HTTP/1.1 403 Forbidden\r\n\r\n";
        assert!(
            decoder
                .feed(answer, &mut Vec::new())
                .unwrap_err()
                .contains("403")
        );
    }
}
