//! Events as the wire carries them, and the encoding of those who only wait for the end.

use lmserver_proto::http1::write_chunk_in_place;
use lmserver_runtime::plugin::transport::{Encoding, Entry};

/// Nothing of any event: for a reader that waits until the answer is whole.
pub(crate) static SILENT: Silent = Silent;

/// `llm/silent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silent;

impl Encoding for Silent {
    fn name(&self) -> &'static str {
        "llm/silent"
    }

    fn encode(&self, _entry: &Entry<'_>, _out: &mut Vec<u8>) {}
}

/// Appends what `write` writes, as one chunk if the client reads chunks.
pub(crate) fn framed(chunked: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if chunked {
        write_chunk_in_place(out, write);
    } else {
        write(out);
    }
}

/// Appends an event without a name: `data: …`.
pub(crate) fn data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    write(out);
    out.extend_from_slice(b"\n\n");
}

/// Appends an event with a name: `event: …`, `data: …`.
pub(crate) fn named(name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(out, write);
}
