//! One subscriber: the head, what stands before the first event, heartbeats, the end.

use std::borrow::Cow;
use std::time::Duration;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{Framing, LAST_CHUNK, Response, Version, write_chunk_in_place};
use lmserver_proto::sse::encode;
use lmserver_runtime::channel::{Backlog, Placement, ResetReason};
use lmserver_runtime::event::{ErrorCode, Event, Failure, Position, write_json_string};
use lmserver_runtime::plugin::transport::{
    Disconnect, Entry, Gate, Leftover, Notice, Session, SessionCx,
};
use lmserver_runtime::time::Moment;

use crate::error;

/// How long a client waits before it comes back, in milliseconds.
const RETRY: u64 = 1000;

/// Between which bounds a client that cannot be served now waits.
const BUSY_RETRY: (Duration, Duration) = (Duration::from_millis(1000), Duration::from_millis(5000));

/// One subscriber.
pub(crate) struct Subscriber {
    answering: Answering,
    state: State,
    /// When it was last said that the stream lives.
    last_beat: Moment,
    heartbeat_millis: u32,
    /// What the client sent behind its request.
    leftover: Leftover,
}

enum State {
    /// The subscription is asked for; these fields are for the head.
    Asking(Vec<(Cow<'static, str>, String)>),
    /// The head is written; nothing of an event is.
    Waiting,
    /// Events flow.
    Flowing,
    /// Nothing more is written.
    Over,
}

impl Subscriber {
    pub(crate) fn new(fields: Vec<(Cow<'static, str>, String)>, cx: &SessionCx<'_>) -> Self {
        let heartbeat = cx.limits.heartbeat.as_millis();
        Self {
            answering: cx.answering,
            state: State::Asking(fields),
            last_beat: cx.now,
            heartbeat_millis: u32::try_from(heartbeat).unwrap_or(u32::MAX),
            leftover: Leftover::default(),
        }
    }

    /// Writes the head. False: that is all (the request was `HEAD`).
    fn begin(&mut self, cx: &mut SessionCx<'_>) -> bool {
        let mut response = Response::empty(200)
            .with_field("Content-Type", "text/event-stream")
            .with_field("Cache-Control", "no-store, no-transform")
            .with_field("X-Accel-Buffering", "no");
        response.fields.extend(self.take_fields());
        let date = cx.date();
        let framing = self.answering.begin_stream(&response, &date, cx.out());
        self.state = State::Waiting;
        matches!(framing, Framing::Chunked | Framing::UntilClose)
    }

    /// Writes bytes of its own in the response's framing.
    fn say(&self, cx: &mut SessionCx<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        match self.answering.version {
            Version::Http11 => write_chunk_in_place(cx.out(), write),
            Version::Http10 => write(cx.out()),
        }
    }

    /// Ends the stream; the connection goes back to HTTP.
    fn end(&mut self, cx: &mut SessionCx<'_>) {
        self.close_body(cx);
        let leftover = self.leftover.take();
        cx.hand_back(self.answering, None, leftover);
    }

    fn close_body(&mut self, cx: &mut SessionCx<'_>) {
        let body_open = matches!(self.state, State::Waiting | State::Flowing);
        if body_open && self.answering.version == Version::Http11 {
            cx.out().extend_from_slice(LAST_CHUNK);
        }
        self.state = State::Over;
    }

    /// Answers with a whole response instead of a stream.
    fn refuse(&mut self, mut response: Response, cx: &mut SessionCx<'_>) {
        response.fields.extend(self.take_fields());
        self.state = State::Over;
        let leftover = self.leftover.take();
        cx.hand_back(self.answering, Some(response), leftover);
    }

    fn take_fields(&mut self) -> Vec<(Cow<'static, str>, String)> {
        match &mut self.state {
            State::Asking(fields) => std::mem::take(fields),
            State::Waiting | State::Flowing | State::Over => Vec::new(),
        }
    }

    fn say_reset(&mut self, position: Position, reason: ResetReason, cx: &mut SessionCx<'_>) {
        let first = matches!(self.state, State::Waiting);
        self.state = State::Flowing;
        let mut json = br#"{"type":"reset","message":"","reason":"#.to_vec();
        write_json_string(&reason.to_string(), &mut json);
        json.push(b'}');
        let id = Position {
            offset: 0,
            ..position
        };
        self.say(cx, |out| {
            if first {
                encode::retry(RETRY, out);
            }
            encode::event_of_one_line(Some(&id), &[&json], out);
        });
    }

    /// A publication without a place in the history has no id.
    fn say_fleeting(&mut self, json: &[u8], cx: &mut SessionCx<'_>) {
        let first = matches!(self.state, State::Waiting);
        if !first && !matches!(self.state, State::Flowing) {
            return;
        }
        self.state = State::Flowing;
        self.say(cx, |out| {
            if first {
                encode::retry(RETRY, out);
            }
            encode::event_of_one_line(None, &[json], out);
        });
    }

    fn say_gone(&self, cx: &mut SessionCx<'_>) {
        let mut json = Vec::new();
        let failure = Failure::new(
            ErrorCode::Gone,
            "the answer is no longer kept by the server",
        );
        Event::Error(Box::new(failure)).write_json(&mut json);
        self.say(cx, |out| {
            encode::retry(RETRY, out);
            encode::event_of_one_line(Some(&"gone-0"), &[&json], out);
        });
    }
}

impl Session for Subscriber {
    fn receive(&mut self, bytes: &[u8], _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.leftover.keep(bytes, &mut self.answering);
        Ok(())
    }

    fn placed(
        &mut self,
        channel: &str,
        placement: &Placement,
        _backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match placement {
            Placement::Finished(_) => self.refuse(Response::empty(204), cx),
            Placement::Unknown => {
                let message = format!("there is no channel {channel:?}");
                self.refuse(error(404, "not_found", &message), cx);
            }
            Placement::Expired => {
                let message = format!("the channel {channel:?} is no longer kept");
                self.refuse(error(410, "gone", &message), cx);
            }
            Placement::Placed {
                position, reset, ..
            } => {
                if !self.begin(cx) {
                    self.end_head_only(cx);
                } else if let Some(reason) = reset {
                    self.say_reset(*position, *reason, cx);
                }
            }
            Placement::Gone => {
                if self.begin(cx) {
                    self.say_gone(cx);
                    self.end(cx);
                } else {
                    self.end_head_only(cx);
                }
            }
            Placement::Busy => {
                if self.begin(cx) {
                    let wait = cx.jitter(BUSY_RETRY.0, BUSY_RETRY.1).as_millis();
                    let wait = u64::try_from(wait).unwrap_or(RETRY);
                    self.say(cx, |out| encode::retry(wait, out));
                    self.end(cx);
                } else {
                    self.end_head_only(cx);
                }
            }
        }
        Ok(())
    }

    fn gate(&mut self, _channel: &str, _entry: &Entry<'_>, cx: &mut SessionCx<'_>) -> Gate {
        if matches!(self.state, State::Waiting) {
            self.state = State::Flowing;
            self.say(cx, |out| encode::retry(RETRY, out));
        }
        Gate::Open
    }

    fn noticed(
        &mut self,
        _channel: &str,
        notice: &Notice,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if let Notice::Fleeting { data, .. } = notice {
            self.say_fleeting(data, cx);
        }
        Ok(())
    }

    fn ended(&mut self, _channel: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.end(cx);
        Ok(())
    }

    fn lagged(
        &mut self,
        _channel: &str,
        oldest: Position,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        self.say_reset(oldest, ResetReason::Trimmed, cx);
        Ok(())
    }

    fn deadline(&self, last_write: Moment) -> Option<Moment> {
        let quiet_since = last_write.max(self.last_beat);
        Some(quiet_since + Duration::from_millis(u64::from(self.heartbeat_millis)))
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.last_beat = cx.now;
        // To a reader that is behind, what it has not read is sign enough, and comes first.
        if !cx.unsent {
            self.say(cx, |out| encode::comment("hb", out));
        }
        Ok(())
    }

    fn farewell(&mut self, why: &Disconnect, cx: &mut SessionCx<'_>) {
        if *why == Disconnect::Shutdown {
            self.close_body(cx);
        }
    }
}

impl Subscriber {
    /// `HEAD` has been answered by the head alone.
    fn end_head_only(&mut self, cx: &mut SessionCx<'_>) {
        self.state = State::Over;
        self.end(cx);
    }
}
