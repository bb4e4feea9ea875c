//! A world made of numbers: the same seed gives the same world, byte for byte.
//!
//! ```text
//!   Reactor<SimSys> ──► Sys ──► lines ──► peers: browsers, slow readers, quitters, upstreams
//!                                 ▲
//!                        agenda: what happens when        time moves only in poll
//! ```
//!
//! - The clock stands still except in [`Sys::poll`], which moves it to the next thing that happens.
//! - Readiness is told as exactly as the contract of [`Sys`] allows and no more: once, until
//!   `WouldBlock` or a short read or write has been seen. A missed re-arm hangs here every time.
//! - If nothing is left to happen while a peer is not done, or the reactor asks ten thousand times
//!   while neither time passes nor a byte moves, `poll` fails with a dump of the world.
//! - A poll returns when the last peer says that it is done, so that a test can look at once.
//! - Every call and its result goes into a hash, the [fingerprint](SimSys::fingerprint).
//!
//! Far ends are [`Peer`]s, owned by the world and stepped by it. See [`Net`] for what they can do.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::sys::{ListenAddr, Signal, SockId, Sys, SysEvent};
use crate::time::Moment;

mod calls;
mod core;
mod fingerprint;
mod line;
mod net;
mod random;

pub use line::Weather;
pub use net::{LineId, Net, Peer, PeerId, Received};
pub use random::Random;

use core::{Core, Happening, Listener, Socket};
use line::State;

/// Polls in which neither time passes nor bytes move after which the reactor is said to spin.
const MOST_POLLS_AT_ONCE: u32 = 10_000;

/// Peers' steps at one moment after which they are said to spin.
const MOST_STEPS_AT_ONCE: u32 = 1_000_000;

/// The wall clock at the beginning: 2026-01-01T00:00:00Z.
const UNIX_TIME: Duration = Duration::from_secs(1_767_225_600);

/// How unkind the world is. Chances are in a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A read gives less than there is.
    pub short_read: u16,
    /// A write takes less than it could.
    pub short_write: u16,
    /// A read or write says `WouldBlock` though it could go on.
    pub would_block: u16,
    /// A poll reports a socket, old or new, that has nothing to report.
    pub spurious: u16,
    /// Milliseconds by which a wait may end late, at most.
    pub late: u64,
    /// Events that one poll reports at most; 0: all.
    pub batch: usize,
}

impl Faults {
    /// Every fault, often.
    #[must_use]
    pub fn unkind() -> Self {
        Self {
            short_read: 200,
            short_write: 200,
            would_block: 50,
            spurious: 100,
            late: 3,
            batch: 7,
        }
    }
}

/// What answers at an address that the server connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// This peer accepts, after so many milliseconds.
    Accepts(PeerId, u64, Weather),
    /// Nobody listens; the connect is refused after so many milliseconds.
    Refuses(u64),
    /// Nothing ever comes back.
    Silent,
    /// The connect fails at once.
    Unreachable,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Name {
    /// The addresses, or why there are none.
    pub addrs: Result<Vec<IpAddr>, io::ErrorKind>,
    /// How long the answer takes; `None`: for ever.
    pub takes: Option<Duration>,
}

/// The simulated world. See the module's description.
pub struct SimSys {
    core: Core,
    peers: Vec<Option<Box<dyn Peer>>>,
}

