//! Serving one connection: one read, then all the writes that its socket takes.

use std::io;

use super::client::has_unsent;
use super::{READ_BYTES, Reactor};
use crate::channel::{GateState, Life};
use crate::conn::write::{Flushed, Pen};
use crate::conn::{Flags, Role};
use crate::ids::{ChannelId, ConnId};
use crate::plugin::transport::Gate;
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Serves one connection that has something to do.
    pub(super) fn serve(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        if conn.flags.has(Flags::CONNECTING) {
            self.check_connect(id);
        }
        if self.may_read(id) {
            self.read(id);
        }
        self.run_agenda();
        self.flush(id);
        if let Some(conn) = self.conns.get(id)
            && conn.flags.has(Flags::READABLE)
            && self.may_read(id)
        {
            self.enqueue(id);
        }
    }

    /// Is the socket to be read now? What is not read pushes back on the peer.
    fn may_read(&self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get(id) else {
            return false;
        };
        if !conn.flags.has(Flags::READABLE) || conn.flags.has(Flags::CONNECTING) {
            return false;
        }
        match &conn.role {
            // What a connection says on its own is bounded by not listening to it.
            Role::Front(front) => {
                conn.outbox.len() <= self.limits.outbox_bytes
                    && (front.http.wants_bytes() || conn.flags.has(Flags::CLOSING))
            }
            Role::Session(_) => conn.outbox.len() <= self.limits.outbox_bytes,
            Role::Dialing(_)
            | Role::Upstream(_)
            | Role::Trailing(_)
            | Role::Pooled { .. }
            | Role::Lingering { .. } => true,
        }
    }

    fn read(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let mut buf = std::mem::take(&mut self.buffers.read);
        let mut plain = std::mem::take(&mut self.buffers.plain);
        match self.sys.read(conn.sock, &mut buf) {
            Ok(0) => {
                conn.flags.clear(Flags::READABLE);
                self.peer_ended(id, None);
            }
            Ok(count) => {
                // A read that was not filled has emptied the socket; what comes later is told anew.
                // The peer's end was told already, so it is read for until it shows.
                if count < buf.len() && !conn.flags.has(Flags::PEER_CLOSED) {
                    conn.flags.clear(Flags::READABLE);
                }
                let bytes = buf.get(..count).unwrap_or_default();
                if conn.link.is_plain() {
                    self.feed(id, bytes);
                } else {
                    self.feed_tls(id, bytes, &mut plain);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.flags.clear(Flags::READABLE);
            }
            Err(error) => {
                conn.flags.clear(Flags::READABLE);
                self.peer_ended(id, Some(error));
            }
        }
        debug_assert!(buf.len() == READ_BYTES, "the read buffer keeps its size");
        self.buffers.read = buf;
        plain.clear();
        plain.shrink_to(4 * READ_BYTES);
        self.buffers.plain = plain;
    }

    #[inline(never)]
    fn feed_tls(&mut self, id: ConnId, bytes: &[u8], plain: &mut Vec<u8>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let outcome = conn.link.open(bytes, plain);
        let established = conn.link.is_established();
        if established {
            self.note_established(id);
        }
        if !plain.is_empty() {
            self.feed(id, plain);
        }
        match outcome {
            Ok(false) => {}
            Ok(true) => self.peer_ended(id, None),
            Err(error) => self.link_failed(id, &error.to_string()),
        }
    }

    fn feed(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        if conn.flags.has(Flags::CLOSING) {
            return;
        }
        match &conn.role {
            Role::Front(_) | Role::Session(_) => self.feed_client(id, bytes),
            Role::Dialing(dial) => self.feed_dial(*dial, id, bytes),
            Role::Upstream(run) => self.feed_upstream(*run, id, bytes),
            Role::Trailing(_) => self.feed_trailing(id, bytes),
            // Nobody asked for these bytes: the connection is of no further use.
            Role::Pooled { .. } => self.lose_idle(id),
            Role::Lingering { .. } => {}
        }
    }

    fn link_failed(&mut self, id: ConnId, why: &str) {
        match self.conns.get(id).map(|conn| &conn.role) {
            Some(Role::Dialing(dial)) => {
                let dial = *dial;
                self.flush_alert(id);
                self.dial_ended(dial, id, Some(why));
            }
            Some(Role::Upstream(run)) => {
                let run = *run;
                self.flush_alert(id);
                self.upstream_ended(run, id, Some(why));
            }
            Some(Role::Pooled { .. }) => {
                self.flush_alert(id);
                self.lose_idle(id);
            }
            Some(_) => {
                log::debug!("a client's connection failed: {why}");
                self.flush_alert(id);
                self.close(id);
            }
            None => {}
        }
    }

    /// The alert that rustls has ready, which says why, may still reach the peer.
    fn flush_alert(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            let _ = conn.link.flush(&mut self.sys, conn.sock);
        }
    }

    /// The peer has closed its side, or the connection has failed.
    #[inline(never)]
    fn peer_ended(&mut self, id: ConnId, error: Option<io::Error>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match &mut conn.role {
            Role::Dialing(dial) => {
                let dial = *dial;
                let why = error.map(|error| error.to_string());
                self.dial_ended(dial, id, why.as_deref());
            }
            Role::Upstream(run) => {
                let run = *run;
                let why = error.map(|error| error.to_string());
                self.upstream_ended(run, id, why.as_deref());
            }
            Role::Pooled { .. } => self.lose_idle(id),
            _ if error.is_some() => self.close(id),
            // What was answered is still written; a half-closed client may wait for it.
            Role::Front(_) if !conn.outbox.is_empty() || conn.link.has_unsent() => {
                conn.flags.set(Flags::END_READ);
            }
            Role::Session(_) if conn.flags.has(Flags::CLOSING) => conn.flags.set(Flags::END_READ),
            Role::Session(_) => {
                let outcome = self.with_session(id, |session, cx| session.closed(cx));
                self.settle_session(id, outcome);
            }
            Role::Front(_) | Role::Trailing(_) | Role::Lingering { .. } => self.close(id),
        }
    }

    /// Writes what is unsent, and draws the consequences.
    pub(super) fn flush(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        if conn.flags.has(Flags::CONNECTING) || conn.only_listens() {
            return;
        }
        if !conn.flags.has(Flags::WRITABLE) && conn.blocked_since.is_some() {
            // It waits for its socket; its cursor keeps its place.
            return self.arm_conn(id);
        }
        self.demote(id);
        self.flush_all(id);
        if let Some(conn) = self.conns.get(id)
            && conn.may_keep_up()
        {
            for cursor in conn.cursors.iter() {
                self.channels.promote(cursor, conn.sock);
            }
        }
        self.arm_conn(id);
    }

    /// Writes what a session's channels hold for it before something else happens to it; later, if
    /// what it asked for itself is to be carried out first.
    pub(super) fn flush_early(&mut self, id: ConnId) {
        self.demote(id);
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        if !has_unsent(conn, &self.channels) {
            return;
        }
        if self.has_wishes(id) {
            self.enqueue(id);
        } else {
            self.flush(id);
        }
    }

    #[inline(never)]
    fn flush_all(&mut self, id: ConnId) {
        loop {
            let Some(conn) = self.conns.get_mut(id) else {
                return;
            };
            let mut pen = Pen {
                channels: &self.channels,
                sys: &mut self.sys,
                scratch: &mut self.buffers.join,
                metrics: &mut self.metrics,
                now: self.now,
            };
            match pen.flush(conn) {
                Flushed::All if conn.flags.has(Flags::CLOSING) => return self.linger(id),
                Flushed::All => {
                    self.drive_front(id);
                    let Some(conn) = self.conns.get(id) else {
                        return;
                    };
                    if conn.outbox.is_empty() {
                        // A client that closed its side has had all its answers.
                        if conn.flags.has(Flags::END_READ) && matches!(conn.role, Role::Front(_)) {
                            self.close(id);
                        }
                        return;
                    }
                }
                Flushed::Blocked => return,
                Flushed::Ended(channel) => self.tell_ended(id, channel),
                Flushed::Lagged(channel) => self.tell_lagged(id, channel),
                Flushed::Gated(channel) => self.ask_gate(id, channel),
                Flushed::Left => self.drop_leaving(id),
                Flushed::Failed(error) => return self.write_failed(id, &error),
            }
            self.run_agenda();
        }
    }

    #[inline(never)]
    fn write_failed(&mut self, id: ConnId, error: &io::Error) {
        match self.conns.get(id).map(|conn| &conn.role) {
            // The answer may have been sent before the connection failed: reading decides.
            Some(Role::Dialing(_) | Role::Upstream(_)) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.flags.clear(Flags::WRITABLE);
                    conn.flags.set(Flags::READABLE);
                    conn.flags.set(Flags::PEER_CLOSED);
                }
                self.enqueue(id);
            }
            Some(_) => {
                log::debug!("a connection failed while it was written: {error}");
                self.close(id);
            }
            None => {}
        }
    }

    #[inline(never)]
    fn tell_ended(&mut self, id: ConnId, channel: ChannelId) {
        let name = self.channel_name(channel);
        self.unsubscribe_from(id, channel);
        let outcome = self.with_session(id, |session, cx| session.ended(&name, cx));
        self.settle_session(id, outcome);
        self.go_on_closing(id);
    }

    /// The event of a cursor whose subscription has ended is written.
    #[inline(never)]
    fn drop_leaving(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let turn = conn.cursors.turn();
        if let Some(cursor) = conn.cursors.remove(turn) {
            self.release(&cursor);
        }
    }

    /// Asks the session about the next event of a gated cursor.
    #[inline(never)]
    fn ask_gate(&mut self, id: ConnId, channel: ChannelId) {
        let verdict = self.with_session_and(id, |session, cx, conn, channels| {
            let (_, cursor) = conn.find(channel)?;
            let channel = channels.get(channel)?;
            let entry = channel.next_entry(cursor)?;
            Some(session.gate(channel.name(), &entry, cx))
        });
        let gate = match verdict {
            Some(Some(gate)) => gate,
            // Its bytes are still there, the event itself is not.
            Some(None) => return self.tell_lagged(id, channel),
            None => return self.close(id),
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let (Some(channel), Some(cursor)) =
            (self.channels.get(channel), conn.cursors.find_mut(channel))
        else {
            return;
        };
        let end = channel.batch_end(cursor, 0);
        match gate {
            Gate::Open => cursor.gate = GateState::Open,
            Gate::Pass => {
                cursor.gate = GateState::Passing;
                cursor.end = end;
            }
            Gate::Skip => cursor.at = end,
            Gate::Replaced => {
                cursor.at = end;
                cursor.gate = GateState::Open;
            }
        }
    }

    /// Moves a cursor that has fallen off to the oldest event kept.
    #[inline(never)]
    fn tell_lagged(&mut self, id: ConnId, channel: ChannelId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        // The rest of the event is gone: nothing true can follow its beginning.
        let cut = conn.flags.has(Flags::MID_EVENT)
            && conn
                .cursors
                .current()
                .is_some_and(|it| it.channel == channel);
        let held = self.channels.get(channel).filter(|_| !cut);
        let (Some(held), Some(cursor)) = (held, conn.cursors.find_mut(channel)) else {
            self.metrics.slow_disconnects += 1;
            return self.close(id);
        };
        debug_assert!(held.life() == Life::Open, "only open channels forget");
        let (oldest, at) = held.oldest(cursor.view);
        cursor.at = at;
        cursor.end = 0;
        if cursor.gate == GateState::Passing {
            // The event that was let pass is gone; the next is asked about.
            cursor.gate = GateState::Ask;
        }
        let name = self.channel_name(channel);
        let outcome = self.with_session(id, |session, cx| session.lagged(&name, oldest, cx));
        self.settle_session(id, outcome);
    }

    fn channel_name(&self, channel: ChannelId) -> Box<str> {
        let channel = self.channels.get(channel);
        channel.map_or_else(Box::default, |channel| channel.name().into())
    }
}
