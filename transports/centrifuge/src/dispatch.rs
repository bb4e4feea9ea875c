//! From a message to its commands, one after the other.

use std::collections::VecDeque;

use lmserver_proto::centrifuge::{
    Command, Commands, DisconnectCode, Error, ErrorCode, Reply, ReplyResult, Request,
};
use lmserver_runtime::plugin::access::Denial;
use lmserver_runtime::plugin::transport::{Disconnect, SessionCx};

use crate::connect::Connecting;
use crate::session::{Client, Phase};
use crate::timers::Flow;

/// Bytes of messages that may wait for a placement, beside one message of the largest size.
const PARKED: usize = 192 * 1024;

/// What a session has while placements are waited for.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    /// Placements that commands wait for.
    pub(crate) waiting: usize,
    /// Messages, of the first of which a part may be read.
    parked: VecDeque<Parked>,
    bytes: usize,
    /// The connect command that waits.
    pub(crate) connecting: Option<Connecting>,
}

/// What has to wait of a message.
#[derive(Debug)]
struct Parked {
    bytes: Vec<u8>,
    /// The first byte that is not read.
    at: usize,
    /// Commands that it may still have.
    left: usize,
}

impl Busy {
    /// Whether nothing is waited for, and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0 && self.parked.is_empty() && self.connecting.is_none()
    }
}

/// How a message was left.
struct Rest {
    length: usize,
    left: usize,
}

impl Client {
    /// Takes a message of the client.
    pub(crate) fn message(
        &mut self,
        bytes: &[u8],
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.carrier.is_unidirectional {
            return self.first_message(bytes, cx);
        }
        let left = cx.access().settings().commands_per_message;
        if self.is_waiting() {
            return self.park(bytes.to_vec(), 0, left, cx);
        }
        match self.run(bytes, left, cx)? {
            None => Ok(()),
            Some(rest) => {
                let start = bytes.len() - rest.length;
                let bytes = bytes.get(start..).unwrap_or_default();
                self.park(bytes.to_vec(), 0, rest.left, cx)
            }
        }
    }

