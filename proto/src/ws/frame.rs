//! Frames (RFC 6455 §5.2): the header, read and written.
//!
//! ```text
//!  byte 0          byte 1
//!  FIN RSV1-3 op   MASK len7   [16 bits if 126 | 64 bits if 127]   [masking key if MASK]   payload
//! ```

use super::{Error, Role, close, mask};

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the message before.
    Continuation,
    /// Text, or its first fragment.
    Text,
    /// Binary data, or its first fragment.
    Binary,
    /// The end of the conversation.
    Close,
    /// A question whether the other end is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    /// Close, ping and pong: short, never fragmented, allowed between fragments (§5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key; present exactly in what clients send.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub payload_len: u64,
}

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const HEADER_LEN: usize = 14;

/// The longest payload of a control frame (§5.5).
pub const CONTROL_LEN: usize = 125;

/// Reads the header at the start of `bytes` as `role` must see it, and its length. `None`: more
/// bytes are needed. What is wrong is refused at the first byte that shows it.
///
/// # Errors
///
/// Everything of §5.2 and §5.5 that makes a single frame illegal.
pub fn parse(bytes: &[u8], role: Role) -> Result<Option<(Header, usize)>, Error> {
    let Some((&first, bytes)) = bytes.split_first() else {
        return Ok(None);
    };
    let (fin, opcode) = parse_first(first)?;
    let Some((&second, bytes)) = bytes.split_first() else {
        return Ok(None);
    };
    let masked = second & 0x80 != 0;
    match role {
        Role::Server if !masked => return Err(Error::NotMasked),
        Role::Client if masked => return Err(Error::Masked),
        Role::Server | Role::Client => {}
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > CONTROL_LEN {
        return Err(Error::ControlTooLong);
    }
    let Some((payload_len, field_len)) = parse_length(short, bytes)? else {
        return Ok(None);
    };
    let len = 2 + field_len;
    if !masked {
        return Ok(Some((
            Header {
                fin,
                opcode,
                mask: None,
                payload_len,
            },
            len,
        )));
    }
    let key = bytes
        .get(field_len..)
        .and_then(|bytes| bytes.first_chunk::<4>());
    Ok(key.map(|key| {
        (
            Header {
                fin,
                opcode,
                mask: Some(*key),
                payload_len,
            },
            len + key.len(),
        )
    }))
}

fn parse_first(byte: u8) -> Result<(bool, Opcode), Error> {
    if byte & 0x70 != 0 {
        return Err(Error::ReservedBits(byte));
    }
    let bits = byte & 0x0f;
    let opcode = Opcode::from_bits(bits).ok_or(Error::ReservedOpcode(bits))?;
    let fin = byte & 0x80 != 0;
    if !fin && opcode.is_control() {
        return Err(Error::ControlFragmented);
    }
    Ok((fin, opcode))
}

/// The payload's length, and how many bytes it takes beyond the seven bits.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Error> {
    let (len, field_len) = match short {
        126 => {
            let Some(field) = bytes.first_chunk::<2>() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*field)), field.len())
        }
        127 => {
            if bytes.first().is_some_and(|top| top & 0x80 != 0) {
                return Err(Error::LengthTopBit);
            }
            let Some(field) = bytes.first_chunk::<8>() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*field), field.len())
        }
        _ => return Ok(Some((u64::from(short), 0))),
    };
    let shorter_form_holds = if field_len == 2 {
        125
    } else {
        u64::from(u16::MAX)
    };
    if len <= shorter_form_holds {
        return Err(Error::LengthNotMinimal(len));
    }
    Ok(Some((len, field_len)))
}

/// Appends a header alone. The payload, masked with `mask` if there is one, must follow.
pub fn write_header(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    len: usize,
    mask: Option<[u8; 4]>,
) {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    out.push(opcode.bits() | if fin { 0x80 } else { 0 });
    if let Ok(short) = u8::try_from(len)
        && short < 126
    {
        out.push(short | mask_bit);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(126 | mask_bit);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(127 | mask_bit);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
    if let Some(key) = mask {
        out.extend_from_slice(&key);
    }
}

/// How many bytes [`write_header`] appends.
#[must_use]
pub const fn header_len(payload_len: usize, masked: bool) -> usize {
    let key = if masked { 4 } else { 0 };
    match payload_len {
        0..=125 => 2 + key,
        126..=0xffff => 4 + key,
        _ => 10 + key,
    }
}

/// Appends a whole frame. A client gives a fresh unpredictable key for each (§5.3), a server none.
pub fn write_frame(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) {
    write_header(out, opcode, fin, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        let _ = mask::apply(key, payload);
    }
}

/// Appends a server's text message in one frame.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    write_frame(out, Opcode::Text, true, text.as_bytes(), None);
}

/// Appends a server's text message whose text `write` appends. For encoding straight into a log.
///
/// The header's length depends on the text's, so it is written behind the text and both are
/// swapped in place.
pub fn write_text_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let len = out.len().saturating_sub(start);
    write_header(out, Opcode::Text, true, len, None);
    if let Some(frame) = out.get_mut(start..) {
        frame.rotate_right(frame.len() - len);
    }
}

