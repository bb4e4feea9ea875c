//! From the logs to the sockets, once a turn.
//!
//! This is the hot path. Those who keep up with a view all want the same bytes, and all that a
//! delivery needs of them stands side by side in the view: one system call each, with the log's
//! own bytes, and no look at the connection. Whoever does not keep up is flushed the long way,
//! which makes it one who does.

use std::io;

use super::Reactor;
use crate::arena::Arena;
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
        let mut slow = std::mem::take(&mut self.buffers.slow);
        self.channels.take_dirty(&mut dirty);
        for id in &dirty {
            let Some(channel) = self.channels.get_mut(*id) else {
                continue;
            };
            let finished = channel.is_finished();
            let mut fan = Fan {
                sys: &mut self.sys,
                conns: &mut self.conns,
                metrics: &mut self.metrics,
                slow: &mut slow,
                join: &mut self.buffers.join,
                now: self.now,
            };
            let mut behind = false;
            for view in channel.views_mut() {
                behind |= fan.out(view);
                if finished {
                    // Everybody is told of the end.
                    fan.slow.extend(view.subscribers.iter().map(|it| it.conn));
                }
            }
            if behind {
                self.demote_all(&slow);
            }
        }
        for id in slow.drain(..) {
            self.flush(id);
        }
        for id in dirty.drain(..) {
            self.channels.trim(id);
        }
        self.buffers.dirty = dirty;
        self.buffers.slow = slow;
    }

    /// Whoever fell behind in one channel gets nothing of another past its connection: it may be
    /// in the middle of an event.
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
struct Place {
    at: u64,
    end: u64,
    sent: u32,
    inside: bool,
}

impl Place {
    /// Between events.
    fn before(at: u64) -> Self {
        Self {
            at,
            end: 0,
            sent: 0,
            inside: false,
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
    slow: &'a mut Vec<ConnId>,
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
        // What is larger than one message goes the long way.
        let is_long = envelope.is_some() && new.len() as u64 > BATCH_BYTES;
        let mut message = std::mem::take(self.join);
        message.clear();
        let bytes = match envelope {
            Some(envelope) if !is_long => {
                envelope.wrap(new, &mut message);
                &message[..]
            }
            Some(_) | None => new,
        };
        let (mut writes, mut total, mut behind) = (0, 0, false);
        for subscriber in &mut view.subscribers {
            if !subscriber.keeps_up || new.is_empty() || is_long {
                if subscriber.keeps_up {
                    let place = Place::before(start);
                    self.fall_behind(subscriber, view.channel, place, view.delivered_at);
                } else {
                    self.slow.push(subscriber.conn);
                }
                continue;
            }
            match self.sys.write(subscriber.sock, bytes) {
                Ok(written) => {
                    writes += 1;
                    total += written as u64;
                    if written < bytes.len() {
                        behind = true;
                        let place = if envelope.is_some() {
                            Place::in_message(start, new.len(), written)
                        } else {
                            let at = start + written as u64;
                            Place {
                                inside: view.log.boundary_from(at) != at,
                                ..Place::before(at)
                            }
                        };
                        self.fall_behind(subscriber, view.channel, place, self.now);
                    }
                }
                Err(error) => {
                    behind = true;
                    let place = Place::before(start);
                    self.fall_behind(subscriber, view.channel, place, view.delivered_at);
                    // Of a failure the long way hears again, and deals with it.
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.note_blocked(subscriber.conn);
                    }
                }
            }
        }
        *self.join = message;
        view.delivered = view.log.end();
        view.delivered_at = self.now;
        self.metrics.log_writes += writes;
        self.metrics.log_bytes_written += total;
        behind
    }

    /// A subscriber could not take everything: its connection takes over from there.
    fn fall_behind(
        &mut self,
        subscriber: &mut Subscriber,
        channel: ChannelId,
        place: Place,
        last_write: Moment,
    ) {
        subscriber.keeps_up = false;
        self.slow.push(subscriber.conn);
        let Some(conn) = self.conns.get_mut(subscriber.conn) else {
            return;
        };
        conn.last_write = conn.last_write.max(last_write);
        let Some((index, _)) = conn.cursors.find(channel) else {
            return;
        };
        if let Some(cursor) = conn.cursors.as_mut_slice().get_mut(index) {
            cursor.at = place.at;
            cursor.end = place.end;
            cursor.sent = place.sent;
        }
        if place.inside {
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
