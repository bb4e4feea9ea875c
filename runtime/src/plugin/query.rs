//! What the engine is asked, by the service and by sessions, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{History, Idempotency, Published, Snapshot};
use crate::directory::{Members, Signal, Target};
use crate::event::{Details, Position};
use crate::limits::Retention;
use crate::metrics::Metrics;
use crate::plugin::provider::ChatRequest;
use crate::routing::Plan;

/// A question or a wish to the engine.
pub enum Query {
    /// Create a channel and start a run in it.
    Submit(Box<Submission>),
    /// The state of a chat channel.
    Snapshot(Box<str>),
    /// End the run of a chat channel.
    Cancel(Box<str>),
    /// End the run of a chat channel, and forget the channel.
    Forget(Box<str>),
    /// Append a document to an open channel, creating it if need be.
    Publish(Publish),
    /// Publications of a channel, and its position.
    History(Range),
    /// Forget the publications of an open channel; its position stays.
    RemoveHistory(Box<str>),
    /// The members of a channel.
    Presence(Box<str>),
    /// The names of all channels that somebody reads, and how many do.
    Channels,
    /// Tell sessions something.
    Signal(Target, Signal),
    /// The counters.
    Metrics,
}

/// A document for an open channel.
pub struct Publish {
    /// The channel's name.
    pub channel: Box<str>,
    /// One JSON document, without raw line breaks.
    pub data: Box<[u8]>,
    /// What belongs to it.
    pub details: Option<Box<Details>>,
    /// What the channel keeps, from now on.
    pub retention: Retention,
    /// Is it for those who are there now alone, without a place in the history?
    pub is_fleeting: bool,
}

/// Which publications of a channel are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The channel's name.
    pub channel: Box<str>,
    /// Behind (or with `reverse` before) which offset, the offset itself excluded; none: from
    /// the oldest (newest) kept.
    pub since: Option<u64>,
    /// The incarnation that the offset belongs to; none: whichever there is.
    pub epoch: Option<Box<str>>,
    /// How many at most; 0 asks for the position alone.
    pub limit: usize,
    /// Newest first?
    pub reverse: bool,
    /// How the channel is made if it is not there, so that it has an epoch; none: then it is
    /// unknown.
    pub create: Option<Retention>,
}

/// The label of those who ask without a key.
pub const NO_KEY: &str = "none";

/// A chat that is to begin.
pub struct Submission {
    /// The name of the channel to create, unguessable.
    pub channel: Box<str>,
    /// The model's name as the client gave it, for the `start` event.
    pub model: Box<str>,
    /// The question.
    pub request: Box<ChatRequest>,
    /// Whose tokens it spends, as a label of the metrics: the name of a key, never the key
    /// itself, or [`NO_KEY`].
    pub key: Arc<str>,
    /// How large the question is: it counts towards the bounds on memory while it is being
    /// answered, twice, since a copy is on its way to the provider.
    pub request_bytes: usize,
    /// The targets in order.
    pub plan: Plan,
    /// Makes a repetition find the first channel.
    pub idempotency: Option<Idempotency>,
    /// Is it nobody's answer, so that it goes on however long nobody listens?
    pub is_unattended: bool,
    /// How long it goes on with nobody listening, where that is not as `cancel_when_abandoned`
    /// says. With zero it ends as soon as its last listener has gone, and if none came, soon.
    pub abandon_after: Option<Duration>,
    /// What the application wants kept with the chat: bytes that mean nothing to the engine. They
    /// count to the channel's.
    pub note: Box<[u8]>,
}

/// The engine's answer to a [`Query`].
pub enum Answer<'a> {
    /// The chat has begun in this channel, now or by an earlier request of the same key.
    Submitted {
        /// Its name.
        channel: &'a str,
        /// Was it there already?
        repeated: bool,
    },
    /// The idempotency key was used with another body.
    Conflict,
    /// There is no room for another channel.
    Overloaded,
    /// The server is stopping.
    Draining,
    /// The state of a chat channel.
    Snapshot(&'a Snapshot, Position),
    /// The run was ended by this query, or had ended before.
    Cancelled {
        /// Was there still something to cancel?
        running: bool,
    },
    /// The document has its place.
    Published(Published),
    /// The document, or what is kept of a question, is larger than a channel may hold.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// No such channel.
    Unknown,
    /// The channel is forgotten, but was there.
    Expired,
    /// Publications of a channel.
    History(History<'a>),
    /// The channel is of another incarnation than was said.
    Unrecoverable,
    /// It is done.
    Done,
    /// The members of a channel.
    Presence(&'a Members),
    /// Channels with the count of their subscribers.
    Channels(&'a [(Box<str>, u32)]),
    /// So many sessions were told.
    Signalled(usize),
    /// The counters.
    Metrics(&'a Metrics),
}
