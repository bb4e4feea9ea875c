//! The checksum of gzip (RFC 1952 §8) and of AWS event streams: a cyclic redundancy check of 32
//! bits.
//!
//! It goes byte by byte through a table of 1 KiB. Tables of 16 KiB would be faster, and so would
//! the processor's own instructions, by less than inflating the same bytes takes.

/// The checksum of what went through, and how much that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc {
    sum: u32,
    amount: u64,
}

impl Crc {
    /// Takes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        let register = bytes.iter().fold(!self.sum, |register, byte| {
            let [low, ..] = register.to_le_bytes();
            let step = TABLE.get(usize::from(low ^ byte)).copied();
            step.unwrap_or_default() ^ (register >> 8)
        });
        self.sum = !register;
        self.amount = self.amount.wrapping_add(bytes.len() as u64);
    }

    /// The checksum alone.
    #[must_use]
    pub fn sum(self) -> u32 {
        self.sum
    }

    /// The trailer of gzip that this has: checksum and size modulo 2^32 (RFC 1952 §2.3.1), as one
    /// number of which the checksum is the lower half.
    #[must_use]
    pub fn trailer(self) -> u64 {
        self.amount << 32 | u64::from(self.sum)
    }
}

/// What a byte does to the register.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut step = byte;
        let mut bit = 0;
        while bit < 8 {
            step = (step >> 1) ^ (POLYNOMIAL * (step & 1));
            bit += 1;
        }
        table[byte as usize] = step;
        byte += 1;
    }
    table
};

/// RFC 1952 §8, with its lowest power first.
const POLYNOMIAL: u32 = 0xedb8_8320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_is_that_of_all_bytes_however_they_are_cut() {
        // The check value of CRC-32/ISO-HDLC.
        let (text, want) = (b"123456789", 9 << 32 | 0xcbf4_3926);
        for cut in 0..=text.len() {
            let (one, other) = text.split_at(cut);
            let mut crc = Crc::default();
            crc.update(one);
            crc.update(other);
            assert_eq!(crc.trailer(), want, "{cut}");
        }
        assert_eq!(Crc::default().trailer(), 0);
    }
}
