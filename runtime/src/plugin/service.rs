//! What the application implements: a request in, a reply out.
//!
//! A service never touches channels itself. It replies with a [`Query`] and a continuation, and
//! the engine calls that with the answer: in the same turn while everything is in memory, later
//! if somebody else had to be asked. The service cannot tell.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::{Request, Response};

use crate::channel::{Published, Snapshot};
use crate::event::Position;
use crate::metrics::Metrics;
use crate::plugin::provider::ChatRequest;
use crate::plugin::transport::{Opening, Session, SessionCx, Transport};
use crate::routing::{Plan, Routing};
use crate::time::Moment;

pub use crate::channel::Idempotency;

/// The application behind HTTP. One value per reactor.
pub trait Service {
    /// Answers one request. `body` is whole and within its limit.
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply;

    /// Gives the answer to a request that could not be read or timed out; the connection closes
    /// after it. `code` is a word of the README's list, such as `invalid_request`.
    fn refuse(&mut self, status: u16, code: &'static str, message: &str) -> Response;

    /// `SIGHUP`: reads the configuration again. Nothing, if it is broken (and reported).
    fn reload(&mut self) -> Option<Arc<Routing>> {
        None
    }
}

/// What a service may know and draw while it answers.
pub struct ServiceCx<'a> {
    /// The reactor's clock.
    pub now: Moment,
    /// The wall clock, as time since 1970.
    pub unix_time: Duration,
    /// The providers and models of this moment.
    pub routing: &'a Arc<Routing>,
    /// Is the server stopping?
    pub draining: bool,
    /// Are there more connections than the limit?
    pub full: bool,
    /// The peer's address, for the log; none for a Unix socket.
    pub peer: Option<IpAddr>,
    pub(crate) session: SessionCx<'a>,
}

impl ServiceCx<'_> {
    /// Fills `out` with random bytes fit for secrets.
    pub fn random(&mut self, out: &mut [u8]) {
        (self.session.random)(out);
    }

    /// Lets a transport answer the request: with a session, or with its refusal.
    pub fn open(&mut self, transport: &dyn Transport, opening: Opening<'_>) -> Reply {
        match transport.open(opening, &mut self.session) {
            Ok(session) => Reply::Session(session),
            Err(response) => Reply::Response(response),
        }
    }
}

/// What becomes of a request.
pub enum Reply {
    /// A whole response.
    Response(Response),
    /// The connection becomes a session of a transport; it writes its own head.
    Session(Box<dyn Session>),
    /// The response depends on the engine.
    Ask(Query, Continuation),
}

/// What a service does with an answer.
pub type Continuation = Box<dyn FnOnce(Answer<'_>, &mut ServiceCx<'_>) -> Reply>;

/// A question or a wish to the engine.
pub enum Query {
    /// Create a channel and start a run in it.
    Submit(Box<Submission>),
    /// The state of a chat channel.
    Snapshot(Box<str>),
    /// End the run of a chat channel.
    Cancel(Box<str>),
    /// Append a document to an open channel, creating it if need be.
    Publish {
        /// Its name.
        channel: Box<str>,
        /// One JSON document, without raw line breaks.
        data: Box<[u8]>,
    },
    /// The counters.
    Metrics,
}

/// A chat that is to begin.
pub struct Submission {
    /// The name of the channel to create, unguessable.
    pub channel: Box<str>,
    /// The model's name as the client gave it, for the `start` event.
    pub model: Box<str>,
    /// The question.
    pub request: ChatRequest,
    /// How large the question is: it counts towards the bounds on memory while it is being
    /// answered, twice, since a copy is on its way to the provider.
    pub request_bytes: usize,
    /// The targets in order.
    pub plan: Plan,
    /// Makes a repetition find the first channel.
    pub idempotency: Option<Idempotency>,
}

/// The engine's answer to a [`Query`].
pub enum Answer<'a> {
    /// The chat has begun in this channel, now or by an earlier request of the same key.
    Submitted {
        /// Its name.
        channel: &'a str,
        /// Was it there already?
        repeated: bool,
    },
    /// The idempotency key was used with another body.
    Conflict,
    /// There is no room for another channel.
    Overloaded,
    /// The server is stopping.
    Draining,
    /// The state of a chat channel.
    Snapshot(&'a Snapshot, Position),
    /// The run was ended by this query, or had ended before.
    Cancelled {
        /// Was there still something to cancel?
        running: bool,
    },
    /// The document has its place.
    Published(Published),
    /// The document is larger than a channel may hold.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// No such channel.
    Unknown,
    /// The channel is forgotten, but was there.
    Expired,
    /// The counters.
    Metrics(&'a Metrics),
}
