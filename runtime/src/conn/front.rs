//! The HTTP server role: a request parser and its deadlines.

use lmserver_proto::http1::server::Connection;

use crate::limits::Limits;
use crate::time::Moment;

/// A connection that speaks HTTP.
pub(crate) struct Front {
    pub(crate) http: Connection,
    /// When the wait began that is going on: for the next request, or for the rest of one.
    pub(crate) waiting_since: Moment,
    /// Has a byte of the awaited request come (or is it the connection's first)?
    pub(crate) in_request: bool,
}

impl Front {
    /// A connection that has just been opened; its first request is awaited like one begun.
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            http: Connection::new(),
            waiting_since: now,
            in_request: true,
        }
    }

    /// Notes that bytes came, or that an answer was given.
    pub(crate) fn note_progress(&mut self, now: Moment) {
        let in_request = !self.http.is_idle();
        if in_request != self.in_request {
            self.in_request = in_request;
            self.waiting_since = now;
        }
    }

    /// When the wait ends.
    pub(crate) fn deadline(&self, limits: &Limits) -> Moment {
        let patience = if self.in_request {
            limits.head_timeout
        } else {
            limits.idle_timeout
        };
        self.waiting_since + patience
    }
}
