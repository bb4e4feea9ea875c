//! HTTP/1.1 (RFC 9112) as state machines: bytes in, events and bytes out.
//!
//! ```text
//!  socket --feed--> server::Connection --next_event--> Event::Request { head, body }
//!  socket <--out--- server::Connection <--respond----- Response
//!
//!  socket <--out--- client::write_request
//!  socket --feed--> client::Exchange  --next_event--> Head, Body, Body, …, End
//! ```
//!
//! # Contract
//!
//! - Input may be cut anywhere: the same bytes give the same events however they arrive, and
//!   no byte of a head is looked at more often than a constant number of times.
//! - What two readers could understand differently is refused, never guessed: both lengths,
//!   several lengths, line folding, a bare CR or LF, white space before a colon, a doubled
//!   `Host` and their like. [`Error::status`] says with what.
//! - Nothing grows without a bound: see [`Limits`] and the constants of this module.
//! - Which body a message has is decided in one place for both roles, [`framing`].

pub mod client;
pub mod content_coding;
pub mod server;

mod body;
mod chunk_in_place;
mod chunked;
mod date;
mod error;
mod fields;
mod framing;
mod head;
mod method;
mod request;
mod response;
mod stream_head;
mod syntax;
mod target;

pub use self::body::{Body, Step};
pub use self::chunk_in_place::write_chunk_in_place;
pub use self::chunked::{ChunkDecoder, LAST_CHUNK, write_chunk, write_chunk_of};
pub use self::date::{basic_date_time, imf_fixdate};
pub use self::error::Error;
pub use self::fields::Fields;
pub use self::framing::{Answers, Framing, Message, framing};
pub use self::method::Method;
pub use self::request::Request;
pub use self::response::{Response, reason_phrase, write_field};
pub use self::stream_head::StreamHead;
pub use self::target::{Target, is_valid_authority};

/// What a peer may make this side hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, from its first line to the empty line, both included.
    pub head_bytes: usize,
    /// Field lines of a head.
    pub header_count: usize,
    /// Bytes of a request's content after its transfer coding was removed.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            header_count: 64,
            body_bytes: 1024 * 1024,
        }
    }
}

/// The versions whose rules differ (RFC 9110 §2.5). A higher minor version is read as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no persistence by default, `Host` may be absent.
    Http10,
    /// HTTP/1.1 and what is compatible with it.
    Http11,
}

/// Empty lines that are skipped in front of a request line (RFC 9112 §2.2 asks for one).
pub const EMPTY_LINES_MAX: u8 = 4;

/// Bytes of a method. The longest registered one has 17.
pub const METHOD_BYTES_MAX: usize = 64;

/// Bytes of all chunk extensions of a message (RFC 9112 §7.1.1 asks for a limit).
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// Bytes of the trailer section of a message. Trailers are checked and dropped.
pub const TRAILER_BYTES_MAX: u32 = 8 * 1024;

/// Interim answers (1xx) in front of a final one that a client reads past.
pub const INTERIM_RESPONSES_MAX: u8 = 16;