/// Appends a close frame with `code` and as much of `reason` as fits, masked for a client.
///
/// A code that must not be sent (§7.4) is left out, and the reason with it.
pub fn write_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str, mask: Option<[u8; 4]>) {
    let Some(code) = code.filter(|code| close::is_sendable(*code)) else {
        write_frame(out, Opcode::Close, true, b"", mask);
        return;
    };
    let reason = close::fitting(reason);
    write_header(out, Opcode::Close, true, 2 + reason.len(), mask);
    let start = out.len();
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        let _ = mask::apply(key, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_use_the_shortest_length_and_read_back() {
        let key = Some([1, 2, 3, 4]);
        for (payload_len, mask, want) in [
            (0, None, &b"\x81\x00"[..]),
            (125, None, b"\x81\x7d"),
            (126, None, b"\x81\x7e\x00\x7e"),
            (65_535, None, b"\x81\x7e\xff\xff"),
            (65_536, None, b"\x81\x7f\0\0\0\0\0\x01\0\0"),
            (0, key, b"\x81\x80\x01\x02\x03\x04"),
            (126, key, b"\x81\xfe\x00\x7e\x01\x02\x03\x04"),
            (65_536, key, b"\x81\xff\0\0\0\0\0\x01\0\0\x01\x02\x03\x04"),
        ] {
            let mut out = Vec::new();
            write_header(&mut out, Opcode::Text, true, payload_len, mask);
            assert_eq!(out, want, "{payload_len}");
            assert_eq!(header_len(payload_len, mask.is_some()), want.len());
            let role = if mask.is_some() {
                Role::Server
            } else {
                Role::Client
            };
            for cut in 0..want.len() {
                assert_eq!(parse(&want[..cut], role), Ok(None), "cut at {cut}");
            }
            let header = Header {
                fin: true,
                opcode: Opcode::Text,
                mask,
                payload_len: payload_len as u64,
            };
            assert_eq!(parse(want, role), Ok(Some((header, want.len()))));
        }
    }

    #[test]
    fn what_is_wrong_shows_at_the_earliest_byte() {
        use Role::{Client, Server};
        for (bytes, role, want) in [
            (&b"\xc1"[..], Server, Error::ReservedBits(0xc1)),
            (b"\xa1", Server, Error::ReservedBits(0xa1)),
            (b"\x91", Client, Error::ReservedBits(0x91)),
            (b"\x83", Server, Error::ReservedOpcode(3)),
            (b"\x07", Server, Error::ReservedOpcode(7)),
            (b"\x8b", Client, Error::ReservedOpcode(11)),
            (b"\x8f", Server, Error::ReservedOpcode(15)),
            (b"\x08", Server, Error::ControlFragmented),
            (b"\x09", Server, Error::ControlFragmented),
            (b"\x0a", Client, Error::ControlFragmented),
            (b"\x81\x00", Server, Error::NotMasked),
            (b"\x81\x80", Client, Error::Masked),
            (b"\x88\xfe", Server, Error::ControlTooLong),
            (b"\x89\x7e", Client, Error::ControlTooLong),
            (b"\x8a\xff", Server, Error::ControlTooLong),
            (b"\x81\x7e\x00\x7d", Client, Error::LengthNotMinimal(125)),
            (b"\x81\xfe\x00\x00", Server, Error::LengthNotMinimal(0)),
            (
                b"\x81\x7f\0\0\0\0\0\0\xff\xff",
                Client,
                Error::LengthNotMinimal(65_535),
            ),
            (b"\x82\xff\x80", Server, Error::LengthTopBit),
        ] {
            assert_eq!(parse(bytes, role), Err(want), "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(
                    parse(&bytes[..cut], role),
                    Ok(None),
                    "{bytes:x?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn text_written_straight_into_a_log_is_the_same_frame() {
        for len in [0, 1, 125, 126, 300, 65_535, 65_536] {
            let text = "x".repeat(len);
            let (mut copied, mut direct) = (b"before".to_vec(), b"before".to_vec());
            write_text(&mut copied, &text);
            write_text_with(&mut direct, |out| out.extend_from_slice(text.as_bytes()));
            assert!(copied == direct, "{len}");
        }
    }

    #[test]
    fn a_close_frame_never_carries_what_must_not_be_sent() {
        for (code, reason, want) in [
            (None, "dropped", &b"\x88\x00"[..]),
            (Some(1000), "", b"\x88\x02\x03\xe8"),
            (Some(4404), "gone", b"\x88\x06\x11\x34gone"),
            (Some(1005), "dropped", b"\x88\x00"),
            (Some(1006), "", b"\x88\x00"),
        ] {
            let mut out = Vec::new();
            write_close(&mut out, code, reason, None);
            assert_eq!(out, want, "{code:?}");
        }
        let mut out = Vec::new();
        write_close(&mut out, Some(1002), &"é".repeat(100), Some([7; 4]));
        assert_eq!(out.len(), 2 + 4 + 124);
    }
}
