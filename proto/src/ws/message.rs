//! A message that comes in pieces: fragments (RFC 6455 §5.4), or one frame in several reads.

use std::borrow::Cow;

use super::frame::{Header, Opcode};
use super::{Error, Event, Limits, Utf8};

/// What has come of a message. Text is checked as it comes and kept as text, so it is looked at
/// once.
#[derive(Debug, Default)]
pub(super) enum Assembly {
    /// No message has begun.
    #[default]
    Idle,
    Text {
        text: String,
        utf8: Utf8,
        fragments: u32,
    },
    Binary {
        data: Vec<u8>,
        fragments: u32,
    },
}

impl Assembly {
    /// Whether a data frame may come now and fits; nothing is kept yet.
    pub(super) fn admit(&self, header: &Header, limits: &Limits) -> Result<(), Error> {
        let (held, fragments) = match (self, header.opcode) {
            (_, Opcode::Close | Opcode::Ping | Opcode::Pong) => return Ok(()),
            (Self::Idle, Opcode::Continuation) => return Err(Error::NothingToContinue),
            (Self::Idle, Opcode::Text | Opcode::Binary) => (0, 0),
            (_, Opcode::Text | Opcode::Binary) => return Err(Error::MessageUnfinished),
            (
                Self::Text {
                    text, fragments, ..
                },
                Opcode::Continuation,
            ) => (text.len(), *fragments),
            (Self::Binary { data, fragments }, Opcode::Continuation) => (data.len(), *fragments),
        };
        if fragments >= limits.fragments {
            return Err(Error::TooManyFragments {
                limit: limits.fragments,
            });
        }
        if header.payload_len.saturating_add(held as u64) > limits.message_len as u64 {
            return Err(Error::MessageTooLong {
                limit: limits.message_len,
            });
        }
        Ok(())
    }

    /// Takes note of an admitted data frame.
    pub(super) fn begin(&mut self, opcode: Opcode) {
        match (&mut *self, opcode) {
            (_, Opcode::Text) => {
                *self = Self::Text {
                    text: String::new(),
                    utf8: Utf8::default(),
                    fragments: 1,
                };
            }
            (_, Opcode::Binary) => {
                *self = Self::Binary {
                    data: Vec::new(),
                    fragments: 1,
                }
            }
            (Self::Text { fragments, .. } | Self::Binary { fragments, .. }, _) => *fragments += 1,
            (Self::Idle, _) => {}
        }
    }

    /// Adds unmasked payload.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Text { text, utf8, .. } => {
                utf8.push(bytes, text).map_err(|_| Error::InvalidUtf8)?;
            }
            Self::Binary { data, .. } => data.extend_from_slice(bytes),
            Self::Idle => {}
        }
        Ok(())
    }

    /// Hands the message out and is idle again.
    pub(super) fn finish(&mut self) -> Result<Option<Event<'static>>, Error> {
        Ok(match std::mem::take(self) {
            Self::Text { text, utf8, .. } if utf8.is_complete() => {
                Some(Event::Text(Cow::Owned(text)))
            }
            Self::Text { .. } => return Err(Error::InvalidUtf8),
            Self::Binary { data, .. } => Some(Event::Binary(Cow::Owned(data))),
            Self::Idle => None,
        })
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }
}
