//! An answer, and how it is written.

use std::borrow::Cow;

use super::syntax::{is_tchar, is_token};
use super::{Framing, Version};

/// An answer with its whole body.
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the connection's business
/// and are not to be among the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub fields: Vec<(Cow<'static, str>, String)>,
    /// Further fields, as [`write_field`] has written them.
    pub lines: Vec<u8>,
    /// The content.
    pub body: Vec<u8>,
    /// Whether the connection ends behind it, whatever the client wants.
    pub close: bool,
}

impl Response {
    /// Nothing but a status.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            lines: Vec::new(),
            body: Vec::new(),
            close: false,
        }
    }

    /// A JSON text.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::empty(status)
        }
        .with_field("Content-Type", "application/json")
    }

    /// A plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::empty(status)
        }
        .with_field("Content-Type", "text/plain; charset=utf-8")
    }

    /// With one more field.
    #[must_use]
    pub fn with_field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// With the connection ended behind it.
    #[must_use]
    pub const fn with_close(mut self) -> Self {
        self.close = true;
        self
    }
}

/// What a head says about the connection and the body behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadEnd {
    /// None: no word about a body.
    pub(super) framing: Option<Framing>,
    pub(super) keep_alive: bool,
    /// The client's.
    pub(super) version: Version,
}

/// Writes the head of an answer.
pub(super) fn write_head(out: &mut Vec<u8>, response: &Response, date: &str, end: HeadEnd) {
    let fields: usize = response
        .fields
        .iter()
        .map(|(n, v)| n.len() + v.len() + 4)
        .sum();
    out.reserve(fields + response.lines.len() + response.body.len() + 160);
    write_status_line(out, response.status);
    // RFC 9110 §6.6.1
    for part in ["Date: ", date, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &response.fields {
        write_field(out, name, value.as_bytes());
    }
    out.extend_from_slice(&response.lines);
    if let Some(framing) = end.framing {
        write_framing(out, framing);
    }
    end_head(out, end.keep_alive, end.version);
}

/// Writes what a head says about the body behind it.
pub(super) fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => {
            write_field(out, "Content-Length", length.to_string().as_bytes());
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
}

/// Writes what a head says about the connection to a client of this version, and the head's end.
pub(super) fn end_head(out: &mut Vec<u8>, keep_alive: bool, version: Version) {
    // RFC 9112 §9.3 and §9.6: said only where it differs from the version's default.
    match (keep_alive, version) {
        (false, _) => write_field(out, "Connection", b"close"),
        (true, Version::Http10) => write_field(out, "Connection", b"keep-alive"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// `HTTP/1.1` even to an HTTP/1.0 client (RFC 9110 §6.2: the version is the sender's own).
pub(super) fn write_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    for place in [100, 10, 1] {
        out.push(b'0' + (status / place % 10) as u8);
    }
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line. Line ends and NUL would end the line or the head in the middle of a
/// value, so they become spaces (RFC 9110 §5.5).
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if is_token(name.as_bytes()) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.extend(name.bytes().filter(|&byte| is_tchar(byte)));
    }
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    if memchr::memchr3(b'\r', b'\n', 0, value).is_some() {
        for byte in out.iter_mut().skip(start) {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The phrase behind a status code (RFC 9110 §15, RFC 6585); empty for one that has none.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_behind_the_fields() {
        let mut response = Response::empty(200).with_field("A", "1");
        write_field(&mut response.lines, "B", b"2");
        let end = HeadEnd {
            framing: Some(Framing::Chunked),
            keep_alive: true,
            version: Version::Http11,
        };
        let mut out = Vec::new();
        write_head(&mut out, &response, "now", end);
        let want =
            "HTTP/1.1 200 OK\r\nDate: now\r\nA: 1\r\nB: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        let mut out = Vec::new();
        write_field(&mut out, "X-A: b\r\nX", b"1\r\nSet-Cookie: a\x00b");
        assert_eq!(out, b"X-AbX: 1  Set-Cookie: a b\r\n");
    }
}
