//! What subscribers and publishers want of a channel, and what they are told.

use std::fmt;

use crate::encoding::Encoding;
use crate::event::{After, Position};

/// The outcome of a wish to subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The subscription stands: what follows `position` will be written, first what is there,
    /// then what comes.
    Placed {
        /// Where the cursor stands; its offset is 0 before the first event.
        position: Position,
        /// The client's own cursor was of no use: it must clear what it shows.
        reset: Option<ResetReason>,
        /// Is there something to write at once?
        behind: bool,
    },
    /// The client has had everything, and nothing will follow.
    Finished(Position),
    /// The client's cursor belongs to a channel that is forgotten or was never here.
    Gone,
    /// No channel of this name, and the client does not claim that there was.
    Unknown,
    /// The channel is forgotten, but was there.
    Expired,
    /// The server is over its limit, or stops and does not hold this channel: come back later.
    Busy,
}

/// Where a client whose position is of no use is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Before the oldest event kept.
    Oldest,
    /// Behind the newest.
    Newest,
}

/// Why a client must clear what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// Its cursor is of another incarnation of the channel.
    OtherEpoch,
    /// Its cursor is ahead of the log.
    Ahead,
    /// Its cursor is before what the history still holds.
    Trimmed,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherEpoch => "the position belongs to another incarnation of the channel",
            Self::Ahead => "the position is ahead of the channel",
            Self::Trimmed => "the position is older than the history",
        })
    }
}

/// The identity of a repeatable request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// A digest of the caller and of the key it chose.
    pub key: [u8; 32],
    /// A digest of the request's body.
    pub body: [u8; 32],
}

/// The place that a publication was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its position.
    pub position: Position,
    /// Does the channel keep a history, so that the position means something?
    pub is_kept: bool,
}

/// What a subscriber wants of a channel.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) after: After,
    pub(crate) encoding: &'static dyn Encoding,
    pub(crate) gated: bool,
    pub(crate) lost: Lost,
}
