//! How the failures and the limits of a provider's targets are dealt with: its keys.

use std::time::Duration;

/// What holds for each target of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resilience {
    /// How often the same target is asked again where nobody else is left. Default 2; 0 is never.
    pub retries: u32,
    /// The wait before the first of these, twice as long before each further. Default 500 ms.
    pub retry_backoff: Duration,
    /// Failures in a row that open the breaker. Default 5; 0 is never.
    pub breaker_failures: u32,
    /// How long an open breaker lets nobody through. Default 30 s.
    pub breaker_cooldown: Duration,
    /// Requests that a target has at a time. Default: as many as there are.
    pub max_concurrent: Option<u32>,
    /// Runs that wait for a target that has as many. Default 100.
    pub max_queued: u32,
    /// How long one waits. Default 30 s.
    pub queue_timeout: Duration,
}

impl Resilience {
    /// One try, and nothing else.
    pub const NONE: Self = Self {
        retries: 0,
        retry_backoff: Duration::from_millis(500),
        breaker_failures: 0,
        breaker_cooldown: Duration::from_secs(30),
        max_concurrent: None,
        max_queued: 100,
        queue_timeout: Duration::from_secs(30),
    };
}

impl Default for Resilience {
    fn default() -> Self {
        Self {
            retries: 2,
            breaker_failures: 5,
            ..Self::NONE
        }
    }
}
