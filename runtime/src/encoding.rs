//! How a transport puts events on the wire. Channels keep the bytes, so this stands below them.

use crate::event::{Epoch, Kind, Position};

/// One way to put events on the wire. It has no state: it runs once per event, however many
/// subscribers there are, and its bytes serve them all.
pub trait Encoding: Send + Sync {
    /// A name that is unique among encodings: `sse/chunked`, `ws/text`.
    fn name(&self) -> &'static str;

    /// Appends one event, framed completely: any run of events is a valid stretch of wire.
    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>);
}

/// An event in its place.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The channel's incarnation.
    pub epoch: Epoch,
    /// The event's number, from 1.
    pub offset: u64,
    /// What it is.
    pub kind: Kind,
    /// Its JSON: one line, an object for every kind but `Data`.
    pub json: &'a [u8],
}

impl Entry<'_> {
    /// The entry's position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
        }
    }
}
