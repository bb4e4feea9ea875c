//! The world without its peers: lines, sockets, and what happens when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::fingerprint::Fingerprint;
use super::line::{Line, State};
use super::random::Random;
use super::{Faults, Host, Name};
use crate::sys::{Signal, SockId, SysEvent};
use crate::time::Moment;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// Something arrives on a line.
    Arrival(usize),
    /// A peer wanted to be stepped.
    Wake(usize),
    /// A connect of the server is decided.
    Decision(usize, Option<KindOrder>),
    /// A reset arrives at the server, or at the peer.
    ResetAtServer(usize),
    ResetAtPeer(usize),
    Resolved(u64),
    Stop,
    Reload,
    /// Time passes, nothing else.
    Nothing,
    /// A poll returns, though nothing has happened.
    Return,
}

/// Why a connect fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KindOrder {
    Refused,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    pub(super) backlog: VecDeque<usize>,
    pub(super) armed: bool,
}

pub(super) enum Socket {
    Free,
    Listener(Listener),
    Line(usize),
}

/// All but the peers, which must be able to change it.
pub(super) struct Core {
    pub(super) now: Moment,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) lines: Vec<Line>,
    pub(super) sockets: Vec<Socket>,
    pub(super) free: Vec<u32>,
    pub(super) agenda: BTreeSet<(Moment, u64, Happening)>,
    pub(super) sequence: u64,
    /// Lines whose readiness may have changed.
    pub(super) touched: Vec<usize>,
    /// Peers to step now.
    pub(super) due: BTreeSet<usize>,
    pub(super) finished: BTreeSet<usize>,
    /// Lines that the server has opened to a peer, not yet taken by it.
    pub(super) arrivals: BTreeMap<usize, VecDeque<usize>>,
    pub(super) hosts: BTreeMap<SocketAddr, Host>,
    pub(super) names: BTreeMap<String, Name>,
    pub(super) answers: BTreeMap<u64, (Result<Vec<IpAddr>, io::ErrorKind>, u16)>,
    pub(super) told: Vec<SysEvent>,
    pub(super) accept_faults: VecDeque<i32>,
    /// Until then there is no descriptor for an accept.
    pub(super) descriptors_from: Moment,
    pub(super) accepts_failed: u64,
    pub(super) polls_at_once: u32,
    pub(super) polls: u64,
    pub(super) streams_expected: Vec<Moment>,
    /// The poll that goes on returns now.
    pub(super) returns: bool,
    pub(super) fingerprint: Fingerprint,
    pub(super) next_port: u16,
}

