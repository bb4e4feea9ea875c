//! The response that carries a session over HTTP: its head, what is said in it, its end.
//!
//! The head is written with the first message, so that a connection which must be refused as busy
//! still can be, by a status.

use std::borrow::Cow;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{LAST_CHUNK, Response, Version};
use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};

/// Bytes that a client may send behind its request while the stream runs.
const LEFTOVER: usize = 16 * 1024;

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
    /// Server-sent events.
    Events,
    /// Messages, one behind the other.
    Messages,
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
        if self.kind == Kind::Events {
            response = response.with_field("Content-Type", "text/event-stream; charset=utf-8");
        }
        response.fields.append(fields);
        let date = cx.date();
        self.answering.begin_stream(&response, &date, cx.out());
        self.state = State::Begun;
        if self.kind == Kind::Events {
            // An empty line says nothing, and takes the head through proxies.
            match self.answering.version {
                Version::Http11 => cx.out().extend_from_slice(b"2\r\n\r\n\r\n"),
                Version::Http10 => cx.out().extend_from_slice(b"\r\n"),
            }
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
