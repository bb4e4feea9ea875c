//! What a transport plugin implements: a factory of sessions, a session per request to listen, an
//! encoding.
//!
//! ```text
//!   Transport::open(opening, cx) ──► Box<dyn Session>      cx.subscribe(…) asked for in open
//!                Session::placed(channel, placement, …)     write the head, or the refusal
//!                Session::gate(channel, entry)              a gated subscription's next event
//!   log bytes of the Encoding go to the socket without the session
//!                Session::ended(channel)                    the terminal event is written in full
//! ```
//!
//! A session that serves a client of a protocol with commands has more than one subscription,
//! asks the application for verdicts ([`SessionCx::access`]) and the engine for answers
//! ([`SessionCx::ask`]), and is found by others ([`SessionCx::register`]).
//!
//! A session writes its own bytes with [`SessionCx::out`]. They never land inside an event. It
//! asks for everything else as an effect, which the reactor carries out after the callback.

use std::borrow::Cow;
use std::time::Duration;

use lmserver_proto::http1::server::Answering;
use lmserver_proto::http1::{Request, Response, imf_fixdate};

use crate::channel::{Backlog, Placement, Wanted};
use crate::directory::Directory;
use crate::effect::Effect;
use crate::event::{After, Position};
use crate::ids::ConnId;
use crate::limits::{Limits, Retention};
use crate::plugin::access::Access;
use crate::plugin::query::{Answer, Query};
use crate::time::Moment;

pub use crate::channel::Lost;
pub use crate::directory::{Identity, Membership, Notice, Signal, Target};
pub use crate::encoding::{Encoder, Encoding, Entry, Envelope};

/// Opens sessions. One value is shared by all requests to a path under `/connection/`; an API that
/// answers questions itself may make one for each, which knows how its answer is told.
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
    /// Its body.
    pub body: &'a [u8],
    /// The channel's name; empty if the request names none.
    pub channel: &'a str,
    /// From where to read.
    pub after: After,
    /// May this client listen?
    pub admission: Admission,
    /// May it cancel the answer?
    pub may_cancel: bool,
    /// How the channel is created by listening to it, if it may be.
    pub create: Option<Retention>,
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

/// One client's protocol state, from its request to the end of what answers it.
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

    /// The outcome of a subscription that was asked for. Events that the session takes from the
    /// `backlog` it has written itself, in its own way; the log's bytes begin behind them.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn placed(
        &mut self,
        channel: &str,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect>;

    /// The bytes of this event are about to be written to a gated subscription. What the session
    /// writes here stands directly before them, or in their place.
    fn gate(&mut self, _channel: &str, _entry: &Entry<'_>, _cx: &mut SessionCx<'_>) -> Gate {
        Gate::Open
    }

    /// The answer to a question of this session, [`SessionCx::ask`], with the tag it gave.
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn answered(
        &mut self,
        _tag: u64,
        _answer: Answer<'_>,
        _cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        Ok(())
    }

    /// Somebody has something to tell to this session; see [`SessionCx::register`].
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn signalled(&mut self, _signal: &Signal, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Ok(())
    }

    /// Something happened in a channel that stands in no log; see [`SessionCx::join`].
    ///
    /// # Errors
    ///
    /// Why the connection must end.
    fn noticed(
        &mut self,
        _channel: &str,
        _notice: &Notice,
        _cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        Ok(())
    }

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

/// What becomes of the event that a gated subscription comes to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Its bytes are written, and those of all that follow: the gate is taken away.
    Open,
    /// Its bytes are written, and the next event is asked about again.
    Pass,
    /// Its bytes are left out, and the next event is asked about again.
    Skip,
    /// Its bytes are left out, since the session wrote its own; those of all that follow are
    /// written.
    Replaced,
}

/// A wish for a subscription.
#[derive(Clone, Copy)]
pub struct Subscription<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// From where.
    pub after: After,
    /// How its events are put on the wire.
    pub encoding: &'static dyn Encoding,
    /// How the channel is made if it is not there; none: then there is nothing to subscribe to.
    pub create: Option<Retention>,
    /// Is [`Session::gate`] to be asked before events?
    pub gated: bool,
    /// Where a client whose position is of no use is placed.
    pub lost: Lost,
}

/// What a client sends behind the request of a session that is answered by a stream of HTTP.
#[derive(Debug, Default)]
pub struct Leftover(Vec<u8>);

impl Leftover {
    /// Bytes of it that are kept.
    pub const MOST: usize = 16 * 1024;