impl Core {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            now: Moment(0),
            random: Random::new(seed),
            faults,
            lines: Vec::new(),
            sockets: Vec::new(),
            free: Vec::new(),
            agenda: BTreeSet::new(),
            sequence: 0,
            touched: Vec::new(),
            due: BTreeSet::new(),
            finished: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            answers: BTreeMap::new(),
            told: Vec::new(),
            accept_faults: VecDeque::new(),
            descriptors_from: Moment(0),
            accepts_failed: 0,
            polls_at_once: 0,
            polls: 0,
            streams_expected: Vec::new(),
            returns: false,
            fingerprint: Fingerprint::default(),
            next_port: 40_000,
        }
    }

    pub(super) fn schedule(&mut self, at: Moment, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence, happening));
    }

    pub(super) fn latency(&mut self, line: usize) -> Moment {
        let (least, most) = self
            .lines
            .get(line)
            .map_or((0, 0), |line| line.weather.latency);
        self.now + Duration::from_millis(self.random.between(least, most))
    }

    /// Bytes have moved: the reactor does not spin.
    pub(super) fn note_progress(&mut self, bytes: usize) {
        if bytes > 0 {
            self.polls_at_once = 0;
        }
    }

    pub(super) fn touch(&mut self, line: usize) {
        if let Some(it) = self.lines.get_mut(line)
            && !it.touched
        {
            it.touched = true;
            self.touched.push(line);
        }
    }

    pub(super) fn carry_out(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival(line) => self.land(line),
            Happening::Wake(peer) => drop(self.due.insert(peer)),
            Happening::Decision(line, outcome) => self.decide(line, outcome),
            Happening::ResetAtServer(line) => {
                if let Some(it) = self.lines.get_mut(line) {
                    it.server_reset = true;
                    it.end_told = false;
                    it.to_server.arrived.clear();
                    it.to_peer.lose();
                    self.touch(line);
                }
            }
            Happening::ResetAtPeer(line) => {
                if let Some(it) = self.lines.get_mut(line) {
                    it.peer_reset = true;
                    self.due.insert(it.peer);
                }
            }
            Happening::Resolved(ticket) => {
                if let Some((addrs, port)) = self.answers.remove(&ticket) {
                    let addrs = addrs.map_err(io::Error::from).map(|addrs| {
                        addrs
                            .into_iter()
                            .map(|ip| SocketAddr::new(ip, port))
                            .collect()
                    });
                    self.told.push(SysEvent::Resolved { ticket, addrs });
                }
            }
            Happening::Stop => self.told.push(SysEvent::Signal(Signal::Stop)),
            Happening::Reload => self.told.push(SysEvent::Signal(Signal::Reload)),
            Happening::Nothing => {}
            Happening::Return => self.returns = true,
        }
    }

    pub(super) fn land(&mut self, index: usize) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if line.to_peer.land(now) {
            if line.peer_closed && !line.to_peer.arrived.is_empty() {
                // Nobody is there to take it.
                line.to_peer.arrived.clear();
                return self.reset_server(index);
            }
            self.due.insert(line.peer);
        }
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if line.to_server.land(now) {
            if line.server_closed && !line.to_server.arrived.is_empty() {
                line.to_server.arrived.clear();
                return self.reset_peer(index);
            }
            self.touch(index);
        }
    }

    pub(super) fn decide(&mut self, index: usize, outcome: Option<KindOrder>) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if line.server_closed {
            return;
        }
        line.state = match outcome {
            None => {
                self.arrivals.entry(line.peer).or_default().push_back(index);
                self.due.insert(line.peer);
                State::Open
            }
            Some(KindOrder::Refused) => State::Failed(io::ErrorKind::ConnectionRefused),
        };
        self.touch(index);
    }

    /// The peer's machine answers with a reset.
    pub(super) fn reset_server(&mut self, line: usize) {
        let at = self.latency(line);
        self.schedule(at, Happening::ResetAtServer(line));
    }

    /// The server's machine answers with a reset. What it had not sent is lost.
    pub(super) fn reset_peer(&mut self, line: usize) {
        if let Some(it) = self.lines.get_mut(line) {
            it.to_peer.lose();
        }
        let at = self.latency(line);
        self.schedule(at, Happening::ResetAtPeer(line));
    }

    pub(super) fn insert(&mut self, socket: Socket) -> SockId {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.sockets.get_mut(index as usize)
        {
            *slot = socket;
            return SockId(index);
        }
        self.sockets.push(socket);
        SockId(u32::try_from(self.sockets.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn listener(&mut self, sock: SockId) -> io::Result<&mut Listener> {
        match self.sockets.get_mut(sock.0 as usize) {
            Some(Socket::Listener(listener)) => Ok(listener),
            Some(Socket::Line(_)) => Err(io::ErrorKind::InvalidInput.into()),
            Some(Socket::Free) | None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn line_of(&self, sock: SockId) -> io::Result<usize> {
        match self.sockets.get(sock.0 as usize) {
            Some(Socket::Line(line)) => Ok(*line),
            Some(Socket::Listener(_)) => Err(io::ErrorKind::InvalidInput.into()),
            Some(Socket::Free) | None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Appends what there is to tell.
    pub(super) fn tell(&mut self, events: &mut Vec<SysEvent>) {
        let most = if self.faults.batch == 0 {
            usize::MAX
        } else {
            self.faults.batch
        };
        let start = events.len();
        events.append(&mut self.told);
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let Socket::Listener(listener) = socket else {
                continue;
            };
            if listener.armed && !listener.backlog.is_empty() {
                listener.armed = false;
                let sock = SockId(u32::try_from(index).unwrap_or(u32::MAX));
                events.push(SysEvent::Ready {
                    sock,
                    readable: true,
                    writable: false,
                    closed: false,
                });
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        let rest = touched.split_off(touched.len().min(most));
        for index in touched {
            let Some(line) = self.lines.get_mut(index) else {
                continue;
            };
            line.touched = false;
            let Some(sock) = line.sock else { continue };
            if let Some((readable, writable, closed)) = line.take_readiness() {
                let sock = SockId(sock);
                events.push(SysEvent::Ready {
                    sock,
                    readable,
                    writable,
                    closed,
                });
            }
        }
        self.touched = rest;
        if !self.sockets.is_empty() && self.random.permille(self.faults.spurious) {
            let index = self.random.index(self.sockets.len());
            let sock = SockId(u32::try_from(index).unwrap_or(u32::MAX));
            let what = self.random.below(8);
            let (readable, writable) = (what & 1 != 0, what & 2 != 0);
            events.push(SysEvent::Ready {
                sock,
                readable,
                writable,
                closed: what == 7,
            });
        }
        // The order within one poll is nobody's promise.
        if self.faults != Faults::default() {
            for place in start..events.len() {
                let other = place + self.random.index(events.len() - place);
                events.swap(place, other);
            }
        }
        for event in events.iter().skip(start) {
            self.fingerprint.event(event);
        }
    }
}
