//! Content codings (RFC 9110 §8.4.1): identity, gzip and deflate, removed as the bytes arrive.
//!
//! # Contract
//!
//! - Input may be cut anywhere. All that the bytes so far can yield is given out at once, so a
//!   server that flushes after each event is followed event by event.
//! - A call appends at most [`OUTPUT_BYTES_MAX`] bytes, however much a few bytes unpack to. While
//!   [`Progress::more`] is set the caller calls again, with what was not consumed.
//! - [`Decoder::finish`] says whether the end that came was the end of the data.
//!
//! ```
//! use lmserver_proto::http1::content_coding::Decoder;
//!
//! let mut decoder = Decoder::new(None)?;
//! let mut text = Vec::new();
//! decoder.decode_all(b"plain", &mut text)?;
//! decoder.finish()?;
//! assert_eq!(text, b"plain");
//! # Ok::<(), lmserver_proto::http1::content_coding::Error>(())
//! ```

mod deflate;
mod gzip;
mod inflate;

use self::deflate::Deflate;
use self::gzip::Gzip;

/// Bytes that one call of [`Decoder::decode`] appends at most.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Why content cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A coding that is not implemented, or several at once.
    #[error("unknown content coding {coding:?}, gzip and deflate are implemented")]
    Unknown {
        /// What the field said.
        coding: Box<str>,
    },
    /// Not what a gzip member begins with (RFC 1952 §2.3), or a name or comment without end.
    #[error("malformed gzip header")]
    GzipHeader,
    /// Not deflate data (RFC 1951), or a wrong checksum of the zlib format (RFC 1950).
    #[error("malformed compressed data")]
    Corrupt,
    /// A wrong length or checksum behind a gzip member.
    #[error("wrong checksum or length of the gzip data")]
    Checksum,
    /// Bytes behind the end of the compressed data.
    #[error("bytes behind the end of the compressed data")]
    Trailing,
    /// The content ended inside the compressed data.
    #[error("the compressed data is cut off")]
    Truncated,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Whether there is more to give out than one call gives: call again with the rest of the
    /// input, even if it is empty.
    pub more: bool,
}

/// Removes the coding of one message's content.
#[derive(Debug)]
pub struct Decoder {
    coding: Coding,
}

#[derive(Debug)]
enum Coding {
    Identity,
    Gzip(Gzip),
    Deflate(Deflate),
}

impl Decoder {
    /// A decoder for what `Content-Encoding` says; None where there is no such field.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] for any coding but gzip, x-gzip, deflate and identity, and for several.
    pub fn new(content_encoding: Option<&str>) -> Result<Self, Error> {
        let field = content_encoding.unwrap_or_default();
        let mut coding = Coding::Identity;
        for name in field.split(',').map(str::trim) {
            let next = match name.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                // RFC 9110 §8.4.1.3: the old name means the same.
                "gzip" | "x-gzip" => Coding::Gzip(Gzip::new()),
                "deflate" => Coding::Deflate(Deflate::new()),
                _ => {
                    return Err(Error::Unknown {
                        coding: field.into(),
                    });
                }
            };
            if !matches!(coding, Coding::Identity) {
                return Err(Error::Unknown {
                    coding: field.into(),
                });
            }
            coding = next;
        }
        Ok(Self { coding })
    }

    /// Appends what the input yields, within the bound.
    ///
    /// # Errors
    ///
    /// What is wrong with the data. What was decoded before it is in `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Error> {
        match &mut self.coding {
            Coding::Identity => {
                let consumed = input.len().min(OUTPUT_BYTES_MAX);
                let (now, later) = input.split_at(consumed);
                out.extend_from_slice(now);
                Ok(Progress {
                    consumed,
                    more: !later.is_empty(),
                })
            }
            Coding::Gzip(gzip) => gzip.decode(input, out),
            Coding::Deflate(deflate) => deflate.decode(input, out),
        }
    }

    /// Appends all that the input yields, without a bound: for content whose size is bounded
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`].
    pub fn decode_all(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut rest = input;
        loop {
            let progress = self.decode(rest, out)?;
            rest = rest.get(progress.consumed..).unwrap_or_default();
            if !progress.more {
                return Ok(());
            }
        }
    }

    /// The content has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the data had not. No data at all is no error: an answer without
    /// content may well name its coding.
    pub fn finish(&self) -> Result<(), Error> {
        let whole = match &self.coding {
            Coding::Identity => true,
            Coding::Gzip(gzip) => gzip.is_whole(),
            Coding::Deflate(deflate) => deflate.is_whole(),
        };
        if whole { Ok(()) } else { Err(Error::Truncated) }
    }
}
