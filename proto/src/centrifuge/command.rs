//! What clients ask for: a command is an id and one request.
//!
//! The requests borrow from the frame. A field that is not there, zero or `null` is empty here: a
//! string of no characters, the number 0, a payload of no bytes. Fields of features that this
//! server does not have (map and shared poll subscriptions, dictionaries) are skipped, as unknown
//! ones are; the `kind` of a request tells that one is meant.

use std::borrow::Cow;

use super::Protocol;

pub(super) mod json;
mod protobuf;

/// How many positions of subscriptions a connect request may carry.
pub const SUBSCRIPTIONS: usize = 512;
/// How many emulated headers a connect request may carry.
pub const HEADERS: usize = 64;

/// One message of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Command<'a> {
    /// Repeated in the reply; 0 where there is to be none.
    pub id: u32,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// The answer to a ping: a command without an id that is not `send`.
    Pong,
    /// The first command of a connection.
    Connect(ConnectRequest<'a>),
    /// Asks for the publications of a channel.
    Subscribe(SubscribeRequest<'a>),
    /// Ends a subscription.
    Unsubscribe {
        /// Of this channel.
        channel: Cow<'a, str>,
    },
    /// Sends a publication to a channel.
    Publish(PublishRequest<'a>),
    /// Asks who is subscribed.
    Presence {
        /// To this channel.
        channel: Cow<'a, str>,
    },
    /// Asks how many are subscribed.
    PresenceStats {
        /// To this channel.
        channel: Cow<'a, str>,
    },
    /// Asks for the position or the publications of a channel.
    History(HistoryRequest<'a>),
    /// Calls a procedure of the application.
    Rpc {
        /// Its name.
        method: Cow<'a, str>,
        /// Its argument.
        data: &'a [u8],
    },
    /// A message to the application, which has no reply.
    Send {
        /// The message.
        data: &'a [u8],
    },
    /// Prolongs the connection.
    Refresh {
        /// With this token.
        token: Cow<'a, str>,
    },
    /// Prolongs a subscription.
    SubRefresh(SubRefreshRequest<'a>),
    /// An id without a request that is known here, or with `ping`, which only servers send.
    Unknown,
}

/// The first command of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectRequest<'a> {
    /// A JSON Web Token, or nothing.
    pub token: Cow<'a, str>,
    /// For the application.
    pub data: &'a [u8],
    /// Server-side subscriptions to have or to recover, at most [`SUBSCRIPTIONS`]. Should a channel
    /// come twice, the later one counts.
    pub subs: Subscriptions<'a>,
    /// The SDK or the application, as `js`.
    pub name: Cow<'a, str>,
    /// Its version.
    pub version: Cow<'a, str>,
    /// What a browser cannot say in headers, at most [`HEADERS`].
    pub headers: Headers<'a>,
    /// Bit 0: dictionary compression is supported.
    pub flag: i64,
}

/// Names and values of emulated headers.
pub type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Channels with what is asked for in each.
pub type Subscriptions<'a> = Vec<(Cow<'a, str>, SubscribeRequest<'a>)>;

/// Asks for the publications of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscribeRequest<'a> {
    /// The channel; empty within a connect request.
    pub channel: Cow<'a, str>,
    /// A JSON Web Token, or nothing.
    pub token: Cow<'a, str>,
    /// Whether missed publications are asked for.
    pub recover: bool,
    /// The epoch last heard of, or nothing, which fits every epoch.
    pub epoch: Cow<'a, str>,
    /// The offset last seen.
    pub offset: u64,
    /// For the application.
    pub data: &'a [u8],
    /// Whether the server shall look out for gaps.
    pub positioned: bool,
    /// Whether the client will recover later.
    pub recoverable: bool,
    /// Whether joins and leaves are asked for.
    pub join_leave: bool,
    /// `fossil`, or nothing.
    pub delta: Cow<'a, str>,
    /// Only publications with these tags.
    pub tags_filter: Option<TagsFilter<'a>>,
    /// See [`SubscribeRequest::COMPACTION`] and [`SubscribeRequest::REFUSE_UNRECOVERABLE`].
    pub flag: i64,
    /// 0 is a stream; others are features that this server does not have.
    pub kind: i32,
}

impl SubscribeRequest<'_> {
    /// The bit of `flag` that says: pushes may name the channel by a number.
    pub const COMPACTION: i64 = 1;
    /// The bit of `flag` that says: answer error 112 where recovery fails.
    pub const REFUSE_UNRECOVERABLE: i64 = 2;
}

/// Which publications a subscriber wants, not read yet: see [`TagsFilter::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagsFilter<'a> {
    /// The encoding of the source.
    pub protocol: Protocol,
    /// A `FilterNode` in that encoding.
    pub source: &'a [u8],
}

