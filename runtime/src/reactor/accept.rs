//! Taking connections, and surviving when there are no descriptors for them.

use std::io;
use std::time::Duration;

use super::Reactor;
use crate::conn::front::Front;
use crate::conn::link::Link;
use crate::conn::{Conn, Flags, Role};
use crate::sys::{SockId, Sys};
use crate::time::Moment;
use crate::tls::Identity;

/// Connections taken from one listener in one turn.
const ACCEPTS: usize = 64;

/// How long accepting rests when the system is out of memory or of files.
const REST: Duration = Duration::from_millis(100);

/// How often the log is told of refused connections.
const TELL: Duration = Duration::from_secs(1);

/// One listening socket.
pub(super) struct Listener {
    sock: SockId,
    tls: Option<Identity>,
    ready: bool,
    rests_until: Option<Moment>,
    /// Connections refused for want of descriptors that no line of the log tells of yet.
    refused: u64,
    /// When the log was last told.
    told_at: Option<Moment>,
}

impl Listener {
    pub(super) fn new(sock: SockId, tls: Option<Identity>) -> Self {
        Self {
            sock,
            tls,
            ready: true,
            rests_until: None,
            refused: 0,
            told_at: None,
        }
    }

    /// Notes a refused connection; the log hears of them once a second.
    fn note_refusal(&mut self, now: Moment) {
        self.refused += 1;
        if self.told_at.is_none_or(|at| at + TELL <= now) {
            log::warn!(
                "out of file descriptors: {} connections refused",
                self.refused
            );
            self.refused = 0;
            self.told_at = Some(now);
        }
    }

    /// When accepting goes on after a rest, or at once if the last turn took its fill.
    fn deadline(&self) -> Option<Moment> {
        let at_once = self.ready.then_some(Moment(0));
        self.rests_until.or(at_once)
    }
}

impl<S: Sys> Reactor<S> {
    /// Accepts what waits, in bounds.
    pub(super) fn accept(&mut self) {
        if self.accepts_at <= self.now {
            self.accept_from_all();
            self.accepts_at = self.accepting();
        }
    }

    /// When a listener is to be looked at again.
    #[inline(never)]
    pub(super) fn accepting(&self) -> Moment {
        let deadlines = self.listeners.iter().filter_map(Listener::deadline);
        deadlines.min().unwrap_or(Moment::NEVER)
    }

    /// Notes that connections wait at a socket, if it is a listener's.
    #[inline(never)]
    pub(super) fn note_waiting(&mut self, sock: SockId) {
        let mut listeners = self.listeners.iter_mut();
        if let Some(listener) = listeners.find(|listener| listener.sock == sock) {
            listener.ready = true;
            self.accepts_at = self.accepting();
        }
    }

    #[inline(never)]
    fn accept_from_all(&mut self) {
        for index in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            if listener.rests_until.is_some_and(|until| until > self.now) || !listener.ready {
                continue;
            }
            listener.rests_until = None;
            self.accept_from(index);
        }
    }

    #[inline(never)]
    fn accept_from(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            match self.sys.accept(listener.sock) {
                Ok((sock, peer)) => {
                    let link = match listener.tls.as_ref().map(Link::server).transpose() {
                        Ok(link) => link.unwrap_or(Link::Plain),
                        Err(error) => {
                            log::error!("cannot begin TLS with a client: {error}");
                            self.sys.close(sock);
                            continue;
                        }
                    };
                    self.admit(sock, link, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listener.ready = false;
                    return;
                }
                Err(error) => {
                    if !self.bear_accept_failure(index, &error) {
                        return;
                    }
                }
            }
        }
    }

    fn admit(&mut self, sock: SockId, link: Link, peer: Option<std::net::IpAddr>) {
        self.metrics.accepted += 1;
        let hard_limit = self.limits.connections + self.limits.connections / 16 + 16;
        if self.clients >= hard_limit {
            self.sys.close(sock);
            return;
        }
        let role = Role::Front(Box::new(Front::new(self.now)));
        let mut conn = Conn::new(sock, link, role, peer, self.now);
        // A socket that was just opened takes bytes; the system says so only once, perhaps later.
        conn.flags.set(Flags::CLIENT);
        conn.flags.set(Flags::WRITABLE);
        self.clients += 1;
        let id = self.insert(conn);
        self.arm_conn(id);
    }

    /// True: go on accepting.
    fn bear_accept_failure(&mut self, index: usize, error: &io::Error) -> bool {
        const EMFILE: i32 = 24;
        self.metrics.accept_failures += 1;
        let Some(listener) = self.listeners.get_mut(index) else {
            return false;
        };
        match error.raw_os_error() {
            // The peer went away while it waited, or a signal came.
            _ if matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted
            ) =>
            {
                true
            }
            Some(EMFILE) => {
                let dropped = self.sys.shed(listener.sock);
                if dropped {
                    listener.note_refusal(self.now);
                } else {
                    // Linux says EMFILE even where nothing waits; or there is no reserve left.
                    listener.rests_until = Some(self.now + REST);
                }
                dropped
            }
            _ => {
                log::warn!("cannot accept a connection: {error}; trying again in {REST:?}");
                listener.rests_until = Some(self.now + REST);
                false
            }
        }
    }

    /// Stops listening.
    pub(super) fn close_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            self.sys.close(listener.sock);
        }
        self.accepts_at = Moment::NEVER;
    }
}
