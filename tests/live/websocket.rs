//! A WebSocket client that knows just enough.

use serde_json::Value;

use crate::client::request;
use crate::wire::Wire;

/// One message from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Event(Value),
    /// The connection is to be closed with this code.
    Close(u16),
}

/// The request to listen to a channel.
pub(crate) fn listening(channel: &str, after: Option<&str>) -> String {
    let mut target = format!("/connection/websocket?channel={channel}");
    if let Some(id) = after {
        target += &format!("&last_event_id={id}");
    }
    upgrade(&target)
}

/// The request that makes a connection a WebSocket.
pub(crate) fn upgrade(target: &str) -> String {
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    request("GET", target, &fields, "")
}

impl Wire {
    /// Opens a WebSocket on a channel.
    pub(crate) fn open(&mut self, channel: &str, after: Option<&str>) {
        self.say(listening(channel, after));
        let head = self.head();
        assert_eq!(head.status(), 101, "{head:?}");
        let accept = head.field("sec-websocket-accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    /// Takes the next message; pings are passed over.
    pub(crate) fn message(&mut self) -> Message {
        loop {
            let (first, payload) = self.frame();
            match first {
                0x81 => return Message::Event(serde_json::from_slice(&payload).unwrap()),
                0x88 => return Message::Close(u16::from_be_bytes([payload[0], payload[1]])),
                0x89 => {}
                other => panic!("a frame that begins with {other:#x}"),
            }
        }
    }

    /// Takes the next frame: its first byte, and what it holds.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2);
        let length = match head[1] {
            126 => self
                .exactly(2)
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte)),
            127 => self
                .exactly(8)
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte)),
            short => usize::from(short),
        };
        (head[0], self.exactly(length))
    }

    /// Takes events until the server closes: with which code.
    pub(crate) fn messages(&mut self) -> (Vec<Value>, u16) {
        let mut events = Vec::new();
        loop {
            match self.message() {
                Message::Event(event) => events.push(event),
                Message::Close(code) => return (events, code),
            }
        }
    }

    /// Sends a frame, masked as a client's must be.
    pub(crate) fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        let mask = [1, 2, 3, 4];
        let masked = payload.iter().zip(mask.iter().cycle());
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(payload.len()) {
            Ok(short @ ..126) => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(masked.map(|(byte, key)| byte ^ key));
        self.say(frame);
    }

    /// Answers the server's close.
    pub(crate) fn agree_to_close(&mut self, code: u16) {
        self.send_frame(0x8, &code.to_be_bytes());
        self.read_to_end();
    }
}
