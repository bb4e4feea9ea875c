//! Writing an event stream: each function appends whole lines.
//!
//! ```
//! use lmserver_proto::sse::encode;
//!
//! let mut out = Vec::new();
//! encode::retry(1000, &mut out);
//! encode::event(Some(&"k3f9-1"), "two\nlines", &mut out);
//! encode::event_of_one_line(Some(&"k3f9-2"), &[br#"{"type":"#, br#""end"}"#], &mut out);
//! encode::comment("hb", &mut out);
//! assert_eq!(
//!     String::from_utf8_lossy(&out),
//!     "retry: 1000\n\
//!      id: k3f9-1\ndata: two\ndata: lines\n\n\
//!      id: k3f9-2\ndata: {\"type\":\"end\"}\n\n\
//!      : hb\n\n"
//! );
//! ```

use std::fmt::Display;
use std::io::Write as _;

use memchr::{memchr2, memchr3};

/// Appends an event. A line break in `data` (LF, CR or CRLF) arrives as LF.
pub fn event(id: Option<&dyn Display>, data: &str, out: &mut Vec<u8>) {
    write_id(id, out);
    for line in Lines::of(data.as_bytes()) {
        write_line(b"data: ", line, out);
    }
    out.push(b'\n');
}

/// Appends an event whose data is one line, as compact JSON is, given in parts that follow each
/// other, without looking at it.
///
/// A line break in `data` would end the field; JSON writers escape them.
pub fn event_of_one_line(id: Option<&dyn Display>, data: &[&[u8]], out: &mut Vec<u8>) {
    write_id(id, out);
    out.extend_from_slice(b"data: ");
    for part in data {
        debug_assert!(memchr2(b'\n', b'\r', part).is_none(), "one line");
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends a comment and a blank line: a sign of life.
pub fn comment(text: &str, out: &mut Vec<u8>) {
    for line in Lines::of(text.as_bytes()) {
        write_line(b": ", line, out);
    }
    out.push(b'\n');
}

/// Appends the reconnection time, without a blank line: some clients take a block of its own for
/// an event.
pub fn retry(millis: u64, out: &mut Vec<u8>) {
    write_value("retry: ", &millis, out);
}

/// Appends the id. One with a line break or U+0000 has no form in the stream and is left out.
fn write_id(id: Option<&dyn Display>, out: &mut Vec<u8>) {
    let Some(id) = id else { return };
    let start = out.len();
    write_value("id: ", id, out);
    let value = out
        .get(start..out.len().saturating_sub(1))
        .unwrap_or_default();
    if memchr3(b'\n', b'\r', 0, value).is_some() {
        out.truncate(start);
    }
}

fn write_value(name: &str, value: &dyn Display, out: &mut Vec<u8>) {
    let written = writeln!(out, "{name}{value}");
    debug_assert!(written.is_ok(), "a vector takes everything");
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 2);
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The lines of a text, at least one. Unlike `str::lines`, a CR alone ends a line, and a break at
/// the very end has an empty line behind it.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { rest: Some(text) }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let end = memchr2(b'\n', b'\r', text).unwrap_or(text.len());
        let (line, rest) = text.split_at_checked(end)?;
        self.rest = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
            .or_else(|| rest.strip_prefix(b"\r"));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: Option<&dyn Display>, data: &str) -> String {
        let mut out = Vec::new();
        event(id, data, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_is_cut_into_lines() {
        for (data, want) in [
            ("", "data: \n\n"),
            (" a", "data:  a\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("a\r\nb\rc\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("\r\r\n", "data: \ndata: \ndata: \n\n"),
        ] {
            assert_eq!(written(None, data), want, "{data:?}");
        }
    }

    #[test]
    fn an_id_that_cannot_be_said_is_left_out() {
        assert_eq!(written(Some(&7), "x"), "id: 7\ndata: x\n\n");
        assert_eq!(written(Some(&""), "x"), "id: \ndata: x\n\n");
        for id in ["a\nb", "a\r", "\0"] {
            assert_eq!(written(Some(&id), "x"), "data: x\n\n", "{id:?}");
        }
    }

    #[test]
    fn a_comment_of_two_lines_is_two_comments() {
        let mut out = Vec::new();
        comment("a\nb", &mut out);
        assert_eq!(out, b": a\n: b\n\n");
    }
}
