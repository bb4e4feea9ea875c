//! Plain counters of the engine. Whoever shows them decides the format.

use crate::accounts::Accounts;

/// What has happened since the start, and what there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: u64,
    /// Client connections now.
    pub connections: u64,
    /// Requests answered or handed to a session.
    pub requests: u64,
    /// Sessions of transports now.
    pub sessions: u64,
    /// Registered clients of a protocol with commands now.
    pub clients: u64,
    /// Different users among them.
    pub users: u64,
    /// Subscriptions now, of whatever transport.
    pub subscriptions: u64,
    /// Channels now.
    pub channels: u64,
    /// Bytes that all channels hold now.
    pub channel_bytes: u64,
    /// Events appended.
    pub events: u64,
    /// Bytes written to clients straight from logs.
    pub log_bytes_written: u64,
    /// Writes of log bytes.
    pub log_writes: u64,
    /// Connections closed because they took nothing.
    pub slow_disconnects: u64,
    /// Answers begun.
    pub runs_started: u64,
    /// Answers running now.
    pub runs: u64,
    /// Answers ended well.
    pub runs_completed: u64,
    /// Answers ended by an error.
    pub runs_failed: u64,
    /// Answers cancelled.
    pub runs_cancelled: u64,
    /// Attempts followed by the next target.
    pub fallbacks: u64,
    /// Attempts followed by another at the same target.
    pub retries: u64,
    /// How often a breaker has opened.
    pub breaker_openings: u64,
    /// Breakers that are open now, or try a probe.
    pub open_breakers: u64,
    /// Answers that wait for their turn at a target now.
    pub queued: u64,
    /// Those that found a target's queue full, or waited too long.
    pub queue_refusals: u64,
    /// Events of providers that could not be read.
    pub unread_events: u64,
    /// Upstream connections opened.
    pub upstream_connects: u64,
    /// Upstream connections used again.
    pub upstream_reuses: u64,
    /// Upstream connections made ahead of need.
    pub upstream_spares: u64,
    /// Of these, used.
    pub upstream_spares_used: u64,
    /// Panics of plugins that were contained.
    pub panics: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Tokens, answers, failed attempts and first events, by provider and more.
    pub accounts: Accounts,
    /// How the targets stand that have requests, or have failed of late.
    pub targets: Vec<TargetLoad>,
}

/// How a target stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetLoad {
    /// The provider.
    pub provider: Box<str>,
    /// The model.
    pub model: Box<str>,
    /// Its requests.
    pub requests: usize,
    /// Answers that wait for their turn.
    pub queued: usize,
    /// Is its breaker open, or tries a probe?
    pub is_open: bool,
}
