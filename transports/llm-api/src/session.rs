//! One client and its answer: told while it comes, or whole at its end.
//!
//! ```text
//!            first content ┌─────────┐ ended, snapshots asked for
//!   ┌───────┐ ───────────► │ Flowing │ ───────────────────────────┐
//!   │ Quiet │  heartbeat   └─────────┘                            ▼
//!   │       │ ── error first, or the whole answer at its end ──► Over ──► HTTP goes on
//!   └───────┘
//! ```
//!
//! The cursors of a stream are gated until the first event with something to say, so that nothing
//! is written before it is known whether the answer is one. After `heartbeat` of silence the head
//! is written all the same, so that nobody between here and the client takes it for dead.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{Framing, LAST_CHUNK, Response, StreamHead, Version, write_field};
use lmserver_runtime::channel::{Backlog, Placement, Snapshot};
use lmserver_runtime::event::{After, ErrorCode, Failure, Kind};
use lmserver_runtime::plugin::query::{Answer, Query};
use lmserver_runtime::plugin::transport::{
    Disconnect, Encoder, Encoding, Entry, Gate, Leftover, Lost, Opening, Session, SessionCx,
    Subscription, Transport,
};
use lmserver_runtime::time::Moment;

use crate::dialect::{About, Telling};
use crate::sse::{SILENT, framed};

/// Tells one answer to one client.
pub struct Teller {
    /// How.
    pub telling: Arc<dyn Telling>,
    /// The model as it was asked for.
    pub model: Box<str>,
    /// The channels of the answers, at least one.
    pub channels: Vec<Box<str>>,
    /// While it comes, or whole at its end?
    pub is_stream: bool,
    /// Only what stands behind this sequence number: the client has had the rest.
    pub after: Option<u64>,
}

impl Transport for Teller {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let version = cx.answering.version;
        let encoding: &'static dyn Encoding = if self.is_stream {
            self.telling.encoding(version)
        } else {
            &SILENT
        };
        for channel in &self.channels {
            cx.subscribe(Subscription {
                channel,
                after: After::Beginning,
                encoding,
                create: None,
                gated: self.is_stream,
                lost: Lost::Oldest,
            });
        }
        let about = About {
            channel: self.channels.first().map_or("", |it| it),
            model: &self.model,
        };
        let mut fields = opening.fields;
        self.telling.fields(&about, &mut fields);
        let fields = if self.is_stream {
            let now = cx.unix_time.as_secs();
            Fields::of_stream(&fields, self.telling.content_type(), version, now)
        } else {
            Fields::Whole(write_fields(&fields))
        };
        Ok(Box::new(Client {
            answering: cx.answering,
            telling: Arc::clone(&self.telling),
            model: self.model.clone(),
            answers: self.channels.iter().cloned().map(Told::new).collect(),
            state: State::Quiet(fields),
            untold: Vec::new(),
            is_stream: self.is_stream,
            rest: self
                .after
                .filter(|_| self.is_stream)
                .and_then(|after| Rest::behind(&*self.telling, version, after)),
            began: cx.now,
            last_beat: cx.now,
            heartbeat: cx.limits.heartbeat,
            leftover: Leftover::default(),
        }))
    }
}

/// One client.
struct Client {
    answering: Answering,
    telling: Arc<dyn Telling>,
    model: Box<str>,
    answers: Vec<Told>,
    state: State,
    /// The terminal event of an answer that failed before anything was written. Another answer may
    /// begin the stream before this one's end is known.
    untold: Vec<u8>,
    is_stream: bool,
    /// For a client that has had the beginning.
    rest: Option<Box<Rest>>,
    began: Moment,
    /// When it was last said that the stream lives.
    last_beat: Moment,
    heartbeat: Duration,
    /// What the client sent behind its request.
    leftover: Leftover,
}

enum State {
    /// Nothing is written; these fields are for the head.
    Quiet(Fields),
    /// The head is written.
    Flowing,
    /// Nothing more is written.
    Over,
}

