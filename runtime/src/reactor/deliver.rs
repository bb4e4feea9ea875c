//! From the logs to the sockets, once a turn.
//!
//! This is the hot path. Those who keep up with a view all want the same bytes, and all that a
//! delivery needs of them stands side by side in the view: one system call each, with the log's
//! own bytes, and no look at the connection. Whoever does not keep up is flushed the long way,
//! which makes it one who does.

use std::io;

use super::Reactor;
use crate::arena::Arena;
use crate::channel::log::Log;
use crate::channel::{Subscriber, View};
use crate::conn::write::BATCH_BYTES;
use crate::conn::{Conn, Flags};
use crate::ids::{ChannelId, ConnId};
use crate::metrics::Metrics;
use crate::sys::Sys;
use crate::time::Moment;

impl<S: Sys> Reactor<S> {
    /// Writes what channels have grown by to their subscribers.
    pub(super) fn deliver(&mut self) {
        let mut dirty = std::mem::take(&mut self.buffers.dirty);
        let mut long_way = std::mem::take(&mut self.buffers.long_way);
        self.channels.take_dirty(&mut dirty);
        for id in &dirty {
            self.fan_out(*id, &mut long_way);
        }
        for id in &long_way {
            self.flush(*id);
        }
        long_way.clear();
        for id in &dirty {
            self.channels.trim(*id);
        }
        dirty.clear();
        self.buffers.dirty = dirty;
        self.buffers.long_way = long_way;
    }

    /// Writes what a channel has grown by to those of its subscribers who keep up; names the
    /// others, and those who no longer do.
    fn fan_out(&mut self, id: ChannelId, long_way: &mut Vec<ConnId>) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let finished = channel.is_finished();
        let mut fan = Fan {
            sys: &mut self.sys,
            conns: &mut self.conns,
            metrics: &mut self.metrics,
            long_way,
            join: &mut self.buffers.join,
            now: self.now,
        };
        let mut behind = false;
        for view in channel.views_mut() {
            behind |= fan.out(view);
            if finished {
                // Everybody is told of the end.
                fan.long_way
                    .extend(view.subscribers.iter().map(|it| it.conn));
            }
        }
        if behind {
            self.demote_all(long_way);
        }
    }

    /// Writes what a channel has grown by before the end of the turn, so that something else may
    /// follow it.
    pub(super) fn deliver_early(&mut self, id: ChannelId) {
        let mut long_way = Vec::new();
        self.fan_out(id, &mut long_way);
        for id in long_way {
            self.flush_early(id);
        }
    }

    /// Writes the end of a channel that is about to be forgotten, and tells of it while there is
    /// something to be asked about it.
    pub(super) fn deliver_end(&mut self, id: ChannelId) {
        self.run_agenda();
        let mut listeners = Vec::new();
        self.fan_out(id, &mut listeners);
        for id in listeners {
            self.flush(id);
        }
    }

    /// Whoever fell behind in one channel gets nothing of another past its connection: it may be
    /// in the middle of an event.
    #[inline(never)]
    fn demote_all(&mut self, conns: &[ConnId]) {
        for id in conns {
            if self
                .conns
                .get(*id)
                .is_some_and(|conn| conn.cursors.len() > 1)
            {
                self.demote(*id);
            }
        }
    }
}

/// Where a subscriber stands that could not take everything; see [`Cursor`](crate::channel::Cursor).
struct Stopped {
    at: u64,
    end: u64,
    sent: u32,
    inside: bool,
}

impl Stopped {
    /// Between events.
    fn before(at: u64) -> Self {
        Self {
            at,
            end: 0,
            sent: 0,
            inside: false,
        }
    }

    /// At this byte of a log.
    fn behind(at: u64, log: &Log) -> Self {
        Self {
            inside: log.boundary_from(at) != at,
            ..Self::before(at)
        }
    }

    /// Behind `written` bytes of the message of `length` bytes of events that begins at `at`.
    fn in_message(at: u64, length: usize, written: usize) -> Self {
        if written == 0 {
            return Self::before(at);
        }
        Self {
            at,
            end: at + length as u64,
            sent: u32::try_from(written).unwrap_or(u32::MAX),
            inside: true,
        }
    }
}

