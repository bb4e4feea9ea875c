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
use crate::conn::{Conn, Flags};
use crate::ids::ConnId;
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
                now: self.now,
            };
            for view in channel.views_mut() {
                fan.out(view);
                if finished {
                    // Everybody is told of the end.
                    fan.slow.extend(view.subscribers.iter().map(|it| it.conn));
                }
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
}

/// What a delivery works with.
struct Fan<'a, S> {
    sys: &'a mut S,
    conns: &'a mut Arena<ConnId, Conn>,
    metrics: &'a mut Metrics,
    /// Those who are to be flushed the long way.
    slow: &'a mut Vec<ConnId>,
    now: Moment,
}

impl<S: Sys> Fan<'_, S> {
    /// Writes what a view has grown by to each subscriber.
    fn out(&mut self, view: &mut View) {
        let start = view.delivered;
        let bytes = view.log.from(start).unwrap_or_default();
        debug_assert!(
            view.log.from(start).is_some(),
            "logs are trimmed after delivery"
        );
        let (mut writes, mut total) = (0, 0);
        for subscriber in &mut view.subscribers {
            if !subscriber.keeps_up || bytes.is_empty() {
                self.slow.push(subscriber.conn);
                continue;
            }
            match self.sys.write(subscriber.sock, bytes) {
                Ok(written) => {
                    writes += 1;
                    total += written as u64;
                    if written < bytes.len() {
                        let at = start + written as u64;
                        let inside = view.log.boundary_from(at) != at;
                        self.fall_behind(subscriber, at, self.now, inside);
                    }
                }
                Err(error) => {
                    self.fall_behind(subscriber, start, view.delivered_at, false);
                    // Of a failure the long way hears again, and deals with it.
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.note_blocked(subscriber.conn);
                    }
                }
            }
        }
        view.delivered = view.log.end();
        view.delivered_at = self.now;
        self.metrics.log_writes += writes;
        self.metrics.log_bytes_written += total;
    }

    /// A subscriber could not take everything: its connection takes over from `at`.
    fn fall_behind(
        &mut self,
        subscriber: &mut Subscriber,
        at: u64,
        last_write: Moment,
        mid_event: bool,
    ) {
        subscriber.keeps_up = false;
        self.slow.push(subscriber.conn);
        let Some(conn) = self.conns.get_mut(subscriber.conn) else {
            return;
        };
        conn.last_write = conn.last_write.max(last_write);
        if let Some(cursor) = &mut conn.cursor {
            cursor.at = at;
        }
        if mid_event {
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
