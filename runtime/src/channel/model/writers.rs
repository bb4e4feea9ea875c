//! The steps that change channels: create, append, publish, finish, deliver.

use super::World;
use super::reference::{self, Known, Reference};
use crate::channel::registry::{Created, PublishOutcome, Room, VOID_TTL};
use crate::channel::{Idempotency, Life};
use crate::event::{Event, Kind, Position};
use crate::ids::ChannelId;
use crate::time::Moment;

impl World {
    pub(super) fn create(&mut self, name: usize) {
        if self.is_open(name) {
            return;
        }
        let key = self.random.once_in(3).then(|| (self.byte(3), self.byte(2)));
        let idempotency = key.map(|(key, body)| Idempotency {
            key: [key; 32],
            body: [body; 32],
        });
        let earlier = (0..self.names.len())
            .filter_map(|name| self.held(name))
            .find(|it| key.is_some() && it.key.map(|it| it.0) == key.map(|it| it.0))
            .map(|it| (it.id, it.key == key));
        let was_held = self.held(name).is_some();
        let epoch = self.epoch();
        let before = self.registry.total_bytes();
        let created = self
            .registry
            .create_chat(&self.names[name].0, epoch, idempotency, self.now);
        self.reconcile(before > self.limits.max_total_bytes);
        match (created, earlier) {
            (Created::Repeated(id), Some(earlier)) => assert_eq!((id, true), earlier),
            (Created::Conflict, Some((_, same_body))) => assert!(!same_body),
            (Created::Overloaded, None) => assert!(was_held || self.is_packed(before)),
            (Created::New(id), None) => {
                assert!(!was_held, "a name is given once");
                let mut reference = Reference::new(id, epoch, false, key);
                reference.unread_until = self.unread_after(Life::Running, false);
                self.names[name].1 = Known::Held(reference);
            }
            (created, earlier) => panic!("{created:?} with {earlier:?}"),
        }
    }

    pub(super) fn byte(&mut self, bound: u64) -> u8 {
        u8::try_from(self.random.below(bound)).unwrap()
    }

    /// `is_void`: an open channel to which nobody ever published.
    pub(super) fn unread_after(&self, life: Life, is_void: bool) -> Option<Moment> {
        match life {
            Life::Open if is_void => Some(self.now + self.limits.history_ttl.min(VOID_TTL)),
            Life::Open => Some(self.now + self.limits.history_ttl),
            Life::Running => self
                .limits
                .cancel_when_abandoned
                .map(|after| self.now + after),
            Life::Finished => None,
        }
    }

    /// Over the total, and nothing left that could be forgotten.
    pub(super) fn is_packed(&self, total: usize) -> bool {
        total > self.limits.max_total_bytes
            && (0..self.names.len()).all(|name| {
                self.held(name)
                    .is_none_or(|it| it.finished.is_none() && !(it.open && self.readers(name) == 0))
            })
    }

    /// Finds what the registry has forgotten to make room, and asks whether that was right.
    pub(super) fn reconcile(&mut self, may_forget: bool) {
        let gone: Vec<usize> = (0..self.names.len())
            .filter(|name| {
                self.held(*name)
                    .is_some_and(|it| self.registry.get(it.id).is_none())
            })
            .collect();
        assert!(
            gone.is_empty() || may_forget,
            "forgotten without need: {gone:?}"
        );
        let kept_finish = (0..self.names.len())
            .filter(|name| !gone.contains(name))
            .filter_map(|name| self.held(name).filter(|it| it.finished.is_some()))
            .map(|it| it.finish_rank)
            .min();
        for name in gone {
            let Some(reference) = self.held(name) else {
                continue;
            };
            if reference.open {
                assert_eq!(
                    self.readers(name),
                    0,
                    "an open channel with readers was forgotten"
                );
                assert_eq!(kept_finish, None, "finished chats go first");
                self.names[name].1 = Known::Never;
            } else {
                assert!(reference.finished.is_some(), "a running chat was forgotten");
                assert!(
                    kept_finish.is_none_or(|kept| kept > reference.finish_rank),
                    "oldest first"
                );
                self.names[name].1 = Known::Forgotten { since: self.now };
            }
            self.cut_readers(name);
        }
    }

    /// The reactor's part when a channel is no longer there.
    pub(super) fn cut_readers(&mut self, name: usize) {
        for client in self.clients.iter_mut().filter(|it| it.name == name) {
            if let Some((_, cursor)) = client.attached.take() {
                assert_eq!(self.registry.unsubscribe(&cursor, self.now), None);
                client.partial.clear();
            }
        }
    }

