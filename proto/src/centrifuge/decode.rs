//! From a frame to its commands.

use std::borrow::Cow;

use memchr::memchr;

use super::Protocol;
use super::code::DisconnectCode;
use super::command::json::{self, text};
use super::command::{Command, ConnectRequest, Envelope};
use super::protobuf::{self, Fields};

/// The commands of one frame, in order, each read when it is asked for. Nothing follows an error.
///
/// JSON: commands stand in lines; a line feed at the very end is allowed, an empty line elsewhere
/// is not. Protobuf: each has its length in front, and the frame ends with the last one.
#[derive(Debug, Clone)]
pub struct Commands<'a> {
    protocol: Protocol,
    /// `None` behind the end and behind an error.
    rest: Option<&'a [u8]>,
    left: usize,
    limit: usize,
}

impl<'a> Commands<'a> {
    /// The commands of `frame`, of which at most `limit` are taken.
    #[must_use]
    pub const fn of(protocol: Protocol, frame: &'a [u8], limit: usize) -> Self {
        Self {
            protocol,
            rest: Some(frame),
            left: limit,
            limit,
        }
    }

    /// What is not read yet; nothing behind the end and behind an error.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        match self.rest {
            Some(rest) => rest,
            None => &[],
        }
    }

    /// How many commands may still be taken.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    fn read(&mut self, rest: &'a [u8]) -> Result<Command<'a>, DecodeError> {
        if rest.is_empty() {
            return Err(DecodeError::Empty);
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(DecodeError::TooMany {
                what: "commands",
                limit: self.limit,
            });
        };
        self.left = left;
        let mut behind = rest;
        let (envelope, behind) = match self.protocol {
            Protocol::Json => {
                let line = line(&mut behind);
                (Envelope::from_json(line)?, behind)
            }
            Protocol::Protobuf => {
                let message = protobuf::delimited(&mut behind)?;
                (Envelope::from_protobuf(message)?, behind)
            }
        };
        self.rest = Some(behind).filter(|behind| !behind.is_empty());
        Ok(envelope.into_command())
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        Some(self.read(rest))
    }
}

/// Takes a line and the line feed behind it.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr(b'\n', rest).unwrap_or(rest.len());
    let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    *rest = behind.split_first().map_or(&[], |(_, behind)| behind);
    line
}

impl<'a> ConnectRequest<'a> {
    /// Reads the request that opens a unidirectional connection: JSON without the command around
    /// it. Nothing at all, and `null`, stand for an empty one.
    ///
    /// # Errors
    ///
    /// Neither nothing nor an object, or a field of another type.
    pub fn from_json(text: &'a [u8]) -> Result<Self, DecodeError> {
        match text.trim_ascii() {
            b"" | b"null" => Ok(Self::default()),
            text => Ok(Self::from_object(&json::read(text, Self::KEYS)?)?),
        }
    }
}

/// What a client posts beside a stream that only goes down: commands for the session of that
/// stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmulationRequest<'a> {
    /// The node that the connect result named.
    pub node: Cow<'a, str>,
    /// The session that the connect result named: the only credential.
    pub session: Cow<'a, str>,
    /// The frame with the commands, in the encoding of the request.
    pub data: Cow<'a, [u8]>,
}

impl<'a> EmulationRequest<'a> {
    /// Reads the body of a request. In JSON the frame is a string, with the commands in lines.
    ///
    /// # Errors
    ///
    /// Not an object or a message, or a field of another type.
    pub fn decode(protocol: Protocol, body: &'a [u8]) -> Result<Self, DecodeError> {
        match protocol {
            Protocol::Json => {
                let object = json::read(body, &["node", "session", "data"])?;
                Ok(Self {
                    node: text(&object, "node")?,
                    session: text(&object, "session")?,
                    data: match text(&object, "data")? {
                        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                    },
                })
            }
            Protocol::Protobuf => {
                let mut request = Self::default();
                for field in Fields::of(body) {
                    let field = field?;
                    match field.number {
                        1 => request.node = field.text()?,
                        2 => request.session = field.text()?,
                        3 => request.data = Cow::Borrowed(field.bytes()?),
                        _ => {}
                    }
                }
                Ok(request)
            }
        }
    }
}

/// Why a frame holds no commands, or an end of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Nothing, where a command was to be.
    #[error("empty where a command was to be")]
    Empty,
    /// More of something than this side takes.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A line that does not begin with a brace.
    #[error("not a JSON object")]
    NotAnObject,
    /// Not JSON, or a field of another type.
    #[error("not a message in JSON")]
    Json(#[from] crate::json::Error),
    /// Not Protobuf.
    #[error("not a message in Protobuf")]
    Protobuf(#[from] prost::DecodeError),
    /// The frame ends before its message.
    #[error("{announced} bytes announced, {left} left")]
    Truncated {
        /// The length in front.
        announced: u64,
        /// What there is behind it.
        left: usize,
    },
    /// A field has another type on the wire than in the schema.
    #[error("field {0} is of another type")]
    FieldType(u32),
    /// A string of Protobuf that is none.
    #[error("field {0} is not UTF-8")]
    Utf8(u32),
}

impl DecodeError {
    /// How a connection that sent this ends.
    #[must_use]
    pub const fn disconnect(&self) -> DisconnectCode {
        DisconnectCode::BadRequest
    }
}
