//! What the service asks the engine: chats, states, cancels, publications.

use super::Reactor;
use super::client::draw_epoch;
use crate::channel::registry::{Created, PublishOutcome, Registry};
use crate::channel::{Life, Placement, Published};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::ChannelId;
use crate::metrics::Metrics;
use crate::plugin::service::{Answer, Query, Submission};
use crate::run::Run;
use crate::sys::Sys;
use crate::time::Moment;

/// An answer before it borrows what it shows.
pub(super) enum Outcome {
    Submitted { channel: ChannelId, repeated: bool },
    Conflict,
    Overloaded,
    Draining,
    Snapshot(ChannelId),
    Cancelled { running: bool },
    Published(Published),
    TooLarge { limit: usize },
    Unknown,
    Expired,
    Metrics(Box<Metrics>),
}

impl Outcome {
    /// The answer as the service sees it.
    pub(super) fn answer<'a>(&'a self, channels: &'a Registry) -> Answer<'a> {
        match self {
            Self::Submitted { channel, repeated } => match channels.get(*channel) {
                Some(found) => Answer::Submitted {
                    channel: found.name(),
                    repeated: *repeated,
                },
                None => Answer::Overloaded,
            },
            Self::Snapshot(channel) => match channels.get(*channel) {
                Some(found) => Answer::Snapshot(found.snapshot(), found.position()),
                None => Answer::Unknown,
            },
            Self::Conflict => Answer::Conflict,
            Self::Overloaded => Answer::Overloaded,
            Self::Draining => Answer::Draining,
            Self::Cancelled { running } => Answer::Cancelled { running: *running },
            Self::Published(published) => Answer::Published(*published),
            Self::TooLarge { limit } => Answer::TooLarge { limit: *limit },
            Self::Unknown => Answer::Unknown,
            Self::Expired => Answer::Expired,
            Self::Metrics(metrics) => Answer::Metrics(metrics),
        }
    }
}

impl<S: Sys> Reactor<S> {
    pub(super) fn answer_query(&mut self, query: Query) -> Outcome {
        match query {
            Query::Submit(submission) => self.submit(*submission),
            Query::Snapshot(channel) => match self.find_chat(&channel) {
                Ok(id) => Outcome::Snapshot(id),
                Err(absent) => absent,
            },
            Query::Cancel(channel) => match self.find_chat(&channel) {
                Ok(id) => Outcome::Cancelled {
                    running: self.cancel(id),
                },
                Err(absent) => absent,
            },
            Query::Publish { channel, data } => {
                let Self {
                    channels, sys, now, ..
                } = self;
                match channels.publish(&channel, || draw_epoch(sys), data, *now) {
                    PublishOutcome::Published(published) => {
                        self.metrics.events += 1;
                        Outcome::Published(published)
                    }
                    PublishOutcome::TooLarge { limit } => Outcome::TooLarge { limit },
                    PublishOutcome::Overloaded => Outcome::Overloaded,
                }
            }
            Query::Metrics => Outcome::Metrics(Box::new(self.metrics())),
        }
    }

    fn submit(&mut self, submission: Submission) -> Outcome {
        let epoch = draw_epoch(&mut self.sys);
        let Submission {
            channel: name,
            model,
            request,
            request_bytes,
            plan,
            idempotency,
        } = submission;
        // A repetition finds its channel even while the server stops.
        let created = match self.channels.find_repeated(idempotency) {
            Some(repeated) => repeated,
            None if self.stop.is_draining() => return Outcome::Draining,
            None => self
                .channels
                .create_chat(&name, epoch, idempotency, self.now),
        };
        let channel = match created {
            Created::New(channel) => channel,
            Created::Repeated(channel) => {
                return Outcome::Submitted {
                    channel,
                    repeated: true,
                };
            }
            Created::Conflict => return Outcome::Conflict,
            Created::Overloaded => return Outcome::Overloaded,
        };
        self.channels
            .hold_request(channel, request_bytes.saturating_mul(2));
        self.append(channel, &Event::Start { model });
        let run = Run {
            channel,
            request: Box::new(request),
            plan,
            target: 0,
            attempts: Vec::new(),
            attempt: None,
            content: false,
            armed: Moment::NEVER,
        };
        let run = self.runs.insert_with(|_| run);
        self.channels.set_run(channel, Some(run));
        self.metrics.runs_started += 1;
        self.agenda.push(Effect::Begin { run });
        Outcome::Submitted {
            channel,
            repeated: false,
        }
    }

    fn find_chat(&self, name: &str) -> Result<ChannelId, Outcome> {
        let id = self
            .channels
            .find(name)
            .map_err(|placement| match placement {
                Placement::Expired => Outcome::Expired,
                Placement::Placed { .. }
                | Placement::Finished(_)
                | Placement::Gone
                | Placement::Unknown
                | Placement::Busy => Outcome::Unknown,
            })?;
        match self.channels.get(id).map(crate::channel::Channel::life) {
            Some(Life::Running | Life::Finished) => Ok(id),
            Some(Life::Open) | None => Err(Outcome::Unknown),
        }
    }
}
