//! What the application implements: a request in, a reply out.
//!
//! A service never touches channels itself. It replies with a [`Query`] and a continuation, and
//! the engine calls that with the answer: in the same turn while everything is in memory, later
//! if somebody else had to be asked. The service cannot tell.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{Request, Response};

use crate::directory::Directory;
use crate::effect::Effect;
use crate::ids::ConnId;
use crate::limits::Limits;
use crate::plugin::access::{Access, NoAccess};
use crate::plugin::transport::{Opening, Session, SessionCx, Transport};
use crate::routing::Routing;
use crate::time::Moment;

pub use crate::channel::Idempotency;
pub use crate::plugin::query::{Answer, NO_KEY, Query, Submission};

/// The application behind HTTP. One value per reactor.
pub trait Service {
    /// Answers one request. `body` is whole and within its limit.
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply;

    /// Gives the answer to a request that could not be read or timed out; the connection closes
    /// after it.
    fn refuse(&mut self, unread: &Unread<'_>, cx: &mut ServiceCx<'_>) -> Response;

    /// Its verdicts on what clients of a protocol with commands may do; none: nothing.
    fn access(&mut self) -> Option<&mut dyn Access> {
        None
    }

    /// What the service wants of the engine by itself. It is asked once in each turn in which
    /// [`wish_at`](Self::wish_at) names a moment, come or not, or in which the server drains.
    /// Nobody tells it the answer.
    fn wish(&mut self, _cx: &mut WishCx<'_>) -> Option<Query> {
        None
    }

    /// When it has a wish at the latest, even if nothing else happens until then.
    fn wish_at(&self) -> Option<Moment> {
        None
    }

    /// `SIGHUP`: reads the configuration again. Nothing, if it is broken (and reported).
    fn reload(&mut self) -> Option<Arc<Routing>> {
        None
    }
}

/// A request that could not be read, or not to its end.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a> {
    /// Its head, where that much could be read; without fields where no more than its first line.
    pub head: Option<&'a Request>,
    /// The status of the answer.
    pub status: u16,
    /// A word of the README's list, such as `invalid_request`.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: &'a str,
}

/// What a service may know and draw when it is asked for a wish.
pub struct WishCx<'a> {
    /// The reactor's clock.
    pub now: Moment,
    /// Is the server stopping? Then it starts nothing new, and [`Service::wish_at`] is not asked.
    pub draining: bool,
    pub(crate) random: &'a mut dyn FnMut(&mut [u8]),
}

impl<'a> WishCx<'a> {
    /// A context for a service without an engine. `random` fills with random bytes.
    pub fn new(now: Moment, draining: bool, random: &'a mut dyn FnMut(&mut [u8])) -> Self {
        Self {
            now,
            draining,
            random,
        }
    }

    /// Fills `out` with random bytes fit for secrets.
    pub fn random(&mut self, out: &mut [u8]) {
        (self.random)(out);
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
    pub(crate) session: Parts<'a>,
}

impl ServiceCx<'_> {
    /// Fills `out` with random bytes fit for secrets.
    pub fn random(&mut self, out: &mut [u8]) {
        (self.session.random)(out);
    }

    /// Lets a transport answer the request: with a session, or with its refusal.
    pub fn open(&mut self, transport: &dyn Transport, opening: Opening<'_>) -> Reply {
        self.open_client(transport, opening, &mut NoAccess::default())
    }

    /// The same for a transport that asks for verdicts when it opens a session.
    pub fn open_client(
        &mut self,
        transport: &dyn Transport,
        opening: Opening<'_>,
        access: &mut dyn Access,
    ) -> Reply {
        let parts = &mut self.session;
        let mut cx = SessionCx {
            now: self.now,
            unix_time: self.unix_time,
            limits: parts.limits,
            unsent: !parts.out.is_empty(),
            blocked: false,
            answering: parts.answering,
            conn: parts.conn,
            out: &mut *parts.out,
            agenda: &mut *parts.agenda,
            random: &mut *parts.random,
            access,
            directory: parts.directory,
        };
        match transport.open(opening, &mut cx) {
            Ok(session) => Reply::Session(session),
            Err(response) => Reply::Response(response),
        }
    }
}

/// What a session's context is made of, but for the verdicts, which the service gives.
pub(crate) struct Parts<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) answering: Answering,
    pub(crate) conn: ConnId,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) agenda: &'a mut Vec<Effect>,
    pub(crate) random: &'a mut dyn FnMut(&mut [u8]),
    pub(crate) directory: &'a Directory,
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
