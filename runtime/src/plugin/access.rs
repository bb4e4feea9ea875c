//! What clients may do: the application's verdicts, as a transport asks for them.
//!
//! A transport that serves clients with a protocol of their own (connections that subscribe,
//! publish and ask) knows no token, no namespace and no permission. It asks here, and carries out
//! the verdict. Codes are those of the Centrifuge client protocol.

use std::time::Duration;

use crate::limits::Retention;

/// The application's verdicts. Each answer is given at once; what has to be fetched first is
/// refused as temporary, and the client asks again.
pub trait Access {
    /// How connections are treated.
    fn settings(&self) -> &ClientSettings;

    /// May this client connect, and as whom?
    ///
    /// # Errors
    ///
    /// Why not.
    fn connect(&mut self, ask: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial>;

    /// A connected client brings a new connection token. The answer says until when it is good.
    ///
    /// # Errors
    ///
    /// Why it is not.
    fn refresh(&mut self, user: &str, token: &str, unix_time: Duration) -> Result<Expiry, Denial>;

    /// May this client subscribe, and with which options?
    ///
    /// # Errors
    ///
    /// Why not.
    fn subscribe(&mut self, ask: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial>;

    /// A subscribed client brings a new subscription token.
    ///
    /// # Errors
    ///
    /// Why it is not good.
    fn refresh_subscription(&mut self, ask: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial>;

    /// May this client do something else with a channel?
    ///
    /// # Errors
    ///
    /// Why not.
    fn act(&mut self, ask: &ActAsk<'_>) -> Result<ActGrant, Denial>;
}

/// How connections of clients are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Between two pings of the server. Default 25 s; zero: no pings.
    pub ping_interval: Duration,
    /// How long a pong may take. Default 8 s; zero: none is expected.
    pub pong_timeout: Duration,
    /// How long a connection may take to connect. Default 10 s.
    pub stale_close_delay: Duration,
    /// How long an expired connection may take to refresh. Default 25 s.
    pub expired_close_delay: Duration,
    /// How long an expired subscription may take to refresh. Default 25 s.
    pub expired_sub_close_delay: Duration,
    /// Subscriptions of one connection. Default 128.
    pub channel_limit: usize,
    /// Connections of one user; zero: any number. Default zero.
    pub user_connection_limit: usize,
    /// Publications in one answer of the history. Default 300.
    pub history_limit: usize,
    /// Bytes of one message of a client. Default 64 KiB.
    pub message_bytes: usize,
    /// Commands in one message. Default 1024.
    pub commands_per_message: usize,
    /// Commands a second that one connection may send over a while; zero: any. Default 1,000.
    pub command_rate: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            channel_limit: 128,
            user_connection_limit: 0,
            history_limit: 300,
            message_bytes: 64 * 1024,
            commands_per_message: 1024,
            command_rate: 1000,
        }
    }
}

/// Why something is refused, by the numbers of the client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The command is answered with this error: 100 to 113.
    Error(u16),
    /// The connection is closed with this code: 3000 to 3999.
    Disconnect(u16),
}

/// A wish to connect.
#[derive(Clone, Copy, Debug)]
pub struct ConnectAsk<'a> {
    /// The connection token; empty if there is none.
    pub token: &'a str,
    /// Channels that the client names for server-side subscriptions.
    pub channels: &'a [&'a str],
    /// Can the client name channels in no other way (a unidirectional transport)?
    pub is_unidirectional: bool,
    /// The wall clock.
    pub unix_time: Duration,
}

/// Who a connected client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectGrant {
    /// The user's id; empty for an anonymous client.
    pub user: Box<str>,
    /// JSON about the connection that others may see.
    pub info: Option<Box<[u8]>>,
    /// Until when.
    pub expiry: Expiry,
    /// Channels that the client is subscribed to by the server.
    pub subscriptions: Vec<(Box<str>, SubscribeGrant)>,
}

/// Until when something is granted: seconds since 1970, or for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry(pub Option<u64>);

/// A wish to subscribe.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeAsk<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The connection's id.
    pub client: &'a str,
    /// The channel; empty in a refresh that names none: then that of the token.
    pub channel: &'a str,
    /// The subscription token; empty if there is none.
    pub token: &'a str,
    /// The wall clock.
    pub unix_time: Duration,
}

/// What a subscription may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeGrant {
    /// How the channel is made if it is not there; none: it must be there (a chat).
    pub create: Option<Retention>,
    /// Does a subscription that names no position get everything from the first event (a chat)?
    pub from_beginning: bool,
    /// May missed publications be recovered?
    pub recovery: Feature,
    /// Is recovery that of the newest publication alone?
    pub is_cache: bool,
    /// Is the position watched?
    pub positioning: Feature,
    /// Is the client listed among the channel's members?
    pub presence: bool,
    /// Do others hear of its coming and going?
    pub join_leave: bool,
    /// Does it hear of others' coming and going? Of meaning with `join_leave` only.
    pub push_join_leave: Feature,
    /// May it get differences instead of whole publications?
    pub delta: bool,
    /// May it filter by tags?
    pub tags_filter: bool,
    /// May its pushes carry the channel's number instead of its name?
    pub compaction: bool,
    /// JSON about the subscription that others may see.
    pub info: Option<Box<[u8]>>,
    /// JSON for the client.
    pub data: Option<Box<[u8]>>,
    /// Until when.
    pub expiry: Expiry,
    /// Does it rest on a token, which the client refreshes?
    pub by_token: bool,
}

/// A new token of a subscription is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshGrant {
    /// The channel that it is for.
    pub channel: Box<str>,
    /// Until when.
    pub expiry: Expiry,
}

/// A feature that a client may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feature {
    /// It has it in no case.
    #[default]
    Off,
    /// It has it if it asks for it.
    Allowed,
    /// It has it in any case.
    Forced,
}

impl Feature {
    /// Is it on for one who asks for it, or does not?
    #[must_use]
    pub fn is_on(self, asked: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Allowed => asked,
            Self::Forced => true,
        }
    }
}

/// A wish to do something with a channel.
#[derive(Clone, Copy, Debug)]
pub struct ActAsk<'a> {
    /// What.
    pub action: Action,
    /// The user's id.
    pub user: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// Is the client subscribed to it?
    pub is_subscribed: bool,
    /// What is to be published; empty for other actions.
    pub data: &'a [u8],
}

/// What a client may do with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish.
    Publish,
    /// List its members, or count them.
    Presence,
    /// Read its history.
    History,
}

/// How the action is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActGrant {
    /// How the channel is made if it is not there.
    pub create: Option<Retention>,
    /// Publications are sent as differences where subscribers take those.
    pub as_delta: bool,
}

/// Refuses everything: for applications without such clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoAccess(ClientSettings);

/// Error 108 of the client protocol.
const NOT_AVAILABLE: Denial = Denial::Error(108);

impl Access for NoAccess {
    fn settings(&self) -> &ClientSettings {
        &self.0
    }

    fn connect(&mut self, _: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
        Err(NOT_AVAILABLE)
    }

    fn refresh(&mut self, _: &str, _: &str, _: Duration) -> Result<Expiry, Denial> {
        Err(NOT_AVAILABLE)
    }

    fn subscribe(&mut self, _: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
        Err(NOT_AVAILABLE)
    }

    fn refresh_subscription(&mut self, _: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
        Err(NOT_AVAILABLE)
    }

    fn act(&mut self, _: &ActAsk<'_>) -> Result<ActGrant, Denial> {
        Err(NOT_AVAILABLE)
    }
}
