//! One run: the answer to one question, its targets in order, the attempt that goes on, its deadlines.
//!
//! ```text
//!   Queue ─► Dialing ─► Answering ─► ended
//!     ▲         │           │
//!     │         └─ failed ──┘
//!     │               │ no content yet: the next target; where none is left, perhaps the same again
//!     └─── Backoff ◄──┤
//!                     └ else: the terminal event
//! ```
//!
//! A run waits, in a queue or to try again, or has an attempt; never both. While it waits there is
//! nothing of it but itself.

use std::sync::Arc;

use crate::event::{Attempt, ErrorCode};
use crate::ids::{ChannelId, ConnId, DialId};
use crate::plugin::provider::{ChatRequest, Generation, ProviderError, Upstream};
use crate::routing::{Plan, ProviderTimers, Resilience, Slot, Target, Tried};
use crate::time::Moment;
use dial::seconds;

pub(crate) mod acknowledging;
pub(crate) mod dial;
pub(crate) mod estimate;
pub(crate) mod pool;
pub(crate) mod warm;

/// One run. Each attempt at a target has a generation, the plugin's machine that reads the answer.
pub(crate) struct Run {
    pub(crate) channel: ChannelId,
    /// The model of `start`, until that is told: the provider is asked before.
    pub(crate) untold: Option<Box<str>>,
    /// Whose tokens it spends, as a label of the metrics.
    pub(crate) key: Arc<str>,
    pub(crate) asked: Asked,
    pub(crate) plan: Plan,
    /// Which target of the plan is being tried, or waited for.
    pub(crate) target: usize,
    /// The targets that need not be tried any more.
    pub(crate) tried: Tried,
    /// How often the present one has been tried again.
    pub(crate) retries: u32,
    /// The attempts that have failed.
    pub(crate) attempts: Vec<Attempt>,
    /// Its place at the present target: it has one from when it is its turn to the attempt's end.
    pub(crate) slot: Option<Slot>,
    /// What it waits for.
    pub(crate) wait: Option<Wait>,
    /// The attempt that goes on.
    pub(crate) attempt: Option<Current>,
    /// Has content been published? Then failure is final.
    pub(crate) content: bool,
    /// Does it go on although nobody listens?
    pub(crate) is_unattended: bool,
    /// The earliest timer set for it.
    pub(crate) armed: Moment,
}

/// What a run without an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its turn at the target.
    Queue { since: Moment, until: Moment },
    /// To try the target again; past an open breaker no longer than it has patience.
    Backoff { until: Moment, patience: Moment },
}

/// The question of a run.
pub(crate) enum Asked {
    /// All of it, for the attempts to come.
    Whole(Box<ChatRequest>),
    /// Behind the first content no attempt follows: only how many tokens it is, by estimate.
    Tokens(u64),
}

impl Asked {
    /// How many tokens it is, by estimate.
    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Whole(request) => estimate::asked(request),
            Self::Tokens(tokens) => *tokens,
        }
    }
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
    /// Has the first content come?
    pub(crate) first_event: bool,
    /// Are acknowledgements held back, and no event has come behind the first?
    pub(crate) holds_back: bool,
    /// Was the run's hint set for what follows the first content?
    pub(crate) is_watched: bool,
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
    /// It was not its turn in time.
    Queue,
    /// The target may be tried again.
    Backoff,
}

impl Run {
    /// A run before its first attempt.
    pub(crate) fn new(
        channel: ChannelId,
        model: Box<str>,
        key: Arc<str>,
        request: Box<ChatRequest>,
        plan: Plan,
        is_unattended: bool,
    ) -> Self {
        Self {
            channel,
            untold: Some(model),
            key,
            asked: Asked::Whole(request),
            plan,
            target: 0,
            tried: Tried::default(),
            retries: 0,
            attempts: Vec::new(),
            slot: None,
            wait: None,
            attempt: None,
            content: false,
            is_unattended,
            armed: Moment::NEVER,
        }
    }

    pub(crate) fn current_target(&self) -> Option<&Target> {
        self.plan.target(self.target)
    }

    /// Turns to a target of its plan, or stays at it.
    pub(crate) fn turn_to(&mut self, target: usize) {
        if self.target != target {
            self.target = target;
            self.retries = 0;
        }
    }

    /// Remembers that an attempt at the present target has failed.
    pub(crate) fn note_failure(&mut self, code: ErrorCode) {
        let Some(target) = self.plan.target(self.target) else {
            return;
        };
        self.attempts.push(Attempt {
            provider: target.instance.name.clone(),
            model: target.model.clone(),
            code,
        });
    }

    /// The attempt that goes on, and at what.
    pub(crate) fn trying(&mut self) -> Option<(&Target, &mut Current)> {
        Some((self.plan.target(self.target)?, self.attempt.as_mut()?))
    }

    /// Has the present target been asked?
    pub(crate) fn is_asked(&self) -> bool {
        let phase = self.attempt.as_ref().map(|attempt| &attempt.phase);
        matches!(phase, Some(Phase::Answering | Phase::Local))
    }

    /// Between the events of an answer its deadlines only move away: the hint that is set comes
    /// true before all of them.
    pub(crate) fn is_watched(&self) -> bool {
        self.armed != Moment::NEVER
            && self.wait.is_none()
            && self.attempt.as_ref().is_some_and(|attempt| {
                attempt.is_watched && attempt.generation.deadline().is_none()
            })
    }

    /// The earliest deadline and what it is for.
    pub(crate) fn deadline(&self) -> Option<(Moment, Option<Timer>)> {
        match self.wait {
            Some(Wait::Queue { until, .. }) => return Some((until, Some(Timer::Queue))),
            Some(Wait::Backoff { until, .. }) => return Some((until, Some(Timer::Backoff))),
            None => {}
        }
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
    /// The error that ends an attempt when this timer runs out; `host` is whom it was for.
    pub(crate) fn error(self, target: &Target, rules: &Resilience, host: &str) -> ProviderError {
        let ProviderTimers {
            first_event,
            between_events,
            total,
            ..
        } = target.instance.timers;
        let (code, what, name, limit) = match self {
            Self::FirstEvent => (
                ErrorCode::ProviderTimeout,
                "no first event from",
                "first_event_timeout",
                first_event,
            ),
            Self::BetweenEvents => (
                ErrorCode::ProviderTimeout,
                "no further event from",
                "between_events_timeout",
                between_events,
            ),
            Self::Total => (
                ErrorCode::ProviderTimeout,
                "no complete answer from",
                "total_timeout",
                total,
            ),
            Self::Queue | Self::Backoff => (
                ErrorCode::ProviderOverloaded,
                "no turn at",
                "queue_timeout",
                rules.queue_timeout,
            ),
        };
        ProviderError::new(
            code,
            format!("{what} {host} within {name} ({})", seconds(limit)),
        )
    }
}
