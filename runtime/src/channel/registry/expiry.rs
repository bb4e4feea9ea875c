//! Forgetting: what has had its time, and what must make room.

use std::time::Duration;

use super::{HARD_TOTAL_SHARE, Registry, UNREAD_VIEW_TTL, VOID_TTL};
use crate::channel::Life;
use crate::ids::ChannelId;
use crate::time::Moment;

/// What is due within one of these is forgotten together.
const TOGETHER: Duration = Duration::from_millis(125);

/// When to forget what was due at a moment, after so long a time.
pub(super) fn late(due: Moment, ttl: Duration) -> Moment {
    if ttl < 8 * TOGETHER {
        due
    } else {
        due.rounded_up(TOGETHER)
    }
}

impl Registry {
    /// Forgets what has had its time. Names the chats that nobody has read for too long.
    #[inline(never)]
    pub(crate) fn expire(&mut self, now: Moment, abandoned: &mut Vec<ChannelId>) {
        while let Some((since, id)) = self.finished.front().copied()
            && since + self.limits.ttl <= now
        {
            self.finished.pop_front();
            self.forget(id, now);
        }
        self.tombstones.expire(now, self.limits.tombstone_ttl);
        while let Some((at, id)) = self.unread.first().copied()
            && at <= now
        {
            self.unread.pop_first();
            let Some(channel) = self.channels.get_mut(id) else {
                continue;
            };
            channel.expires = None;
            if channel.life == Life::Open {
                self.forget(id, now);
            } else {
                // Whoever repeats a question that was given up for it wants an answer, not the
                // beginning of one.
                if channel.abandon_after.is_some()
                    && let Some(key) = channel.idempotency.take()
                {
                    self.idempotency.remove(&key);
                }
                abandoned.push(id);
            }
        }
        while let Some((at, id)) = self.histories.first().copied()
            && at <= now
        {
            self.histories.pop_first();
            self.expire_history(id, now);
        }
        while let Some((at, id)) = self.stale_views.front().copied()
            && at <= now
        {
            self.stale_views.pop_front();
            self.drop_stale_views(id, now);
        }
        self.due = self.earliest();
    }

    /// When [`expire`](Self::expire) may have something to do; [`Moment::NEVER`] for never. Nobody
    /// waits for what is forgotten: it may come a little late, and what has gone otherwise may still
    /// wake once for nothing.
    pub(crate) const fn deadline(&self) -> Moment {
        self.due
    }

    /// Notes that [`expire`](Self::expire) has something to do at a moment. Every turn asks for the
    /// first: it is noted when it comes up, not looked for among all.
    pub(super) fn note_due(&mut self, at: Moment) {
        self.due = self.due.min(at);
    }

    /// Notes that what was due at a moment is not due any more. A question is held until somebody
    /// listens, which is at once: most of what is due first goes this way.
    fn note_gone(&mut self, at: Moment) {
        if at <= self.due {
            self.due = self.earliest();
        }
    }

    /// When something is due.
    pub(in crate::channel) fn earliest(&self) -> Moment {
        let mut earliest = Moment::NEVER;
        if let Some((since, _)) = self.finished.front() {
            let ttl = self.limits.ttl;
            earliest = earliest.min(late(*since + ttl, ttl));
        }
        if let Some(since) = self.tombstones.oldest() {
            let ttl = self.limits.tombstone_ttl;
            earliest = earliest.min(late(since + ttl, ttl));
        }
        if let Some((at, _)) = self.unread.first() {
            earliest = earliest.min(*at);
        }
        if let Some((at, _)) = self.stale_views.front() {
            earliest = earliest.min(late(*at, UNREAD_VIEW_TTL));
        }
        if let Some((at, _)) = self.histories.first() {
            earliest = earliest.min(*at);
        }
        earliest
    }

    /// Forgets a channel; of a chat the name is remembered.
    pub(crate) fn forget(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        self.total -= channel.counted;
        self.subscriptions -= channel.subscribers as usize;
        self.idle -= channel.idle_counted;
        self.names.remove(&channel.name);
        if let Some(at) = channel.expires {
            self.unread.remove(&(at, id));
            self.note_gone(at);
        }
        if let Some(at) = channel.history_due {
            self.histories.remove(&(at, id));
            self.note_gone(at);
        }
        if let Some(key) = channel.idempotency {
            self.idempotency.remove(&key);
        }
        if channel.life != Life::Open {
            self.tombstones.insert(&channel.name, now);
            let ttl = self.limits.tombstone_ttl;
            self.note_due(late(now + ttl, ttl));
        }
    }

    /// Forgets finished chats, oldest first, then open channels that nobody reads, until the total
    /// is within its bound; the other way round where such channels have more than half of it.
    /// True if it is.
    pub(super) fn make_room(&mut self, now: Moment) -> bool {
        while self.total > self.limits.max_total_bytes {
            // Whoever makes channels by the thousand does not take the room of answers.
            let idle_first = self.idle > self.limits.max_total_bytes / 2;
            if !idle_first && let Some(id) = self.pop_finished() {
                self.forget(id, now);
                continue;
            }
            let open = self.unread.iter().find(|(_, id)| {
                self.channels
                    .get(*id)
                    .is_some_and(|channel| channel.life == Life::Open)
            });
            let Some((_, id)) = open.copied() else {
                debug_assert!(!idle_first, "what is idle is found");
                return false;
            };
            self.forget(id, now);
        }
        true
    }

    /// The chat that finished first; not one whose listeners are still to be told of its end.
    fn pop_finished(&mut self) -> Option<ChannelId> {
        let channels = &self.channels;
        let is_told = |(_, id): &(Moment, ChannelId)| channels.get(*id).is_none_or(|it| !it.dirty);
        let index = self.finished.iter().position(is_told)?;
        self.finished.remove(index).map(|(_, id)| id)
    }

