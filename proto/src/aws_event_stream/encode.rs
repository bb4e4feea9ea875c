//! Writing messages.

use super::header::Value;
use super::{CHECKSUM, HEADERS_MAX, PRELUDE};
use crate::crc::Crc;

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooLong {
    /// A name has no byte, or more than 255.
    #[error("the name of a header has {0} bytes instead of 1 to 255")]
    Name(usize),
    /// A text or bytes.
    #[error("the value of a header has {0} bytes, more than 65535")]
    Value(usize),
    /// All headers together.
    #[error("the headers have {0} bytes, more than {HEADERS_MAX}")]
    Headers(usize),
    /// The message as a whole does not fit its length of 32 bits.
    #[error("the payload has {0} bytes, more than a message can hold")]
    Payload(usize),
}

/// Appends one message to `out`.
///
/// # Errors
///
/// Something is longer than the format can say; `out` is as it was.
pub fn write_message(
    out: &mut Vec<u8>,
    headers: &[(&str, Value<'_>)],
    payload: &[u8],
) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE]);
    let written = write_headers(out, headers).and_then(|()| {
        let headers_len = out.len() - start - PRELUDE;
        finish(out, start, headers_len, payload)
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_headers(out: &mut Vec<u8>, headers: &[(&str, Value<'_>)]) -> Result<(), TooLong> {
    for (name, value) in headers {
        let len = u8::try_from(name.len()).ok().filter(|len| *len > 0);
        out.push(len.ok_or(TooLong::Name(name.len()))?);
        out.extend_from_slice(name.as_bytes());
        write_value(out, *value)?;
    }
    Ok(())
}

fn write_value(out: &mut Vec<u8>, value: Value<'_>) -> Result<(), TooLong> {
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Bool(truth) => put(u8::from(!truth), &[]),
        Value::Byte(number) => put(2, &number.to_be_bytes()),
        Value::Short(number) => put(3, &number.to_be_bytes()),
        Value::Integer(number) => put(4, &number.to_be_bytes()),
        Value::Long(number) => put(5, &number.to_be_bytes()),
        Value::Bytes(bytes) => {
            put(6, &counted(bytes)?);
            out.extend_from_slice(bytes);
        }
        Value::String(text) => {
            put(7, &counted(text.as_bytes())?);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Timestamp(number) => put(8, &number.to_be_bytes()),
        Value::Uuid(bytes) => put(9, &bytes),
    }
    Ok(())
}

fn counted(bytes: &[u8]) -> Result<[u8; 2], TooLong> {
    let len = u16::try_from(bytes.len()).map_err(|_| TooLong::Value(bytes.len()))?;
    Ok(len.to_be_bytes())
}

/// Fills in the prelude that stands at `start`, and appends payload and checksum.
fn finish(
    out: &mut Vec<u8>,
    start: usize,
    headers_len: usize,
    payload: &[u8],
) -> Result<(), TooLong> {
    let headers = u32::try_from(headers_len)
        .ok()
        .filter(|_| headers_len <= HEADERS_MAX)
        .ok_or(TooLong::Headers(headers_len))?;
    let total = (PRELUDE + headers_len + CHECKSUM)
        .checked_add(payload.len())
        .and_then(|total| u32::try_from(total).ok())
        .ok_or(TooLong::Payload(payload.len()))?;
    let mut crc = Crc::default();
    let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    crc.update(&lengths);
    let prelude = [lengths.as_slice(), &crc.sum().to_be_bytes()].concat();
    for (place, byte) in out.iter_mut().skip(start).zip(prelude) {
        *place = byte;
    }
    out.extend_from_slice(payload);
    let mut crc = Crc::default();
    crc.update(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.sum().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_and_leaves_nothing() {
        let (name, text) = ("n".repeat(256), "x".repeat(65_536));
        let many: Vec<_> = (0..3).map(|_| ("n", Value::String(&text[1..]))).collect();
        for (headers, want) in [
            (vec![("", Value::Bool(true))], TooLong::Name(0)),
            (vec![(name.as_str(), Value::Bool(true))], TooLong::Name(256)),
            (vec![("n", Value::String(&text))], TooLong::Value(65_536)),
            (
                vec![("n", Value::Bytes(text.as_bytes()))],
                TooLong::Value(65_536),
            ),
            (many, TooLong::Headers(3 * 65_540)),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(write_message(&mut out, &headers, b""), Err(want));
            assert_eq!(out, b"before");
        }
    }
}
