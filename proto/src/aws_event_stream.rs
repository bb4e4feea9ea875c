//! AWS event streams (`application/vnd.amazon.eventstream`): messages with typed headers, each
//! with two checksums.
//!
//! ```text
//!   total length u32 │ headers length u32 │ CRC-32 of these 8 bytes     the prelude
//!   name length u8 │ name │ type u8 │ value                             headers, any number
//!   payload
//!   CRC-32 of all before it
//! ```
//!
//! All numbers are big-endian; lengths count the whole message. A value is one of ten types, of
//! which texts and bytes have a length of 16 bits before them. Amazon's services name the event in
//! the header `:event-type`, a failure in `:exception-type`, and which of the two it is in
//! `:message-type`.
//!
//! [`Decoder`] reads such a stream out of pieces cut anywhere; [`write_message`] appends to one.

mod decode;
mod encode;
mod header;

pub use decode::{Decoder, Error, Message};
pub use encode::{TooLong, write_message};
pub use header::{Headers, Malformed, Value};

/// Bytes of the prelude with its checksum.
const PRELUDE: usize = 12;

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

/// Bytes of headers that a message has at most.
pub const HEADERS_MAX: usize = 128 * 1024;
