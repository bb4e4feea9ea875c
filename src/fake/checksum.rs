//! CRC-32 and gzip without compression.
//!
//! Both are written for themselves, so that the decoders of the server are not tested against
//! code that they share a mistake with.

/// The checksum of bytes that follow those which had `sum`; 0 for none.
pub(super) fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    let mut register = !sum;
    for &byte in bytes {
        register ^= u32::from(byte);
        for _ in 0..2 {
            // Four bits at a time.
            let step = STEPS.get((register & 15) as usize).copied();
            register = (register >> 4) ^ step.unwrap_or_default();
        }
    }
    !register
}

/// Wraps a stream in gzip (RFC 1952), in blocks that are stored (RFC 1951 §3.2.4).
#[derive(Debug, Default)]
pub(super) struct Gzip {
    sum: u32,
    /// Modulo 2^32, as the trailer has it.
    size: u32,
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
            self.sum = crc32(self.sum, block);
            self.size = self.size.wrapping_add(u32::from(length));
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.write(&[], out);
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        out.extend_from_slice(&self.sum.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
    }
}

/// Magic, deflate, no flags, no time, no extra flags, an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes of a stored block.
const LONGEST: usize = 65535;

/// What four bits do to the register.
const STEPS: [u32; 16] = {
    let mut steps = [0; 16];
    let mut bits: u32 = 0;
    while bits < 16 {
        let mut step = bits;
        let mut bit = 0;
        while bit < 4 {
            step = (step >> 1) ^ (POLYNOMIAL & (step & 1).wrapping_neg());
            bit += 1;
        }
        steps[bits as usize] = step;
        bits += 1;
    }
    steps
};

/// RFC 1952 §8, with its lowest power first.
const POLYNOMIAL: u32 = 0xedb8_8320;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_checksum_has_its_check_value_however_the_bytes_are_cut() {
        // The check value of CRC-32/ISO-HDLC.
        let (one, other) = b"123456789".split_at(4);
        assert_eq!(crc32(crc32(0, one), other), 0xcbf4_3926);
    }

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
