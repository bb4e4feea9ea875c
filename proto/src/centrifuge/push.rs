//! What the server says unasked: a push names a channel, where it is about one, and one event.

use super::Protocol;
use super::code::{Disconnect, Unsubscribe};
use super::encode::{Field, Json, Protobuf, Writer};
use super::reply::{ConnectResult, PushSubscribe};

/// One event for a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Push<'a> {
    /// Which channel it is about.
    pub channel: Channel<'a>,
    /// What happened.
    pub event: PushEvent<'a>,
}

/// How a push names its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channel<'a> {
    /// Not at all: it is about the connection.
    #[default]
    None,
    /// By its name.
    Name(&'a str),
    /// By the number that the subscribe result gave it (channel compaction).
    Id(i64),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PushEvent<'a> {
    /// Something was published in the channel.
    Publication(&'a Publication<'a>),
    /// Somebody subscribed to the channel.
    Join(ClientInfo<'a>),
    /// Somebody left the channel.
    Leave(ClientInfo<'a>),
    /// The server ended this client's subscription.
    Unsubscribe(&'a Unsubscribe),
    /// The server sends something to this connection.
    Message {
        /// The payload.
        data: &'a [u8],
    },
    /// The server subscribed this client.
    Subscribe(PushSubscribe<'a>),
    /// The beginning of a unidirectional connection.
    Connect(&'a ConnectResult<'a>),
    /// The end of a connection that has no close frames.
    Disconnect(&'a Disconnect),
    /// The server prolonged the connection.
    Refresh {
        /// Seconds until it expires, if it does.
        ttl: Option<u32>,
    },
}

/// A tag of a publication: its name and its value.
pub type Tag = (Box<str>, Box<str>);

/// One message in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Publication<'a> {
    /// The payload: one JSON value without line breaks where JSON goes out, or any bytes.
    pub data: &'a [u8],
    /// Whether JSON has the payload as a string of its text, which must be UTF-8: so are all
    /// publications of a subscription with negotiated deltas. Means nothing in Protobuf.
    pub quoted: bool,
    /// Who published it, if it was a client.
    pub info: Option<ClientInfo<'a>>,
    /// Its number in the stream; 0 where the channel keeps none.
    pub offset: u64,
    /// For [`filter`](super::filter)s.
    pub tags: &'a [Tag],
    /// Whether the payload is a [`delta`](super::delta).
    pub delta: bool,
    /// Milliseconds since 1970, where the server tells.
    pub time: i64,
    /// The epoch of the stream, on the publication with offset 1: who subscribed to an empty stream
    /// learns it so.
    pub epoch: &'a str,
}

/// Who is behind a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientInfo<'a> {
    /// The user.
    pub user: &'a str,
    /// The id of the connection.
    pub client: &'a str,
    /// From the connection's token: a payload.
    pub conn_info: &'a [u8],
    /// From the subscription's token: a payload.
    pub chan_info: &'a [u8],
}

impl Protocol {
    /// Appends a push as bidirectional connections have it, within a reply.
    pub fn push(self, push: &Push<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => within_reply(push, &mut Json(out)),
            Self::Protobuf => within_reply(push, &mut Protobuf(out)),
        }
    }

    /// Appends a push as unidirectional connections have it.
    pub fn bare_push(self, push: &Push<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => bare(push, &mut Json(out)),
            Self::Protobuf => bare(push, &mut Protobuf(out)),
        }
    }

    /// Appends a ping, which is the same for all connections.
    pub fn ping(self, out: &mut Vec<u8>) {
        match self {
            Self::Json => out.extend_from_slice(b"{}"),
            Self::Protobuf => out.push(0),
        }
    }
}

fn within_reply(push: &Push<'_>, writer: &mut impl Writer) {
    let mark = writer.begin();
    writer.message(&Field(4, "push"), |writer| push.write(writer));
    writer.close(mark);
}

fn bare(push: &Push<'_>, writer: &mut impl Writer) {
    let mark = writer.begin();
    push.write(writer);
    writer.close(mark);
}

impl Push<'_> {
    fn write(&self, writer: &mut impl Writer) {
        match self.channel {
            Channel::None => {}
            Channel::Id(id) => writer.integer(&Field(1, "id"), id),
            Channel::Name(name) => writer.text(&Field(2, "channel"), name),
        }
        match self.event {
            PushEvent::Publication(publication) => {
                writer.message(&Field(4, "pub"), |writer| publication.write(writer));
            }
            PushEvent::Join(info) => member(&Field(5, "join"), &info, writer),
            PushEvent::Leave(info) => member(&Field(6, "leave"), &info, writer),
            PushEvent::Unsubscribe(Unsubscribe { code, reason }) => {
                writer.message(&Field(7, "unsubscribe"), |writer| {
                    writer.always_number(&Field(2, "code"), (*code).into());
                    writer.always_text(&Field(3, "reason"), reason);
                });
            }
            PushEvent::Message { data } => writer.message(&Field(8, "message"), |writer| {
                writer.payload(&Field(1, "data"), data);
            }),
            PushEvent::Subscribe(result) => {
                writer.message(&Field(9, "subscribe"), |writer| result.write(writer));
            }
            PushEvent::Connect(result) => {
                writer.message(&Field(10, "connect"), |writer| result.write_push(writer));
            }
            PushEvent::Disconnect(Disconnect { code, reason }) => {
                writer.message(&Field(11, "disconnect"), |writer| {
                    writer.always_number(&Field(1, "code"), (*code).into());
                    writer.always_text(&Field(2, "reason"), reason);
                });
            }
            PushEvent::Refresh { ttl } => writer.message(&Field(12, "refresh"), |writer| {
                writer.expiry(&Field(1, "expires"), &Field(2, "ttl"), ttl);
            }),
        }
    }
}

fn member(field: &Field, info: &ClientInfo<'_>, writer: &mut impl Writer) {
    writer.message(field, |writer| {
        writer.message(&Field(1, "info"), |writer| info.write(writer));
    });
}

impl Publication<'_> {
    pub(super) fn write(&self, writer: &mut impl Writer) {
        let data = Field(4, "data");
        if self.quoted {
            writer.quoted(&data, self.data);
        } else {
            writer.payload(&data, self.data);
        }
        if let Some(info) = &self.info {
            writer.message(&Field(5, "info"), |writer| info.write(writer));
        }
        writer.number(&Field(6, "offset"), self.offset);
        if !self.tags.is_empty() {
            let field = Field(7, "tags");
            writer.open_map(&field);
            for (name, value) in self.tags {
                writer.text_entry(&field, name, value);
            }
            writer.close_map();
        }
        writer.flag(&Field(8, "delta"), self.delta);
        writer.integer(&Field(9, "time"), self.time);
        writer.text(&Field(14, "epoch"), self.epoch);
    }
}

impl ClientInfo<'_> {
    pub(super) fn write(&self, writer: &mut impl Writer) {
        writer.always_text(&Field(1, "user"), self.user);
        writer.always_text(&Field(2, "client"), self.client);
        writer.payload(&Field(3, "conn_info"), self.conn_info);
        writer.payload(&Field(4, "chan_info"), self.chan_info);
    }
}