impl SimSys {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let core = Core::new(seed, faults);
        Self {
            core,
            peers: Vec::new(),
        }
    }

    /// Adds a peer; it is stepped for the first time in the next poll.
    pub fn add(&mut self, peer: impl Peer) -> PeerId {
        self.add_at(peer, self.core.now)
    }

    /// Adds a peer that is stepped for the first time at `at`.
    pub fn add_at(&mut self, peer: impl Peer, at: Moment) -> PeerId {
        self.peers.push(Some(Box::new(peer)));
        let index = self.peers.len() - 1;
        self.core.schedule(at, Happening::Wake(index));
        PeerId(index)
    }

    /// The peer, if it is of this type.
    #[must_use]
    pub fn peer<T: Peer>(&self, id: PeerId) -> Option<&T> {
        let peer: &dyn std::any::Any = self.peers.get(id.0)?.as_deref()?;
        peer.downcast_ref()
    }

    /// The peer, to be changed; it is stepped in the next poll.
    pub fn peer_mut<T: Peer>(&mut self, id: PeerId) -> Option<&mut T> {
        self.core.schedule(self.core.now, Happening::Wake(id.0));
        let peer: &mut dyn std::any::Any = self.peers.get_mut(id.0)?.as_deref_mut()?;
        peer.downcast_mut()
    }

    /// Decides what answers at an address.
    pub fn host(&mut self, addr: SocketAddr, host: Host) {
        self.core.hosts.insert(addr, host);
    }

    /// Decides what a name stands for.
    pub fn name(&mut self, host: &str, name: Name) {
        self.core.names.insert(host.into(), name);
    }

    /// The process is told something at `at`.
    pub fn signal(&mut self, at: Moment, signal: Signal) {
        let happening = match signal {
            Signal::Stop => Happening::Stop,
            Signal::Reload => Happening::Reload,
        };
        self.core.schedule(at, happening);
    }

    /// The next accepts fail with these numbers of the system, one each.
    pub fn fail_accepts(&mut self, errors: &[i32]) {
        self.core.accept_faults.extend(errors);
    }

    /// No accept finds a descriptor before `until`.
    pub fn exhaust_descriptors(&mut self, until: Moment) {
        self.core.descriptors_from = until;
    }

    /// Accepts that have failed, `WouldBlock` aside.
    #[must_use]
    pub fn accepts_failed(&self) -> u64 {
        self.core.accepts_failed
    }

    /// A poll returns at `at`, though nothing has happened then.
    pub fn return_at(&mut self, at: Moment) {
        self.core.schedule(at, Happening::Return);
    }

    /// Changes how unkind the world is from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.core.faults = faults;
    }

    /// How often the reactor has polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.core.polls
    }

    /// When the server said of a socket that many small pieces will come there.
    #[must_use]
    pub fn streams_expected(&self) -> &[Moment] {
        &self.core.streams_expected
    }

    /// Have all peers said that they are done?
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.core.finished.len() == self.peers.len()
    }

    /// Sockets and listeners that the server has open.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.core
            .sockets
            .iter()
            .filter(|socket| !matches!(socket, Socket::Free))
            .count()
    }

    /// A hash of all calls so far and of their results.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.core.fingerprint.value()
    }

    /// What the world looks like, for a failing test.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut text = format!(
            "at {} ms, after {} polls\n",
            self.core.now.0, self.core.polls
        );
        for (index, peer) in self.peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            if !self.core.finished.contains(&index) {
                text.push_str(&format!(
                    "  peer {index} is not done: {}\n",
                    peer.describe()
                ));
            }
        }
        for (index, line) in self.core.lines.iter().enumerate() {
            if line.server_closed && line.peer_closed {
                continue;
            }
            text.push_str(&format!(
                "  line {index} of peer {}: {:?}, socket {:?}, server{}{} {} unread {}, peer{}{} {} unread, armed{}{}\n",
                line.peer,
                line.state,
                line.sock,
                if line.server_closed { " closed" } else { "" },
                if line.server_reset { " reset" } else { "" },
                line.to_server.arrived.len(),
                if line.to_server.fin_arrived { "and the end" } else { "" },
                if line.peer_closed { " closed" } else { "" },
                if line.peer_reset { " reset" } else { "" },
                line.to_peer.arrived.len(),
                if line.read_armed { " read" } else { "" },
                if line.write_armed { " write" } else { "" },
            ));
        }
        text
    }

    /// Lets everything happen that is due, until nothing is.
    fn happen(&mut self) -> io::Result<()> {
        let mut steps = 0u32;
        loop {
            while let Some((at, _, _)) = self.core.agenda.first()
                && *at <= self.core.now
                && let Some((_, _, happening)) = self.core.agenda.pop_first()
            {
                self.core.carry_out(happening);
            }
            let Some(index) = self.core.due.pop_first() else {
                return Ok(());
            };
            steps += 1;
            if steps > MOST_STEPS_AT_ONCE {
                return Err(io::Error::other(format!("a peer spins: {}", self.dump())));
            }
            let Some(mut peer) = self.peers.get_mut(index).and_then(Option::take) else {
                continue;
            };
            peer.step(
                self.core.now,
                &mut Net {
                    core: &mut self.core,
                    peer: index,
                },
            );
            if let Some(slot) = self.peers.get_mut(index) {
                *slot = Some(peer);
            }
        }
    }
}

impl Sys for SimSys {
    fn now(&self) -> Moment {
        self.core.now
    }

    fn unix_time(&self) -> Duration {
        UNIX_TIME + Duration::from_millis(self.core.now.0)
    }

    fn random(&mut self, out: &mut [u8]) {
        self.core.random.fill(out);
        self.core.fingerprint.bytes("random", 0, out);
    }

    fn poll(&mut self, until: Option<Moment>, events: &mut Vec<SysEvent>) -> io::Result<()> {
        self.core.polls += 1;
        self.core
            .fingerprint
            .numbers("poll", self.core.now.0, until.map_or(0, |at| at.0));
        let (before, start) = (self.core.now, events.len());
        let was_done = self.all_done();
        loop {
            self.happen()?;
            self.core.tell(events);
            let interrupted = std::mem::take(&mut self.core.returns) || was_done != self.all_done();
            let over = until.is_some_and(|until| until <= self.core.now);
            if events.len() > start || over || interrupted {
                break;
            }
            let next = self.core.agenda.first().map(|(at, _, _)| *at);
            self.core.now = match (next, until) {
                (Some(next), Some(until)) if next < until => next,
                (_, Some(until)) => {
                    let late = self.core.random.between(0, self.core.faults.late);
                    until + Duration::from_millis(late)
                }
                (Some(next), None) => next,
                (None, None) if self.all_done() => break,
                (None, None) => {
                    return Err(io::Error::other(format!("deadlock: {}", self.dump())));
                }
            };
        }
        self.core.polls_at_once += 1;
        if self.core.now != before {
            self.core.polls_at_once = 0;
        } else if self.core.polls_at_once > MOST_POLLS_AT_ONCE {
            return Err(io::Error::other(format!(
                "the reactor spins: {}",
                self.dump()
            )));
        }
        Ok(())
    }

