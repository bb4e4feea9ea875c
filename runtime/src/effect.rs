//! What a callback asks for. The reactor carries effects out, in order, after the callback has
//! returned, so no callback can invalidate what is being walked.

use lmserver_proto::http1::Response;
use lmserver_proto::http1::server::Answering;

use crate::encoding::Encoding;
use crate::event::After;
use crate::ids::{ConnId, RunId};

/// A wish of a session or of the engine itself.
pub(crate) enum Effect {
    /// Place a cursor; answered by `Session::placed`.
    Subscribe {
        conn: ConnId,
        channel: Box<str>,
        after: After,
        encoding: &'static dyn Encoding,
        may_create: bool,
    },
    /// End the run that writes a channel.
    Cancel { channel: Box<str> },
    /// Begin the first attempt of a run, after its client has been answered.
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
            Self::Subscribe { conn, .. } | Self::HandBack { conn, .. } => *conn == id,
            Self::Cancel { .. } | Self::Begin { .. } => false,
        }
    }
}
