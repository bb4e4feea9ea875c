//! What a far end is, and what it can do.

use std::any::Any;
use std::net::SocketAddr;

use super::core::{Core, Happening, Socket};
use super::line::{Line, State, Weather};
use super::random::Random;
use crate::time::Moment;

/// Connections that wait to be accepted at one listener; more are refused.
const BACKLOG: usize = 1024;

/// A far end: a client, or a server that this server calls. It owns its lines.
pub trait Peer: Any {
    /// Something has happened on one of its lines, or a moment that it asked for has come.
    /// It may be called without reason.
    fn step(&mut self, now: Moment, net: &mut Net<'_>);

    /// What it is and does, for a failing test.
    fn describe(&self) -> String {
        String::new()
    }
}

/// A peer in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(super) usize);

/// A connection, as its peer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub(super) usize);

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The server has closed its side.
    End,
    /// The connection is gone.
    Reset,
}

/// The world as one peer sees it during a step.
pub struct Net<'a> {
    pub(super) core: &'a mut Core,
    pub(super) peer: usize,
}

impl Net<'_> {
    /// Random numbers of this world.
    pub fn random(&mut self) -> &mut Random {
        &mut self.core.random
    }

    /// Wants to be stepped at `at`.
    pub fn wake(&mut self, at: Moment) {
        self.core
            .schedule(at.max(self.core.now), Happening::Wake(self.peer));
    }

    /// Says that the test need not wait for this peer any more.
    pub fn done(&mut self) {
        self.core.finished.insert(self.peer);
    }

    /// Connects to the server; nothing if nobody listens there, or too many wait.
    pub fn connect(&mut self, to: SocketAddr, weather: Weather) -> Option<LineId> {
        let index = self.core.lines.len();
        let (at, listener) =
            self.core
                .sockets
                .iter_mut()
                .enumerate()
                .find_map(|(at, socket)| match socket {
                    Socket::Listener(listener) if listener.addr == to => Some((at, listener)),
                    Socket::Listener(_) | Socket::Line(_) | Socket::Free => None,
                })?;
        if listener.backlog.len() >= BACKLOG {
            return None;
        }
        listener.backlog.push_back(index);
        let listener = u32::try_from(at).ok()?;
        self.core
            .lines
            .push(Line::new(State::Waiting { listener }, weather, self.peer));
        // The listener is looked at in every poll; this lets time come there.
        self.core.schedule(self.core.now, Happening::Nothing);
        Some(LineId(index))
    }

    /// The next line that the server has opened to this peer.
    pub fn accept(&mut self) -> Option<LineId> {
        self.core
            .arrivals
            .get_mut(&self.peer)?
            .pop_front()
            .map(LineId)
    }

    /// Takes at most `most` bytes off a line.
    pub fn read(&mut self, line: LineId, out: &mut Vec<u8>, most: usize) -> Received {
        let Some(it) = self.core.lines.get_mut(line.0) else {
            return Received::Reset;
        };
        let count = it.to_peer.arrived.len().min(most);
        if count > 0 {
            out.extend(it.to_peer.arrived.drain(..count));
            self.core.touch(line.0);
            return Received::Bytes(count);
        }
        if it.peer_reset {
            Received::Reset
        } else if it.to_peer.fin_arrived && it.to_peer.arrived.is_empty() {
            Received::End
        } else {
            Received::Nothing
        }
    }

    /// Puts bytes into a line; says how many it took.
    pub fn write(&mut self, line: LineId, bytes: &[u8]) -> usize {
        let at = self.core.latency(line.0);
        let Some(it) = self.core.lines.get_mut(line.0) else {
            return 0;
        };
        if it.peer_reset || it.peer_closed || it.to_server.is_shut() {
            return bytes.len();
        }
        let count = it.to_server.free().min(bytes.len());
        if count > 0 {
            let at = it.to_server.send(&bytes[..count], at);
            self.core.schedule(at, Happening::Arrival(line.0));
        }
        count
    }

    /// Ends the peer's side; it can still read.
    pub fn shutdown(&mut self, line: LineId) {
        let at = self.core.latency(line.0);
        if let Some(it) = self.core.lines.get_mut(line.0) {
            let at = it.to_server.shut(at);
            self.core.schedule(at, Happening::Arrival(line.0));
        }
    }

    /// Closes a line: what the server sends from now on is answered with a reset, as is what was
    /// not read.
    pub fn close(&mut self, line: LineId) {
        let Some(it) = self.core.lines.get_mut(line.0) else {
            return;
        };
        if std::mem::replace(&mut it.peer_closed, true) || it.peer_reset {
            return;
        }
        if !it.to_peer.arrived.is_empty() {
            it.to_peer.arrived.clear();
            self.core.reset_server(line.0);
        }
        self.shutdown(line);
    }

    /// Breaks a line: what is under way to the server is lost, and a reset follows.
    pub fn reset(&mut self, line: LineId) {
        let Some(it) = self.core.lines.get_mut(line.0) else {
            return;
        };
        if std::mem::replace(&mut it.peer_closed, true) || it.peer_reset {
            return;
        }
        it.to_server.lose();
        it.to_peer.arrived.clear();
        self.core.reset_server(line.0);
    }

    /// Has the server closed its socket?
    #[must_use]
    pub fn is_closed_by_server(&self, line: LineId) -> bool {
        self.core
            .lines
            .get(line.0)
            .is_none_or(|it| it.server_closed)
    }
}
