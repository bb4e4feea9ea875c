//! Events as the wire carries them.

use lmserver_proto::sse::encode;
use lmserver_runtime::plugin::transport::{Encoding, Entry};

/// Each event in a chunk of its own, for HTTP/1.1.
pub static CHUNKED: Chunked = Chunked;

/// Events as they are, for HTTP/1.0.
pub static PLAIN: Plain = Plain;

/// `sse/chunked`.
#[derive(Debug, Clone, Copy)]
pub struct Chunked;

/// `sse/plain`.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl Encoding for Chunked {
    fn name(&self) -> &'static str {
        "sse/chunked"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        in_chunk(out, |out| write_event(entry, out));
    }
}

impl Encoding for Plain {
    fn name(&self) -> &'static str {
        "sse/plain"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        write_event(entry, out);
    }
}

fn write_event(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    entry.position().write(out);
    out.push(b'\n');
    encode::event_of_one_line(None, &entry.json.parts(), out);
}

/// Appends what `write` writes as one chunk (RFC 9112 §7.1), without a detour: the size is
/// written into a gap of fixed width, since leading zeros are allowed in it.
pub(crate) fn in_chunk(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const GAP: &[u8; 8] = b"000000\r\n";
    let start = out.len();
    out.extend_from_slice(GAP);
    let content = out.len();
    write(out);
    let size = out.len() - content;
    if size < 1 << 24 {
        let mut left = size;
        for digit in out.iter_mut().skip(start).take(6).rev() {
            *digit = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
    } else {
        // More digits than the gap has: the event is moved, once.
        out.splice(start..content, format!("{size:x}\r\n").into_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use lmserver_runtime::event::{Epoch, Json, Kind};

    #[test]
    fn a_huge_event_gets_a_chunk_size_with_more_digits() {
        let mut out = b"before".to_vec();
        in_chunk(&mut out, |out| out.resize(out.len() + (1 << 24), b'x'));
        assert!(out.starts_with(b"before1000000\r\nxx") && out.ends_with(b"xx\r\n"));
        assert_eq!(out.len(), 6 + 9 + (1 << 24) + 2);
    }

    #[test]
    fn an_event_is_encoded_with_its_position() {
        let epoch = Epoch::from_random([0; 6]);
        let json = br#"{"type":"chunk","message":"Hel"}"#;
        let entry = Entry {
            channel: "chat:1",
            epoch,
            offset: 17,
            kind: Kind::Chunk,
            json: Json::new(json),
            details: None,
            previous: None,
            is_kept: true,
            number: 1,
            created: 0,
            note: b"",
        };
        let mut plain = Vec::new();
        PLAIN.encode(&entry, &mut plain);
        let want = format!("id: {epoch}-17\ndata: {{\"type\":\"chunk\",\"message\":\"Hel\"}}\n\n");
        assert_eq!(String::from_utf8_lossy(&plain), want);
        let mut chunked = b"before".to_vec();
        CHUNKED.encode(&entry, &mut chunked);
        let want = format!("before{:06x}\r\n{want}\r\n", want.len());
        assert_eq!(String::from_utf8_lossy(&chunked), want);
    }
}
