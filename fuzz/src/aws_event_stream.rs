//! AWS event streams, as a client reads them.
//!
//! - The same messages and the same error wherever the bytes are cut.
//! - A message is within the limit; behind an error there is only the same error.
//! - A message that is written again has the same bytes.

use lmserver_proto::aws_event_stream::{Decoder, Error, Message, Value, write_message};

use crate::{cut, mode};

/// The messages, each as it would be written, and how the stream ended.
type Log = (Vec<Vec<u8>>, Option<Error>);

/// Checks one input: a stream, or the contents of messages whose lengths and checksums are put
/// right, which chance would not find.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let limit = if bits & 1 == 0 { 1 << 20 } else { 40 };
    let stream = if bits & 2 == 0 {
        input.to_vec()
    } else {
        sealed(input)
    };
    let (messages, error) = cut::same(&stream, |pieces| read(limit, pieces));
    let again = messages.concat();
    assert!(stream.starts_with(&again), "what was read is what was sent");
    if error.is_none() {
        assert_eq!(stream, again, "all of it");
    }
}

fn read(limit: usize, pieces: &[&[u8]]) -> Log {
    let mut decoder = Decoder::new(limit);
    let mut messages = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match decoder.next_message(&mut piece) {
                Ok(Some(message)) => messages.push(written(message, limit)),
                Ok(None) => {
                    assert!(piece.is_empty(), "all is taken");
                    break;
                }
                Err(error) => {
                    let after = decoder.next_message(&mut &b"x"[..]);
                    assert_eq!(after.err(), Some(error));
                    assert_eq!(decoder.finish(), Err(error));
                    return (messages, Some(error));
                }
            }
        }
    }
    (messages, decoder.finish().err())
}

fn written(message: Message<'_>, limit: usize) -> Vec<u8> {
    let headers: Vec<(&str, Value<'_>)> = message.headers().collect();
    for (name, _) in &headers {
        assert!(message.header(name).is_some(), "{name}");
    }
    let mut out = Vec::new();
    let result = write_message(&mut out, &headers, message.payload);
    assert_eq!(result, Ok(()), "what was read can be written");
    assert!(out.len() <= limit, "{} bytes", out.len());
    out
}

/// Frames the input: a byte says how long the headers are, one how long the payload is.
fn sealed(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(([headers, payload], rest)) = input.split_first_chunk() {
        let (headers, payload) = (usize::from(*headers), usize::from(*payload));
        let content = rest.get(..headers + payload).unwrap_or(rest);
        input = rest.get(content.len()..).unwrap_or_default();
        let start = out.len();
        out.extend(be(content.len() + 16));
        out.extend(be(headers.min(content.len())));
        out.extend(crc(&out[start..]));
        out.extend_from_slice(content);
        out.extend(crc(&out[start..]));
    }
    out
}

fn be(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// CRC-32/ISO-HDLC, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let step = |register: u32, _| (register >> 1) ^ (0xedb8_8320 * (register & 1));
    let register = bytes.iter().fold(u32::MAX, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), step)
    });
    (!register).to_be_bytes()
}
