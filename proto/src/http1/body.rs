//! Reading the content of a message, whatever its framing.

use super::{ChunkDecoder, Error, Framing};

/// What was read of the input in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Content among them, maybe none.
    pub data: &'a [u8],
}

/// The content of a message while it arrives. It holds no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(ChunkDecoder),
    /// Until the connection ends.
    UntilClose,
}

impl Body {
    /// At the first byte behind the head.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkDecoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Reads the next piece of content. Unless the body is done, input is always consumed.
    ///
    /// # Errors
    ///
    /// What breaks the chunked coding.
    pub fn read<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Error> {
        match self {
            Self::Length(left) => {
                let available = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= available as u64;
                let (data, _) = input.split_at(available);
                Ok(Step {
                    consumed: available,
                    data,
                })
            }
            Self::Chunked(decoder) => decoder.decode(input),
            Self::UntilClose => Ok(Step {
                consumed: input.len(),
                data: input,
            }),
        }
    }

    /// How many bytes of content are certain to come, as far as the peer has said.
    #[must_use]
    pub const fn announced(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(decoder) => decoder.announced(),
            Self::UntilClose => 0,
        }
    }

    /// Whether the content is whole. Until the connection ends, one kind never is.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }
}
