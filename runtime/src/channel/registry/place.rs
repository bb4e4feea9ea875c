//! Subscribing: where a client's cursor leads in a channel, or what it is told instead.

use super::expiry::late;
use super::{Registry, UNREAD_VIEW_TTL};
use crate::channel::{Channel, Cursor, GateState, Life, Lost, Placement, ResetReason, Wanted};
use crate::event::{After, Epoch, Position};
use crate::ids::{ChannelId, ConnId};
use crate::limits::Retention;
use crate::sys::SockId;
use crate::time::Moment;

impl Registry {
    /// Places a subscriber. `create`: what a missing channel is made with. `busy`: the server
    /// takes nobody new.
    pub(crate) fn place(
        &mut self,
        conn: ConnId,
        name: &str,
        wish: &Wanted,
        create: Option<(Epoch, Retention)>,
        busy: bool,
        now: Moment,
    ) -> (Placement, Option<Cursor>) {
        // Readers make encodings, which are counted like the rest.
        if self.is_beyond_hard_total() {
            self.make_room(now);
        }
        let found = self.names.get(name).copied();
        let id = match found.map_or_else(|| self.make_absent(name, wish, create, busy, now), Ok) {
            Ok(id) => id,
            Err(placement) => return (placement, None),
        };
        let Some(channel) = self.channels.get(id) else {
            return (Placement::Unknown, None);
        };
        let newest = channel.position();
        let lost = match wish.lost {
            Lost::Oldest => channel.oldest - 1,
            Lost::Newest => newest.offset,
        };
        let (offset, reset) = match locate(channel, wish.after, found.is_none()) {
            Located::From(offset) => (offset, None),
            Located::Reset(reason) => (lost, Some(reason)),
            Located::Finished => return (Placement::Finished(newest), None),
        };
        let Some(channel) = self.channels.get_mut(id) else {
            return (Placement::Unknown, None);
        };
        let (view, slot, at) = channel.subscribe(conn, wish, offset);
        self.subscriptions += 1;
        self.set_expiry(id, now);
        self.recount(id);
        let position = Position {
            epoch: newest.epoch,
            offset,
        };
        let cursor = Cursor {
            channel: id,
            at,
            end: 0,
            sent: 0,
            slot,
            view,
            gate: GateState::begin(wish.gated),
        };
        let placed = Placement::Placed {
            position,
            reset,
            behind: offset < newest.offset,
        };
        (placed, Some(cursor))
    }

    /// Makes a channel that is not there, if it may be made.
    fn make_absent(
        &mut self,
        name: &str,
        wish: &Wanted,
        create: Option<(Epoch, Retention)>,
        busy: bool,
        now: Moment,
    ) -> Result<ChannelId, Placement> {
        match create {
            _ if busy => Err(Placement::Busy),
            Some((epoch, retention)) if self.make_room(now) => {
                Ok(self.insert(name, epoch, Life::Open, retention, now))
            }
            Some(_) => Err(Placement::Busy),
            None => Err(self.absent(name, wish.after)),
        }
    }

    /// Removes a subscriber; names the one whose cursor must take the freed slot, and its former
    /// slot.
    pub(crate) fn unsubscribe(&mut self, cursor: &Cursor, now: Moment) -> Option<(ConnId, u32)> {
        let channel = self.channels.get_mut(cursor.channel)?;
        let moved = channel.unsubscribe(cursor.view, cursor.slot, now);
        self.subscriptions -= 1;
        if channel.has_unread_view() && !channel.stale_queued {
            channel.stale_queued = true;
            let at = now + UNREAD_VIEW_TTL;
            self.stale_views.push_back((at, cursor.channel));
            self.note_due(late(at, UNREAD_VIEW_TTL));
        }
        self.set_expiry(cursor.channel, now);
        moved
    }

    /// Notes that a subscriber has had all, so that deliveries need not ask its connection. Not
    /// yet if others have still to get this turn's events.
    pub(crate) fn promote(&mut self, cursor: &Cursor, sock: SockId) {
        let Some(channel) = self.channels.get_mut(cursor.channel) else {
            return;
        };
        if let Some((subscriber, delivered, _)) = channel.subscriber_mut(cursor)
            && delivered == cursor.at
        {
            subscriber.sock = sock;
            subscriber.keeps_up = true;
        }
    }

    /// Gives a subscriber's place back to its connection, which is about to do something else than
    /// keep up. Says when it was last written to, if it kept up until now.
    pub(crate) fn demote(&mut self, cursor: &mut Cursor) -> Option<Moment> {
        let channel = self.channels.get_mut(cursor.channel)?;
        let (subscriber, delivered, delivered_at) = channel.subscriber_mut(cursor)?;
        if !subscriber.keeps_up {
            return None;
        }
        subscriber.keeps_up = false;
        cursor.at = delivered;
        Some(delivered_at)
    }

    /// When a subscriber that keeps up was last written to.
    pub(crate) fn last_delivery(&self, cursor: &Cursor) -> Option<Moment> {
        let view = self.channels.get(cursor.channel)?.view(cursor.view)?;
        let subscriber = view.subscribers.get(usize::try_from(cursor.slot).ok()?)?;
        subscriber.keeps_up.then_some(view.delivered_at)
    }

    pub(super) fn absent(&self, name: &str, after: After) -> Placement {
        match after {
            After::Gone => Placement::Finished(Position {
                epoch: Epoch::from_random([0; 6]),
                offset: 0,
            }),
            After::Position(_) | After::Offset(_) | After::Unreadable => Placement::Gone,
            After::Beginning | After::Now if self.tombstones.contains(name) => Placement::Expired,
            After::Beginning | After::Now => Placement::Unknown,
        }
    }
}

/// Where a wish leads in a channel that is there.
enum Located {
    /// Behind this offset.
    From(u64),
    /// The client starts anew.
    Reset(ResetReason),
    /// There is nothing left.
    Finished,
}

/// The table of the delivery rules for a channel that is held.
fn locate(channel: &Channel, after: After, created: bool) -> Located {
    let newest = channel.position();
    let oldest = channel.oldest - 1;
    let finished = channel.life == Life::Finished;
    match after {
        After::Beginning => Located::From(oldest),
        After::Now if finished => Located::Finished,
        After::Now => Located::From(newest.offset),
        // An open channel made by this very subscription: its predecessor's cursor is no use.
        After::Position(_) | After::Unreadable | After::Gone if created => {
            Located::Reset(ResetReason::OtherEpoch)
        }
        After::Position(at) if at.epoch != newest.epoch => Located::Reset(ResetReason::OtherEpoch),
        After::Unreadable | After::Gone => Located::Reset(ResetReason::OtherEpoch),
        After::Position(at) if at.offset > newest.offset => Located::Reset(ResetReason::Ahead),
        After::Position(at) if finished && at.offset == newest.offset => Located::Finished,
        After::Position(at) => within(at.offset, oldest),
        After::Offset(offset) if offset > newest.offset => Located::Reset(ResetReason::Ahead),
        After::Offset(offset) if finished && offset == newest.offset => Located::Finished,
        After::Offset(offset) => within(offset, oldest),
    }
}

/// An offset that is not ahead of the log.
fn within(offset: u64, oldest: u64) -> Located {
    if offset < oldest {
        Located::Reset(ResetReason::Trimmed)
    } else {
        Located::From(offset)
    }
}
