//! All channels: their names, their budgets, their expiry.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::tombstones::Tombstones;
use super::{Channel, Cursor, Life, Placement, Published, ResetReason};
use crate::arena::Arena;
use crate::event::{After, Epoch, Event, Position};
use crate::ids::{ChannelId, ConnId, RunId};
use crate::limits::ChannelLimits;
use crate::plugin::service::Idempotency;
use crate::plugin::transport::Encoding;
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
        let bytes = self.channels.get(id).map_or(0, Channel::bytes);
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

    /// Places a subscriber. `busy`: the server takes nobody new.
    #[expect(clippy::too_many_arguments, reason = "a wish has this many parts")]
    pub(crate) fn place(
        &mut self,
        conn: ConnId,
        name: &str,
        after: After,
        encoding: &'static dyn Encoding,
        may_create: Option<Epoch>,
        busy: bool,
        now: Moment,
    ) -> (Placement, Option<Cursor>) {
        let found = self.names.get(name).copied();
        let id = match (found, may_create) {
            (Some(id), _) => id,
            (None, _) if busy => return (Placement::Busy, None),
            (None, Some(epoch)) if self.make_room(now) => self.insert(name, epoch, Life::Open, now),
            (None, Some(_)) => return (Placement::Busy, None),
            (None, None) => return (self.absent(name, after), None),
        };
        let Some(channel) = self.channels.get(id) else {
            return (Placement::Unknown, None);
        };
        let newest = channel.position();
        let (offset, reset) = match locate(channel, after, found.is_none()) {
            Located::From(offset) => (offset, None),
            Located::Reset(offset, reason) => (offset, Some(reason)),
            Located::Finished => return (Placement::Finished(newest), None),
        };
        let Some(channel) = self.channels.get_mut(id) else {
            return (Placement::Unknown, None);
        };
        let (view, slot, at) = channel.subscribe(conn, encoding, offset);
        self.set_expiry(id, now);
        self.recount(id);
        let position = Position {
            epoch: newest.epoch,
            offset,
        };
        let behind = offset < newest.offset;
        let cursor = Cursor {
            channel: id,
            at,
            view,
            slot,
        };
        (
            Placement::Placed {
                position,
                reset,
                behind,
            },
            Some(cursor),
        )
    }

    /// Removes a subscriber; names the one whose cursor must take the freed slot.
    pub(crate) fn unsubscribe(&mut self, cursor: &Cursor, now: Moment) -> Option<ConnId> {
        let channel = self.channels.get_mut(cursor.channel)?;
        let moved = channel.unsubscribe(cursor.view, cursor.slot, now);
        if channel.has_unread_view() && !channel.stale_queued {
            channel.stale_queued = true;
            self.stale_views
                .push_back((now + UNREAD_VIEW_TTL, cursor.channel));
        }
        self.set_expiry(cursor.channel, now);
        moved
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

    /// Forgets what has had its time. Names the chats that nobody has read for too long.
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
                abandoned.push(id);
            }
        }
        while let Some((at, id)) = self.stale_views.front().copied()
            && at <= now
        {
            self.stale_views.pop_front();
            self.drop_stale_views(id, now);
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let finished = self
            .finished
            .front()
            .map(|(since, _)| *since + self.limits.ttl);
        let tombstone = self
            .tombstones
            .oldest()
            .map(|since| since + self.limits.tombstone_ttl);
        let unread = self.unread.first().map(|(at, _)| *at);
        let stale = self.stale_views.front().map(|(at, _)| *at);
        [finished, tombstone, unread, stale]
            .into_iter()
            .flatten()
            .min()
    }

    /// Is the name that of a chat or open channel held here, or what else?
    pub(crate) fn find(&self, name: &str) -> Result<ChannelId, Placement> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| self.absent(name, After::Beginning))
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

    fn absent(&self, name: &str, after: After) -> Placement {
        match after {
            After::Gone => Placement::Finished(Position {
                epoch: Epoch::from_random([0; 6]),
                offset: 0,
            }),
            After::Position(_) | After::Unreadable => Placement::Gone,
            After::Beginning | After::Now if self.tombstones.contains(name) => Placement::Expired,
            After::Beginning | After::Now => Placement::Unknown,
        }
    }

    fn forget(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        self.total -= channel.counted;
        self.names.remove(&channel.name);
        if let Some(at) = channel.expires {
            self.unread.remove(&(at, id));
        }
        if let Some(key) = channel.idempotency {
            self.idempotency.remove(&key);
        }
        if channel.life != Life::Open {
            self.tombstones.insert(&channel.name, now);
        }
    }

    /// Forgets finished chats, oldest first, then open channels that nobody reads, until the total
    /// is within its bound. True if it is.
    fn make_room(&mut self, now: Moment) -> bool {
        while self.total > self.limits.max_total_bytes {
            if let Some((_, id)) = self.finished.pop_front() {
                self.forget(id, now);
                continue;
            }
            let open = self.unread.iter().find(|(_, id)| {
                self.channels
                    .get(*id)
                    .is_some_and(|channel| channel.life == Life::Open)
            });
            let Some((_, id)) = open.copied() else {
                return false;
            };
            self.forget(id, now);
        }
        true
    }

    fn is_beyond_hard_total(&self) -> bool {
        let total = self.limits.max_total_bytes;
        self.total > total.saturating_add(total / HARD_TOTAL_SHARE)
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

    /// Sets when a channel that nobody reads ends; one with readers has no such moment.
    fn set_expiry(&mut self, id: ChannelId, now: Moment) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let ttl = match channel.life {
            Life::Open => Some(self.limits.history_ttl),
            Life::Running => self.limits.cancel_when_abandoned,
            Life::Finished => None,
        };
        let expires = ttl
            .filter(|_| channel.subscribers == 0)
            .map(|ttl| now + ttl);
        if channel.expires == expires {
            return;
        }
        if let Some(at) = std::mem::replace(&mut channel.expires, expires) {
            self.unread.remove(&(at, id));
        }
        if let Some(at) = expires {
            self.unread.insert((at, id));
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

/// Where a wish leads in a channel that is there.
enum Located {
    /// Behind this offset.
    From(u64),
    /// Behind this offset, and the client starts anew.
    Reset(u64, ResetReason),
    /// There is nothing left.
    Finished,
}

/// The table of the delivery rules for a channel that is held.
fn locate(channel: &Channel, after: After, created: bool) -> Located {
    let newest = channel.position();
    let oldest = channel.log.first_offset() - 1;
    let finished = channel.life == Life::Finished;
    match after {
        After::Beginning => Located::From(oldest),
        After::Now if finished => Located::Finished,
        After::Now => Located::From(newest.offset),
        // An open channel made by this very subscription: its predecessor's cursor is no use.
        After::Position(_) | After::Unreadable | After::Gone if created => {
            Located::Reset(oldest, ResetReason::OtherEpoch)
        }
        After::Position(at) if at.epoch != newest.epoch => {
            Located::Reset(oldest, ResetReason::OtherEpoch)
        }
        After::Unreadable | After::Gone => Located::Reset(oldest, ResetReason::OtherEpoch),
        After::Position(at) if at.offset > newest.offset => {
            Located::Reset(oldest, ResetReason::Ahead)
        }
        After::Position(at) if finished && at.offset == newest.offset => Located::Finished,
        After::Position(at) if at.offset < oldest => Located::Reset(oldest, ResetReason::Trimmed),
        After::Position(at) => Located::From(at.offset),
    }
}

/// For the checks of simulation and tests.
impl Registry {
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.channels.iter()
    }

    /// Every subscriber's place: channel, view, slot, connection.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = (ChannelId, u8, usize, ConnId)> {
        self.channels.iter().flat_map(|(id, channel)| {
            channel.views().flat_map(move |(view, it)| {
                it.subscribers
                    .iter()
                    .enumerate()
                    .map(move |(slot, conn)| (id, view, slot, *conn))
            })
        })
    }

    /// Do the counts add up?
    pub(crate) fn check(&self) -> Result<(), String> {
        let counted: usize = self
            .channels
            .iter()
            .map(|(_, channel)| channel.counted)
            .sum();
        if counted != self.total {
            return Err(format!(
                "channels hold {counted} bytes, the total says {}",
                self.total
            ));
        }
        for (id, channel) in self.channels.iter() {
            let subscribers: usize = channel
                .views()
                .map(|(_, view)| view.subscribers.len())
                .sum();
            if subscribers != channel.subscribers as usize {
                return Err(format!(
                    "{id:?}: {subscribers} subscribers, {} counted",
                    channel.subscribers
                ));
            }
            if self.names.get(&channel.name) != Some(&id) {
                return Err(format!("{id:?}: its name leads elsewhere"));
            }
            if channel
                .expires
                .is_some_and(|at| !self.unread.contains(&(at, id)))
            {
                return Err(format!("{id:?}: its expiry is not noted"));
            }
        }
        Ok(())
    }
}
