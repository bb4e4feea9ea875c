//! WebSocket (RFC 6455) without I/O: the opening handshake, frames, messages and close codes, for
//! a server and for a client.
//!
//! ```text
//!  request ──► handshake::check ──► 101 head          (handshake.rs)
//!
//!  bytes ──► Connection::feed ─┐
//!                              ├─► header  ─► payload ─► unmask ─► message ─► Event
//!  Connection::next_event ◄────┘  (frame.rs)           (mask.rs)  (message.rs, utf8.rs, close.rs)
//!
//!  text, ping, close … ──► frame::write_* ──► bytes
//! ```
//!
//! # Contract
//!
//! After [`Connection::feed`], call [`Connection::next_event`] until it returns `Ok(None)` before
//! feeding again. Any cut of the input is legal. After an `Err` or an [`Event::Close`] the
//! connection is deaf: further bytes are dropped and no further event comes (RFC 6455 §1.4, §7.1.7).
//! What to answer stays with the caller: [`Error::close_code`] says which code to close with.
//!
//! Extensions are never negotiated, so every reserved bit is an error.
//!
//! # Bounds
//!
//! A connection between two messages owns no heap memory. In the middle of a message it holds what
//! has come of it, at most [`Limits::message_len`]; a length that the peer merely announces is
//! checked against the limit and never reserved. Beyond that it keeps an unfinished frame header
//! or control frame, at most 139 bytes.
//!
//! # Example
//!
//! ```
//! use lmserver_proto::ws::{Connection, Event, Limits, Role, frame};
//!
//! let mut wire = Vec::new();
//! frame::write_frame(&mut wire, frame::Opcode::Text, true, b"hello", Some([1, 2, 3, 4]));
//!
//! let mut connection = Connection::new(Role::Server);
//! connection.feed(&wire);
//! let event = connection.next_event(&Limits::default())?;
//! assert_eq!(event, Some(Event::Text("hello".into())));
//! assert_eq!(connection.next_event(&Limits::default())?, None);
//! # Ok::<(), lmserver_proto::ws::Error>(())
//! ```

use std::borrow::Cow;

pub mod close;
mod connection;
pub mod frame;
pub mod handshake;
pub mod mask;
mod message;
mod utf8;

pub use self::connection::Connection;
pub use self::utf8::{InvalidUtf8, Utf8};

/// Which end of the connection this is: it decides which frames must be masked (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads masked frames, writes unmasked ones.
    Server,
    /// Reads unmasked frames, writes masked ones.
    Client,
}

/// What a peer may make this end hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its fragments together.
    pub message_len: usize,
    /// Frames of one message: bounds the overhead of empty or tiny fragments.
    pub fragments: u32,
}

impl Default for Limits {
    /// 16 MiB and 131,072 fragments: room for a message in 65,536 fragments from a sender that ends
    /// each with an empty one.
    fn default() -> Self {
        Self {
            message_len: 16 << 20,
            fragments: 1 << 17,
        }
    }
}

/// What the peer said. Data is borrowed from the connection where one [`Connection::feed`] brought
/// the whole message, and owned where it had to be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(Cow<'a, str>),
    /// A whole binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping with its payload, to be answered by a pong with the same payload (§5.5.2).
    Ping(&'a [u8]),
    /// A pong, asked for or not (§5.5.3).
    Pong(&'a [u8]),
    /// The peer closes; nothing follows. Unless this end closed first, it is answered by a close
    /// frame with the same code (§5.5.1).
    Close {
        /// The code, `None` for an empty payload (which the API of §7.1.5 calls 1005).
        code: Option<u16>,
        /// The reason, for people who debug.
        reason: &'a str,
    },
}

/// Why the peer's bytes are refused. The connection must be failed (§7.1.7) with
/// [`Error::close_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// §5.2: no extension was negotiated.
    #[error("reserved bits are set in frame byte {0:#04x}")]
    ReservedBits(u8),
    /// §5.2: 3 to 7 and 11 to 15 are reserved.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// §5.1: a client masks every frame.
    #[error("a client's frame is not masked")]
    NotMasked,
    /// §5.1: a server masks none.
    #[error("a server's frame is masked")]
    Masked,
    /// §5.2: the shortest form of the length must be used.
    #[error("length {0} is not in its shortest form")]
    LengthNotMinimal(u64),
    /// §5.2: the most significant bit must be 0.
    #[error("the top bit of a 64-bit length is set")]
    LengthTopBit,
    /// §5.5: at most 125 bytes.
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// §5.5: control frames are never fragmented.
    #[error("control frame is fragmented")]
    ControlFragmented,
    /// §5.4: there is no message to go on with.
    #[error("continuation frame without a message to continue")]
    NothingToContinue,
    /// §5.4: the message before is not finished.
    #[error("new data frame inside a fragmented message")]
    MessageUnfinished,
    /// §5.5.1: a close payload is empty or starts with two bytes of code.
    #[error("close payload of one byte")]
    CloseTruncated,
    /// §7.4: reserved, unassigned or never to be sent.
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// §8.1: text and close reasons are UTF-8.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// [`Limits::message_len`].
    #[error("message is longer than {limit} bytes")]
    MessageTooLong {
        /// The limit that was passed.
        limit: usize,
    },
    /// [`Limits::fragments`].
    #[error("message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit that was passed.
        limit: u32,
    },
}

impl Error {
    /// The code to close with (§7.4.1).
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 => close::INVALID_PAYLOAD,
            Self::MessageTooLong { .. } | Self::TooManyFragments { .. } => close::TOO_BIG,
            _ => close::PROTOCOL_ERROR,
        }
    }
}
