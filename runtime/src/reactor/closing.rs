//! How a connection ends: with its last words, after a little patience, or at once.

use super::Reactor;
use crate::conn::{Flags, Role};
use crate::ids::ConnId;
use crate::plugin::transport::Disconnect;
use crate::sys::Sys;

/// How long a peer may take to close its side after everything is said. Closing with its bytes
/// unread would reset the connection and could take the last answer with it (RFC 9112 §9.6).
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

impl<S: Sys> Reactor<S> {
    /// Ends a session's connection for a reason.
    pub(super) fn disconnect(&mut self, id: ConnId, why: &Disconnect) {
        log::debug!("a session ends: {why}");
        if *why == Disconnect::Slow {
            self.metrics.slow_disconnects += 1;
        }
        if *why != Disconnect::Done {
            self.with_session(id, |session, cx| session.farewell(why, cx));
            self.forget_wishes(id);
        }
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let stuck = conn.blocked_since.is_some();
        match why {
            // It may have ended its side alone, and still read what answers its earlier requests.
            Disconnect::PeerClosed if !conn.has_own_bytes() || conn.flags.has(Flags::MID_EVENT) => {
                self.close(id);
            }
            Disconnect::Reset => {
                self.sys.reset_on_close(conn.sock);
                self.close(id);
            }
            Disconnect::Slow | Disconnect::Unresponsive if stuck => self.close(id),
            _ => {
                // Only the rest of a half-written event and the connection's own bytes follow.
                conn.flags.set(Flags::CLOSING);
                if !conn.flags.has(Flags::MID_EVENT) {
                    self.unsubscribe(id);
                }
                self.enqueue(id);
            }
        }
    }

    /// All is written: closes the sending side and waits a little for the peer to do the same.
    #[inline(never)]
    pub(super) fn linger(&mut self, id: ConnId) {
        self.unsubscribe(id);
        self.forget_session(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if matches!(conn.role, Role::Lingering { .. }) {
            return self.arm_conn(id);
        }
        conn.link.finish();
        let flushed = conn.link.flush(&mut self.sys, conn.sock);
        if flushed.is_err() || conn.flags.has(Flags::END_READ) {
            return self.close(id);
        }
        self.sys.shutdown(conn.sock);
        let until = self.now + LINGER;
        let role = std::mem::replace(&mut conn.role, Role::Lingering { until });
        // Closing counts a session down itself.
        if matches!(role, Role::Session(_)) {
            self.metrics.sessions -= 1;
        }
        self.arm_conn(id);
        if self
            .conns
            .get(id)
            .is_some_and(|conn| conn.flags.has(Flags::READABLE))
        {
            self.enqueue(id);
        }
    }

    /// Ends a connection at once: the only place where one is destroyed.
    pub(super) fn close(&mut self, id: ConnId) {
        self.unsubscribe(id);
        self.forget_session(id);
        let Some(conn) = self.conns.remove(id) else {
            return;
        };
        self.timers.disown();
        if conn.flags.has(Flags::CLIENT) {
            self.clients -= 1;
        }
        if let Some(owner) = self.by_sock.get_mut(conn.sock.0 as usize) {
            *owner = None;
        }
        if matches!(conn.role, Role::Session(_)) {
            self.metrics.sessions -= 1;
        }
        if self.pool.remove(id) {
            self.warm.look(self.now);
        }
        self.sys.close(conn.sock);
    }
}
