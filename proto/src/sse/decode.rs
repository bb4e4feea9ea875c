//! Reading an event stream, in pieces cut anywhere.
//!
//! The contract: hand the bytes that have come to [`Decoder::next_item`] until it says `None`; it
//! has then taken all of them and kept what it could not finish. After the last byte call
//! [`Decoder::finish`] until it says `None`.
//!
//! ```
//! use lmserver_proto::sse::{Decoder, Item};
//!
//! let mut decoder = Decoder::new(1 << 20);
//! let mut seen = Vec::new();
//! for mut piece in [&b"data: hel"[..], b"lo\n", b"\n: still here\n"] {
//!     while let Some(item) = decoder.next_item(&mut piece)? {
//!         match item {
//!             Item::Event { data, .. } => seen.push(data.to_vec()),
//!             Item::Comment(text) => seen.push(text.to_vec()),
//!             Item::Field { .. } => {}
//!         }
//!     }
//! }
//! assert_eq!(seen, [b"hello".to_vec(), b"still here".to_vec()]);
//! # Ok::<(), lmserver_proto::sse::Error>(())
//! ```
//!
//! ```text
//!            a piece ──► line ──► field ──► block ──► item
//!                         │                  │
//!      no end in the piece: `line` keeps it  └ piece ends in the block: `data` keeps it
//! ```
//!
//! An event with one `data` line that lies whole in a piece is handed out where it lies. Each byte
//! is searched for a line end once, however the stream is cut.

use std::time::Duration;

use memchr::{memchr, memchr2};

/// Something the stream said.
///
/// Text is bytes as they were sent: the standard reads them as UTF-8 in which every malformed
/// sequence is U+FFFD, and whoever needs a string does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A block with data was ended by a blank line.
    Event {
        /// The last `event` field of the block, `"message"` where it had none.
        event_type: &'a str,
        /// The `data` lines, joined by LF.
        data: &'a [u8],
        /// The last `id` of the stream so far, empty where there was none.
        last_event_id: &'a str,
    },
    /// A comment: what stands behind the colon and one space. It says that the peer lives.
    Comment(&'a [u8]),
    /// A field the standard does not know. Browsers ignore it; some servers report errors so.
    Field {
        /// The name, never empty.
        name: &'a [u8],
        /// The value, without the one space after the colon.
        value: &'a [u8],
    },
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One line is longer than the limit.
    #[error("a line of the event stream is longer than {limit} bytes")]
    LineTooLong {
        /// The limit given to [`Decoder::new`].
        limit: usize,
    },
    /// The `data` lines of one event are together longer than the limit.
    #[error("an event of the event stream has more than {limit} bytes of data")]
    EventTooLarge {
        /// The limit given to [`Decoder::new`].
        limit: usize,
    },
}

/// An event stream, as far as it has come.
///
/// Keeps at most `limit` bytes of one unfinished line and `limit` bytes of one event's data, and
/// an event type and an id that were each a line.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// How much of a byte order mark has been seen; `None` once the first line has begun.
    mark: Option<usize>,
    /// The last line ended with CR: an LF at the start of what follows belongs to it.
    after_cr: bool,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data lines of the block so far, joined by LF; meaningful where `has_data`.
    data: Vec<u8>,
    has_data: bool,
    event_type: String,
    /// The id as the fields have it; it counts from the next blank line on.
    id: String,
    last_event_id: String,
    id_changed: bool,
    retry: Option<Duration>,
    /// What the last item borrowed, to be emptied before the next.
    spent: Spent,
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spent {
    Nothing,
    Line,
    Block,
}

/// A complete line and where it lies.
#[derive(Clone, Copy)]
enum Line<'i> {
    Input(&'i [u8]),
    /// In `Decoder::line`.
    Kept,
}

