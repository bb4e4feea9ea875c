//! Newline-delimited JSON: one document a line, read in pieces cut anywhere.
//!
//! The contract: hand the bytes that have come to [`Decoder::next_line`] until it says `None`; it
//! has then taken all of them and kept what it could not finish. After the last byte call
//! [`Decoder::finish`] once: the last line may lack its end.
//!
//! ```
//! use lmserver_proto::ndjson::Decoder;
//!
//! let mut decoder = Decoder::new(1 << 20);
//! let mut seen = Vec::new();
//! for mut piece in [&b"{\"a\":1}\n\r\n{\"b\""[..], b":2}\r\n{}"] {
//!     while let Some(line) = decoder.next_line(&mut piece)? {
//!         seen.push(line.to_vec());
//!     }
//! }
//! seen.extend(decoder.finish().map(<[u8]>::to_vec));
//! assert_eq!(seen, [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec(), b"{}".to_vec()]);
//! # Ok::<(), lmserver_proto::ndjson::TooLong>(())
//! ```
//!
//! Lines are handed out as bytes, blanks around them removed, and blank lines not at all. Whether a
//! line is a document is for its reader to say.

use memchr::memchr2;

/// A line is longer than the limit; the stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit given to [`Decoder::new`].
    pub limit: usize,
}

/// A stream of lines, as far as it has come. Keeps at most `limit` bytes of one unfinished line.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The kept line was handed out: it is emptied before the next.
    is_spent: bool,
    has_failed: bool,
}

impl Decoder {
    /// A decoder at the start of a stream that bears lines of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            is_spent: false,
            has_failed: false,
        }
    }

    /// Takes bytes off the front of `input` until they end a line that is not blank, or until all
    /// are taken. A line that lies whole in `input` is handed out where it lies.
    ///
    /// # Errors
    ///
    /// A line is over the limit; every later call says the same.
    pub fn next_line<'d, 'i: 'd>(
        &'d mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'d [u8]>, TooLong> {
        self.drop_spent();
        while !input.is_empty() {
            // A lone CR ends a line too: it can stand nowhere inside a document of one line.
            let end = memchr2(b'\n', b'\r', input);
            let (part, rest) = input.split_at(end.unwrap_or(input.len()));
            if self.has_failed || self.line.len().saturating_add(part.len()) > self.limit {
                self.has_failed = true;
                self.line = Vec::new();
                return Err(TooLong { limit: self.limit });
            }
            let Some((_, rest)) = rest.split_first() else {
                self.line.extend_from_slice(part);
                *input = rest;
                break;
            };
            *input = rest;
            if self.line.is_empty() {
                let line = part.trim_ascii();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.line.extend_from_slice(part);
            if self.line.trim_ascii().is_empty() {
                self.line.clear();
                continue;
            }
            self.is_spent = true;
            return Ok(Some(self.line.trim_ascii()));
        }
        Ok(None)
    }

    /// The line whose end has not come, once the last byte has; none if it is blank.
    pub fn finish(&mut self) -> Option<&[u8]> {
        self.drop_spent();
        self.is_spent = true;
        let line = self.line.trim_ascii();
        (!line.is_empty()).then_some(line)
    }

    fn drop_spent(&mut self) {
        if self.is_spent {
            self.is_spent = false;
            // One long line must not hold its memory for the rest of the stream.
            if self.line.capacity() > KEPT {
                self.line = Vec::new();
            } else {
                self.line.clear();
            }
        }
    }
}

/// Room that is kept from one line to the next.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
        let mut decoder = Decoder::new(limit);
        let mut seen = Vec::new();
        for mut piece in pieces {
            loop {
                match decoder.next_line(&mut piece) {
                    Ok(Some(line)) => seen.push(String::from_utf8_lossy(line).into_owned()),
                    Ok(None) => break,
                    Err(TooLong { limit: said }) => {
                        assert_eq!(said, limit);
                        return (seen, false);
                    }
                }
            }
            assert!(piece.is_empty());
        }
        let last = decoder.finish();
        seen.extend(last.map(|line| String::from_utf8_lossy(line).into_owned()));
        assert_eq!(decoder.finish(), None);
        (seen, true)
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_lines() {
        for (input, want) in [
            ("", &[][..]),
            ("a\nb\n", &["a", "b"]),
            ("a\r\n\r\n\n  \n\tb \n", &["a", "b"]),
            ("a\nb", &["a", "b"]),
            ("a\n \r", &["a"]),
            ("one\rtwo\n", &["one", "two"]),
            (
                "{\"t\":\"\u{e9}\u{1f600}\"}\nx",
                &["{\"t\":\"\u{e9}\u{1f600}\"}", "x"],
            ),
        ] {
            let bytes = input.as_bytes();
            let want = (want.iter().map(|&line| line.to_owned()).collect(), true);
            assert_eq!(lines(64, [bytes]), want, "{input:?}");
            assert_eq!(lines(64, bytes.chunks(1)), want, "{input:?} byte by byte");
            for cut in 0..=bytes.len() {
                let (one, two) = bytes.split_at(cut);
                assert_eq!(lines(64, [one, two]), want, "{input:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_over_the_limit_ends_the_stream_wherever_it_is_cut() {
        for (input, want) in [
            ("1234\n12345\n1\n", &["1234"][..]),
            ("12345", &[]),
            ("     \n1\n", &[]),
        ] {
            let want = (want.iter().map(|&line| line.to_owned()).collect(), false);
            assert_eq!(lines(4, [input.as_bytes()]), want, "{input:?}");
            assert_eq!(lines(4, input.as_bytes().chunks(1)), want, "{input:?}");
        }
        let mut decoder = Decoder::new(1);
        assert!(decoder.next_line(&mut &b"ab"[..]).is_err());
        assert!(decoder.next_line(&mut &b"a\n"[..]).is_err());
        assert_eq!(decoder.finish(), None);
    }

    #[test]
    fn a_long_line_does_not_hold_its_memory() {
        let mut decoder = Decoder::new(1 << 20);
        for mut piece in [vec![b'x'; 100_000].as_slice(), b"\n", b"y\n"] {
            while decoder.next_line(&mut piece).unwrap().is_some() {}
        }
        assert!(decoder.line.capacity() <= KEPT);
    }
}
