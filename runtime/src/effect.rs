//! What a callback asks for. The reactor carries effects out, in order, after the callback has
//! returned, so no callback can invalidate what is being walked.

use std::rc::Rc;

use lmserver_proto::http1::Response;
use lmserver_proto::http1::server::Answering;

use crate::channel::Wanted;
use crate::directory::{Identity, Membership, Signal};
use crate::ids::{ConnId, RunId};
use crate::limits::Retention;
use crate::plugin::query::Query;

/// What a session wishes, or the engine itself.
pub(crate) enum Effect {
    /// Place a cursor; answered by `Session::placed`.
    Subscribe {
        conn: ConnId,
        channel: Box<str>,
        wish: Wanted,
        create: Option<Retention>,
    },
    /// Take a cursor away.
    Unsubscribe { conn: ConnId, channel: Box<str> },
    /// Ask the session about the next event of a cursor.
    Gate { conn: ConnId, channel: Box<str> },
    /// Answer a question; answered by `Session::answered`.
    Ask {
        conn: ConnId,
        query: Query,
        tag: u64,
    },
    /// Make a session known under its ids.
    Register { conn: ConnId, identity: Identity },
    /// Make a client a member of a channel.
    Join {
        conn: ConnId,
        channel: Box<str>,
        membership: Box<Membership>,
    },
    /// End a membership.
    Leave { conn: ConnId, channel: Box<str> },
    /// Tell a session something.
    Signal { conn: ConnId, signal: Rc<Signal> },
    /// End the run that writes a channel.
    Cancel { channel: Box<str> },
    /// Begin an attempt of a run: the first, before its client is answered, or one whose turn it
    /// is.
    Begin { run: RunId },
    /// Make the connection an HTTP connection again.
    HandBack {
        conn: ConnId,
        answering: Answering,
        response: Option<Response>,
        leftover: Vec<u8>,
    },
}

impl Effect {
    /// Is it a wish of this connection that no longer matters once the connection ends?
    pub(crate) fn is_of(&self, id: ConnId) -> bool {
        match self {
            Self::Subscribe { conn, .. }
            | Self::Unsubscribe { conn, .. }
            | Self::Gate { conn, .. }
            | Self::Register { conn, .. }
            | Self::Join { conn, .. }
            | Self::Leave { conn, .. }
            | Self::Signal { conn, .. }
            | Self::HandBack { conn, .. } => *conn == id,
            // What it asked for is done though it will not hear of it.
            Self::Ask { .. } | Self::Cancel { .. } | Self::Begin { .. } => false,
        }
    }
}
