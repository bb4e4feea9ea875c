//! Events as the wire carries them, and the encoding of those who only wait for the end.

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

/// Appends what `write` writes, as one chunk (RFC 9112 §7.1) if the client reads chunks. The size
/// is written into a gap of fixed width, since leading zeros are allowed in it.
pub(crate) fn framed(chunked: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if !chunked {
        return write(out);
    }
    const GAP: &[u8; 10] = b"00000000\r\n";
    let start = out.len();
    out.extend_from_slice(GAP);
    let content = out.len();
    write(out);
    let mut size = out.len() - content;
    if size == 0 {
        return out.truncate(start);
    }
    // Eight digits are 4 GiB; a channel is bounded far below.
    for digit in out.iter_mut().skip(start).take(8).rev() {
        *digit = b"0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out.extend_from_slice(b"\r\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_its_size_and_nothing_is_no_chunk() {
        let mut out = b"before".to_vec();
        framed(true, &mut out, |_| {});
        assert_eq!(out, b"before");
        framed(true, &mut out, |out| {
            data(out, |out| out.extend_from_slice(&[b'x'; 300]));
        });
        let want = format!("before{:08x}\r\ndata: {}\n\n\r\n", 308, "x".repeat(300));
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        framed(false, &mut out, |out| out.push(b'x'));
        assert_eq!(out, b"x");
    }
}
