//! The head of a streamed answer, put together before it is known when it leaves.

use super::server::Answering;
use super::syntax::is_token;
use super::{Framing, Version, imf_fixdate, response};
use crate::decimal::write_decimal;

/// A head whose bytes are ready, so that the first bytes of the content wait for nothing.
///
/// What [`Answering::begin_stream`] writes, but for the order of the fields: whether the connection
/// goes on, and the second that `Date` tells (RFC 9110 §6.6.1), are as they are when it
/// [leaves](Self::leave).
#[derive(Clone, Debug)]
pub struct StreamHead {
    /// The status line and the fields.
    bytes: Vec<u8>,
    /// Where the value of `Date` begins.
    date_at: usize,
    /// The second that it tells.
    unix_seconds: u64,
    /// Where the fields begin that it was given.
    fields_at: usize,
    framing: Framing,
}

impl StreamHead {
    /// For a client of this version. `fields` are as [`super::write_field`] writes them;
    /// `unix_seconds` are those since 1970-01-01, as [`imf_fixdate`] counts.
    #[must_use]
    pub fn new(version: Version, status: u16, fields: &[u8], unix_seconds: u64) -> Self {
        let mut bytes = Vec::with_capacity(fields.len() + ROOM);
        response::write_status_line(&mut bytes, status);
        bytes.extend_from_slice(b"Date: ");
        let date_at = bytes.len();
        bytes.extend_from_slice(imf_fixdate(unix_seconds).as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let framing = Framing::of_stream(version);
        response::write_framing(&mut bytes, framing);
        let fields_at = bytes.len();
        bytes.extend_from_slice(fields);
        Self {
            bytes,
            date_at,
            unix_seconds,
            fields_at,
            framing,
        }
    }

    /// Appends a further field, whose value is a number. `name` is a token (RFC 9110 §5.6.2).
    pub fn push_number(&mut self, name: &'static str, value: u64) {
        debug_assert!(is_token(name.as_bytes()), "{name:?}");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        write_decimal(value, &mut self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The fields alone, for another head.
    #[must_use]
    pub fn into_fields(mut self) -> Vec<u8> {
        self.bytes.drain(..self.fields_at);
        self.bytes
    }

    /// Writes it, to the client of a request of the version that it was made for. What goes
    /// behind it is as behind [`Answering::begin_stream`].
    pub fn leave(
        mut self,
        answering: &mut Answering,
        unix_seconds: u64,
        out: &mut Vec<u8>,
    ) -> Framing {
        if unix_seconds != self.unix_seconds {
            let date = imf_fixdate(unix_seconds);
            let place = self.bytes.iter_mut().skip(self.date_at);
            for (byte, new) in place.zip(date.bytes()) {
                *byte = new;
            }
        }
        debug_assert_eq!(self.framing, Framing::of_stream(answering.version));
        answering.keep_alive &= self.framing == Framing::Chunked;
        response::end_head(&mut self.bytes, answering.keep_alive, answering.version);
        if out.is_empty() {
            *out = self.bytes;
        } else {
            out.extend_from_slice(&self.bytes);
        }
        if answering.head_only {
            Framing::Length(0)
        } else {
            self.framing
        }
    }
}

/// Bytes for all but the fields: the longest of what is written by itself.
const ROOM: usize = 160;

#[cfg(test)]
mod tests {
    use super::super::{Response, write_field};
    use super::*;

    /// The lines of a head, in the order of the alphabet.
    fn lines(head: &[u8]) -> Vec<String> {
        let text = String::from_utf8(head.to_vec()).unwrap();
        let rest = text.strip_suffix("\r\n\r\n").unwrap();
        let mut lines: Vec<_> = rest.split("\r\n").map(str::to_owned).collect();
        lines[1..].sort();
        lines
    }

    #[test]
    fn it_says_what_a_head_says_that_is_written_when_it_leaves() {
        let mut fields = Vec::new();
        write_field(&mut fields, "Content-Type", b"text/event-stream");
        write_field(&mut fields, "X-Name", b"value");
        let response = Response {
            lines: fields.clone(),
            ..Response::empty(200)
        };
        for version in [Version::Http11, Version::Http10] {
            for (keep_alive, head_only) in [(true, false), (false, false), (true, true)] {
                let answering = Answering {
                    version,
                    keep_alive,
                    head_only,
                };
                for left_at in [784_111_777, 784_111_778, 800_000_000] {
                    let what = format!("{answering:?} at {left_at}");
                    let (mut want, mut got) = (Vec::new(), Vec::new());
                    let mut direct = answering;
                    let framing = direct.begin_stream(&response, &imf_fixdate(left_at), &mut want);
                    let mut prepared = answering;
                    let head = StreamHead::new(version, 200, &fields, 784_111_777);
                    assert_eq!(
                        head.leave(&mut prepared, left_at, &mut got),
                        framing,
                        "{what}"
                    );
                    assert_eq!(lines(&got), lines(&want), "{what}");
                    assert_eq!(prepared, direct, "{what}");
                }
            }
        }
    }

    #[test]
    fn it_goes_behind_what_is_written_and_with_fields_that_come_late() {
        let mut head = StreamHead::new(Version::Http11, 200, b"A: 1\r\n", 0);
        head.push_number("B", 0);
        head.push_number("C", 1_203);
        head.push_number("D", u64::MAX);
        let mut out = b"before".to_vec();
        head.leave(&mut Answering::default(), 0, &mut out);
        assert!(
            out.starts_with(b"beforeHTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        );
        assert!(out.ends_with(b"\r\nA: 1\r\nB: 0\r\nC: 1203\r\nD: 18446744073709551615\r\n\r\n"));
    }

    #[test]
    fn its_fields_can_go_into_another_head() {
        let head = StreamHead::new(Version::Http11, 200, b"A: 1\r\nB: 2\r\n", 0);
        assert_eq!(head.into_fields(), b"A: 1\r\nB: 2\r\n");
    }

    #[test]
    fn a_connection_that_is_to_close_since_says_so() {
        let mut answering = Answering::default();
        let head = StreamHead::new(Version::Http11, 200, b"", 0);
        answering.keep_alive = false;
        let mut out = Vec::new();
        head.leave(&mut answering, 0, &mut out);
        assert!(out.ends_with(b"\r\nConnection: close\r\n\r\n"));
    }
}
