//! All channels: their names, their budgets, their expiry.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

mod check;
mod expiry;
mod place;

use self::expiry::late;
use super::tombstones::Tombstones;
use super::{Channel, Idempotency, Life, Placement, Published};
use crate::arena::Arena;
use crate::event::{After, Epoch, Event, Position};
use crate::ids::{ChannelId, RunId};
use crate::limits::{ChannelLimits, Retention};
use crate::time::Moment;

/// How long an encoding that nobody reads is kept, for those who reconnect.
const UNREAD_VIEW_TTL: Duration = Duration::from_secs(30);

/// How long an open channel to which nobody ever published is kept for a reader who comes back.
pub(super) const VOID_TTL: Duration = Duration::from_secs(3600);

/// The rest of the total above which running answers are cut: a quarter.
const HARD_TOTAL_SHARE: usize = 4;

/// One document may have this part of a channel, so that a channel holds it in every encoding.
const DOCUMENT_SHARE: usize = 8;

/// All channels of this reactor.
pub(crate) struct Registry {
    channels: Arena<ChannelId, Channel>,
    names: HashMap<Box<str>, ChannelId>,
    tombstones: Tombstones,
    idempotency: HashMap<[u8; 32], ([u8; 32], ChannelId)>,
    /// Chats by the moment of their terminal event.
    finished: VecDeque<(Moment, ChannelId)>,
    /// Channels that nobody reads, by the moment that ends them: open ones are forgotten then,
    /// running chats are abandoned.
    unread: BTreeSet<(Moment, ChannelId)>,
    /// Channels with an encoding that nobody reads, by the moment to look at them again.
    stale_views: VecDeque<(Moment, ChannelId)>,
    /// Open channels with a history, by the moment to look whether it is too old.
    histories: BTreeSet<(Moment, ChannelId)>,
    /// No later than what is due first of `finished`, `tombstones`, `unread`, `stale_views` and
    /// `histories`; [`Moment::NEVER`] for nothing.
    due: Moment,
    dirty: Vec<ChannelId>,
    total: usize,
    /// What of it open channels without readers hold.
    idle: usize,
    subscriptions: usize,
    last_number: u32,
    limits: ChannelLimits,
}

/// What became of a wish to create a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// A new channel.
    New(ChannelId),
    /// The channel of an earlier request with the same idempotency key.
    Repeated(ChannelId),
    /// The idempotency key was used with another body.
    Conflict,
    /// No room.
    Overloaded,
}

/// What belongs to the question of a chat.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// Bytes that it holds while it is being answered.
    pub(crate) request_bytes: usize,
    /// How long it goes on with nobody reading it; none: as the limits say.
    pub(crate) abandon_after: Option<Duration>,
    /// When it was asked: seconds since 1970.
    pub(crate) created: u64,
    /// What the application keeps with it.
    pub(crate) note: Box<[u8]>,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    Published(Published),
    TooLarge { limit: usize },
    Overloaded,
}

/// Did the append stay within the bounds?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The channel holds more than one channel may.
    ChannelFull,
    /// All channels together hold more than they may, and none can be forgotten.
    AllFull,
}

impl Registry {
    pub(crate) fn new(limits: ChannelLimits) -> Self {
        Self {
            channels: Arena::new(),
            names: HashMap::new(),
            tombstones: Tombstones::default(),
            idempotency: HashMap::new(),
            finished: VecDeque::new(),
            unread: BTreeSet::new(),
            stale_views: VecDeque::new(),
            histories: BTreeSet::new(),
            due: Moment::NEVER,
            dirty: Vec::new(),
            total: 0,
            idle: 0,
            subscriptions: 0,
            last_number: 0,
            limits,
        }
    }

    /// Is this a repetition of an earlier request, or an abuse of its key?
    pub(crate) fn find_repeated(&self, idempotency: Option<Idempotency>) -> Option<Created> {
        let wanted = idempotency?;
        let (body, id) = self.idempotency.get(&wanted.key)?;
        Some(if *body == wanted.body {
            Created::Repeated(*id)
        } else {
            Created::Conflict
        })
    }