/// The fields of a head that is to leave as soon as there is something to say. They are written
/// while the provider thinks, so that its first word waits for nothing.
enum Fields {
    /// Of a whole answer.
    Whole(Vec<u8>),
    /// Of a stream; of a whole answer, should there be nothing but a failure.
    Stream {
        head: StreamHead,
        /// Bytes of the fields that both have.
        common_bytes: usize,
    },
}

impl Fields {
    fn of_stream(
        common: &[(Cow<'static, str>, String)],
        content_type: &str,
        version: Version,
        unix_seconds: u64,
    ) -> Self {
        let mut fields = write_fields(common);
        let common_bytes = fields.len();
        write_field(&mut fields, "Content-Type", content_type.as_bytes());
        fields.extend_from_slice(STREAM_FIELDS);
        Self::Stream {
            head: StreamHead::new(version, 200, &fields, unix_seconds),
            common_bytes,
        }
    }

    /// For the head of an answer that is whole.
    fn into_whole(self) -> Vec<u8> {
        match self {
            Self::Whole(fields) => fields,
            Self::Stream { head, common_bytes } => {
                let mut fields = head.into_fields();
                fields.truncate(common_bytes);
                fields
            }
        }
    }
}

/// The lines of fields, with room for those of a stream.
fn write_fields(fields: &[(Cow<'static, str>, String)]) -> Vec<u8> {
    let sizes = fields.iter().map(|(name, value)| name.len() + value.len());
    let size = sizes.map(|size| size + 4).sum::<usize>();
    let mut bytes = Vec::with_capacity(size + ROOM);
    for (name, value) in fields {
        write_field(&mut bytes, name, value.as_bytes());
    }
    bytes
}

/// What every stream's head has: nobody between here and the client keeps it or holds it back.
const STREAM_FIELDS: &[u8] = b"Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n";

/// Bytes of the fields that only a stream has.
const ROOM: usize = 128;

/// One of the answers.
struct Told {
    channel: Box<str>,
    /// What it came to, where there are others to wait for.
    outcome: Option<Snapshot>,
}

impl Told {
    fn new(channel: Box<str>) -> Self {
        Self {
            channel,
            outcome: None,
        }
    }
}

impl Client {
    fn about(&self) -> About<'_> {
        About {
            channel: self.answers.first().map_or("", |it| &it.channel),
            model: &self.model,
        }
    }

    /// The field that says how long it took until the head.
    fn elapsed(&self, now: Moment) -> Option<(&'static str, u64)> {
        let name = self.telling.elapsed_field()?;
        let elapsed = now.since(self.began).as_millis();
        Some((name, u64::try_from(elapsed).unwrap_or(u64::MAX)))
    }

    /// Writes the head of a stream. False: that is all (the request was `HEAD`).
    fn begin(&mut self, cx: &mut SessionCx<'_>) -> bool {
        let mut head = match std::mem::replace(&mut self.state, State::Flowing) {
            State::Quiet(Fields::Stream { head, .. }) => head,
            other => {
                debug_assert!(false, "only a stream begins, and once");
                self.state = other;
                return true;
            }
        };
        if let Some((name, milliseconds)) = self.elapsed(cx.now) {
            head.push_number(name, milliseconds);
        }
        let now = cx.unix_time.as_secs();
        let framing = head.leave(&mut self.answering, now, cx.out());
        matches!(framing, Framing::Chunked | Framing::UntilClose)
    }

    /// Ends the stream; the connection goes back to HTTP.
    fn end(&mut self, cx: &mut SessionCx<'_>) {
        self.close_body(cx);
        let leftover = self.leftover.take();
        cx.hand_back(self.answering, None, leftover);
    }

    fn close_body(&mut self, cx: &mut SessionCx<'_>) {
        if matches!(self.state, State::Flowing) && self.is_chunked() {
            cx.out().extend_from_slice(LAST_CHUNK);
        }
        self.state = State::Over;
    }

    /// Answers with a whole response.
    fn respond(&mut self, mut response: Response, cx: &mut SessionCx<'_>) {
        if let State::Quiet(fields) = std::mem::replace(&mut self.state, State::Over) {
            response.lines = fields.into_whole();
            if let Some((name, milliseconds)) = self.elapsed(cx.now) {
                let value = milliseconds.to_string();
                write_field(&mut response.lines, name, value.as_bytes());
            }
        }
        let leftover = self.leftover.take();
        cx.hand_back(self.answering, Some(response), leftover);
    }

    fn fail(&mut self, code: ErrorCode, message: &str, cx: &mut SessionCx<'_>) {
        let failure = Failure::new(code, message);
        match self.state {
            State::Quiet(_) => {
                let response = self.telling.failure(&failure);
                self.respond(response, cx);
            }
            State::Flowing => self.end(cx),
            State::Over => {}
        }
    }

    /// Keeps a failure that is to be an HTTP error, if no other answer begins the stream first.
    fn put_off(&mut self, entry: &Entry<'_>) {
        self.untold.clear();
        if self.answers.len() > 1 {
            let encoding = self.telling.encoding(self.answering.version);
            match encoding.encoder() {
                Some(mut encoder) => encoder.encode(entry, &mut self.untold),
                None => encoding.encode(entry, &mut self.untold),
            }
        }
    }

    fn is_chunked(&self) -> bool {
        self.answering.version == Version::Http11
    }

    /// An answer has come to its end.
    fn take_outcome(&mut self, index: usize, outcome: &Snapshot, cx: &mut SessionCx<'_>) {
        if let Some(failure) = &outcome.error
            && !self.telling.tells_failures()
        {
            return match self.state {
                State::Quiet(_) => {
                    let response = self.telling.failure(failure);
                    self.respond(response, cx);
                }
                // Its terminal event has said so, or says it now.
                State::Flowing => {
                    cx.out().append(&mut self.untold);
                    self.end(cx);
                }
                State::Over => {}
            };
        }
        if self.answers.len() == 1 {
            return self.finish(&[outcome], cx);
        }
        if let Some(told) = self.answers.get_mut(index) {
            told.outcome = Some(outcome.clone());
        }
        let answers = std::mem::take(&mut self.answers);
        let outcomes: Option<Vec<_>> = answers.iter().map(|it| it.outcome.as_ref()).collect();
        let channel = answers.first().map(|it| Told::new(it.channel.clone()));
        if let Some(outcomes) = outcomes {
            self.answers.extend(channel);
            self.finish(&outcomes, cx);
        } else {
            self.answers = answers;
        }
    }

    /// All answers have come to their ends.
    fn finish(&mut self, outcomes: &[&Snapshot], cx: &mut SessionCx<'_>) {
        if self.is_stream {
            let chunked = self.is_chunked();
            if !matches!(self.state, State::Over) {
                let (telling, about) = (&self.telling, self.about());
                framed(chunked, cx.out(), |out| telling.end(outcomes, &about, out));
            }
            return self.end(cx);
        }
        let body = self.telling.whole(outcomes, &self.about());
        let response = Response::json(200, body).with_field("Cache-Control", "no-store");
        self.respond(response, cx);
    }
}

/// What a client that comes back has not had: the rest of the event that it stopped in, and all
/// behind it.
struct Rest {
    /// Leaves out what the client has had.
    behind: Box<dyn Encoder>,
    whole: Box<dyn Encoder>,
    /// What the client has not had of the last event.
    unread: Vec<u8>,
}

impl Rest {
    fn behind(telling: &dyn Telling, version: Version, after: u64) -> Option<Box<Self>> {
        Some(Box::new(Self {
            behind: telling.resumed(version, after)?,
            whole: telling.encoding(version).encoder()?,
            unread: Vec::new(),
        }))
    }

    /// Has the client had an event, all of it, or a part?
    fn judge(&mut self, entry: &Entry<'_>) -> Gate {
        let mut whole = Vec::new();
        self.unread.clear();
        self.behind.encode(entry, &mut self.unread);
        self.whole.encode(entry, &mut whole);
        if self.unread.is_empty() {
            Gate::Skip
        } else if self.unread == whole {
            Gate::Open
        } else {
            Gate::Replaced
        }
    }
}

impl Session for Client {
    fn receive(&mut self, bytes: &[u8], _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.leftover.keep(bytes, &mut self.answering);
        Ok(())
    }

    fn placed(
        &mut self,
        _channel: &str,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match placement {
            Placement::Placed { .. } => {
                let begins = self.rest.is_some() && matches!(self.state, State::Quiet(_));
                if begins && !self.begin(cx) {
                    self.state = State::Over;
                    self.end(cx);
                }
                // The first event has no bytes, so that its gate is never asked about.
                if let Some(rest) = &mut self.rest
                    && let Some(start) = backlog.next()
                {
                    rest.judge(&start);
                }
            }
            Placement::Busy => self.fail(
                ErrorCode::ProviderOverloaded,
                "the server has no room for another listener; try again soon",
                cx,
            ),
            Placement::Finished(_) | Placement::Gone | Placement::Unknown | Placement::Expired => {
                self.fail(ErrorCode::Gone, "the answer is no longer kept", cx);
            }
        }
        Ok(())
    }

    fn gate(&mut self, _channel: &str, entry: &Entry<'_>, cx: &mut SessionCx<'_>) -> Gate {
        match self.state {
            State::Quiet(_) if entry.kind == Kind::Error && !self.telling.tells_failures() => {
                self.put_off(entry);
                Gate::Skip
            }
            State::Quiet(_) => {
                if self.begin(cx) {
                    return Gate::Open;
                }
                self.state = State::Over;
                self.end(cx);
                Gate::Skip
            }
            State::Flowing => {
                let Some(rest) = &mut self.rest else {
                    return Gate::Open;
                };
                let gate = rest.judge(entry);
                if gate == Gate::Replaced {
                    cx.out().extend_from_slice(&rest.unread);
                }
                if gate != Gate::Skip {
                    self.rest = None;
                }
                gate
            }
            State::Over => Gate::Skip,
        }
    }

    fn ended(&mut self, channel: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let index = self.answers.iter().position(|it| *it.channel == *channel);
        if let (Some(index), State::Quiet(_) | State::Flowing) = (index, &self.state) {
            cx.ask(Query::Snapshot(channel.into()), index as u64);
        }
        Ok(())
    }

    fn answered(
        &mut self,
        tag: u64,
        answer: Answer<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match answer {
            Answer::Snapshot(outcome, _) => {
                self.take_outcome(usize::try_from(tag).unwrap_or(usize::MAX), outcome, cx);
            }
            _ => self.fail(ErrorCode::Gone, "the answer is no longer kept", cx),
        }
        Ok(())
    }

    fn deadline(&self, last_write: Moment) -> Option<Moment> {
        let beats = self.is_stream && !matches!(self.state, State::Over);
        beats.then(|| last_write.max(self.last_beat) + self.heartbeat)
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.last_beat = cx.now;
        if cx.unsent {
            // To a reader that is behind, what it has not read is sign enough, and comes first.
            return Ok(());
        }
        if matches!(self.state, State::Quiet(_)) && !self.begin(cx) {
            self.state = State::Over;
            self.end(cx);
        }
        if matches!(self.state, State::Flowing) {
            let telling = &self.telling;
            let chunked = self.is_chunked();
            framed(chunked, cx.out(), |out| telling.heartbeat(out));
        }
        Ok(())
    }

    fn farewell(&mut self, why: &Disconnect, cx: &mut SessionCx<'_>) {
        if *why == Disconnect::Shutdown {
            self.close_body(cx);
        }
    }
}
