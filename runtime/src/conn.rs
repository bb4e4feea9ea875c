//! One connection: a socket, a link, an outbox, a role, and its cursors.
//!
//! ```text
//!   role      Front     HTTP requests, each answered by the service
//!             Session   a transport's state; each cursor reads a channel
//!             Dialing   a connection to a provider that is being made
//!             Upstream  bytes of a provider, for a run
//!             Trailing  the same, between the end of the answer and of its framing
//!             Pooled    an idle connection to a provider
//!             Lingering everything is said; waits for the peer's end
//! ```

use std::net::IpAddr;

use crate::channel::GateState;
use crate::ids::{DialId, RunId};
use crate::plugin::provider::Generation;
use crate::plugin::transport::Session;
use crate::sys::SockId;
use crate::time::Moment;

pub(crate) mod cursors;
pub(crate) mod front;
pub(crate) mod link;
pub(crate) mod write;

use crate::outbox::Outbox;
use cursors::Cursors;
use front::Front;
use link::Link;

/// One connection. Its size is counted: there may be tens of thousands.
pub(crate) struct Conn {
    pub(crate) sock: SockId,
    pub(crate) flags: Flags,
    pub(crate) cursors: Cursors,
    pub(crate) link: Link,
    pub(crate) outbox: Outbox,
    pub(crate) role: Role,
    pub(crate) last_write: Moment,
    /// Since when the socket has taken nothing though there was something.
    pub(crate) blocked_since: Option<Moment>,
    /// The earliest timer set for it.
    pub(crate) armed: Moment,
    pub(crate) peer: Option<IpAddr>,
}

const _: () = assert!(
    size_of::<Conn>() <= 200,
    "a connection is at most 200 bytes"
);

/// Who speaks on a connection.
pub(crate) enum Role {
    Front(Box<Front>),
    Session(Box<dyn Session>),
    Dialing(DialId),
    Upstream(RunId),
    /// The answer is complete, but its framing is not yet read.
    Trailing(Box<Trailing>),
    Pooled {
        until: Moment,
    },
    Lingering {
        until: Moment,
    },
}

/// A provider's connection between the end of the answer and the end of its framing.
pub(crate) struct Trailing {
    pub(crate) generation: Box<dyn Generation>,
    pub(crate) until: Moment,
    pub(crate) key: crate::run::pool::PoolKey,
}

/// What is known of a connection, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// A read may give something.
    pub(crate) const READABLE: Self = Self(1);
    /// A write may take something.
    pub(crate) const WRITABLE: Self = Self(1 << 1);
    /// The peer's end, or a failure, is to be read.
    pub(crate) const PEER_CLOSED: Self = Self(1 << 2);
    /// It is in the queue of work.
    pub(crate) const QUEUED: Self = Self(1 << 3);
    /// The current cursor stands inside an event: nothing else may be written before its rest.
    pub(crate) const MID_EVENT: Self = Self(1 << 5);
    /// When all is written, the sending side closes.
    pub(crate) const CLOSING: Self = Self(1 << 6);
    /// The connect is not decided yet.
    pub(crate) const CONNECTING: Self = Self(1 << 7);
    /// It counts against the limit of client connections.
    pub(crate) const CLIENT: Self = Self(1 << 8);
    /// The peer's end was read; its session or front has not yet heard of it.
    pub(crate) const END_READ: Self = Self(1 << 9);

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl Conn {
    pub(crate) fn new(
        sock: SockId,
        link: Link,
        role: Role,
        peer: Option<IpAddr>,
        now: Moment,
    ) -> Self {
        Self {
            sock,
            flags: Flags::default(),
            cursors: Cursors::default(),
            link,
            outbox: Outbox::default(),
            role,
            last_write: now,
            blocked_since: None,
            armed: Moment::NEVER,
            peer,
        }
    }

    /// Is it in the state in which deliveries go past it, straight from the log to its socket?
    pub(crate) fn may_keep_up(&self) -> bool {
        const MATTER: u16 =
            Flags::WRITABLE.0 | Flags::MID_EVENT.0 | Flags::CLOSING.0 | Flags::CONNECTING.0;
        self.flags.0 & MATTER == Flags::WRITABLE.0
            && self.outbox.is_empty()
            && self.link.is_plain()
            && self.blocked_since.is_none()
            && self
                .cursors
                .iter()
                .all(|it| it.gate == GateState::Open && it.end == 0)
    }

    /// Is it a provider's, with nothing left to say? A flush has nothing to do then, and its
    /// deadlines are those of its run.
    pub(crate) fn only_listens(&self) -> bool {
        matches!(self.role, Role::Upstream(_))
            && self.outbox.is_empty()
            && !self.link.has_unsent()
            && self.blocked_since.is_none()
            && !self.flags.has(Flags::CLOSING)
    }

    /// Is something written by this side still here, as far as the connection alone knows?
    pub(crate) fn has_own_bytes(&self) -> bool {
        !self.outbox.is_empty() || self.link.has_unsent()
    }
}
