//! The receiving side of a connection after the handshake.

use std::borrow::Cow;
use std::ops::Range;

use super::frame::{self, Opcode};
use super::message::Assembly;
use super::{Error, Event, Limits, Role, close, mask};

/// Turns the peer's bytes into [`Event`]s. See the [module](super) for the contract.
///
/// ```text
///           header ok, payload not all here            all of it here, FIN
///  between ────────────────────────────────► payload ─────────────────────► between, Event
///     │  ▲                                      │ all of it here, more fragments to come
///     │  └──────────────────────────────────────┘
///     │ close frame, or an error anywhere
///     └──────────────────────────────────► deaf
/// ```
#[derive(Debug)]
pub struct Connection {
    /// What one feed brought, with the unfinished header or control frame before it.
    input: Vec<u8>,
    /// How much of `input` is used up: `consumed <= input.len()`.
    consumed: usize,
    /// The message that is being put together.
    assembly: Assembly,
    /// The data frame whose payload has not all come.
    payload: Option<Payload>,
    role: Role,
    deaf: bool,
}

/// The rest of a data frame.
#[derive(Debug, Clone, Copy)]
struct Payload {
    remaining: u64,
    /// Rotated to the next byte.
    mask: Option<[u8; 4]>,
    fin: bool,
}

/// What one step found. Ranges are of `input`: unmasked, used up, not yet freed.
enum Step {
    NeedMore,
    Whole(Opcode, Range<usize>),
    Assembled(Event<'static>),
}

impl Connection {
    /// A connection that `role` has just opened.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self {
            input: Vec::new(),
            consumed: 0,
            assembly: Assembly::Idle,
            payload: None,
            role,
            deaf: false,
        }
    }

    /// Takes what the peer sent.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.deaf {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next thing that the peer said; `None` until more is fed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong. The connection is deaf from then on.
    pub fn next_event(&mut self, limits: &Limits) -> Result<Option<Event<'_>>, Error> {
        let step = if self.deaf {
            Ok(Step::NeedMore)
        } else {
            self.advance(limits)
        };
        let (opcode, range) = match step {
            Ok(Step::NeedMore) => {
                self.release();
                return Ok(None);
            }
            Ok(Step::Assembled(event)) => return Ok(Some(event)),
            Ok(Step::Whole(opcode, range)) => (opcode, range),
            Err(error) => {
                self.deaf = true;
                self.release();
                return Err(error);
            }
        };
        let payload = self.input.get(range).unwrap_or_default();
        let event = read_whole(opcode, payload);
        self.deaf = matches!(event, Err(_) | Ok(Event::Close { .. }));
        event.map(Some)
    }

    /// Whether nothing is begun: no part of a frame or message is held.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.input.is_empty() && self.assembly.is_idle() && self.payload.is_none()
    }

    /// Whether the peer has closed or was refused: nothing more will come.
    #[must_use]
    pub const fn is_deaf(&self) -> bool {
        self.deaf
    }

    fn advance(&mut self, limits: &Limits) -> Result<Step, Error> {
        loop {
            if let Some(payload) = self.payload.take() {
                self.payload = self.take_payload(payload)?;
                if self.payload.is_some() {
                    return Ok(Step::NeedMore);
                }
                if payload.fin
                    && let Some(event) = self.assembly.finish()?
                {
                    return Ok(Step::Assembled(event));
                }
            }
            let unread = self.input.get(self.consumed..).unwrap_or_default();
            let Some((header, header_len)) = frame::parse(unread, self.role)? else {
                return Ok(Step::NeedMore);
            };
            self.assembly.admit(&header, limits)?;

            let arrived = unread.len().saturating_sub(header_len);
            let whole = usize::try_from(header.payload_len)
                .ok()
                .filter(|len| *len <= arrived);
            let is_control = header.opcode.is_control();
            match whole {
                Some(len) if is_control || (header.fin && self.assembly.is_idle()) => {
                    let start = self.consumed + header_len;
                    self.consumed = start + len;
                    let range = start..self.consumed;
                    if let (Some(key), Some(data)) =
                        (header.mask, self.input.get_mut(range.clone()))
                    {
                        let _ = mask::apply(key, data);
                    }
                    return Ok(Step::Whole(header.opcode, range));
                }
                None if is_control => return Ok(Step::NeedMore),
                _ => {}
            }
            self.consumed += header_len;
            self.assembly.begin(header.opcode);
            self.payload = Some(Payload {
                remaining: header.payload_len,
                mask: header.mask,
                fin: header.fin,
            });
        }
    }

    /// Moves what has come of the payload to the message; gives back what is still to come.
    fn take_payload(&mut self, mut payload: Payload) -> Result<Option<Payload>, Error> {
        let unread = self.input.get_mut(self.consumed..).unwrap_or_default();
        let len =
            usize::try_from(payload.remaining).map_or(unread.len(), |len| len.min(unread.len()));
        let data = unread.get_mut(..len).unwrap_or_default();
        payload.mask = payload.mask.map(|key| mask::apply(key, data));
        self.assembly.push(data)?;
        self.consumed += len;
        payload.remaining -= len as u64;
        Ok((payload.remaining > 0).then_some(payload))
    }

    /// Frees what is used up; a connection with nothing begun, or deaf, owns no memory.
    fn release(&mut self) {
        if self.deaf {
            *self = Self {
                deaf: true,
                ..Self::new(self.role)
            };
            return;
        }
        self.input = self.input.get(self.consumed..).unwrap_or_default().to_vec();
        self.consumed = 0;
    }
}

