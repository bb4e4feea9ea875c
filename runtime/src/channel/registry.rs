//! All channels: their names, their budgets, their expiry.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

mod check;
mod expiry;
mod place;

use super::tombstones::Tombstones;
use super::{Channel, Idempotency, Life, Placement, Published};
use crate::arena::Arena;
use crate::event::{After, Epoch, Event, Position};
use crate::ids::{ChannelId, RunId};
use crate::limits::ChannelLimits;
use crate::time::Moment;

/// How long an encoding that nobody reads is kept, for those who reconnect.
const UNREAD_VIEW_TTL: Duration = Duration::from_secs(30);

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
    dirty: Vec<ChannelId>,
    total: usize,
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
            dirty: Vec::new(),
            total: 0,
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
        let id = self.insert(name, epoch, Life::Running, now);
        if let (Some(wanted), Some(channel)) = (idempotency, self.channels.get_mut(id)) {
            channel.idempotency = Some(wanted.key);
            self.idempotency.insert(wanted.key, (wanted.body, id));
        }
        Created::New(id)
    }

    /// Counts the request that a chat answers, until it is answered.
    pub(crate) fn hold_request(&mut self, id: ChannelId, bytes: usize) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.request_bytes = bytes;
        }
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
        if channel.life == Life::Finished {
            channel.run = None;
            self.finished.push_back((now, id));
            self.set_expiry(id, now);
        }
        self.mark_dirty(id);
        self.recount(id);
        let bytes = self.channels.get(id).map_or(0, Channel::answer_bytes);
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

    /// Appends a document to an open channel, creating it if need be.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        epoch: impl FnOnce() -> Epoch,
        data: Box<[u8]>,
        now: Moment,
    ) -> PublishOutcome {
        let limit = self.limits.max_channel_bytes / DOCUMENT_SHARE;
        if data.len() > limit {
            return PublishOutcome::TooLarge { limit };
        }
        if self.is_beyond_hard_total() && !self.make_room(now) && self.is_beyond_hard_total() {
            return PublishOutcome::Overloaded;
        }
        let id = match self.names.get(name).copied() {
            Some(id) => id,
            None if self.make_room(now) => self.insert(name, epoch(), Life::Open, now),
            None => return PublishOutcome::Overloaded,
        };
        let Some(channel) = self
            .channels
            .get_mut(id)
            .filter(|channel| channel.life == Life::Open)
        else {
            return PublishOutcome::Overloaded;
        };
        let position = channel.append(&Event::Data(data));
        self.set_expiry(id, now);
        self.mark_dirty(id);
        self.recount(id);
        PublishOutcome::Published(Published { position })
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

    /// After delivery: open channels forget what is beyond their history.
    pub(crate) fn trim(&mut self, id: ChannelId) {
        let ChannelLimits {
            history_size,
            max_channel_bytes,
            ..
        } = self.limits;
        if let Some(channel) = self
            .channels
            .get_mut(id)
            .filter(|channel| channel.life == Life::Open)
        {
            channel.trim(history_size, max_channel_bytes);
            self.recount(id);
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

    fn insert(&mut self, name: &str, epoch: Epoch, life: Life, now: Moment) -> ChannelId {
        let id = self
            .channels
            .insert_with(|_| Channel::new(name.into(), epoch, life));
        self.names.insert(name.into(), id);
        self.set_expiry(id, now);
        self.recount(id);
        id
    }

    fn recount(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            let bytes = channel.bytes();
            self.total = self.total - channel.counted + bytes;
            channel.counted = bytes;
        }
    }

    fn mark_dirty(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id)
            && !channel.dirty
        {
            channel.dirty = true;
            self.dirty.push(id);
        }
    }
}
