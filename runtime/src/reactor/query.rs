//! What the service asks the engine: chats, states, cancels, publications; and its own wishes.

use super::client::draw_epoch;
use super::{Reactor, contained};
use crate::channel::registry::{Created, PublishOutcome, Question, Registry};
use crate::channel::{Channel, History, Life, Placement, Published, Snapshot};
use crate::directory::{Directory, Notice};
use crate::effect::Effect;
use crate::event::{Event, Position};
use crate::ids::ChannelId;
use crate::limits::Retention;
use crate::metrics::Metrics;
use crate::plugin::query::{Answer, Publish, Query, Range, Submission};
use crate::plugin::service::WishCx;
use crate::run::Run;
use crate::sys::Sys;
use crate::time::Moment;

/// An answer before it borrows what it shows.
pub(super) enum Outcome {
    Submitted {
        channel: ChannelId,
        repeated: bool,
    },
    Conflict,
    Overloaded,
    Draining,
    Snapshot(Box<Snapshot>, Position),
    Cancelled {
        running: bool,
    },
    Published(Published),
    TooLarge {
        limit: usize,
    },
    History {
        channel: ChannelId,
        first: u64,
        count: u64,
        reverse: bool,
    },
    Unrecoverable,
    Done,
    Presence(Box<str>),
    Channels(Vec<(Box<str>, u32)>),
    Signalled(usize),
    Unknown,
    Expired,
    Metrics(Box<Metrics>),
}

