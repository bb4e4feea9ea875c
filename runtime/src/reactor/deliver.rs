//! From the logs to the sockets, once a turn.
//!
//! This is the hot path: for a subscriber that keeps up it is one lookup and one system call, with
//! the log's own bytes. Whoever is not in that state is flushed the long way.

use std::io;

use super::Reactor;
use crate::arena::Arena;
use crate::channel::View;
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
            let Some(channel) = self.channels.get(*id) else {
                continue;
            };
            let finished = channel.is_finished();
            for (_, view) in channel.views() {
                let mut fan = Fan {
                    view,
                    finished,
                    sys: &mut self.sys,
                    conns: &mut self.conns,
                    metrics: &mut self.metrics,
                    slow: &mut slow,
                    now: self.now,
                };
                for conn in &view.subscribers {
                    fan.write(*conn);
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

/// One view on its way to its subscribers.
struct Fan<'a, S> {
    view: &'a View,
    finished: bool,
    sys: &'a mut S,
    conns: &'a mut Arena<ConnId, Conn>,
    metrics: &'a mut Metrics,
    /// Those who need more than one write.
    slow: &'a mut Vec<ConnId>,
    now: Moment,
}

impl<S: Sys> Fan<'_, S> {
    fn write(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !conn.flags.has(Flags::WRITABLE) && conn.blocked_since.is_some() {
            // It waits for its socket; its cursor keeps its place.
            return;
        }
        let keeps_up =
            conn.flags.is_plainly_writable() && conn.outbox.is_empty() && conn.link.is_plain();
        let Some(cursor) = conn.cursor.as_mut().filter(|_| keeps_up) else {
            return self.slow.push(id);
        };
        let Some(bytes) = self.view.log.from(cursor.at) else {
            return self.slow.push(id);
        };
        match self.sys.write(conn.sock, bytes) {
            Ok(written) => {
                cursor.at += written as u64;
                conn.last_write = self.now;
                self.metrics.log_bytes_written += written as u64;
                self.metrics.log_writes += 1;
                if written < bytes.len() {
                    if self.view.log.boundary_from(cursor.at) != cursor.at {
                        conn.flags.set(Flags::MID_EVENT);
                    }
                    self.slow.push(id);
                } else if self.finished {
                    self.slow.push(id);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.flags.clear(Flags::WRITABLE);
                conn.blocked_since = Some(self.now);
                self.slow.push(id);
            }
            // The long way meets the failure again and deals with it.
            Err(_) => self.slow.push(id),
        }
    }
}