    /// Creates a chat channel. The name must be new; names are random.
    pub(crate) fn create_chat(
        &mut self,
        name: &str,
        epoch: Epoch,
        idempotency: Option<Idempotency>,
        now: Moment,
    ) -> Created {
        if let Some(repeated) = self.find_repeated(idempotency) {
            return repeated;
        }
        if self.names.contains_key(name) || !self.make_room(now) {
            return Created::Overloaded;
        }
        let id = self.insert(name, epoch, Life::Running, Retention::NONE, now);
        if let (Some(wanted), Some(channel)) = (idempotency, self.channels.get_mut(id)) {
            channel.idempotency = Some(wanted.key);
            self.idempotency.insert(wanted.key, (wanted.body, id));
        }
        Created::New(id)
    }

    /// What one answer may have, and what is kept of its question once more.
    pub(crate) fn max_channel_bytes(&self) -> usize {
        self.limits.max_channel_bytes
    }

    /// Takes what belongs to a chat's question. It counts: the request until it is answered.
    pub(crate) fn hold(&mut self, id: ChannelId, question: Question, now: Moment) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.request_bytes = question.request_bytes;
            channel.abandon_after = question.abandon_after;
            channel.standing.created = question.created;
            channel.standing.note = question.note;
        }
        self.set_expiry(id, now);
        self.recount(id);
    }

    /// Appends an event to a chat channel; nothing if the channel is gone or finished.
    pub(crate) fn append(
        &mut self,
        id: ChannelId,
        event: &Event,
        now: Moment,
    ) -> Option<(Position, Room)> {
        let channel = self
            .channels
            .get_mut(id)
            .filter(|channel| channel.life == Life::Running)?;
        let position = channel.append(event);
        count(channel, &mut self.total);
        mark(channel, id, &mut self.dirty);
        // A question has room of its own.
        let own = channel.request_bytes + channel.standing.note.len();
        let bytes = channel.counted.saturating_sub(own);
        if channel.life == Life::Finished {
            self.note_finished(id, now);
        }
        let room = if bytes > self.limits.max_channel_bytes {
            Room::ChannelFull
        } else if self.is_beyond_hard_total() && !self.make_room(now) && self.is_beyond_hard_total()
        {
            Room::AllFull
        } else {
            Room::Enough
        };
        Some((position, room))
    }

    /// An answer's terminal event was appended.
    #[inline(never)]
    fn note_finished(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.run = None;
        self.finished.push_back((now, id));
        // Whoever waits for one answer alone, and got none, repeats the question to have one.
        if channel.abandon_after.is_some()
            && channel.may_be_asked_again()
            && let Some(key) = channel.idempotency.take()
        {
            self.idempotency.remove(&key);
        }
        self.note_due(late(now + self.limits.ttl, self.limits.ttl));
        self.set_expiry(id, now);
    }

    /// Appends a document to an open channel, creating it if need be.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        epoch: impl FnOnce() -> Epoch,
        retention: Retention,
        event: &Event,
        now: Moment,
    ) -> PublishOutcome {
        let limit = self.limits.max_channel_bytes / DOCUMENT_SHARE;
        if matches!(event, Event::Data(data, _) if data.len() > limit) {
            return PublishOutcome::TooLarge { limit };
        }
        if self.is_beyond_hard_total() && !self.make_room(now) && self.is_beyond_hard_total() {
            return PublishOutcome::Overloaded;
        }
        let Some(id) = self.open(name, epoch, retention, now) else {
            return PublishOutcome::Overloaded;
        };
        let Some(channel) = self.channels.get_mut(id) else {
            return PublishOutcome::Overloaded;
        };
        channel.retention = retention;
        channel.published_at = now;
        let position = channel.append(event);
        let is_kept = channel.is_kept();
        self.set_expiry(id, now);
        self.queue_history(id, now);
        self.mark_dirty(id);
        self.recount(id);
        PublishOutcome::Published(Published { position, is_kept })
    }

    /// The channels that grew since this was last asked, into `out`.
    pub(crate) fn take_dirty(&mut self, out: &mut Vec<ChannelId>) {
        std::mem::swap(&mut self.dirty, out);
        self.dirty.clear();
        for id in out {
            if let Some(channel) = self.channels.get_mut(*id) {
                channel.dirty = false;
            }
        }
    }

    /// Has a channel grown since [`take_dirty`](Self::take_dirty)?
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The open channel of a name, made if need be; none if it is no open one, or there is no
    /// room.
    pub(crate) fn open(
        &mut self,
        name: &str,
        epoch: impl FnOnce() -> Epoch,
        retention: Retention,
        now: Moment,
    ) -> Option<ChannelId> {
        let id = match self.names.get(name).copied() {
            Some(id) => id,
            None if self.make_room(now) => self.insert(name, epoch(), Life::Open, retention, now),
            None => return None,
        };
        let channel = self.channels.get(id)?;
        (channel.life == Life::Open).then_some(id)
    }

    /// Forgets the publications of an open channel; its position stays.
    pub(crate) fn remove_history(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.remove_history(self.limits.max_channel_bytes);
        }
        self.recount(id);
    }

    /// The channels that somebody reads, with how many do.
    #[inline(never)]
    pub(crate) fn read_channels(&self) -> Vec<(Box<str>, u32)> {
        let all = self.channels.iter().map(|(_, channel)| channel);
        all.filter(|channel| channel.subscribers > 0)
            .map(|channel| (channel.name.clone(), channel.subscribers))
            .collect()
    }

    /// All subscriptions.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// After delivery: open channels forget what is beyond their history, chats what can be made
    /// again. One that has grown again since is delivered first.
    pub(crate) fn trim(&mut self, id: ChannelId) {
        let max_channel_bytes = self.limits.max_channel_bytes;
        if let Some(channel) = self.channels.get_mut(id).filter(|channel| !channel.dirty) {
            let has_changed = match channel.life {
                Life::Open => {
                    channel.trim(max_channel_bytes);
                    true
                }
                Life::Running | Life::Finished => channel.release(),
            };
            if has_changed {
                self.recount(id);
            }
        }
    }

    /// Is the name that of a chat or open channel held here, or what else?
    pub(crate) fn find(&self, name: &str) -> Result<ChannelId, Placement> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| self.absent(name, After::Beginning))
    }

    pub(crate) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.channels.get_mut(id)
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(id)
    }

    pub(crate) fn set_run(&mut self, id: ChannelId, run: Option<RunId>) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.run = run;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }

    pub(crate) fn total_bytes(&self) -> usize {
        self.total
    }

    fn insert(
        &mut self,
        name: &str,
        epoch: Epoch,
        life: Life,
        retention: Retention,
        now: Moment,
    ) -> ChannelId {
        self.last_number = self.last_number.wrapping_add(1).max(1);
        let number = self.last_number;
        let id = self.channels.insert_with(|id| {
            let mut channel = Channel::new(name.into(), id, epoch, life, number);
            channel.retention = retention;
            channel
        });
        self.names.insert(name.into(), id);
        self.set_expiry(id, now);
        self.recount(id);
        id
    }

    fn recount(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            count(channel, &mut self.total);
        }
        self.reckon_idle(id);
    }

    fn mark_dirty(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            mark(channel, id, &mut self.dirty);
        }
    }
}

/// Counts what a channel holds now into the total, in place of what it held.
fn count(channel: &mut Channel, total: &mut usize) {
    let bytes = channel.bytes();
    *total = *total - channel.counted + bytes;
    channel.counted = bytes;
}

/// Notes that a channel has grown, once.
fn mark(channel: &mut Channel, id: ChannelId, dirty: &mut Vec<ChannelId>) {
    if !std::mem::replace(&mut channel.dirty, true) {
        dirty.push(id);
    }
}
