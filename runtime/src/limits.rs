//! Every bound of the engine and its default.

use std::time::Duration;

use lmserver_proto::http1;

/// The bounds of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds of a request's head and body.
    pub http: http1::Limits,
    /// Connections of clients that are served; one more is told to come back. Default 100,000,
    /// lowered at start to what the process may open.
    pub connections: usize,
    /// From the first byte of a request (or the connection's beginning) to its last. Default 10 s.
    pub head_timeout: Duration,
    /// How long a kept-alive connection may wait for its next request. Default 75 s.
    pub idle_timeout: Duration,
    /// How long a socket with something to write may take nothing. Default 30 s.
    pub write_timeout: Duration,
    /// Silence after which an event stream says that it lives. Default 15 s.
    pub heartbeat: Duration,
    /// How long running answers may go on after the first signal. Default 30 s.
    pub drain: Duration,
    /// Bytes of a connection's own output (heads, replies, pongs) that may wait. Default 64 KiB;
    /// a connection above it is not read.
    pub outbox_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http: http1::Limits::default(),
            connections: 100_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            outbox_bytes: 64 * 1024,
        }
    }
}

/// What an open channel keeps of its publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Publications that it keeps for those who come later. With 0 it keeps none, and its
    /// publications have no position that a client could name.
    pub size: u64,
    /// How long they are kept after the newest of them.
    pub ttl: Duration,
    /// How long the channel's epoch and offset are remembered after the last publication and the
    /// last subscriber.
    pub position_ttl: Duration,
}

impl Retention {
    /// Nothing is kept.
    pub const NONE: Self = Self {
        size: 0,
        ttl: Duration::ZERO,
        position_ttl: Duration::ZERO,
    };
}

/// The bounds of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelLimits {
    /// Events that an open channel keeps. Default 100.
    pub history_size: u64,
    /// How long an open channel's publications are kept after the newest, and the channel without
    /// subscribers. Default 5 min.
    pub history_ttl: Duration,
    /// How long a chat channel is kept after its terminal event. Default 10 min.
    pub ttl: Duration,
    /// How long the name of a forgotten chat channel is remembered. Default 1 h.
    pub tombstone_ttl: Duration,
    /// A chat without subscribers for this long is cancelled. Default: never.
    pub cancel_when_abandoned: Option<Duration>,
    /// Bytes that one channel may hold, all its encodings included. Default 16 MiB.
    pub max_channel_bytes: usize,
    /// Bytes that all channels may hold together. Default 256 MiB.
    pub max_total_bytes: usize,
}

impl ChannelLimits {
    /// What an open channel keeps for which nothing else is said.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            size: self.history_size,
            ttl: self.history_ttl,
            position_ttl: self.history_ttl,
        }
    }
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self {
            history_size: 100,
            history_ttl: Duration::from_secs(300),
            ttl: Duration::from_secs(600),
            tombstone_ttl: Duration::from_secs(3600),
            cancel_when_abandoned: None,
            max_channel_bytes: 16 << 20,
            max_total_bytes: 256 << 20,
        }
    }
}