impl Outcome {
    /// The answer as the service sees it.
    pub(super) fn answer<'a>(
        &'a self,
        channels: &'a Registry,
        directory: &'a Directory,
    ) -> Answer<'a> {
        match self {
            Self::History {
                channel,
                first,
                count,
                reverse,
            } => match channels.get(*channel) {
                Some(found) => Answer::History(History::new(found, *first, *count, *reverse)),
                None => Answer::Unknown,
            },
            Self::Unrecoverable => Answer::Unrecoverable,
            Self::Done => Answer::Done,
            Self::Presence(channel) => Answer::Presence(directory.members(channel)),
            Self::Channels(list) => Answer::Channels(list),
            Self::Signalled(count) => Answer::Signalled(*count),
            Self::Submitted { channel, repeated } => match channels.get(*channel) {
                Some(found) => Answer::Submitted {
                    channel: found.name(),
                    repeated: *repeated,
                },
                None => Answer::Overloaded,
            },
            Self::Snapshot(snapshot, position) => Answer::Snapshot(snapshot, *position),
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
                Ok(id) => match self.channels.get(id) {
                    Some(found) => Outcome::Snapshot(found.snapshot().into(), found.position()),
                    None => Outcome::Unknown,
                },
                Err(absent) => absent,
            },
            Query::Cancel(channel) => match self.find_chat(&channel) {
                Ok(id) => Outcome::Cancelled {
                    running: self.cancel(id),
                },
                Err(absent) => absent,
            },
            Query::Forget(channel) => match self.find_chat(&channel) {
                Ok(id) => {
                    let running = self.cancel(id);
                    self.deliver_end(id);
                    self.channels.forget(id, self.now);
                    Outcome::Cancelled { running }
                }
                Err(absent) => absent,
            },
            Query::Publish(publish) => self.publish(publish),
            Query::History(range) => self.history(&range),
            Query::RemoveHistory(channel) => match self.channels.find(&channel) {
                Ok(id) => {
                    self.channels.remove_history(id);
                    Outcome::Done
                }
                Err(_) => Outcome::Done,
            },
            Query::Presence(channel) => Outcome::Presence(channel),
            Query::Channels => Outcome::Channels(self.channels.read_channels()),
            Query::Signal(target, signal) => Outcome::Signalled(self.signal(&target, signal)),
            Query::Metrics => Outcome::Metrics(Box::new(self.metrics())),
        }
    }

    /// When the service is to be asked for a wish at the latest.
    pub(super) fn wish_at(&self) -> Option<Moment> {
        self.service.wish_at().filter(|_| !self.stop.is_draining())
    }

    /// Asks the service for a wish, and carries it out.
    pub(super) fn grant_wish(&mut self) {
        if self.stop.is_draining() || self.service.wish_at().is_some() {
            self.ask_for_wish();
        }
    }

    #[inline(never)]
    fn ask_for_wish(&mut self) {
        let draining = self.stop.is_draining();
        let Self {
            service,
            sys,
            metrics,
            now,
            ..
        } = self;
        let mut random = |out: &mut [u8]| sys.random(out);
        let mut cx = WishCx::new(*now, draining, &mut random);
        if let Some(Some(query)) = contained(metrics, || service.wish(&mut cx)) {
            self.answer_query(query);
            self.run_agenda();
        }
    }

    #[inline(never)]
    fn publish(&mut self, publish: Publish) -> Outcome {
        let Publish {
            channel,
            data,
            details,
            retention,
            is_fleeting,
        } = publish;
        // Without a history all publications are fleeting, and the log keeps their order.
        if is_fleeting && retention.size > 0 {
            let notice = Notice::Fleeting { data, details };
            return self.publish_fleeting(&channel, retention, &notice);
        }
        let Self {
            channels, sys, now, ..
        } = self;
        let event = Event::Data(data, details);
        match channels.publish(&channel, || draw_epoch(sys), retention, &event, *now) {
            PublishOutcome::Published(published) => {
                self.metrics.events += 1;
                Outcome::Published(published)
            }
            PublishOutcome::TooLarge { limit } => Outcome::TooLarge { limit },
            PublishOutcome::Overloaded => Outcome::Overloaded,
        }
    }

    /// Tells those who are there. To one whose socket takes nothing it may come before older
    /// publications.
    fn publish_fleeting(&mut self, name: &str, retention: Retention, notice: &Notice) -> Outcome {
        let Self {
            channels, sys, now, ..
        } = self;
        let Some(id) = channels.open(name, || draw_epoch(sys), retention, *now) else {
            return Outcome::Overloaded;
        };
        self.deliver_early(id);
        self.notify_subscribers(id, notice);
        match self.channels.get(id).map(Channel::position) {
            Some(position) => Outcome::Published(Published {
                position,
                is_kept: false,
            }),
            None => Outcome::Overloaded,
        }
    }

    #[inline(never)]
    fn history(&mut self, range: &Range) -> Outcome {
        let Self {
            channels, sys, now, ..
        } = self;
        let id = match (channels.find(&range.channel), range.create) {
            (Ok(id), _) => id,
            (Err(_), Some(retention)) => {
                match channels.open(&range.channel, || draw_epoch(sys), retention, *now) {
                    Some(id) => id,
                    None => return Outcome::Overloaded,
                }
            }
            (Err(_), None) => return Outcome::Unknown,
        };
        let Some(channel) = channels.get(id) else {
            return Outcome::Unknown;
        };
        let other_epoch = |epoch: &str| epoch != channel.position().epoch.as_str();
        if range.epoch.as_deref().is_some_and(other_epoch) {
            return Outcome::Unrecoverable;
        }
        let (first, count) = channel.range(range.since, range.limit, range.reverse);
        Outcome::History {
            channel: id,
            first,
            count,
            reverse: range.reverse,
        }
    }

    #[inline(never)]
    fn submit(&mut self, submission: Submission) -> Outcome {
        let epoch = draw_epoch(&mut self.sys);
        let Submission {
            channel: name,
            model,
            request,
            key,
            request_bytes,
            plan,
            idempotency,
            is_unattended,
            abandon_after,
            note,
        } = submission;
        // A repetition finds its channel even while the server stops.
        let created = match self.channels.find_repeated(idempotency) {
            Some(repeated) => repeated,
            None if self.stop.is_draining() => return Outcome::Draining,
            None if note.len() > self.channels.max_channel_bytes() => {
                let limit = self.channels.max_channel_bytes();
                return Outcome::TooLarge { limit };
            }
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
        let question = Question {
            request_bytes: request_bytes.saturating_mul(2),
            abandon_after,
            created: self.sys.unix_time().as_secs(),
            note,
        };
        self.channels.hold(channel, question, self.now);
        let run = Run::new(channel, model, key, request, plan, is_unattended);
        let run = self.runs.insert_with(|_| run);
        self.channels.set_run(channel, Some(run));
        self.metrics.runs_started += 1;
        self.agenda.push(Effect::Begin { run });
        Outcome::Submitted {
            channel,
            repeated: false,
        }
    }

    #[inline(never)]
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
        match self.channels.get(id).map(Channel::life) {
            Some(Life::Running | Life::Finished) => Ok(id),
            Some(Life::Open) | None => Err(Outcome::Unknown),
        }
    }
}