    pub(super) fn grow(&mut self, name: usize) {
        let open = self.is_open(name);
        let event = reference::event(&mut self.random, open, self.big);
        if open {
            return self.publish(name, event);
        }
        let Some(id) = self.held(name).map(|it| it.id) else {
            return;
        };
        let finished = self.held(name).is_some_and(|it| it.finished.is_some());
        let appended = self.registry.append(id, &event, self.now);
        let Some((position, room)) = appended else {
            return assert!(finished);
        };
        assert!(!finished, "nothing follows a terminal event");
        self.undelivered = true;
        let reference = self.held_mut(name).unwrap();
        reference.push(&event);
        assert_eq!(
            position,
            Position {
                epoch: reference.epoch,
                offset: reference.newest()
            }
        );
        self.reconcile(self.limits.max_total_bytes < 1 << 20);
        let bytes = self.registry.get(id).unwrap().bytes();
        assert_eq!(
            room == Room::ChannelFull,
            bytes > self.limits.max_channel_bytes
        );
        if room != Room::Enough {
            self.finish(name);
        }
    }

    pub(super) fn publish(&mut self, name: usize, event: Event) {
        let Event::Data(data, _) = &event else {
            panic!("not a publication")
        };
        let len = data.len();
        let retention = self.limits.retention();
        let epoch = self.epoch();
        let before = self.registry.total_bytes();
        let outcome =
            self.registry
                .publish(&self.names[name].0, || epoch, retention, &event, self.now);
        let created = self.held(name).is_none();
        self.reconcile(before > self.limits.max_total_bytes);
        let position = match outcome {
            PublishOutcome::TooLarge { limit } => return assert!(len > limit),
            PublishOutcome::Overloaded => return assert!(created && self.is_packed(before)),
            PublishOutcome::Published(published) => published.position,
        };
        if self.held(name).is_none() {
            let id = self.registry.find(&self.names[name].0).unwrap();
            self.names[name].1 = Known::Held(Reference::new(id, epoch, true, None));
        }
        self.undelivered = true;
        let unread = self
            .unread_after(Life::Open, false)
            .filter(|_| self.readers(name) == 0);
        let now = self.now;
        let reference = self.held_mut(name).unwrap();
        reference.push(&event);
        reference.published_at = now;
        reference.unread_until = unread;
        assert_eq!(
            position,
            Position {
                epoch: reference.epoch,
                offset: reference.newest()
            }
        );
    }

    pub(super) fn finish(&mut self, name: usize) {
        let Some(id) = self.held(name).filter(|it| !it.open).map(|it| it.id) else {
            return;
        };
        let event = reference::terminal(&mut self.random);
        let Some(_) = self.registry.append(id, &event, self.now) else {
            return;
        };
        self.undelivered = true;
        self.finishes += 1;
        let (rank, now) = (self.finishes, self.now);
        let reference = self.held_mut(name).unwrap();
        reference.push(&event);
        reference.finished = Some(now);
        reference.finish_rank = rank;
        reference.unread_until = None;
        self.reconcile(self.limits.max_total_bytes < 1 << 20);
    }

    /// The end of a turn: what grew is delivered, then trimmed.
    pub(super) fn deliver(&mut self) {
        let mut dirty = Vec::new();
        self.registry.take_dirty(&mut dirty);
        assert_eq!(
            dirty.is_empty(),
            !self.undelivered,
            "who grew is told, once"
        );
        for id in dirty {
            self.registry.trim(id);
            self.trim_reference_by_bytes(id);
        }
        self.undelivered = false;
        let history_size = self.limits.history_size;
        for (_, known) in &mut self.names {
            if let Known::Held(reference) = known
                && reference.open
            {
                let trimmed = reference.newest().saturating_sub(history_size);
                reference.trimmed = reference.trimmed.max(trimmed);
            }
        }
        self.check_budget();
    }

    /// The bytes of an open channel are shared evenly by its logs; the newest event stays.
    fn trim_reference_by_bytes(&mut self, id: ChannelId) {
        let Some(channel) = self.registry.get(id) else {
            return;
        };
        let (name, logs) = (channel.name().to_owned(), 1 + channel.views().count());
        let share = self.limits.max_channel_bytes / 2 / logs;
        for (known_name, known) in &mut self.names {
            if let Known::Held(reference) = known
                && reference.open
                && **known_name == *name
            {
                let mut room = share;
                let fits = |(_, json): &&(Kind, Vec<u8>)| {
                    room = room.wrapping_sub(json.len());
                    room <= share
                };
                let kept = reference.events.iter().rev().take_while(fits).count() as u64;
                reference.trimmed = reference.trimmed.max(reference.newest() - kept.max(1));
            }
        }
    }

    fn check_budget(&self) {
        let sum: usize = self
            .registry
            .iter()
            .map(|(_, channel)| channel.bytes())
            .sum();
        assert_eq!(sum, self.registry.total_bytes(), "budgets add up");
    }
}
