//! Where a subscriber stands in a channel.

use crate::ids::ChannelId;

/// A cursor into one view of one channel. It lives in the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) channel: ChannelId,
    /// The first byte that this subscriber has not had, counted from the view's beginning.
    pub(crate) at: u64,
    /// Up to where the message goes that is being written, or the one event that its gate let
    /// pass; 0: there is no such bound.
    pub(crate) end: u64,
    /// Bytes of the message that are written, for encodings with an envelope. `at` stays where
    /// the message begins until all are.
    pub(crate) sent: u32,
    /// The place in the view's list of subscribers.
    pub(crate) slot: u32,
    /// Which view of the channel.
    pub(crate) view: u8,
    pub(crate) gate: GateState,
}

/// Whether a cursor's events may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GateState {
    /// They may.
    #[default]
    Open,
    /// The session is asked about the next one.
    Ask,
    /// The session let this one pass, and is asked about the next.
    Passing,
    /// The rest of this one is written; then the cursor is taken away.
    Leaving,
}

impl GateState {
    pub(crate) fn begin(is_gated: bool) -> Self {
        if is_gated { Self::Ask } else { Self::Open }
    }
}

impl Cursor {
    pub(crate) fn is_leaving(&self) -> bool {
        self.gate == GateState::Leaving
    }
}

/// What a cursor has before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pending<'a> {
    /// These bytes, never empty.
    Bytes(&'a [u8]),
    /// Nothing for now.
    Idle,
    /// Nothing, for good.
    Ended,
    /// The log no longer holds the cursor's place.
    Lagged,
}
