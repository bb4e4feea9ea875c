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
}

impl Transport {
    pub const ALL: [Self; 2] = [Self::Sse, Self::WebSocket];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sse => "SSE",
            Self::WebSocket => "WebSocket",
        }
    }

    pub fn parse(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|t| t.name() == word)
            .ok_or_else(|| format!("transport {word:?}: SSE or WebSocket"))
    }

    /// The request that opens a subscription to what comes from now on.
    pub fn request(self, channel: &str) -> String {
        match self {
            Self::Sse => format!(
                "GET /connection/sse?channel={channel}&last_event_id=now HTTP/1.1\r\n\
                 Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            ),
            Self::WebSocket => format!(
                "GET /connection/websocket?channel={channel}&last_event_id=now HTTP/1.1\r\n\
                 Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
        }
    }
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
            let mut frame = vec![0x81];
            match text.len() {
                short @ 0..126 => frame.push(short as u8),
                long => {
                    frame.push(126);
                    frame.extend((long as u16).to_be_bytes());
                }
            }
            frame.extend(text.bytes());
            frame
        }
    }
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
    kept: Vec<u8>,
    /// Pings received and not yet answered.
    pub pings: u32,
}

impl Decoder {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            head_seen: false,
            kept: Vec::new(),
            pings: 0,
        }
    }

    /// True once the server has answered the request.
    pub fn is_open(&self) -> bool {
        self.head_seen
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
                Transport::WebSocket => self.frame(&bytes[at..], out)?,
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
            0x81 => read_event(payload, b"{\"id\":\"", out)?,
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
    let sent = match memmem::find(rest, STAMP.as_bytes()) {
        Some(at) => {
            let digits = rest.get(at + STAMP.len()..at + STAMP.len() + STAMP_DIGITS);
            number(digits.ok_or_else(shown)?)
        }
        None => return Err(shown()),
    };
    out.push(Delivery { offset, sent });
    Ok(())
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
        for transport in Transport::ALL {
            let (bytes, want) = stream(transport);
            for cut in 0..bytes.len() {
                let mut decoder = Decoder::new(transport);
                let mut out = Vec::new();
                decoder.feed(&bytes[..cut], &mut out).unwrap();
                decoder.feed(&bytes[cut..], &mut out).unwrap();
                assert_eq!(out, want, "{transport:?} cut at {cut}");
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
