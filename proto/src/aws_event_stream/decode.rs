//! Reading messages, in pieces cut anywhere.
//!
//! The contract: hand the bytes that have come to [`Decoder::next_message`] until it says `None`;
//! it has then taken all of them and kept what it could not finish. After the last byte ask
//! [`Decoder::finish`] whether the stream ended between two messages.
//!
//! ```
//! use lmserver_proto::aws_event_stream::{Decoder, Value, write_message};
//!
//! let mut stream = Vec::new();
//! write_message(&mut stream, &[(":event-type", Value::String("chunk"))], b"{}").unwrap();
//! let mut decoder = Decoder::new(1 << 20);
//! let mut seen = Vec::new();
//! for mut piece in stream.chunks(7) {
//!     while let Some(message) = decoder.next_message(&mut piece)? {
//!         seen.push((message.text(":event-type") == Some("chunk"), message.payload.to_vec()));
//!     }
//! }
//! decoder.finish()?;
//! assert_eq!(seen, [(true, b"{}".to_vec())]);
//! # Ok::<(), lmserver_proto::aws_event_stream::Error>(())
//! ```
//!
//! A message that lies whole in a piece is handed out where it lies. The lengths are believed
//! once their checksum is right, and nothing is reserved for them: what is kept is what came.

use super::header::{self, Headers, Malformed, Value};
use super::{CHECKSUM, HEADERS_MAX, PRELUDE};
use crate::crc::Crc;

/// One message; both checksums were right, and every header can be read.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The headers, in order.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(self.headers)
    }

    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Value<'a>> {
        self.headers()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// The first header of a name, if that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.header(name).and_then(Value::as_str)
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lengths are not those that were sent.
    #[error("the checksum of a message's lengths is {got:08x} instead of {want:08x}")]
    PreludeChecksum {
        /// What was sent.
        want: u32,
        /// What the bytes have.
        got: u32,
    },
    /// Headers or payload are not those that were sent.
    #[error("the checksum of a message is {got:08x} instead of {want:08x}")]
    MessageChecksum {
        /// What was sent.
        want: u32,
        /// What the bytes have.
        got: u32,
    },
    /// More than the reader bears.
    #[error("a message of {len} bytes is longer than {limit} bytes")]
    MessageTooLong {
        /// What the message says.
        len: u32,
        /// The limit given to [`Decoder::new`].
        limit: usize,
    },
    /// More than the format allows.
    #[error("headers of {len} bytes are longer than {HEADERS_MAX} bytes")]
    HeadersTooLong {
        /// What the message says.
        len: u32,
    },
    /// The message has no room for what it says to hold.
    #[error("a message of {len} bytes cannot hold {headers} bytes of headers")]
    Lengths {
        /// The whole message.
        len: u32,
        /// Its headers.
        headers: u32,
    },
    /// The checksums are right and the headers are none.
    #[error("malformed headers: {0}")]
    Headers(Malformed),
    /// The stream ended inside a message.
    #[error("the stream ended {missing} bytes before the end of a message")]
    Truncated {
        /// How many bytes are missing, of the prelude if that is not whole.
        missing: usize,
    },
}

/// An event stream, as far as it has come. Keeps at most one message of `limit` bytes.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// The beginning of a message whose end has not come.
    kept: Vec<u8>,
    /// The lengths of that message, once its prelude is whole.
    lengths: Option<Lengths>,
    /// The kept message was handed out; it goes before the next.
    is_spent: bool,
    failed: Option<Error>,
}

/// What a prelude says, checked.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    total: usize,
    headers: usize,
}

