//! WebSocket frames, as a server and as a client.
//!
//! - The same events and the same error wherever the bytes are cut.
//! - An event is within the limits; a close code may stand on the wire.
//! - Behind a close frame or an error the connection is deaf.
//! - An event that is written again is read as the same event.

use lmserver_proto::ws::frame::{self, CONTROL_LEN, Opcode};
use lmserver_proto::ws::{Connection, Event, Limits, Role, close};

use crate::{cut, mode};

const SMALL: Limits = Limits {
    message_len: 60,
    fragments: 4,
};

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let role = if bits & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let limits = if bits & 2 == 0 {
        Limits::default()
    } else {
        SMALL
    };
    cut::same(input, |pieces| read(role, &limits, pieces));
}

fn read(role: Role, limits: &Limits, pieces: &[&[u8]]) -> (Vec<String>, bool) {
    let mut connection = Connection::new(role);
    let mut lines = Vec::new();
    let mut has_ended = false;
    for piece in pieces {
        connection.feed(piece);
        loop {
            let line = match connection.next_event(limits) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert!(!has_ended, "{event:?} behind the end");
                    has_ended = matches!(event, Event::Close { .. });
                    bounds(&event, limits);
                    reads_back(&event, role);
                    format!("{event:?}")
                }
                Err(error) => {
                    assert!(!has_ended, "{error:?} behind the end");
                    assert!(close::is_sendable(error.close_code()));
                    has_ended = true;
                    format!("{error:?}")
                }
            };
            lines.push(line);
        }
        assert_eq!(connection.is_deaf(), has_ended);
        assert!(
            !has_ended || connection.is_between_messages(),
            "a deaf one holds nothing"
        );
    }
    (lines, connection.is_between_messages())
}

fn bounds(event: &Event<'_>, limits: &Limits) {
    match event {
        Event::Text(text) => assert!(text.len() <= limits.message_len),
        Event::Binary(data) => assert!(data.len() <= limits.message_len),
        Event::Ping(data) | Event::Pong(data) => assert!(data.len() <= CONTROL_LEN),
        Event::Close { code, reason } => {
            assert!(code.is_none_or(close::is_sendable));
            assert!(reason.len() <= close::REASON_LEN);
            assert!(code.is_some() || reason.is_empty());
        }
    }
}

/// Writes what was read, as the other end would have, and reads it.
fn reads_back(event: &Event<'_>, role: Role) {
    let mask = matches!(role, Role::Server).then_some([0x12, 0, 0xff, 0x80]);
    let mut wire = Vec::new();
    let mut write =
        |opcode, payload: &[u8]| frame::write_frame(&mut wire, opcode, true, payload, mask);
    match event {
        Event::Text(text) => write(Opcode::Text, text.as_bytes()),
        Event::Binary(data) => write(Opcode::Binary, data),
        Event::Ping(data) => write(Opcode::Ping, data),
        Event::Pong(data) => write(Opcode::Pong, data),
        Event::Close { code, reason } => frame::write_close(&mut wire, *code, reason, mask),
    }
    let mut connection = Connection::new(role);
    connection.feed(&wire);
    let again = connection.next_event(&Limits::default());
    assert_eq!(again.as_ref(), Ok(&Some(event.clone())));
}