    pub(super) fn is_beyond_hard_total(&self) -> bool {
        let total = self.limits.max_total_bytes;
        self.total > total.saturating_add(total / HARD_TOTAL_SHARE)
    }

    /// Sets when a channel that nobody reads ends; one with readers has no such moment.
    pub(super) fn set_expiry(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let ttl = match channel.life {
            Life::Open if channel.log.last_offset() == 0 => {
                Some(channel.retention.position_ttl.min(VOID_TTL))
            }
            Life::Open => Some(channel.retention.position_ttl),
            Life::Running => channel.abandon_after.or(self.limits.cancel_when_abandoned),
            Life::Finished => None,
        };
        self.reckon_idle(id);
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let expires = ttl
            .filter(|_| channel.subscribers == 0)
            .map(|ttl| now + ttl);
        if channel.expires == expires {
            return;
        }
        if let Some(at) = std::mem::replace(&mut channel.expires, expires) {
            self.unread.remove(&(at, id));
            self.note_gone(at);
        }
        if let Some(at) = expires {
            self.unread.insert((at, id));
            self.note_due(at);
        }
    }

    /// Notes when the history of an open channel may be too old.
    pub(super) fn queue_history(&mut self, id: ChannelId, now: Moment) {
        if let Some(channel) = self.channels.get_mut(id)
            && channel.history_due.is_none()
            && channel.is_kept()
        {
            let at = now + channel.retention.ttl;
            channel.history_due = Some(at);
            self.histories.insert((at, id));
            self.note_due(at);
        }
    }

    /// The history of an open channel may be too old: it is, or it is looked at again later.
    fn expire_history(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let at = channel.published_at + channel.retention.ttl;
        channel.history_due = None;
        if at <= now {
            self.remove_history(id);
        } else {
            channel.history_due = Some(at);
            self.histories.insert((at, id));
        }
    }

    /// Counts what an open channel without readers holds.
    pub(super) fn reckon_idle(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            let is_idle = channel.life == Life::Open && channel.subscribers == 0;
            let bytes = if is_idle { channel.counted } else { 0 };
            self.idle = self.idle - channel.idle_counted + bytes;
            channel.idle_counted = bytes;
        }
    }

    fn drop_stale_views(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.stale_queued = false;
        if let Some(since) = channel.drop_unread_views(now, UNREAD_VIEW_TTL) {
            channel.stale_queued = true;
            self.stale_views.push_back((since + UNREAD_VIEW_TTL, id));
        }
        self.recount(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::registry::{Created, Question};
    use crate::event::{Epoch, ErrorCode, Event, Failure};
    use crate::limits::ChannelLimits;

    #[test]
    fn what_ends_together_is_forgotten_in_one_go() {
        let ttl = Duration::from_secs(60);
        let mut registry = Registry::new(ChannelLimits {
            ttl,
            ..ChannelLimits::default()
        });
        for at in 1..=500 {
            let created = registry.create_chat(
                &format!("c{at}"),
                Epoch::from_random([1; 6]),
                None,
                Moment(at),
            );
            let Created::New(id) = created else {
                panic!("{created:?}");
            };
            let failure = Failure::new(ErrorCode::ProviderTruncated, "cut");
            registry.append(id, &Event::Error(Box::new(failure)), Moment(at));
        }
        let mut wakes = 0;
        while registry.len() > 0 {
            let deadline = registry.deadline();
            assert!(deadline >= Moment(1) + ttl, "early: {deadline:?}");
            registry.expire(deadline, &mut Vec::new());
            wakes += 1;
        }
        assert_eq!(wakes, 4);
        assert_eq!(registry.tombstones.oldest(), Some(Moment(60_125)));
    }

    #[test]
    fn a_question_that_somebody_listens_to_wakes_nobody() {
        let mut registry = Registry::new(ChannelLimits::default());
        let epoch = Epoch::from_random([1; 6]);
        let Created::New(id) = registry.create_chat("chat", epoch, None, Moment(5)) else {
            panic!("not made");
        };
        let question = Question {
            request_bytes: 0,
            abandon_after: Some(Duration::ZERO),
            created: 0,
            note: Box::default(),
        };
        registry.hold(id, question, Moment(5));
        assert_eq!(registry.deadline(), Moment(5), "it is given up at once");
        registry.channels.get_mut(id).unwrap().subscribers = 1;
        registry.set_expiry(id, Moment(5));
        assert_eq!(registry.deadline(), Moment::NEVER);
    }

    #[test]
    fn what_makes_room_wakes_once_for_nothing() {
        let mut registry = Registry::new(ChannelLimits {
            ttl: Duration::from_secs(1),
            tombstone_ttl: Duration::from_secs(60),
            ..ChannelLimits::default()
        });
        let epoch = Epoch::from_random([1; 6]);
        let Created::New(id) = registry.create_chat("chat", epoch, None, Moment(5)) else {
            panic!("not made");
        };
        let failure = Failure::new(ErrorCode::ProviderTruncated, "cut");
        registry.append(id, &Event::Error(Box::new(failure)), Moment(5));
        let ended = registry.deadline();
        registry.take_dirty(&mut Vec::new());
        registry.limits.max_total_bytes = 0;
        assert!(registry.make_room(Moment(6)));
        assert!(registry.deadline() <= registry.earliest());
        registry.expire(ended, &mut Vec::new());
        assert_eq!(registry.deadline(), registry.earliest());
        assert!(registry.deadline() >= Moment(6) + Duration::from_secs(60));
    }
}
