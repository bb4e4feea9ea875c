//! One client's session: where bytes, placements, answers, signals and the clock come in.
//!
//! ```text
//!             connect granted          all that the server subscribes it to is placed
//!   Fresh ────────────────► Connecting ───────────────────────────────► Connected
//!     │ connect refused                                                     │
//!     ├──────────────► Rejected ──stale──┐                                  │ disconnect
//!     └───────anything else──────────────┴────────────► Over ◄──────────────┘
//! ```
//!
//! A command whose outcome takes a placement parks what stands behind it, so commands take effect
//! in the order in which they came.

use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{Connection, Event, Limits, Role};
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::event::Position;
use lmserver_runtime::plugin::query::Answer;
use lmserver_runtime::plugin::transport::{
    Disconnect, Entry, Gate, Notice, Session, SessionCx, Signal,
};
use lmserver_runtime::time::Moment;
use uuid::Uuid;

use lmserver_proto::centrifuge::{DisconnectCode, Protocol};

use crate::carrier::Carrier;
use crate::dispatch::Busy;
use crate::stream::Stream;
use crate::subscription::Subscriptions;
use crate::timers::{Bucket, Heart};

/// Frames of one message of a client.
const FRAGMENTS: u32 = 1024;

/// One client's state.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) carrier: Carrier,
    pub(crate) phase: Phase,
    /// The client wants pings of the WebSocket instead of messages.
    pub(crate) pings_by_frames: bool,
    pub(crate) id: Uuid,
    pub(crate) user: Box<str>,
    pub(crate) subscriptions: Subscriptions,
    /// Present only in the middle of a message of the client.
    pub(crate) reader: Option<Box<Connection>>,
    /// The response, where there is no WebSocket.
    pub(crate) stream: Option<Box<Stream>>,
    /// Present only while placements are waited for.
    pub(crate) busy: Option<Box<Busy>>,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) heart: Heart,
    /// When the first of connection and subscriptions ends, unless it is refreshed.
    pub(crate) expiry: Moment,
    pub(crate) bucket: Bucket,
}

/// What few connections have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// JSON about the connection.
    pub(crate) info: Option<Box<[u8]>>,
    /// When the connection ends, the time for refreshing included.
    pub(crate) ends: Option<Moment>,
    /// The secret by which other requests name the session.
    pub(crate) session: Option<Uuid>,
    /// The node that such requests go to.
    pub(crate) node: Option<Uuid>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was asked for.
    Fresh,
    /// Connecting is granted, and not answered.
    Connecting,
    /// Connecting was answered.
    Connected,
    /// Connecting was answered by an error.
    Rejected,
    /// All is said.
    Over,
}

impl Client {
    pub(crate) fn new(carrier: Carrier, cx: &mut SessionCx<'_>) -> Self {
        let settings = cx.access().settings();
        let (stale, rate) = (settings.stale_close_delay, settings.command_rate);
        Self {
            carrier,
            phase: Phase::Fresh,
            pings_by_frames: false,
            id: Uuid::nil(),
            user: Box::default(),
            subscriptions: Subscriptions::default(),
            reader: None,
            stream: None,
            busy: None,
            rare: None,
            heart: Heart::new(cx.now + stale),
            expiry: Moment::NEVER,
            bucket: Bucket::new(rate, cx.now),
        }
    }

    /// Writes one message.
    pub(crate) fn say(
        &mut self,
        cx: &mut SessionCx<'_>,
        write: impl FnOnce(Protocol, &mut Vec<u8>),
    ) {
        if let Some(stream) = &mut self.stream {
            stream.begin(cx);
        }
        self.carrier.say(cx.out(), write);
    }

    fn drain(&mut self, reader: &mut Connection, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let limits = Limits {
            message_len: cx.access().settings().message_bytes,
            fragments: FRAGMENTS,
        };
        loop {
            match reader.next_event(&limits) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Close { code, .. })) => {
                    if self.phase != Phase::Over {
                        self.leave_all(cx);
                        frame::write_close(cx.out(), code, "", None);
                    }
                    return Err(Disconnect::Done);
                }
                // After its close frame this end only waits for the peer's (RFC 6455 §5.5.1).
                Ok(Some(_)) if self.phase == Phase::Over => {}
                Ok(Some(Event::Text(text))) => self.message(text.as_bytes(), cx)?,
                Ok(Some(Event::Binary(bytes))) => self.message(&bytes, cx)?,
                Ok(Some(Event::Ping(payload))) => {
                    frame::write_frame(cx.out(), Opcode::Pong, true, payload, None);
                }
                Ok(Some(Event::Pong(_))) => {
                    // A client may send one that answers nothing (RFC 6455 §5.5.3).
                    if self.pings_by_frames {
                        self.heart.take_pong();
                    }
                }
                Err(error) => {
                    self.phase = Phase::Over;
                    let (code, reason) = (error.close_code(), error.to_string());
                    frame::write_close(cx.out(), Some(code), &reason, None);
                    return Err(Disconnect::Protocol("WebSocket protocol error"));
                }
            }
        }
    }
}

