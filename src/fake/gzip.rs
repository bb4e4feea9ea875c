//! Gzip without compression.

use lmserver_proto::crc::Crc;

/// Wraps a stream in gzip (RFC 1952), in blocks that are stored (RFC 1951 §3.2.4).
#[derive(Debug, Default)]
pub(super) struct Gzip {
    crc: Crc,
    has_begun: bool,
}

impl Gzip {
    /// Wraps bytes; whoever has them can read them all.
    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(&HEAD);
        }
        for block in bytes.chunks(LONGEST) {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&(!length).to_le_bytes());
            out.extend_from_slice(block);
            self.crc.update(block);
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.write(&[], out);
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        out.extend_from_slice(&self.crc.trailer().to_le_bytes());
    }
}

/// Magic, deflate, no flags, no time, no extra flags, an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes of a stored block.
const LONGEST: usize = 65535;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_wrapped_is_read_by_another_implementation() {
        let (mut gzip, mut wrapped) = (Gzip::default(), Vec::new());
        let long = "long ".repeat(20_000);
        for piece in ["a", "", &long] {
            gzip.write(piece.as_bytes(), &mut wrapped);
        }
        gzip.finish(&mut wrapped);
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(wrapped.as_slice());
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("a{long}"));
    }
}
