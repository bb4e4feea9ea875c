//! What a callback asks for. The reactor carries effects out, in order, after the callback has
//! returned, so no callback can invalidate what is being walked.

use lmserver_proto::http1::Response;

use crate::event::After;
use crate::ids::ConnId;
use crate::plugin::transport::{Encoding, HandBack};

/// A wish of a session.
pub(crate) enum Effect {
    /// Place a cursor; answered by `Session::placed`.
    Subscribe {
        conn: ConnId,
        channel: Box<str>,
        after: After,
        encoding: &'static dyn Encoding,
        may_create: bool,
    },
    /// End the generation of a channel.
    Cancel { channel: Box<str> },
    /// Make the connection an HTTP connection again.
    HandBack { conn: ConnId, response: Option<Response>, after: HandBack, leftover: Vec<u8> },
}
