//! The event stream format of the WHATWG HTML standard (server-sent events), §9.2.
//!
//! ```text
//! retry: 1000                 a field: name, colon, at most one space, value
//! id: k3f9-17
//! event: message              the type; "message" where there is none
//! data: first line            several `data` lines are joined by LF
//! data: second line
//!                             a blank line dispatches the event
//! : hb                        a line that starts with a colon is a comment
//! ```
//!
//! [`decode::Decoder`] reads such a stream out of pieces cut anywhere; the functions of [`encode`]
//! append to one. Lines end with LF, CR or CRLF on the way in and with LF on the way out.

pub mod decode;
pub mod encode;

pub use decode::{Decoder, Error, Item};
