//! One subscriber: its close handshake, its signs of life, the one message that it may send.
//!
//! ```text
//!            terminal event written, or no subscription      the peer's close, or the deadline
//!   Open ──────────────────────────────────────────► Closing ─────────────────────────────► Done
//!     │ the peer's close ─► answered ─► Done
//!     │ bad frame, binary data, forbidden cancel, two pings unanswered ─► close frame ─► Protocol …
//! ```
//!
//! While events may still come from the log, nothing may follow a close frame, so the session then
//! ends with its close frame instead of waiting for the peer's.

use std::io::Write as _;
use std::time::Duration;

use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{self, Connection, Event, Limits, Role, close};
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::event::{self, Position};
use lmserver_runtime::plugin::transport::{Disconnect, Notice, Session, SessionCx};
use lmserver_runtime::time::Moment;

use crate::{FORBIDDEN, GONE, NOT_FOUND, SLOW};

/// Between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(25);

/// Intervals without a pong after which the peer counts as gone.
const PINGS_UNANSWERED: u8 = 2;

/// How long the peer's close frame is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client may send: a short message, in few pieces.
const LIMITS: Limits = Limits {
    message_len: 4096,
    fragments: 64,
};

/// One client's state.
pub(crate) struct Subscriber {
    /// Present only in the middle of a message of the client.
    reader: Option<Box<Connection>>,
    /// The channel, where this client may end its generation.
    cancels: Option<Box<str>>,
    /// The next ping, or the end of waiting for the peer's close frame.
    due: Moment,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `unanswered`: pings since the last pong.
    Open { unanswered: u8 },
    /// The close frame is written.
    Closing,
}

impl Subscriber {
    pub(crate) fn new(cancels: Option<Box<str>>, now: Moment) -> Self {
        Self {
            reader: None,
            cancels,
            due: now + PING_INTERVAL,
            phase: Phase::Open { unanswered: 0 },
        }
    }

    /// Says why nothing more comes, and waits for the peer's agreement. For a session without
    /// a subscription that could write on.
    pub(crate) fn close(&mut self, code: u16, reason: &str, cx: &mut SessionCx<'_>) {
        self.write_close(Some(code), reason, cx);
        self.due = cx.now + CLOSE_TIMEOUT;
    }

    /// Says goodbye, once.
    fn write_close(&mut self, code: Option<u16>, reason: &str, cx: &mut SessionCx<'_>) {
        if self.phase != Phase::Closing {
            self.phase = Phase::Closing;
            frame::write_close(cx.out(), code, reason, None);
        }
    }

    fn drain(&mut self, reader: &mut Connection, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        loop {
            match reader.next_event(&LIMITS) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Close { code, .. })) => {
                    self.write_close(code, "", cx);
                    return Err(Disconnect::Done);
                }
                // After its close frame this end only waits for the peer's (RFC 6455 §5.5.1).
                Ok(Some(_)) if self.phase == Phase::Closing => {}
                Ok(Some(Event::Text(text))) => self.obey(&text, cx)?,
                Ok(Some(Event::Binary(_))) => {
                    self.write_close(Some(close::UNSUPPORTED_DATA), "text messages only", cx);
                    return Err(Disconnect::Protocol("binary message"));
                }
                Ok(Some(Event::Ping(payload))) => {
                    frame::write_frame(cx.out(), Opcode::Pong, true, payload, None);
                }
                Ok(Some(Event::Pong(_))) => self.phase = Phase::Open { unanswered: 0 },
                Err(error) => return Err(self.fail(error, cx)),
            }
        }
    }

    /// `{"type":"cancel"}` is the only message understood.
    fn obey(&mut self, text: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if !is_cancel(text) {
            return Ok(());
        }
        if let Some(channel) = &self.cancels {
            cx.cancel(channel);
            return Ok(());
        }
        self.write_close(
            Some(FORBIDDEN),
            "cancelling needs an API key or a token",
            cx,
        );
        Err(Disconnect::Protocol("cancel without the right to"))
    }

    fn fail(&mut self, error: ws::Error, cx: &mut SessionCx<'_>) -> Disconnect {
        self.write_close(Some(error.close_code()), &error.to_string(), cx);
        Disconnect::Protocol("WebSocket protocol error")
    }
}