impl Decoder {
    /// A decoder at the start of a stream that bears messages of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: Vec::new(),
            lengths: None,
            is_spent: false,
            failed: None,
        }
    }

    /// Takes bytes off the front of `input` until they make a message, or until all are taken.
    ///
    /// # Errors
    ///
    /// A message is damaged or over a limit. Where the next one begins is unknown then, so every
    /// later call says the same.
    pub fn next_message<'d, 'i: 'd>(
        &'d mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Message<'d>>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if std::mem::take(&mut self.is_spent) {
            self.kept = Vec::new();
            self.lengths = None;
        }
        if self.kept.is_empty() {
            if let Some((message, lengths)) = self.whole(input)? {
                return self.read(message, lengths).map(Some);
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
        let Some(lengths) = self.complete_prelude(input)? else {
            return Ok(None);
        };
        self.keep_up_to(lengths.total, input);
        if self.kept.len() < lengths.total {
            return Ok(None);
        }
        self.is_spent = true;
        if let Err(error) = check_message(&self.kept, lengths) {
            self.failed = Some(error);
            return Err(error);
        }
        Ok(Some(cut(&self.kept, lengths)))
    }

    /// The last byte has come.
    ///
    /// # Errors
    ///
    /// It was not the last byte of a message, or the stream could not be read.
    pub fn finish(&self) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.is_spent || self.kept.is_empty() {
            return Ok(());
        }
        let whole = self.lengths.map_or(PRELUDE, |lengths| lengths.total);
        let missing = whole.saturating_sub(self.kept.len());
        Err(Error::Truncated { missing })
    }

    /// The message at the front of `input`, if all of it is there.
    fn whole<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<(&'i [u8], Lengths)>, Error> {
        let Some(prelude) = input.first_chunk::<PRELUDE>() else {
            return Ok(None);
        };
        let lengths = self.read_prelude(*prelude)?;
        let Some((message, rest)) = input.split_at_checked(lengths.total) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some((message, lengths)))
    }

    fn read<'i>(&mut self, message: &'i [u8], lengths: Lengths) -> Result<Message<'i>, Error> {
        match check_message(message, lengths) {
            Ok(()) => Ok(cut(message, lengths)),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The lengths of the kept message; none while its prelude is not whole.
    fn complete_prelude(&mut self, input: &mut &[u8]) -> Result<Option<Lengths>, Error> {
        if let Some(lengths) = self.lengths {
            return Ok(Some(lengths));
        }
        self.keep_up_to(PRELUDE, input);
        let Some(prelude) = self.kept.first_chunk::<PRELUDE>() else {
            return Ok(None);
        };
        let lengths = self.read_prelude(*prelude)?;
        self.lengths = Some(lengths);
        Ok(Some(lengths))
    }

    fn keep_up_to(&mut self, len: usize, input: &mut &[u8]) {
        let wanted = len.saturating_sub(self.kept.len()).min(input.len());
        let (bytes, rest) = input.split_at(wanted);
        self.kept.extend_from_slice(bytes);
        *input = rest;
    }

    fn read_prelude(&mut self, prelude: [u8; PRELUDE]) -> Result<Lengths, Error> {
        let lengths = lengths(prelude, self.limit);
        lengths.map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        self.kept = Vec::new();
        self.failed = Some(error);
        error
    }
}

fn lengths(prelude: [u8; PRELUDE], limit: usize) -> Result<Lengths, Error> {
    let [t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = prelude;
    let want = u32::from_be_bytes([c0, c1, c2, c3]);
    let got = checksum(&[t0, t1, t2, t3, h0, h1, h2, h3]);
    if want != got {
        return Err(Error::PreludeChecksum { want, got });
    }
    let len = u32::from_be_bytes([t0, t1, t2, t3]);
    let headers_len = u32::from_be_bytes([h0, h1, h2, h3]);
    let total = usize::try_from(len)
        .ok()
        .filter(|total| *total <= limit)
        .ok_or(Error::MessageTooLong { len, limit })?;
    let headers = usize::try_from(headers_len)
        .ok()
        .filter(|headers| *headers <= HEADERS_MAX)
        .ok_or(Error::HeadersTooLong { len: headers_len })?;
    if total < PRELUDE + headers + CHECKSUM {
        return Err(Error::Lengths {
            len,
            headers: headers_len,
        });
    }
    Ok(Lengths { total, headers })
}

/// Checks the second checksum and the headers of a message that is whole.
fn check_message(message: &[u8], lengths: Lengths) -> Result<(), Error> {
    let Some((content, sum)) = message.split_last_chunk::<CHECKSUM>() else {
        debug_assert!(false, "a message is no shorter than its lengths say");
        return Err(Error::Truncated { missing: CHECKSUM });
    };
    let (want, got) = (u32::from_be_bytes(*sum), checksum(content));
    if want != got {
        return Err(Error::MessageChecksum { want, got });
    }
    header::check(cut(message, lengths).headers).map_err(Error::Headers)
}

/// The parts of a message that is whole.
fn cut(message: &[u8], lengths: Lengths) -> Message<'_> {
    let payload = PRELUDE + lengths.headers;
    Message {
        headers: message.get(PRELUDE..payload).unwrap_or_default(),
        payload: message
            .get(payload..lengths.total - CHECKSUM)
            .unwrap_or_default(),
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::default();
    crc.update(bytes);
    crc.sum()
}