/// Reads a frame that is a whole message or a control frame.
fn read_whole(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Error> {
    Ok(match opcode {
        Opcode::Text => {
            let text = str::from_utf8(payload).map_err(|_| Error::InvalidUtf8)?;
            Event::Text(Cow::Borrowed(text))
        }
        Opcode::Binary => Event::Binary(Cow::Borrowed(payload)),
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => {
            let (code, reason) = close::parse(payload)?;
            Event::Close { code, reason }
        }
        // A continuation always has a message before it and is put together with it.
        Opcode::Continuation => return Err(Error::NothingToContinue),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(
            size_of::<Connection>() <= 96,
            "{} bytes",
            size_of::<Connection>()
        );
        assert!(size_of::<Error>() <= 32, "{} bytes", size_of::<Error>());
    }

    #[test]
    fn between_messages_it_owns_no_memory() {
        let mut connection = Connection::new(Role::Client);
        connection.feed(b"\x81\x05hello\x01\x03hel");
        while connection
            .next_event(&Limits::default())
            .is_ok_and(|event| event.is_some())
        {}
        assert!(!connection.is_between_messages());
        connection.feed(b"\x80\x02lo\x89\x00");
        while connection
            .next_event(&Limits::default())
            .is_ok_and(|event| event.is_some())
        {}
        assert!(connection.is_between_messages());
        assert_eq!(connection.input.capacity(), 0);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut connection = Connection::new(Role::Client);
        connection.feed(b"\x82\x7f\0\0\0\0\0\xff\0\0abc");
        assert_eq!(connection.next_event(&Limits::default()), Ok(None));
        let Assembly::Binary { data, .. } = &connection.assembly else {
            panic!("no message")
        };
        assert!(data.capacity() < 64, "{}", data.capacity());
        assert_eq!(connection.input.capacity(), 0);
    }

    #[test]
    fn a_message_in_one_feed_is_borrowed_and_a_pieced_one_owned() {
        let mut connection = Connection::new(Role::Client);
        connection.feed(b"\x81\x02hi\x01\x01h");
        let event = connection.next_event(&Limits::default());
        assert!(matches!(event, Ok(Some(Event::Text(Cow::Borrowed("hi"))))));
        assert_eq!(connection.next_event(&Limits::default()), Ok(None));
        connection.feed(b"\x80\x01i");
        let event = connection.next_event(&Limits::default());
        assert!(matches!(event, Ok(Some(Event::Text(Cow::Owned(_))))));
    }
}
