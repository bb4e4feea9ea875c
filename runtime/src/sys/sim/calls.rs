//! The server's calls on its sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::core::{Core, Happening, KindOrder, Socket};
use super::line::{Line, State, Weather};
use super::{ECONNABORTED, EMFILE, Host};
use crate::sys::SockId;

impl Core {
    pub(super) fn accept(&mut self, listener: SockId) -> io::Result<SockId> {
        let exhausted = self.now < self.descriptors_from;
        let fault = self.accept_faults.front().copied();
        let it = self.listener(listener)?;
        if it.backlog.is_empty() {
            it.armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if exhausted || fault.is_some() {
            self.accepts_failed += 1;
            let error = if exhausted {
                EMFILE
            } else {
                self.accept_faults.pop_front().unwrap_or(EMFILE)
            };
            if error == ECONNABORTED
                && let Some(line) = self.listener(listener)?.backlog.pop_front()
            {
                self.refuse(line);
            }
            return Err(io::Error::from_raw_os_error(error));
        }
        let Some(index) = it.backlog.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let sock = self.insert(Socket::Line(index));
        if let Some(line) = self.lines.get_mut(index) {
            line.sock = Some(sock.0);
            line.state = State::Open;
        }
        self.touch(index);
        Ok(sock)
    }

    /// Ends a connection that was never accepted.
    pub(super) fn refuse(&mut self, index: usize) {
        if let Some(line) = self.lines.get_mut(index) {
            line.state = State::Refused;
            line.server_closed = true;
            self.reset_peer(index);
        }
    }

    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<SockId> {
        let host = self.hosts.get(&to).copied().unwrap_or(Host::Refuses(0));
        let (peer, weather, decision) = match host {
            Host::Accepts(peer, after, weather) => (peer.0, weather, Some((after, None))),
            Host::Refuses(after) => (
                usize::MAX,
                Weather::default(),
                Some((after, Some(KindOrder::Refused))),
            ),
            Host::Silent => (usize::MAX, Weather::default(), None),
            Host::Unreachable => return Err(io::ErrorKind::NetworkUnreachable.into()),
        };
        let mut line = Line::new(State::Connecting, weather, peer);
        line.peer_closed = peer == usize::MAX;
        let index = self.lines.len();
        let sock = self.insert(Socket::Line(index));
        line.sock = Some(sock.0);
        self.lines.push(line);
        if let Some((after, outcome)) = decision {
            let at = self.now + Duration::from_millis(after);
            self.schedule(at, Happening::Decision(index, outcome));
        }
        Ok(sock)
    }

    pub(super) fn read(&mut self, sock: SockId, buf: &mut [u8]) -> io::Result<usize> {
        let index = self.line_of(sock)?;
        let (faults, short) = (self.faults, self.random.permille(self.faults.short_read));
        let blocked = self.random.permille(faults.would_block);
        let Some(line) = self.lines.get_mut(index) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let State::Failed(kind) = line.state {
            return Err(kind.into());
        }
        if line.server_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let available = line.to_server.arrived.len();
        if available == 0 && line.to_server.fin_arrived {
            return Ok(0);
        }
        if line.state != State::Open || available == 0 || blocked {
            line.read_armed = true;
            self.touch(index);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = available.min(buf.len());
        if short {
            count = self.random.part(count);
        }
        if count < buf.len() {
            line.read_armed = true;
        }
        for (to, from) in buf.iter_mut().zip(line.to_server.arrived.drain(..count)) {
            *to = from;
        }
        self.due.insert(line.peer);
        self.touch(index);
        Ok(count)
    }

    pub(super) fn write(&mut self, sock: SockId, buf: &[u8]) -> io::Result<usize> {
        let index = self.line_of(sock)?;
        let short = self.random.permille(self.faults.short_write);
        let blocked = self.random.permille(self.faults.would_block);
        let at = self.latency(index);
        let Some(line) = self.lines.get_mut(index) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let State::Failed(kind) = line.state {
            return Err(kind.into());
        }
        if line.server_reset || line.to_peer.is_shut() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let free = line.to_peer.free();
        if line.state != State::Open || free == 0 || blocked {
            line.write_armed = true;
            self.touch(index);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = free.min(buf.len());
        if short {
            count = self.random.part(count);
        }
        if count < buf.len() {
            line.write_armed = true;
        }
        if count > 0 {
            let at = line.to_peer.send(&buf[..count], at);
            self.schedule(at, Happening::Arrival(index));
        }
        self.touch(index);
        Ok(count)
    }

    pub(super) fn close(&mut self, sock: SockId) {
        let Some(slot) = self.sockets.get_mut(sock.0 as usize) else {
            return;
        };
        let closed = std::mem::replace(slot, Socket::Free);
        match closed {
            Socket::Free => return,
            Socket::Listener(listener) => {
                for line in listener.backlog {
                    self.refuse(line);
                }
            }
            Socket::Line(index) => self.close_line(index),
        }
        self.free.push(sock.0);
    }

    pub(super) fn close_line(&mut self, index: usize) {
        let at = self.latency(index);
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        line.sock = None;
        line.server_closed = true;
        if line.state != State::Open || line.server_reset {
            return;
        }
        if line.to_server.arrived.is_empty() {
            let at = line.to_peer.shut(at);
            self.schedule(at, Happening::Arrival(index));
        } else {
            // RFC 1122 §4.2.2.13: closed with data unread, the peer is told by a reset.
            line.to_server.arrived.clear();
            self.reset_peer(index);
        }
    }
}