    fn listen(&mut self, at: &ListenAddr) -> io::Result<(SockId, ListenAddr)> {
        let mut addr = match at {
            ListenAddr::Tcp(addr) => *addr,
            ListenAddr::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        if addr.port() == 0 {
            addr.set_port(self.core.next_port);
            self.core.next_port = self.core.next_port.wrapping_add(1);
        }
        let taken =
            self.core.sockets.iter().any(
                |socket| matches!(socket, Socket::Listener(listener) if listener.addr == addr),
            );
        if taken {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listener = Listener {
            addr,
            backlog: VecDeque::new(),
            armed: true,
        };
        let sock = self.core.insert(Socket::Listener(listener));
        self.core
            .fingerprint
            .numbers("listen", u64::from(sock.0), u64::from(addr.port()));
        Ok((sock, ListenAddr::Tcp(addr)))
    }

    fn accept(&mut self, listener: SockId) -> io::Result<(SockId, Option<IpAddr>)> {
        let accepted = self.core.accept(listener);
        let number = accepted.as_ref().map_or(u64::MAX, |sock| u64::from(sock.0));
        self.core
            .fingerprint
            .numbers("accept", u64::from(listener.0), number);
        accepted.map(|sock| (sock, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))))
    }

    fn shed(&mut self, listener: SockId) -> bool {
        let Ok(it) = self.core.listener(listener) else {
            return false;
        };
        let Some(line) = it.backlog.pop_front() else {
            return false;
        };
        self.core.refuse(line);
        self.core
            .fingerprint
            .numbers("shed", u64::from(listener.0), line as u64);
        true
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SockId> {
        let connected = self.core.connect(to);
        let number = connected
            .as_ref()
            .map_or(u64::MAX, |sock| u64::from(sock.0));
        self.core
            .fingerprint
            .numbers("connect", u64::from(to.port()), number);
        connected
    }

    fn connected(&mut self, sock: SockId) -> io::Result<bool> {
        let line = self.core.line_of(sock)?;
        match self.core.lines.get(line).map(|line| line.state) {
            Some(State::Open) => Ok(true),
            Some(State::Connecting) => Ok(false),
            Some(State::Failed(kind)) => Err(kind.into()),
            Some(State::Waiting { .. } | State::Refused) | None => {
                Err(io::ErrorKind::NotConnected.into())
            }
        }
    }

    fn read(&mut self, sock: SockId, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.core.read(sock, buf);
        let given = result.as_ref().map_or(&[][..], |count| &buf[..*count]);
        self.core.note_progress(given.len());
        self.core
            .fingerprint
            .bytes("read", u64::from(sock.0), given);
        result
    }

    fn write(&mut self, sock: SockId, buf: &[u8]) -> io::Result<usize> {
        let result = self.core.write(sock, buf);
        let taken = result.as_ref().map_or(&[][..], |count| &buf[..*count]);
        self.core.note_progress(taken.len());
        self.core
            .fingerprint
            .bytes("write", u64::from(sock.0), taken);
        result
    }

    fn expect_stream(&mut self, _sock: SockId) {
        self.core.streams_expected.push(self.core.now);
    }

    fn shutdown(&mut self, sock: SockId) {
        self.core
            .fingerprint
            .numbers("shutdown", u64::from(sock.0), 0);
        let Ok(index) = self.core.line_of(sock) else {
            return;
        };
        let at = self.core.latency(index);
        if let Some(line) = self.core.lines.get_mut(index) {
            let at = line.to_peer.shut(at);
            self.core.schedule(at, Happening::Arrival(index));
        }
    }

    fn close(&mut self, sock: SockId) {
        self.core.fingerprint.numbers("close", u64::from(sock.0), 0);
        self.core.close(sock);
    }

    fn resolve(&mut self, host: &str, port: u16, ticket: u64) {
        self.core
            .fingerprint
            .bytes("resolve", ticket, host.as_bytes());
        let name = match host.parse() {
            Ok(literal) => Name {
                addrs: Ok(vec![literal]),
                takes: Some(Duration::ZERO),
            },
            Err(_) => self.core.names.get(host).cloned().unwrap_or(Name {
                addrs: Err(io::ErrorKind::NotFound),
                takes: Some(Duration::from_millis(1)),
            }),
        };
        self.core.answers.insert(ticket, (name.addrs, port));
        if let Some(takes) = name.takes {
            self.core
                .schedule(self.core.now + takes, Happening::Resolved(ticket));
        }
    }
}

/// `EMFILE`: the process has no descriptor left.
pub const EMFILE: i32 = 24;
/// `ENFILE`: the system has none left.
pub const ENFILE: i32 = 23;
/// `ECONNABORTED`: the peer has gone before it was accepted.
pub const ECONNABORTED: i32 = 103;

#[cfg(test)]
mod tests;