impl Session for Client {
    fn receive(&mut self, bytes: &[u8], cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if let Some(stream) = &mut self.stream {
            return stream.keep(bytes);
        }
        let new_reader = || Box::new(Connection::new(Role::Server));
        let mut reader = self.reader.take().unwrap_or_else(new_reader);
        reader.feed(bytes);
        let result = self.drain(&mut reader, cx);
        if !reader.is_between_messages() {
            self.reader = Some(reader);
        }
        result
    }

    fn placed(
        &mut self,
        channel: &str,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        self.take_place(channel, placement, backlog, cx)?;
        self.resume(cx)
    }

    fn gate(&mut self, channel: &str, entry: &Entry<'_>, cx: &mut SessionCx<'_>) -> Gate {
        self.judge(channel, entry, cx)
    }

    fn answered(
        &mut self,
        tag: u64,
        answer: Answer<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.phase != Phase::Connected {
            return Ok(());
        }
        self.check_queue(cx)?;
        self.reply_with(tag, &answer, cx);
        Ok(())
    }

    fn signalled(&mut self, signal: &Signal, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if self.phase != Phase::Connected {
            return Ok(());
        }
        self.check_queue(cx)?;
        self.heed(signal, cx)
    }

    fn noticed(
        &mut self,
        channel: &str,
        notice: &Notice,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.phase != Phase::Connected {
            return Ok(());
        }
        self.check_queue(cx)?;
        self.tell(channel, notice, cx);
        Ok(())
    }

    fn ended(&mut self, _channel: &str, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        // The subscription stands; nothing more comes.
        Ok(())
    }

    fn lagged(
        &mut self,
        channel: &str,
        _oldest: Position,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        self.lose_position(channel, cx)
    }

    fn deadline(&self, _last_write: Moment) -> Option<Moment> {
        let due = match self.phase {
            Phase::Connected => self.heart.next().min(self.expiry),
            Phase::Fresh | Phase::Connecting | Phase::Rejected | Phase::Over => self.heart.due,
        };
        (due != Moment::NEVER).then_some(due)
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        match self.phase {
            Phase::Connected => self.beat(cx),
            _ if cx.now < self.heart.due => Ok(()),
            Phase::Fresh | Phase::Connecting | Phase::Rejected => {
                self.disconnect(DisconnectCode::Stale, cx)
            }
            Phase::Over => Err(Disconnect::Done),
        }
    }

    fn farewell(&mut self, why: &Disconnect, cx: &mut SessionCx<'_>) {
        let code = match why {
            Disconnect::Slow => DisconnectCode::Slow,
            Disconnect::Shutdown => DisconnectCode::Shutdown,
            Disconnect::Internal => DisconnectCode::Internal,
            // Said before, or there is nobody to say it to.
            _ => return,
        };
        // The engine knows that the connection ends.
        let _ = self.disconnect(code, cx);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lmserver_runtime::plugin::access::{
        Access, ActAsk, ActGrant, ClientSettings, ConnectAsk, ConnectGrant, Denial, Expiry,
        RefreshGrant, SubscribeAsk, SubscribeGrant,
    };
    use lmserver_runtime::plugin::stage::Stage;

    use super::*;
    use crate::carrier::{Form, Framing};

    #[test]
    fn an_idle_session_is_small_and_holds_nothing_of_the_clients() {
        assert!(size_of::<Client>() <= 144, "{} bytes", size_of::<Client>());
        let mut stage = Stage::default();
        let carrier = Carrier {
            framing: Framing::WebSocket,
            form: Form::Json,
            is_unidirectional: false,
        };
        stage.set_access(Box::new(Anybody(ClientSettings::default())));
        let mut client = Client::new(carrier, &mut stage.cx());
        let connect = br#"{"id":1,"connect":{}}"#;
        let mut bytes = Vec::new();
        frame::write_frame(&mut bytes, Opcode::Text, true, connect, Some([1, 2, 3, 4]));
        let (first, second) = bytes.split_at(8);
        assert_eq!(client.receive(first, &mut stage.cx()), Ok(()));
        assert!(client.reader.is_some());
        assert_eq!(client.receive(second, &mut stage.cx()), Ok(()));
        assert!(client.reader.is_none() && client.busy.is_none() && client.rare.is_none());
        assert_eq!(client.phase, Phase::Connected);
    }

    struct Anybody(ClientSettings);

    impl Access for Anybody {
        fn settings(&self) -> &ClientSettings {
            &self.0
        }

        fn connect(&mut self, _: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
            Ok(ConnectGrant::default())
        }

        fn refresh(&mut self, _: &str, _: &str, _: Duration) -> Result<Expiry, Denial> {
            Err(Denial::Error(108))
        }

        fn subscribe(&mut self, _: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
            Err(Denial::Error(108))
        }

        fn refresh_subscription(&mut self, _: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
            Err(Denial::Error(108))
        }

        fn act(&mut self, _: &ActAsk<'_>) -> Result<ActGrant, Denial> {
            Err(Denial::Error(108))
        }
    }
}