/// What a delivery works with.
struct Fan<'a, S> {
    sys: &'a mut S,
    conns: &'a mut Arena<ConnId, Conn>,
    metrics: &'a mut Metrics,
    /// Those who are to be flushed the long way.
    long_way: &'a mut Vec<ConnId>,
    /// For what travels in an envelope.
    join: &'a mut Vec<u8>,
    now: Moment,
}

impl<S: Sys> Fan<'_, S> {
    /// Writes what a view has grown by to each subscriber. True if one could not take all.
    fn out(&mut self, view: &mut View) -> bool {
        let start = view.delivered;
        let new = view.log.from(start).unwrap_or_default();
        debug_assert!(
            view.log.from(start).is_some(),
            "logs are trimmed after delivery"
        );
        let envelope = match new.len() {
            0 => None,
            length => view.encoding.envelope(length),
        };
        let mut message = std::mem::take(self.join);
        message.clear();
        let bytes = match envelope {
            // What is larger than one message goes the long way.
            Some(_) if new.len() as u64 > BATCH_BYTES => &[],
            Some(envelope) => {
                envelope.wrap(new, 0, usize::MAX, &mut message);
                &message[..]
            }
            None => new,
        };
        let mut behind = false;
        for subscriber in &mut view.subscribers {
            let stopped = if !subscriber.keeps_up {
                self.long_way.push(subscriber.conn);
                continue;
            } else if new.is_empty() {
                continue;
            } else if bytes.is_empty() {
                Some((Stopped::before(start), view.delivered_at))
            } else {
                let stopped_at = |written| match envelope {
                    Some(_) => Stopped::in_message(start, new.len(), written),
                    None => Stopped::behind(start + written as u64, &view.log),
                };
                let stopped = self.write(subscriber, bytes, stopped_at);
                behind |= stopped.is_some();
                stopped.map(|(stopped, wrote)| {
                    let at = if wrote { self.now } else { view.delivered_at };
                    (stopped, at)
                })
            };
            if let Some((stopped, last_write)) = stopped {
                self.fall_behind(subscriber, view.channel, stopped, last_write);
            }
        }
        *self.join = message;
        view.delivered = view.log.end();
        view.delivered_at = self.now;
        behind
    }

    /// Writes to one subscriber. Says where it stands if it could not take all, and whether it
    /// took something.
    fn write(
        &mut self,
        subscriber: &Subscriber,
        bytes: &[u8],
        stopped_at: impl FnOnce(usize) -> Stopped,
    ) -> Option<(Stopped, bool)> {
        match self.sys.write(subscriber.sock, bytes) {
            Ok(written) => {
                self.metrics.log_writes += 1;
                self.metrics.log_bytes_written += written as u64;
                (written < bytes.len()).then(|| (stopped_at(written), true))
            }
            Err(error) => {
                // Of a failure the long way hears again, and deals with it.
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.note_blocked(subscriber.conn);
                }
                Some((stopped_at(0), false))
            }
        }
    }

    /// A subscriber could not take everything: its connection takes over from there.
    #[cold]
    fn fall_behind(
        &mut self,
        subscriber: &mut Subscriber,
        channel: ChannelId,
        stopped: Stopped,
        last_write: Moment,
    ) {
        subscriber.keeps_up = false;
        self.long_way.push(subscriber.conn);
        let Some(conn) = self.conns.get_mut(subscriber.conn) else {
            return;
        };
        conn.last_write = conn.last_write.max(last_write);
        let Some((index, _)) = conn.cursors.find(channel) else {
            return;
        };
        if let Some(cursor) = conn.cursors.as_mut_slice().get_mut(index) {
            cursor.at = stopped.at;
            cursor.end = stopped.end;
            cursor.sent = stopped.sent;
        }
        if stopped.inside {
            conn.cursors.set_turn(index);
            conn.flags.set(Flags::MID_EVENT);
        }
    }

    fn note_blocked(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.clear(Flags::WRITABLE);
            conn.blocked_since = Some(self.now);
        }
    }
}