    /// Goes on with what waited, as far as it goes.
    pub(crate) fn resume(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        while !self.is_waiting() {
            let Some(busy) = &mut self.busy else {
                return Ok(());
            };
            let Some(mut parked) = busy.parked.pop_front() else {
                self.busy = None;
                return Ok(());
            };
            let bytes = parked.bytes.get(parked.at..).unwrap_or_default();
            let Some(rest) = self.run(bytes, parked.left, cx)? else {
                if let Some(busy) = &mut self.busy {
                    busy.bytes -= parked.bytes.len();
                }
                continue;
            };
            parked.at = parked.bytes.len() - rest.length;
            parked.left = rest.left;
            if let Some(busy) = &mut self.busy {
                busy.parked.push_front(parked);
            }
        }
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.waiting > 0)
    }

    fn park(
        &mut self,
        bytes: Vec<u8>,
        at: usize,
        left: usize,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let most = cx.access().settings().message_bytes.saturating_add(PARKED);
        let busy = self.busy.get_or_insert_default();
        busy.bytes += bytes.len();
        if busy.bytes > most {
            return self.disconnect(DisconnectCode::TooManyRequests, cx);
        }
        busy.parked.push_back(Parked { bytes, at, left });
        Ok(())
    }

    /// Carries out commands until one has to wait; then says what is left.
    fn run(
        &mut self,
        bytes: &[u8],
        left: usize,
        cx: &mut SessionCx<'_>,
    ) -> Result<Option<Rest>, Disconnect> {
        let mut commands = Commands::of(self.carrier.protocol(), bytes, left);
        while let Some(command) = commands.next() {
            self.check_queue(cx)?;
            match command {
                Ok(command) => self.command(&command, cx)?,
                Err(error) => self.disconnect(error.disconnect(), cx)?,
            }
            // Behind a refused connect command the rest is ignored.
            if matches!(self.phase, Phase::Rejected | Phase::Over) {
                return Ok(None);
            }
            if self.is_waiting() && !commands.rest().is_empty() {
                return Ok(Some(Rest {
                    length: commands.rest().len(),
                    left: commands.left(),
                }));
            }
        }
        Ok(None)
    }

    fn command(&mut self, command: &Command<'_>, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let id = command.id;
        match (self.phase, &command.request) {
            (Phase::Fresh, Request::Connect(request)) => {
                return self.connect(id, request, None, cx);
            }
            (Phase::Connected, Request::Connect(_)) => return self.bad_request(cx),
            (Phase::Connected, Request::Pong) if self.heart.take_pong() => return Ok(()),
            (Phase::Connected, Request::Send { .. }) => {
                return self.disconnect(DisconnectCode::NotAvailable, cx);
            }
            (Phase::Connected, Request::Unknown) => return self.bad_request(cx),
            (Phase::Connected, _) => {}
            _ => return self.bad_request(cx),
        }
        let rate = cx.access().settings().command_rate;
        match self.bucket.take(rate, cx.now) {
            // One that answers no ping is let pass.
            Flow::Taken | Flow::Refused if matches!(command.request, Request::Pong) => Ok(()),
            Flow::Taken => self.obey(id, &command.request, cx),
            Flow::Refused => {
                self.error(id, ErrorCode::TooManyRequests, cx);
                Ok(())
            }
            Flow::Flood => self.disconnect(DisconnectCode::TooManyRequests, cx),
        }
    }

    /// Carries out a command of a connected client.
    fn obey(
        &mut self,
        id: u32,
        request: &Request<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match request {
            Request::Subscribe(request) => self.subscribe(id, request, cx),
            Request::Unsubscribe { channel } => self.unsubscribe(id, channel, cx),
            Request::Publish(request) => self.publish(id, request, cx),
            Request::Presence { channel } => self.presence(id, channel, false, cx),
            Request::PresenceStats { channel } => self.presence(id, channel, true, cx),
            Request::History(request) => self.history(id, request, cx),
            Request::Rpc { .. } => {
                self.error(id, ErrorCode::NotAvailable, cx);
                Ok(())
            }
            Request::Refresh { token } => self.refresh(id, token, cx),
            Request::SubRefresh(request) => self.refresh_subscription(id, request, cx),
            Request::Connect(_) | Request::Send { .. } | Request::Pong | Request::Unknown => {
                self.bad_request(cx)
            }
        }
    }

    /// The client broke the protocol.
    pub(crate) fn bad_request(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.disconnect(DisconnectCode::BadRequest, cx)
    }

    /// Answers a command.
    pub(crate) fn reply(&mut self, id: u32, result: ReplyResult<'_>, cx: &mut SessionCx<'_>) {
        let reply = Reply { id, result };
        self.say(cx, |protocol, out| protocol.reply(&reply, out));
    }

    /// Answers a command by an error.
    pub(crate) fn error(&mut self, id: u32, error: impl Into<Error>, cx: &mut SessionCx<'_>) {
        self.reply(id, ReplyResult::Error(&error.into()), cx);
    }

    /// Carries out a refusal of the application.
    pub(crate) fn deny(
        &mut self,
        id: u32,
        denial: Denial,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match denial {
            Denial::Error(code) => {
                self.error(id, error_of(code), cx);
                Ok(())
            }
            Denial::Disconnect(code) => self.disconnect(disconnect_of(code), cx),
        }
    }
}

/// The error with a number.
pub(crate) fn error_of(code: u16) -> Error {
    let known = ErrorCode::ALL
        .iter()
        .find(|it| it.number() == u32::from(code));
    known.map_or_else(
        || Error {
            code: code.into(),
            message: "refused".into(),
            temporary: false,
        },
        |code| (*code).into(),
    )
}

/// The disconnect with a number.
pub(crate) fn disconnect_of(code: u16) -> lmserver_proto::centrifuge::Disconnect {
    let known = DisconnectCode::ALL.iter().find(|it| it.number() == code);
    known.map_or_else(
        || lmserver_proto::centrifuge::Disconnect {
            code,
            reason: "disconnect".into(),
        },
        |code| (*code).into(),
    )
}
