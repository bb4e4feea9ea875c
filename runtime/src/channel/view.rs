//! One encoding of a channel, and those who read it.

use super::log::Log;
use crate::encoding::Encoding;
use crate::ids::{ChannelId, ConnId};
use crate::sys::SockId;
use crate::time::Moment;

/// One encoding of a channel and those who read it.
pub(crate) struct View {
    /// Whose encoding it is.
    pub(crate) channel: ChannelId,
    pub(crate) encoding: &'static dyn Encoding,
    pub(crate) log: Log,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Up to where those who keep up have had everything: the end, but for this turn's events.
    pub(crate) delivered: u64,
    /// When they were last written to.
    pub(crate) delivered_at: Moment,
    /// Since when nobody reads it.
    pub(super) unread_since: Option<Moment>,
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