/// What a line means.
#[derive(Clone, Copy)]
enum Meaning<'a> {
    Blank,
    Comment(&'a [u8]),
    Data(&'a [u8]),
    Other { name: &'a [u8], value: &'a [u8] },
}

impl Decoder {
    /// A decoder at the start of a stream that bears lines and events of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            mark: Some(0),
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event_type: String::new(),
            id: String::new(),
            last_event_id: String::new(),
            id_changed: false,
            retry: None,
            spent: Spent::Nothing,
            failed: None,
        }
    }

    /// Takes bytes off the front of `input` until they make an item, or until all are taken.
    ///
    /// # Errors
    ///
    /// A line or an event is over the limit; the stream cannot be read on, every later call says
    /// the same.
    pub fn next_item<'d, 'i: 'd>(
        &'d mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'d>>, Error> {
        self.drop_spent();
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.skip_mark(input);
        // The only data line of the block, as long as it need not be kept.
        let mut borrowed: Option<&'i [u8]> = None;
        loop {
            let Some(line) = self.take_line(input)? else {
                self.keep(borrowed)?;
                return Ok(None);
            };
            match line {
                Line::Input(line) => match meaning(line) {
                    Meaning::Data(data) if !self.has_data && borrowed.is_none() => {
                        borrowed = Some(data);
                    }
                    Meaning::Data(data) => {
                        self.keep(borrowed.take())?;
                        self.keep(Some(data))?;
                    }
                    Meaning::Blank => {
                        if let Some(data) = borrowed {
                            return Ok(Some(self.dispatch(Some(data))));
                        }
                        if self.has_data {
                            return Ok(Some(self.dispatch(None)));
                        }
                        self.end_block();
                    }
                    Meaning::Comment(text) => {
                        self.keep(borrowed)?;
                        return Ok(Some(Item::Comment(text)));
                    }
                    Meaning::Other { name, value } => {
                        if !self.set_field(name, value) {
                            self.keep(borrowed)?;
                            return Ok(Some(Item::Field { name, value }));
                        }
                    }
                },
                Line::Kept => {
                    self.keep(borrowed.take())?;
                    if self.settle_line()? {
                        return Ok(self.kept_item());
                    }
                }
            }
        }
    }

    /// What stands after the last blank line, once the last byte has come: its comment or unknown
    /// field, then its data.
    ///
    /// The standard discards an unfinished block. A reader of a closed set of servers may know
    /// better: some forget the last blank line, and a complete document is complete without it.
    pub fn finish(&mut self) -> Option<Item<'_>> {
        self.drop_spent();
        if self.failed.is_some() {
            return None;
        }
        match (self.line.is_empty(), self.settle_line()) {
            (false, Ok(true)) => return self.kept_item(),
            (_, Ok(_)) => {}
            (_, Err(_)) => return None,
        }
        self.has_data.then(|| self.dispatch(None))
    }

    /// The id a client would send to resume: the last one before a blank line.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time the stream last set.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Removes a byte order mark, which counts only at the very start.
    fn skip_mark(&mut self, input: &mut &[u8]) {
        while let Some(seen) = self.mark {
            let Some((&byte, rest)) = input.split_first() else {
                return;
            };
            if MARK.get(seen) == Some(&byte) {
                *input = rest;
                self.mark = (seen + 1 < MARK.len()).then_some(seen + 1);
            } else {
                self.line.extend(MARK.iter().take(seen));
                self.mark = None;
            }
        }
    }

    /// Takes one line, or keeps all of `input` as the beginning of one.
    fn take_line<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Line<'i>>, Error> {
        if self.after_cr
            && let Some((&byte, rest)) = input.split_first()
        {
            self.after_cr = false;
            if byte == b'\n' {
                *input = rest;
            }
        }
        let end = memchr2(b'\n', b'\r', input);
        let (line, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len().saturating_add(line.len()) > self.limit {
            return Err(self.fail(Error::LineTooLong { limit: self.limit }));
        }
        let Some((&byte, rest)) = rest.split_first() else {
            self.line.extend_from_slice(line);
            *input = rest;
            return Ok(None);
        };
        self.after_cr = byte == b'\r';
        *input = rest;
        if self.line.is_empty() {
            return Ok(Some(Line::Input(line)));
        }
        self.line.extend_from_slice(line);
        Ok(Some(Line::Kept))
    }

    /// Interprets the kept line. `true`: it is an item by itself and stays until that is read.
    fn settle_line(&mut self) -> Result<bool, Error> {
        let line = std::mem::take(&mut self.line);
        match meaning(&line) {
            Meaning::Blank => {}
            Meaning::Data(data) => self.keep(Some(data))?,
            Meaning::Other { name, value } if self.set_field(name, value) => {}
            Meaning::Comment(_) | Meaning::Other { .. } => {
                self.line = line;
                self.spent = Spent::Line;
                return Ok(true);
            }
        }
        self.line = emptied(line);
        Ok(false)
    }

    /// The kept line as an item.
    fn kept_item(&self) -> Option<Item<'_>> {
        match meaning(&self.line) {
            Meaning::Comment(text) => Some(Item::Comment(text)),
            Meaning::Other { name, value } => Some(Item::Field { name, value }),
            Meaning::Blank | Meaning::Data(_) => None,
        }
    }

    /// Adds a data line, if there is one, to the block's own copy.
    fn keep(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        data.map_or(Ok(()), |data| self.copy(data))
    }

    /// Apart, so that an event whose bytes came together does not drag this along.
    #[inline(never)]
    fn copy(&mut self, data: &[u8]) -> Result<(), Error> {
        let separator = usize::from(self.has_data);
        if self
            .data
            .len()
            .saturating_add(separator)
            .saturating_add(data.len())
            > self.limit
        {
            return Err(self.fail(Error::EventTooLarge { limit: self.limit }));
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
        self.has_data = true;
        Ok(())
    }

    /// Takes up a field of the standard other than `data`. `false`: it is none.
    fn set_field(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name {
            b"event" => {
                self.event_type.clear();
                self.event_type.push_str(&String::from_utf8_lossy(value));
            }
            b"id" => {
                // An id with U+0000 is ignored: it could not be sent back in a header.
                if memchr(0, value).is_none() {
                    self.id.clear();
                    self.id.push_str(&String::from_utf8_lossy(value));
                    self.id_changed = true;
                }
            }
            b"retry" => {
                if let Some(millis) = digits(value) {
                    self.retry = Some(Duration::from_millis(millis));
                }
            }
            _ => return false,
        }
        true
    }

    /// Hands out the block with `data`, or with what was kept of it.
    fn dispatch<'d>(&'d mut self, data: Option<&'d [u8]>) -> Item<'d> {
        self.commit_id();
        self.spent = Spent::Block;
        Item::Event {
            event_type: if self.event_type.is_empty() {
                "message"
            } else {
                &self.event_type
            },
            data: data.unwrap_or(&self.data),
            last_event_id: &self.last_event_id,
        }
    }

    /// A blank line without data before it: no event, but an id counts.
    fn end_block(&mut self) {
        self.commit_id();
        self.event_type.clear();
    }

    fn commit_id(&mut self) {
        if self.id_changed {
            self.last_event_id.clone_from(&self.id);
            self.id_changed = false;
        }
    }

    fn drop_spent(&mut self) {
        match std::mem::replace(&mut self.spent, Spent::Nothing) {
            Spent::Nothing => {}
            Spent::Line => self.line = emptied(std::mem::take(&mut self.line)),
            Spent::Block => {
                self.data = emptied(std::mem::take(&mut self.data));
                self.has_data = false;
                self.event_type.clear();
            }
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        error
    }
}

fn meaning(line: &[u8]) -> Meaning<'_> {
    if let Some(value) = line.strip_prefix(b"data:") {
        return Meaning::Data(value.strip_prefix(b" ").unwrap_or(value));
    }
    let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
    else {
        // A line without a colon is a name with an empty value.
        return match line {
            b"" => Meaning::Blank,
            b"data" => Meaning::Data(b""),
            name => Meaning::Other { name, value: b"" },
        };
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    if name.is_empty() {
        Meaning::Comment(value)
    } else {
        Meaning::Other { name, value }
    }
}

/// A number of ASCII digits only, at least one; one too large for the type is its maximum.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

/// An empty buffer: this one, unless a single large event made it big.
fn emptied(mut buf: Vec<u8>) -> Vec<u8> {
    if buf.capacity() > KEPT_CAPACITY {
        return Vec::new();
    }
    buf.clear();
    buf
}

const MARK: [u8; 3] = *b"\xEF\xBB\xBF";

/// The largest buffer that is kept for the next event.
const KEPT_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: usize, pieces: &[&[u8]]) -> Result<Vec<String>, Error> {
        let mut decoder = Decoder::new(limit);
        let mut seen = Vec::new();
        for piece in pieces {
            let mut piece = *piece;
            while let Some(item) = decoder.next_item(&mut piece)? {
                seen.push(show(item));
            }
            assert!(piece.is_empty());
        }
        while let Some(item) = decoder.finish() {
            seen.push(format!("rest {}", show(item)));
        }
        Ok(seen)
    }

    fn show(item: Item<'_>) -> String {
        let text = String::from_utf8_lossy;
        match item {
            Item::Event {
                event_type,
                data,
                last_event_id,
            } => {
                format!("{event_type}|{}|{last_event_id}", text(data))
            }
            Item::Comment(comment) => format!("#{}", text(comment)),
            Item::Field { name, value } => format!("{}={}", text(name), text(value)),
        }
    }

    #[test]
    fn comments_and_unknown_fields_come_in_their_place() {
        let stream = b": hb\ndata: 1\nerror: {\"a\":1}\n:\ndata: 2\nerror\n\n";
        let want = ["#hb", "error={\"a\":1}", "#", "error=", "message|1\n2|"];
        assert_eq!(read(100, &[stream]).unwrap(), want);
        for cut in 0..=stream.len() {
            let (one, two) = stream.split_at(cut);
            assert_eq!(read(100, &[one, two]).unwrap(), want, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_unfinished_can_be_asked_for() {
        for (name, stream, want) in [
            ("nothing", &b"data: 1\n\n"[..], &["message|1|"][..]),
            ("a whole line", b"data: 1\n", &["rest message|1|"]),
            (
                "a piece of a line",
                b"data: 1\ndata: 2",
                &["rest message|1\n2|"],
            ),
            ("a field", b"error: x", &["rest error=x"]),
            (
                "a field and data",
                b"data: 1\nerror: x",
                &["rest error=x", "rest message|1|"],
            ),
            ("a comment", b": x", &["rest #x"]),
            ("only an id", b"id: 7", &[]),
            ("half a byte order mark", b"\xEF\xBB", &[]),
        ] {
            assert_eq!(read(100, &[stream]).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let stream = b"id: 1\ndata: abc\n\n";
        let mut decoder = Decoder::new(100);
        let mut piece = &stream[..];
        let Some(Item::Event { data, .. }) = decoder.next_item(&mut piece).unwrap() else {
            panic!("no event");
        };
        assert!(std::ptr::eq(data, &raw const stream[12..15]));
    }

    #[test]
    fn a_limit_holds_wherever_the_stream_is_cut() {
        let line = Error::LineTooLong { limit: 10 };
        let event = Error::EventTooLarge { limit: 10 };
        for (stream, want) in [
            (&b"data: 1234\n\n"[..], Ok(())),
            (b"data: 12345\n\n", Err(line)),
            (b": 123456789\n", Err(line)),
            (b"data: 1\n\ndata: 12345", Err(line)),
            (b"data:12345\ndata:6789\n\n", Ok(())),
            (b"data:12345\ndata:67890\n\n", Err(event)),
        ] {
            for cut in 0..=stream.len() {
                let (one, two) = stream.split_at(cut);
                let got = read(10, &[one, two]).map(|_| ());
                assert_eq!(got, want, "{} cut at {cut}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn an_error_stays() {
        let mut decoder = Decoder::new(4);
        let mut piece = &b"data: 1\n\ndata\n\n"[..];
        assert!(decoder.next_item(&mut piece).is_err());
        assert!(decoder.next_item(&mut piece).is_err());
        assert_eq!(decoder.finish(), None);
    }

    #[test]
    fn a_retry_of_digits_only_is_taken() {
        for (value, want) in [
            ("1000", Some(1000)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("1e3", None),
            ("-1", None),
            ("1000 ", None),
        ] {
            let mut decoder = Decoder::new(100);
            let stream = format!("retry: {value}\n");
            assert_eq!(decoder.next_item(&mut stream.as_bytes()), Ok(None));
            assert_eq!(
                decoder.retry(),
                want.map(Duration::from_millis),
                "{value:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_stay_in_data_and_are_replaced_in_names() {
        let seen = read(100, &[b"event: a\xFFb\ndata: \xFF\n\n"]).unwrap();
        assert_eq!(seen, ["a\u{FFFD}b|\u{FFFD}|"]);
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<Error>() <= 32);
    }
}