impl Session for Subscriber {
    fn receive(&mut self, bytes: &[u8], cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
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
        _channel: &str,
        placement: &Placement,
        _backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        match placement {
            Placement::Placed { reset: None, .. } => {}
            Placement::Placed {
                position,
                reset: Some(reason),
                ..
            } => {
                write_reset(*position, &reason.to_string(), cx.out());
            }
            Placement::Finished(_) => {
                self.close(close::NORMAL, "the answer is complete", cx);
            }
            Placement::Unknown => {
                write_error(None, "not_found", "there is no such channel", cx.out());
                self.close(NOT_FOUND, "no such channel", cx);
            }
            Placement::Gone | Placement::Expired => {
                let message = "the answer is no longer kept; ask again";
                write_error(Some("gone-0"), "gone", message, cx.out());
                self.close(GONE, "the channel is gone", cx);
            }
            Placement::Busy => self.close(close::TRY_AGAIN_LATER, "come back later", cx),
        }
        Ok(())
    }

    fn noticed(
        &mut self,
        _channel: &str,
        notice: &Notice,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if let Notice::Fleeting { data, .. } = notice
            && self.phase != Phase::Closing
        {
            // It has no place in the history, so no id.
            frame::write_text_with(cx.out(), |out| {
                out.extend_from_slice(br#"{"data":"#);
                out.extend_from_slice(data);
                out.push(b'}');
            });
        }
        Ok(())
    }

    fn ended(&mut self, _channel: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.close(close::NORMAL, "", cx);
        Ok(())
    }

    fn lagged(
        &mut self,
        _channel: &str,
        oldest: Position,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        write_reset(
            oldest,
            "this client was too slow for the channel's history",
            cx.out(),
        );
        Ok(())
    }

    fn deadline(&self, _last_write: Moment) -> Option<Moment> {
        Some(self.due)
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if cx.now < self.due {
            return Ok(());
        }
        let Phase::Open { unanswered } = self.phase else {
            return Err(Disconnect::Done);
        };
        if unanswered >= PINGS_UNANSWERED {
            self.write_close(Some(close::POLICY_VIOLATION), "no pong came", cx);
            return Err(Disconnect::Unresponsive);
        }
        self.due = cx.now + PING_INTERVAL;
        // A peer that takes nothing cannot answer; that is the write timeout's business.
        if !cx.unsent {
            frame::write_frame(cx.out(), Opcode::Ping, true, b"", None);
            self.phase = Phase::Open {
                unanswered: unanswered + 1,
            };
        }
        Ok(())
    }

    fn farewell(&mut self, why: &Disconnect, cx: &mut SessionCx<'_>) {
        let (code, reason) = match why {
            Disconnect::Slow => (SLOW, "too slow"),
            Disconnect::Shutdown => (close::GOING_AWAY, "the server stops"),
            Disconnect::Internal => (close::INTERNAL_ERROR, "internal error"),
            // Said before, or there is nobody to say it to.
            _ => return,
        };
        self.write_close(Some(code), reason, cx);
    }
}

/// Whether a client's message is `{"type":"cancel"}`, in any spelling and with anything beside it.
fn is_cancel(text: &str) -> bool {
    let Ok(message) = serde_json::from_str::<serde_json::Value>(text) else {
        return false;
    };
    message.get("type").is_some_and(|kind| kind == "cancel")
}

/// Clients clear what they show; what the channel holds follows.
fn write_reset(position: Position, reason: &str, out: &mut Vec<u8>) {
    frame::write_text_with(out, |out| {
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            r#"{{"id":"{}-0","type":"reset","message":"","reason":"#,
            position.epoch
        );
        event::write_json_string(reason, out);
        out.push(b'}');
    });
}

/// An error event that stands in no log.
fn write_error(id: Option<&str>, code: &str, message: &str, out: &mut Vec<u8>) {
    frame::write_text_with(out, |out| {
        out.push(b'{');
        if let Some(id) = id {
            let _ = write!(out, r#""id":"{id}","#);
        }
        out.extend_from_slice(br#""type":"error","message":"#);
        event::write_json_string(message, out);
        let _ = write!(out, r#","code":"{code}","retryable":false}}"#);
    });
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::plugin::stage::Stage;

    use super::*;

    #[test]
    fn an_idle_session_is_small_and_holds_nothing_of_the_clients() {
        assert!(
            size_of::<Subscriber>() <= 48,
            "{} bytes",
            size_of::<Subscriber>()
        );
        let mut stage = Stage::default();
        let mut subscriber = Subscriber::new(None, stage.now);
        let mut bytes = Vec::new();
        frame::write_frame(&mut bytes, Opcode::Text, true, b"hello", Some([1, 2, 3, 4]));
        let (first, second) = bytes.split_at(8);
        assert_eq!(subscriber.receive(first, &mut stage.cx()), Ok(()));
        assert!(subscriber.reader.is_some());
        assert_eq!(subscriber.receive(second, &mut stage.cx()), Ok(()));
        assert!(subscriber.reader.is_none());
    }
}
