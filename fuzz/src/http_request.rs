//! Requests as a server reads them: heads, bodies, pipelines, upgrades.
//!
//! - The same requests and the same refusal wherever the bytes are cut, whether answers come at
//!   once or late, whole or streamed.
//! - A request is within its limits, and nothing in its fields could start another line.
//! - Behind an error or a last answer nothing is read; what a client would get for an error is a
//!   whole answer with that status.
//! - Behind an upgrade every byte is handed on, and none of the request with it.

use lmserver_proto::http1::client::{Exchange, ResponseEvent};
use lmserver_proto::http1::server::{Connection, Event, PIPELINE_BYTES_MAX};
use lmserver_proto::http1::{Error, LAST_CHUNK, Limits, Method, Request, Response, write_chunk};

use crate::{cut, mode};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Small enough that a fuzzer runs into every one of them.
const SMALL: Limits = Limits {
    head_bytes: 200,
    header_count: 6,
    body_bytes: 40,
};

#[derive(Clone, Copy)]
struct Mode {
    limits: Limits,
    /// Answer only when the next piece has come.
    late: bool,
    streamed: bool,
    upgrade: bool,
}

/// What came of the input.
#[derive(Debug, PartialEq)]
struct Log {
    lines: Vec<String>,
    leftover: Vec<u8>,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let mode = Mode {
        limits: if bits & 1 == 0 {
            Limits::default()
        } else {
            SMALL
        },
        late: bits & 2 != 0 && input.len() <= PIPELINE_BYTES_MAX,
        streamed: bits & 4 != 0,
        upgrade: bits & 8 != 0,
    };
    let log = cut::same(input, |pieces| read(pieces, mode));
    if !log.leftover.is_empty() {
        assert!(
            input.ends_with(&log.leftover),
            "leftover bytes are the last ones"
        );
        let before = &input[..input.len() - log.leftover.len()];
        let alone = read(&[before], mode);
        assert_eq!(alone.lines, log.lines, "what is left over says nothing");
        assert_eq!(
            alone.leftover, b"",
            "what is left over is not of the request"
        );
    }
}

fn read(pieces: &[&[u8]], mode: Mode) -> Log {
    let mut reader = Reader {
        mode,
        connection: Connection::new(),
        lines: Vec::new(),
        leftover: Vec::new(),
        has_failed: false,
    };
    for piece in pieces {
        reader.connection.feed(piece);
        reader.drain(!mode.late);
    }
    reader.drain(true);
    if reader.has_failed {
        reader.connection.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let event = reader.connection.next_event(&mode.limits);
        assert_eq!(event, Ok(None), "an error is the last that is heard");
        assert_eq!(reader.connection.take_leftover(), b"");
    }
    Log {
        lines: reader.lines,
        leftover: reader.leftover,
    }
}

struct Reader {
    mode: Mode,
    connection: Connection,
    lines: Vec<String>,
    leftover: Vec<u8>,
    has_failed: bool,
}

impl Reader {
    /// Takes all events there are; requests are answered now or wait.
    fn drain(&mut self, answer: bool) {
        loop {
            if self.connection.is_answering() && (answer || self.mode.late) {
                self.answer();
            }
            match self.connection.next_event(&self.mode.limits) {
                Ok(None) => break,
                // Whether it comes depends on the cut; it says nothing about the request.
                Ok(Some(Event::Continue)) => self.connection.write_continue(&mut Vec::new()),
                Ok(Some(Event::Request { head, body })) => {
                    self.request(&head, &body);
                    if !answer {
                        break;
                    }
                }
                Err(error) => self.refuse(error),
            }
        }
        if self.is_upgraded() {
            self.leftover.extend(self.connection.take_leftover());
        }
    }

    fn is_upgraded(&self) -> bool {
        let connection = &self.connection;
        !connection.is_answering()
            && !connection.is_closed()
            && !connection.is_idle()
            && !connection.is_receiving_head()
            && !connection.is_receiving_body()
    }

    fn request(&mut self, head: &Request, body: &[u8]) {
        let limits = self.mode.limits;
        assert!(!self.has_failed, "nothing comes behind an error");
        assert!(self.connection.is_answering());
        assert!(head.fields.len() <= limits.header_count);
        assert!(body.len() <= limits.body_bytes);
        let mut bytes = 0;
        for (name, value) in head.fields.iter() {
            bytes += name.len() + value.len();
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
            let ends_line = value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
            assert!(!ends_line, "{}", value.escape_ascii());
        }
        assert!(bytes <= limits.head_bytes);
        assert!(head.path().bytes().all(|byte| byte.is_ascii_graphic()));
        let fields: Vec<_> = head.fields.iter().collect();
        let line = format!(
            "{head:?} {:?} {fields:?} {}",
            head.query(),
            body.escape_ascii()
        );
        self.lines.push(line);
        if self.mode.upgrade && head.wants_upgrade("websocket") {
            let response = Response::empty(101).with_field("Upgrade", "websocket");
            let kept = self.connection.upgrade(&response, DATE, &mut Vec::new());
            self.lines.push(format!("upgraded: {kept}"));
        }
    }

    fn answer(&mut self) {
        let mut out = Vec::new();
        let connection = &mut self.connection;
        let kept = if self.mode.streamed {
            connection.begin_stream(&Response::text(200, ""), DATE, &mut out);
            write_chunk(&mut out, b"hello");
            out.extend_from_slice(LAST_CHUNK);
            connection.end_stream()
        } else {
            connection.respond(&Response::text(200, "hello"), DATE, &mut out)
        };
        assert_eq!(kept, !connection.is_closed());
        if !kept {
            self.lines.push("closed".into());
        }
    }

    fn refuse(&mut self, error: Error) {
        assert!(!self.has_failed, "one error");
        assert!((400..600).contains(&error.status()), "{error}");
        self.has_failed = true;
        self.lines.push(format!("{error:?}"));
        let mut out = Vec::new();
        self.connection.reject(&error.response(), DATE, &mut out);
        assert!(self.connection.is_closed() && !self.connection.wants_bytes());
        assert_is_whole_answer(&out, error.status());
    }
}

/// The answer to an error is read to its end by a client, unless the request was `HEAD`.
fn assert_is_whole_answer(bytes: &[u8], status: u16) {
    let has_content = !bytes.ends_with(b"\r\n\r\n");
    let method = if has_content {
        Method::Get
    } else {
        Method::Head
    };
    let mut exchange = Exchange::new(&method);
    exchange.feed(bytes);
    let head = exchange.next_event(&Limits::default());
    assert!(
        matches!(&head, Ok(Some(ResponseEvent::Head(head))) if head.status == status),
        "{head:?}"
    );
    while let Ok(Some(event)) = exchange.next_event(&Limits::default()) {
        assert!(!matches!(event, ResponseEvent::Head(_)), "one head");
    }
    assert!(exchange.is_done(), "{}", bytes.escape_ascii());
}