/// Sends a publication to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishRequest<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// The payload.
    pub data: &'a [u8],
    /// 0 is a stream; others are features that this server does not have.
    pub kind: i32,
}

/// Asks for the position or the publications of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryRequest<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// How many publications; 0 for the position alone, below 0 for all.
    pub limit: i32,
    /// Beyond this position.
    pub since: Option<StreamPosition<'a>>,
    /// Newest first, before the position.
    pub reverse: bool,
}

/// A place in the stream of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamPosition<'a> {
    /// The number of a publication.
    pub offset: u64,
    /// Of which stream of that name.
    pub epoch: Cow<'a, str>,
}

/// Prolongs a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubRefreshRequest<'a> {
    /// The channel. Some SDKs leave it out; the token names it too.
    pub channel: Cow<'a, str>,
    /// The new token.
    pub token: Cow<'a, str>,
    /// 0 is a refresh; others are features that this server does not have.
    pub kind: i32,
}

/// A command as it stands on the wire: with any number of requests.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    id: u32,
    connect: Option<ConnectRequest<'a>>,
    subscribe: Option<SubscribeRequest<'a>>,
    unsubscribe: Option<Named<'a>>,
    publish: Option<PublishRequest<'a>>,
    presence: Option<Named<'a>>,
    presence_stats: Option<Named<'a>>,
    history: Option<HistoryRequest<'a>>,
    rpc: Option<Call<'a>>,
    send: Option<Message<'a>>,
    refresh: Option<Renewal<'a>>,
    sub_refresh: Option<SubRefreshRequest<'a>>,
}

/// A request with nothing but a channel.
#[derive(Default)]
struct Named<'a> {
    channel: Cow<'a, str>,
}

#[derive(Default)]
struct Call<'a> {
    method: Cow<'a, str>,
    data: &'a [u8],
}

#[derive(Default)]
struct Message<'a> {
    data: &'a [u8],
}

#[derive(Default)]
struct Renewal<'a> {
    token: Cow<'a, str>,
}

impl<'a> Envelope<'a> {
    /// What the command means: of several requests the first in this order.
    pub(super) fn into_command(self) -> Command<'a> {
        let id = self.id;
        if id == 0 && self.send.is_none() {
            let request = Request::Pong;
            return Command { id, request };
        }
        let request = if let Some(request) = self.connect {
            Request::Connect(request)
        } else if let Some(request) = self.subscribe {
            Request::Subscribe(request)
        } else if let Some(Named { channel }) = self.unsubscribe {
            Request::Unsubscribe { channel }
        } else if let Some(request) = self.publish {
            Request::Publish(request)
        } else if let Some(Named { channel }) = self.presence {
            Request::Presence { channel }
        } else if let Some(Named { channel }) = self.presence_stats {
            Request::PresenceStats { channel }
        } else if let Some(request) = self.history {
            Request::History(request)
        } else if let Some(Call { method, data }) = self.rpc {
            Request::Rpc { method, data }
        } else if let Some(Message { data }) = self.send {
            Request::Send { data }
        } else if let Some(Renewal { token }) = self.refresh {
            Request::Refresh { token }
        } else if let Some(request) = self.sub_refresh {
            Request::SubRefresh(request)
        } else {
            Request::Unknown
        };
        Command { id, request }
    }
}
