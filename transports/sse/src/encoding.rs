//! Events as the wire carries them.

use lmserver_proto::http1::write_chunk_in_place;
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
        write_chunk_in_place(out, |out| write_event(entry, out));
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

#[cfg(test)]
mod tests {
    use super::*;
    use lmserver_runtime::event::{Epoch, Json, Kind};

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
