//! What waits until a client takes it: the connection's own bytes, and their bounds.
//!
//! ```text
//!   0 ──────── 64 KiB ──────────────── 192 KiB ─────────────── 256 KiB ──────────── 1 MiB
//!     commands │ none is read any more │ small answers, notices │ slow if it takes │ slow
//!     are read │                       │                        │ nothing          │
//!     └───── large answers are cut ────┘
//! ```
//!
//! A client that takes what it gets has hardly more than one turn's bytes waiting. One that takes
//! nothing makes the server keep 256 KiB, and the one publication that may be larger.

use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};

use crate::session::{Client, Phase};

/// Up to where an answer may fill what waits.
pub(crate) const ANSWERS_BYTES: usize = 192 * 1024;

/// What may wait for a client whose socket takes nothing.
const QUEUE_BYTES: usize = 256 * 1024;

/// What may wait for any client: what one turn of the engine had to tell.
const TURN_BYTES: usize = 1024 * 1024;

/// Bytes that an answer may have.
pub(crate) fn room(cx: &mut SessionCx<'_>) -> usize {
    ANSWERS_BYTES.saturating_sub(cx.out().len())
}

/// Whether so little waits that the client is still read: then one publication is told in any case.
pub(crate) fn is_short(cx: &mut SessionCx<'_>) -> bool {
    cx.out().len() <= cx.limits.outbox_bytes
}

impl Client {
    /// Ends a connection that takes too little of what it is told.
    pub(crate) fn check_queue(&self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let bound = if cx.blocked { QUEUE_BYTES } else { TURN_BYTES };
        if self.phase == Phase::Connected && cx.out().len() > bound {
            return Err(Disconnect::Slow);
        }
        Ok(())
    }
}
