//! One encoding of a channel, and those who read it.

use super::log::Log;
use crate::encoding::{Encoder, Encoding, Entry};
use crate::ids::{ChannelId, ConnId};
use crate::sys::SockId;
use crate::time::Moment;

/// One encoding of a channel and those who read it.
pub(crate) struct View {
    /// Whose encoding it is.
    pub(crate) channel: ChannelId,
    pub(crate) encoding: &'static dyn Encoding,
    /// For an encoding with a memory: it has had all events of the log.
    encoder: Option<Box<dyn Encoder>>,
    pub(crate) log: Log,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Up to where those who keep up have had everything: the end, but for this turn's events.
    pub(crate) delivered: u64,
    /// When they were last written to.
    pub(crate) delivered_at: Moment,
    /// Since when nobody reads it.
    pub(super) unread_since: Option<Moment>,
}

impl View {
    /// A view without events, whose first will have this offset.
    pub(super) fn new(channel: ChannelId, encoding: &'static dyn Encoding, first: u64) -> Self {
        Self {
            channel,
            encoding,
            encoder: encoding.encoder(),
            log: Log::starting_at(first),
            subscribers: Vec::new(),
            delivered: 0,
            delivered_at: Moment(0),
            unread_since: None,
        }
    }

    /// Encodes the next event.
    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        let Self {
            encoding, encoder, ..
        } = self;
        self.log.push(|out| match encoder {
            Some(encoder) => encoder.encode(entry, out),
            None => encoding.encode(entry, out),
        });
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.log.bytes() + self.encoder.as_ref().map_or(0, |it| it.bytes())
    }
}

/// A subscriber as its view sees it: all that a delivery to one who keeps up has to touch, side by
/// side with the others. For such a one the connection's own state stands still, its cursor
/// included, until it is [demoted](super::registry::Registry::demote).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) conn: ConnId,
    pub(crate) sock: SockId,
    /// It has had all up to the view's `delivered`, has nothing of its own to say, and its socket
    /// takes the log's bytes as they are.
    pub(crate) keeps_up: bool,
}
