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

    /// Notes that a response was written: what is there of the next request is awaited from now on,
    /// though its beginning may have come together with the request before.
    pub(crate) fn note_response(&mut self, now: Moment) {
        self.in_request = !self.http.is_idle();
        self.waiting_since = now;
    }

    /// Notes that bytes came.
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

#[cfg(test)]
mod tests {
    use lmserver_proto::http1::Response;

    use super::*;

    #[test]
    fn each_pipelined_request_has_the_whole_time_from_the_answer_before_it() {
        const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let limits = Limits::default();
        let mut front = Front::new(Moment(0));
        let (begin, rest) = REQUEST.split_at(9);
        front.http.feed(begin);
        front.note_progress(Moment(0));
        // There is always the beginning of a next request: the connection is never idle.
        for round in 1..100 {
            let now = Moment(round * 1000);
            front.http.feed(&[rest, begin].concat());
            front.note_progress(now);
            assert!(matches!(front.http.next_event(&limits.http), Ok(Some(_))));
            assert!(
                front
                    .http
                    .respond(&Response::empty(204), "", &mut Vec::new())
            );
            front.note_response(now);
            assert_eq!(front.deadline(&limits), now + limits.head_timeout);
        }
    }
}
