//! The response that carries a session over HTTP: its head, what is said in it, its end.
//!
//! The head is written with the first message, so that a connection which must be refused as busy
//! still can be, by a status.

use std::borrow::Cow;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{LAST_CHUNK, Response, Version, write_chunk};
use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};

/// Bytes that a client may send behind its request while the stream runs.
const LEFTOVER: usize = 16 * 1024;

/// How long an `EventSource` waits before it comes back.
const RETRY: &[u8] = b"retry: 1000\n";

/// The response of one session.
#[derive(Debug)]
pub(crate) struct Stream {
    answering: Answering,
    state: State,
    /// What the client sent behind its request.
    leftover: Vec<u8>,
    kind: Kind,
}

/// What the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replies and pushes as server-sent events.
    Events,
    /// Pushes alone as server-sent events.
    PushEvents,
    /// Replies and pushes, one behind the other.
    Messages,
    /// Pushes alone, one behind the other.
    Pushes,
}

#[derive(Debug)]
enum State {
    /// Nothing is written; these fields are for the head.
    Asked(Vec<(Cow<'static, str>, String)>),
    /// The head is written.
    Begun,
    /// The end is written.
    Ended,
}

impl Kind {
    const fn is_events(self) -> bool {
        matches!(self, Self::Events | Self::PushEvents)
    }
}

impl Stream {
    pub(crate) fn new(
        kind: Kind,
        answering: Answering,
        fields: Vec<(Cow<'static, str>, String)>,
    ) -> Self {
        Self {
            answering,
            state: State::Asked(fields),
            leftover: Vec::new(),
            kind,
        }
    }

    /// Whether a refusal must be a status: clients of this kind reconnect without a pause where a
    /// stream begins and ends with a reason to reconnect.
    pub(crate) fn refuses_by_status(&self) -> bool {
        self.kind == Kind::Messages && matches!(self.state, State::Asked(_))
    }

    /// Writes the head, if that has not been done.
    pub(crate) fn begin(&mut self, cx: &mut SessionCx<'_>) {
        let State::Asked(fields) = &mut self.state else {
            return;
        };
        let mut response = Response::empty(200)
            .with_field(
                "Cache-Control",
                "private, no-cache, no-store, must-revalidate, max-age=0",
            )
            .with_field("Pragma", "no-cache")
            .with_field("Expire", "0")
            .with_field("X-Accel-Buffering", "no");
        if self.kind.is_events() {
            response = response.with_field("Content-Type", "text/event-stream; charset=utf-8");
        }
        response.fields.append(fields);
        let date = cx.date();
        self.answering.begin_stream(&response, &date, cx.out());
        self.state = State::Begun;
        // What says nothing takes the head through proxies. It ends in no empty line where it
        // would be an event of its own to some clients.
        let opening: &[u8] = match self.kind {
            Kind::Events => b"\r\n",
            Kind::PushEvents => RETRY,
            Kind::Messages | Kind::Pushes => return,
        };
        match self.answering.version {
            Version::Http11 => write_chunk(cx.out(), opening),
            Version::Http10 => cx.out().extend_from_slice(opening),
        }
    }

    /// Ends the response.
    pub(crate) fn end(&mut self, cx: &mut SessionCx<'_>) {
        if matches!(self.state, State::Begun) && self.answering.version == Version::Http11 {
            cx.out().extend_from_slice(LAST_CHUNK);
        }
        self.state = State::Ended;
    }

    /// Answers by a status, and gives the connection back to HTTP.
    pub(crate) fn refuse(&mut self, mut response: Response, cx: &mut SessionCx<'_>) {
        if let State::Asked(fields) = &mut self.state {
            response.fields.append(fields);
        }
        self.state = State::Ended;
        let leftover = std::mem::take(&mut self.leftover);
        cx.hand_back(self.answering, Some(response), leftover);
    }

    /// Gives the connection back to HTTP behind the end of the response.
    pub(crate) fn hand_back(&mut self, cx: &mut SessionCx<'_>) {
        let leftover = std::mem::take(&mut self.leftover);
        cx.hand_back(self.answering, None, leftover);
    }

    /// Keeps what the client sends behind its request.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Result<(), Disconnect> {
        if self.leftover.len() + bytes.len() > LEFTOVER {
            return Err(Disconnect::Protocol(
                "too much was sent while the stream ran",
            ));
        }
        self.leftover.extend_from_slice(bytes);
        Ok(())
    }
}
