//! The answer to a command: its id and one result, or an error.

use super::Protocol;
use super::code::Error;
use super::encode::{Field, Json, Protobuf, Writer};
use super::push::{ClientInfo, Publication};

mod subscribe;

pub use self::subscribe::{PushSubscribe, SubscribeResult, SubscribeResultWriter, Subscription};

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reply<'a> {
    /// That of the command.
    pub id: u32,
    /// What came of it.
    pub result: ReplyResult<'a>,
}

/// What came of a command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplyResult<'a> {
    /// It failed.
    Error(&'a Error),
    /// Connected.
    Connect(&'a ConnectResult<'a>),
    /// Subscribed. For a long list of publications see [`SubscribeResultWriter`].
    Subscribe(&'a SubscribeResult<'a>),
    /// Not subscribed any more.
    Unsubscribe,
    /// Published.
    Publish,
    /// Who is subscribed: the ids of connections with what is known of them.
    Presence(&'a [(&'a str, ClientInfo<'a>)]),
    /// How many are subscribed.
    PresenceStats {
        /// Connections.
        clients: u32,
        /// Different users.
        users: u32,
    },
    /// A part of the stream.
    History(&'a HistoryResult<'a>),
    /// What the procedure returned.
    Rpc {
        /// The payload.
        data: &'a [u8],
    },
    /// The connection is prolonged.
    Refresh {
        /// The id of the connection.
        client: &'a str,
        /// The version of the server.
        version: &'a str,
        /// Seconds until it expires, if it does.
        ttl: Option<u32>,
    },
    /// The subscription is prolonged.
    SubRefresh {
        /// Seconds until it expires, if it does.
        ttl: Option<u32>,
    },
}

/// The beginning of a connection, as a reply or as a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectResult<'a> {
    /// The id of the connection.
    pub client: &'a str,
    /// The version of the server; not empty, some SDKs want one.
    pub version: &'a str,
    /// Seconds until the connection expires, if it does.
    pub ttl: Option<u32>,
    /// For the client: a payload.
    pub data: &'a [u8],
    /// The subscriptions that the server made.
    pub subs: &'a [Subscription<'a>],
    /// Seconds between two pings; 0 where there are none.
    pub ping: u32,
    /// Whether pings are to be answered.
    pub pong: bool,
    /// The secret by which requests beside the stream name it.
    pub session: &'a str,
    /// The node that such requests go to.
    pub node: &'a str,
    /// Milliseconds since 1970, where the server tells.
    pub time: i64,
}

/// A part of a stream and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryResult<'a> {
    /// What was asked for.
    pub publications: &'a [Publication<'a>],
    /// Which stream of that name it is.
    pub epoch: &'a str,
    /// The number of the newest publication.
    pub offset: u64,
}

impl Protocol {
    /// Appends a reply.
    pub fn reply(self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => reply.write(&mut Json(out)),
            Self::Protobuf => reply.write(&mut Protobuf(out)),
        }
    }
}

impl Reply<'_> {
    fn write(&self, writer: &mut impl Writer) {
        let mark = writer.begin();
        writer.number(&Field(1, "id"), self.id.into());
        self.result.write(writer);
        writer.close(mark);
    }
}

impl ReplyResult<'_> {
    fn write(&self, writer: &mut impl Writer) {
        match *self {
            Self::Error(error) => {
                writer.message(&Field(2, "error"), |writer| error.write(writer));
            }
            Self::Connect(result) => {
                writer.message(&Field(5, "connect"), |writer| result.write(writer));
            }
            Self::Subscribe(result) => {
                writer.message(&subscribe::FIELD, |writer| result.write(writer));
            }
            Self::Unsubscribe => writer.message(&Field(7, "unsubscribe"), |_| {}),
            Self::Publish => writer.message(&Field(8, "publish"), |_| {}),
            Self::Presence(clients) => {
                writer.message(&Field(9, "presence"), |writer| presence(clients, writer));
            }
            Self::PresenceStats { clients, users } => {
                writer.message(&Field(10, "presence_stats"), |writer| {
                    writer.always_number(&Field(1, "num_clients"), clients.into());
                    writer.always_number(&Field(2, "num_users"), users.into());
                });
            }
            Self::History(result) => {
                writer.message(&Field(11, "history"), |writer| result.write(writer));
            }
            Self::Rpc { data } => writer.message(&Field(13, "rpc"), |writer| {
                writer.payload(&Field(1, "data"), data);
            }),
            Self::Refresh {
                client,
                version,
                ttl,
            } => writer.message(&Field(14, "refresh"), |writer| {
                writer.text(&Field(1, "client"), client);
                writer.text(&Field(2, "version"), version);
                writer.expiry(&Field(3, "expires"), &Field(4, "ttl"), ttl);
            }),
            Self::SubRefresh { ttl } => writer.message(&Field(15, "sub_refresh"), |writer| {
                writer.expiry(&Field(1, "expires"), &Field(2, "ttl"), ttl);
            }),
        }
    }
}

impl Error {
    fn write(&self, writer: &mut impl Writer) {
        writer.number(&Field(1, "code"), self.code.into());
        writer.text(&Field(2, "message"), &self.message);
        writer.flag(&Field(3, "temporary"), self.temporary);
    }
}

fn presence(clients: &[(&str, ClientInfo<'_>)], writer: &mut impl Writer) {
    let field = Field(1, "presence");
    writer.open_map(&field);
    for (client, info) in clients {
        writer.entry(&field, client, |writer| info.write(writer));
    }
    writer.close_map();
}

impl HistoryResult<'_> {
    fn write(&self, writer: &mut impl Writer) {
        let field = Field(1, "publications");
        writer.open_list(&field);
        for publication in self.publications {
            writer.item(&field, |writer| publication.write(writer));
        }
        writer.close_list();
        writer.always_text(&Field(2, "epoch"), self.epoch);
        writer.always_number(&Field(3, "offset"), self.offset);
    }
}

impl ConnectResult<'_> {
    fn write(&self, writer: &mut impl Writer) {
        writer.text(&Field(1, "client"), self.client);
        writer.text(&Field(2, "version"), self.version);
        writer.expiry(&Field(3, "expires"), &Field(4, "ttl"), self.ttl);
        writer.payload(&Field(5, "data"), self.data);
        self.write_subs(&Field(6, "subs"), writer);
        writer.number(&Field(7, "ping"), self.ping.into());
        writer.flag(&Field(8, "pong"), self.pong);
        writer.text(&Field(9, "session"), self.session);
        writer.text(&Field(10, "node"), self.node);
        writer.integer(&Field(11, "time"), self.time);
    }

    /// The same fields, as the push of a unidirectional connection numbers them.
    pub(super) fn write_push(&self, writer: &mut impl Writer) {
        writer.text(&Field(1, "client"), self.client);
        writer.text(&Field(2, "version"), self.version);
        writer.payload(&Field(3, "data"), self.data);
        self.write_subs(&Field(4, "subs"), writer);
        writer.expiry(&Field(5, "expires"), &Field(6, "ttl"), self.ttl);
        writer.number(&Field(7, "ping"), self.ping.into());
        writer.flag(&Field(8, "pong"), self.pong);
        writer.text(&Field(9, "session"), self.session);
        writer.text(&Field(10, "node"), self.node);
        writer.integer(&Field(11, "time"), self.time);
    }

    fn write_subs(&self, field: &Field, writer: &mut impl Writer) {
        if self.subs.is_empty() {
            return;
        }
        writer.open_map(field);
        for Subscription { channel, result } in self.subs {
            writer.entry(field, channel, |writer| result.write(writer));
        }
        writer.close_map();
    }
}
