//! The whole answer of Bedrock, see [`provider`](crate::provider).
//!
//! With bit 3 of the mode the input is lines, each the type of an event and its payload, or behind
//! a `!` of an exception: chance would not find their checksums.

use lmserver_proto::aws_event_stream::{Value, write_message};

use crate::mode;

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    if bits & 8 == 0 {
        return crate::provider::check(data, lmserver_bedrock::open);
    }
    // The response as it is, behind the mode that says so.
    let mut response = b"6HTTP/1.1 200 OK\r\n\r\n".to_vec();
    for line in input.split(|byte| *byte == b'\n') {
        write_line(&mut response, line);
    }
    crate::provider::check(&response, lmserver_bedrock::open);
}

fn write_line(out: &mut Vec<u8>, line: &[u8]) {
    let (names, line) = match line.strip_prefix(b"!") {
        Some(line) => ([":exception-type", "exception"], line),
        None => ([":event-type", "event"], line),
    };
    let at = line.iter().position(|byte| *byte == b' ');
    let (kind, payload) = line.split_at(at.unwrap_or(line.len()));
    let kind = String::from_utf8_lossy(kind);
    let headers = [
        (":message-type", Value::String(names[1])),
        (names[0], Value::String(&kind)),
    ];
    let written = write_message(out, &headers, payload);
    assert_eq!(written, Ok(()), "an input is shorter than any bound");
}
