//! The gzip format (RFC 1952): members with a header and a checksum, one behind the other.

use super::inflate::Inflate;
use super::{Error, Progress};
use crate::crc::Crc;

/// Bytes of a header. The extra field alone may have 65,537.
const HEADER_BYTES_MAX: u32 = 128 * 1024;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

#[derive(Debug)]
pub(super) struct Gzip {
    state: State,
    flags: u8,
    header_bytes: u32,
    inflate: Inflate,
    crc: Crc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the first byte of all.
    Start,
    /// In the ten bytes that every header has, so many of which are read.
    Fixed(u8),
    ExtraLengthLow,
    ExtraLengthHigh(u8),
    Extra(u16),
    Name,
    Comment,
    HeaderCrc(u8),
    Data,
    /// In the checksum and the length, so many bytes of which are read.
    Trailer {
        read: u8,
        value: u64,
    },
    /// Behind a member: another one, or zeros that fill a block.
    Between,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            flags: 0,
            header_bytes: 0,
            inflate: Inflate::bare(),
            crc: Crc::default(),
        }
    }

    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Error> {
        let mut rest = input;
        loop {
            if self.state == State::Data {
                let before = out.len();
                let inflated = self.inflate.step(rest, out);
                self.crc.update(out.get(before..).unwrap_or_default());
                let inflated = inflated?;
                rest = rest.get(inflated.consumed..).unwrap_or_default();
                if !inflated.ended || inflated.more {
                    let consumed = input.len() - rest.len();
                    return Ok(Progress {
                        consumed,
                        more: inflated.more,
                    });
                }
                self.state = State::Trailer { read: 0, value: 0 };
                // The next member may yield as much again: its turn comes with the next call.
                if out.len() > before && !rest.is_empty() {
                    return Ok(Progress {
                        consumed: input.len() - rest.len(),
                        more: true,
                    });
                }
            }
            let Some((&byte, behind)) = rest.split_first() else {
                break;
            };
            self.state = self.next(byte)?;
            rest = behind;
        }
        Ok(Progress {
            consumed: input.len(),
            more: false,
        })
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Start | State::Between)
    }

    fn next(&mut self, byte: u8) -> Result<State, Error> {
        match self.state {
            State::Trailer { read, value } => self.next_in_trailer(byte, read, value),
            State::Between if byte == 0 => Ok(State::Between),
            State::Between if byte != 0x1f => Err(Error::Trailing),
            State::Data => Ok(State::Data),
            _ => self.next_in_header(byte),
        }
    }

    fn next_in_header(&mut self, byte: u8) -> Result<State, Error> {
        self.header_bytes += 1;
        if self.header_bytes > HEADER_BYTES_MAX {
            return Err(Error::GzipHeader);
        }
        match self.state {
            State::Start | State::Between => self.next_in_fixed(byte, 0),
            State::Fixed(read) => self.next_in_fixed(byte, read),
            State::ExtraLengthLow => Ok(State::ExtraLengthHigh(byte)),
            State::ExtraLengthHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => Ok(self.behind(FLAG_EXTRA)),
                length => Ok(State::Extra(length)),
            },
            State::Extra(left) if left > 1 => Ok(State::Extra(left - 1)),
            State::Extra(_) => Ok(self.behind(FLAG_EXTRA)),
            State::Name if byte == 0 => Ok(self.behind(FLAG_NAME)),
            State::Comment if byte == 0 => Ok(self.behind(FLAG_COMMENT)),
            State::HeaderCrc(0) => Ok(State::HeaderCrc(1)),
            State::HeaderCrc(_) => Ok(self.behind(FLAG_HEADER_CRC)),
            state => Ok(state),
        }
    }

    /// `1f 8b 08 flags mtime*4 xfl os`
    fn next_in_fixed(&mut self, byte: u8, read: u8) -> Result<State, Error> {
        let valid = match read {
            0 => byte == 0x1f,
            1 => byte == 0x8b,
            2 => byte == 8,
            3 => byte & FLAGS_RESERVED == 0,
            _ => true,
        };
        if !valid {
            return Err(Error::GzipHeader);
        }
        if read == 3 {
            self.flags = byte;
        }
        if read < 9 {
            return Ok(State::Fixed(read + 1));
        }
        Ok(self.behind(0))
    }

    /// What follows the part of the header that has this flag; none for the fixed part.
    fn behind(&mut self, flag: u8) -> State {
        let order = [
            (FLAG_EXTRA, State::ExtraLengthLow),
            (FLAG_NAME, State::Name),
            (FLAG_COMMENT, State::Comment),
            (FLAG_HEADER_CRC, State::HeaderCrc(0)),
        ];
        let done = order
            .iter()
            .position(|(other, _)| *other == flag)
            .map_or(0, |at| at + 1);
        let next = order
            .iter()
            .skip(done)
            .find(|(other, _)| self.flags & other != 0);
        next.map_or_else(|| self.begin_data(), |(_, state)| *state)
    }

    fn begin_data(&mut self) -> State {
        self.header_bytes = 0;
        self.inflate.reset();
        self.crc = Crc::default();
        State::Data
    }

    /// Checksum and length, both 32 bits and little-endian.
    fn next_in_trailer(&self, byte: u8, read: u8, value: u64) -> Result<State, Error> {
        let value = value | u64::from(byte) << (8 * u32::from(read));
        if read < 7 {
            return Ok(State::Trailer {
                read: read + 1,
                value,
            });
        }
        if value == self.crc.trailer() {
            Ok(State::Between)
        } else {
            Err(Error::Checksum)
        }
    }
}