    /// Keeps it for the next request. Where it is more than [`MOST`](Self::MOST), none of it is
    /// answered, and the connection closes behind this answer.
    pub fn keep(&mut self, bytes: &[u8], answering: &mut Answering) {
        if self.0.len() + bytes.len() > Self::MOST {
            answering.keep_alive = false;
        }
        if answering.keep_alive {
            self.0.extend_from_slice(bytes);
        } else {
            self.0 = Vec::new();
        }
    }

    /// What was kept, to be [handed back](SessionCx::hand_back).
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
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
    /// The connection is to be reset, without an end.
    #[error("the session resets the connection")]
    Reset,
}

/// What a session may see and ask for during one callback.
pub struct SessionCx<'a> {
    /// The reactor's clock.
    pub now: Moment,
    /// The wall clock, as time since 1970.
    pub unix_time: Duration,
    /// The bounds of connections.
    pub limits: &'a Limits,
    /// Is something of this connection unsent (its own bytes, or events)? A heartbeat is only
    /// said where nothing is.
    pub unsent: bool,
    /// Has the socket refused to take more, and taken nothing since?
    pub blocked: bool,
    /// What HTTP must know to answer the request that opens a session. Of meaning in
    /// [`Transport::open`] only; a session that answers by a stream of HTTP keeps it.
    pub answering: Answering,
    pub(crate) conn: ConnId,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) agenda: &'a mut Vec<Effect>,
    pub(crate) random: &'a mut dyn FnMut(&mut [u8]),
    pub(crate) access: &'a mut dyn Access,
    pub(crate) directory: &'a Directory,
}

impl SessionCx<'_> {
    /// The connection's own output. It is bounded: a session only answers, it does not stream.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Asks for a subscription; the answer is a call of [`Session::placed`]. A connection has at
    /// most one in each channel: a second one replaces the first.
    pub fn subscribe(&mut self, wish: Subscription<'_>) {
        self.agenda.push(Effect::Subscribe {
            conn: self.conn,
            channel: wish.channel.into(),
            wish: Wanted {
                after: wish.after,
                encoding: wish.encoding,
                gated: wish.gated,
                lost: wish.lost,
            },
            create: wish.create,
        });
    }

    /// Ends a subscription. The event that is half written is finished; nothing else follows.
    pub fn unsubscribe(&mut self, channel: &str) {
        self.agenda.push(Effect::Unsubscribe {
            conn: self.conn,
            channel: channel.into(),
        });
    }

    /// Closes the gate of a subscription that was asked for with one: [`Session::gate`] is asked
    /// about the first event that is not begun. It is fine if it is closed already.
    pub fn gate(&mut self, channel: &str) {
        self.agenda.push(Effect::Gate {
            conn: self.conn,
            channel: channel.into(),
        });
    }

    /// Asks the engine; the answer is a call of [`Session::answered`] with this tag.
    pub fn ask(&mut self, query: Query, tag: u64) {
        self.agenda.push(Effect::Ask {
            conn: self.conn,
            query,
            tag,
        });
    }

    /// The application, for its verdicts.
    pub fn access(&mut self) -> &mut dyn Access {
        self.access
    }

    /// Makes the session known under its ids, so that signals reach it until it ends.
    pub fn register(&mut self, identity: Identity) {
        self.agenda.push(Effect::Register {
            conn: self.conn,
            identity,
        });
    }

    /// Registered connections of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.directory.connections_of(user)
    }

    /// Makes the client a member of a channel until it leaves or the connection ends.
    pub fn join(&mut self, channel: &str, membership: Membership) {
        self.agenda.push(Effect::Join {
            conn: self.conn,
            channel: channel.into(),
            membership: Box::new(membership),
        });
    }

    /// Ends a membership. It is fine if there is none.
    pub fn leave(&mut self, channel: &str) {
        self.agenda.push(Effect::Leave {
            conn: self.conn,
            channel: channel.into(),
        });
    }

    /// Fills `out` with random bytes fit for secrets.
    pub fn random(&mut self, out: &mut [u8]) {
        (self.random)(out);
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
        imf_fixdate(self.unix_time.as_secs())
    }

    /// A random duration of `least` to `most`.
    pub fn jitter(&mut self, least: Duration, most: Duration) -> Duration {
        let mut bytes = [0; 4];
        (self.random)(&mut bytes);
        let span = most.saturating_sub(least);
        least + span.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }
}
