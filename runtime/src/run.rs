//! One run: the answer to one question, its targets in order, the attempt that goes on, its deadlines.
//!
//! ```text
//!   Dialing ─► Answering ─► ended
//!      │           │
//!      └─ failed ──┘
//!            │ no content yet: next target
//!            └ else: the terminal event
//! ```

use std::sync::Arc;

use crate::event::{Attempt, ErrorCode};
use crate::ids::{ChannelId, ConnId, DialId};
use crate::plugin::provider::{ChatRequest, Generation, ProviderError, Upstream};
use crate::routing::{Plan, ProviderTimers, Target};
use crate::time::Moment;
use dial::seconds;

pub(crate) mod dial;
pub(crate) mod estimate;
pub(crate) mod pool;

/// One run. Each attempt at a target has a generation, the plugin's machine that reads the answer.
pub(crate) struct Run {
    pub(crate) channel: ChannelId,
    /// Whose tokens it spends, as a label of the metrics.
    pub(crate) key: Arc<str>,
    pub(crate) request: Box<ChatRequest>,
    pub(crate) plan: Plan,
    /// Which target of the plan is being tried.
    pub(crate) target: usize,
    /// The targets that have failed.
    pub(crate) attempts: Vec<Attempt>,
    /// The attempt that goes on.
    pub(crate) attempt: Option<Current>,
    /// Has content been published? Then failure is final.
    pub(crate) content: bool,
    /// Does it go on although nobody listens?
    pub(crate) is_unattended: bool,
    /// The earliest timer set for it.
    pub(crate) armed: Moment,
}

/// The attempt that goes on.
pub(crate) struct Current {
    pub(crate) generation: Box<dyn Generation>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) phase: Phase,
    pub(crate) began: Moment,
    /// When the phase, or the wait for the next event, began.
    pub(crate) since: Moment,
    pub(crate) conn: Option<ConnId>,
    /// Was the connection used before? Then it may have died unnoticed.
    pub(crate) reused: bool,
    /// Has any byte of an answer come?
    pub(crate) answered: bool,
    /// Has the first event come?
    pub(crate) first_event: bool,
}

/// How far an attempt is.
pub(crate) enum Phase {
    /// Its connection is being made.
    Dialing(DialId),
    /// The request is on its way, or the answer.
    Answering,
    /// The machine needs no connection.
    Local,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    FirstEvent,
    BetweenEvents,
    Total,
}

impl Run {
    /// A run before its first attempt.
    pub(crate) fn new(
        channel: ChannelId,
        key: Arc<str>,
        request: ChatRequest,
        plan: Plan,
        is_unattended: bool,
    ) -> Self {
        Self {
            channel,
            key,
            request: Box::new(request),
            plan,
            target: 0,
            attempts: Vec::new(),
            attempt: None,
            content: false,
            is_unattended,
            armed: Moment::NEVER,
        }
    }

    pub(crate) fn current_target(&self) -> Option<&Target> {
        self.plan.targets.get(self.target)
    }

    /// The attempt that goes on, and at what.
    pub(crate) fn trying(&mut self) -> Option<(&Target, &mut Current)> {
        Some((self.plan.targets.get(self.target)?, self.attempt.as_mut()?))
    }

    /// Has the present target been asked?
    pub(crate) fn is_asked(&self) -> bool {
        let phase = self.attempt.as_ref().map(|attempt| &attempt.phase);
        matches!(phase, Some(Phase::Answering | Phase::Local))
    }

    /// The earliest deadline and what it is for.
    pub(crate) fn deadline(&self) -> Option<(Moment, Option<Timer>)> {
        let timers = &self.current_target()?.instance.timers;
        let attempt = self.attempt.as_ref()?;
        let mut earliest = (attempt.began + timers.total, Some(Timer::Total));
        let mut consider = |at: Moment, timer| {
            if at < earliest.0 {
                earliest = (at, timer);
            }
        };
        match &attempt.phase {
            Phase::Answering if attempt.first_event => {
                consider(
                    attempt.since + timers.between_events,
                    Some(Timer::BetweenEvents),
                );
            }
            Phase::Answering => {
                consider(attempt.since + timers.first_event, Some(Timer::FirstEvent))
            }
            Phase::Dialing(_) | Phase::Local => {}
        }
        if let Some(at) = attempt.generation.deadline() {
            consider(at, None);
        }
        Some(earliest)
    }
}

impl Timer {
    /// The error that ends an attempt when this timer runs out.
    pub(crate) fn error(self, timers: &ProviderTimers, host: &str) -> ProviderError {
        let (what, name, limit) = match self {
            Self::FirstEvent => (
                "no first event from",
                "first_event_timeout",
                timers.first_event,
            ),
            Self::BetweenEvents => (
                "no further event from",
                "between_events_timeout",
                timers.between_events,
            ),
            Self::Total => ("no complete answer from", "total_timeout", timers.total),
        };
        ProviderError::new(
            ErrorCode::ProviderTimeout,
            format!("{what} {host} within {name} ({})", seconds(limit)),
        )
    }
}
