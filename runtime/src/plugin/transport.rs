//! What a transport plugin implements: a factory of sessions, a session per client, an encoding.
//!
//! ```text
//!   Transport::open(opening, cx) ──► Box<dyn Session>      cx.subscribe(…) asked for in open
//!                Session::placed(channel, placement)        write the head, or the refusal
//!                Session::preface(channel)                  just before the first event's bytes
//!   log bytes of the Encoding go to the socket without the session
//!                Session::ended(channel)                    the terminal event is written in full
//! ```
//!
//! A session writes its own bytes with [`SessionCx::out`]. They never land inside an event. It
//! asks for everything else as an effect, which the reactor carries out after the callback.

use std::borrow::Cow;
use std::time::Duration;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{Request, Response, imf_fixdate};

use crate::channel::Placement;
use crate::effect::Effect;
use crate::event::{After, Position};
use crate::ids::ConnId;
use crate::limits::Limits;
use crate::time::Moment;

pub use crate::encoding::{Encoding, Entry};

/// Opens sessions. One value per kind of transport, shared.
pub trait Transport: Send + Sync {
    /// Answers a request that wants to listen. Refusals are written by the session too (a
    /// WebSocket refuses after its handshake), so opening fails only where the request is no
    /// proper request of this transport.
    ///
    /// # Errors
    ///
    /// The response to such a request: 400, 405, 426.
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response>;
}

/// A request to listen, judged by the application.
pub struct Opening<'a> {
    /// The request.
    pub request: &'a Request,
    /// The channel's name; empty if the request names none.
    pub channel: &'a str,
    /// From where to read.
    pub after: After,
    /// May this client listen?
    pub admission: Admission,
    /// May it cancel the answer?
    pub may_cancel: bool,
    /// May the channel be created by listening to it?
    pub may_create: bool,
    /// Header fields for the response: CORS, `X-Channel-Id`.
    pub fields: Vec<(Cow<'static, str>, String)>,
}

/// The application's verdict on a request to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// 401: no credentials, or wrong ones. With the sentence that says what would be right.
    Unauthorized(String),
    /// 403: the credentials are not for this channel.
    Forbidden(String),
}

/// One client's protocol state.
pub trait Session {
    /// Takes bytes of the client, cut anywhere.
    ///
    /// # Errors
    ///
    /// Why the connection must end; last words are already in `cx.out()`.
    fn receive(&mut self, bytes: &[u8], cx: &mut SessionCx<'_>) -> Result<(), Disconnect>;

    /// The client has closed its side. By default that ends the connection.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn closed(&mut self, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Err(Disconnect::PeerClosed)
    }

    /// The outcome of a subscription that was asked for.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn placed(
        &mut self,
        channel: &str,
        placement: &Placement,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect>;

    /// The first log bytes of this subscription are about to be written: says what must stand
    /// directly before them. Called at most once a subscription.
    fn preface(&mut self, _channel: &str, _cx: &mut SessionCx<'_>) {}

    /// The terminal event has been written in full, and nothing follows.
    ///
    /// # Errors
    ///
    /// Why the connection must end, usually [`Disconnect::Done`].
    fn ended(&mut self, channel: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect>;

    /// The channel no longer holds what comes next for this subscriber. The subscription has been
    /// moved to the oldest event kept, `oldest`; say so, or leave.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn lagged(
        &mut self,
        _channel: &str,
        _oldest: Position,
        _cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        Err(Disconnect::Slow)
    }

    /// When [`expire`](Self::expire) is to be called. `last_write` is when anything was last
    /// written to the client.
    fn deadline(&self, last_write: Moment) -> Option<Moment>;

    /// The deadline has come.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect>;

    /// The engine ends the connection: the place for last words, such as a close frame or the
    /// last chunk. They are written if the socket still takes them.
    fn farewell(&mut self, _why: &Disconnect, _cx: &mut SessionCx<'_>) {}
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// Everything is said; what is unsent is flushed, then the connection closes.
    #[error("done")]
    Done,
    /// The peer closed.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The peer took nothing for the write timeout.
    #[error("the peer took nothing within the write timeout")]
    Slow,
    /// The peer did not answer a sign of life.
    #[error("the peer did not answer")]
    Unresponsive,
    /// The peer broke the protocol; the text says how.
    #[error("{0}")]
    Protocol(&'static str),
    /// The server stops.
    #[error("the server stops")]
    Shutdown,
    /// A defect of this server.
    #[error("internal error")]
    Internal,
}

/// What a session may see and ask for during one callback.
pub struct SessionCx<'a> {
    /// The reactor's clock.
    pub now: Moment,
    /// The wall clock in whole seconds since 1970, for `Date`.
    pub unix_seconds: u64,
    /// The bounds of connections.
    pub limits: &'a Limits,
    /// Is something of this connection unsent (its own bytes, or events)? A heartbeat is only
    /// said where nothing is.
    pub unsent: bool,
    /// What HTTP must know to answer the request that opens a session. Of meaning in
    /// [`Transport::open`] only; a session that answers by a stream of HTTP keeps it.
    pub answering: Answering,
    pub(crate) conn: ConnId,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) agenda: &'a mut Vec<Effect>,
    pub(crate) random: &'a mut dyn FnMut(&mut [u8]),
}

impl SessionCx<'_> {
    /// The connection's own output. It is bounded: a session only answers, it does not stream.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Asks for a subscription; the answer is a call of [`Session::placed`].
    pub fn subscribe(
        &mut self,
        channel: &str,
        after: After,
        encoding: &'static dyn Encoding,
        may_create: bool,
    ) {
        self.agenda.push(Effect::Subscribe {
            conn: self.conn,
            channel: channel.into(),
            after,
            encoding,
            may_create,
        });
    }

    /// Asks that the answer of a channel be ended. It is fine if it has ended already.
    pub fn cancel(&mut self, channel: &str) {
        self.agenda.push(Effect::Cancel {
            channel: channel.into(),
        });
    }

    /// Gives the connection back to HTTP. `response` answers the session's request; without one
    /// the session has answered it with a stream whose end it has written. `leftover` is what
    /// came after the request; it is parsed as the next one.
    pub fn hand_back(
        &mut self,
        answering: Answering,
        response: Option<Response>,
        leftover: Vec<u8>,
    ) {
        self.agenda.push(Effect::HandBack {
            conn: self.conn,
            answering,
            response,
            leftover,
        });
    }

    /// The value of `Date` for a response head that is written now.
    #[must_use]
    pub fn date(&self) -> String {
        imf_fixdate(self.unix_seconds)
    }

    /// A random duration of `least` to `most`.
    pub fn jitter(&mut self, least: Duration, most: Duration) -> Duration {
        let mut bytes = [0; 4];
        (self.random)(&mut bytes);
        let span = most.saturating_sub(least);
        least + span.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }
}
