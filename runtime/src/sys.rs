//! What the engine needs of the world: sockets, clocks, randomness, names, signals.
//!
//! One trait with two implementations: [`mio`] for a real machine and, with the feature `sim`, a
//! simulated one for tests. The engine is generic over it and touches the world nowhere else.
//!
//! Readiness is edge-triggered: a socket is reported readable (writable) once, and again only
//! after a read (write) has said `WouldBlock` or taken less than offered. It is a hint; spurious
//! reports happen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::time::Moment;

mod alarm;
pub mod mio;
mod resolver;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

/// A socket or listener. Numbers are small and used again after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SockId(pub u32);

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// TCP; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket. A stale file of the same name is replaced.
    Unix(PathBuf),
}

/// What happened in the world.
#[derive(Debug)]
pub enum SysEvent {
    /// A socket may have become readable or writable.
    Ready {
        /// Which.
        sock: SockId,
        /// A read may give something (bytes, the end, or an error).
        readable: bool,
        /// A write may take something, or a connect has been decided.
        writable: bool,
        /// The peer has closed its side, or the socket has failed: read until the end shows.
        closed: bool,
    },
    /// A name was looked up.
    Resolved {
        /// The ticket given to [`Sys::resolve`].
        ticket: u64,
        /// The addresses in the order to try, at least one; or why there are none.
        addrs: io::Result<Vec<SocketAddr>>,
    },
    /// The process was told something.
    Signal(Signal),
}

/// What the process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGINT`: stop gracefully; the second one at once.
    Stop,
    /// `SIGHUP`: read the configuration again.
    Reload,
}

/// The world.
pub trait Sys {
    /// The clock that deadlines are made of; never goes back.
    fn now(&self) -> Moment;

    /// The wall clock, as time since 1970.
    fn unix_time(&self) -> Duration;

    /// Fills `out` with random bytes fit for secrets.
    fn random(&mut self, out: &mut [u8]);

    /// Waits until something happens or `until` has come (`None`: without end; a moment not after
    /// now: not at all), and appends what happened.
    ///
    /// # Errors
    ///
    /// The system's; the reactor cannot go on.
    fn poll(&mut self, until: Option<Moment>, events: &mut Vec<SysEvent>) -> io::Result<()>;

    /// Opens a listener; says where it really listens.
    ///
    /// # Errors
    ///
    /// The system's.
    fn listen(&mut self, at: &ListenAddr) -> io::Result<(SockId, ListenAddr)>;

    /// Takes one connection; the peer's address where there is one.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none; others as the system gives them.
    fn accept(&mut self, listener: SockId) -> io::Result<(SockId, Option<IpAddr>)>;

    /// The process has no descriptor left: frees the reserved one, accepts and drops one
    /// connection, reserves again. True if there was one to drop.
    fn shed(&mut self, listener: SockId) -> bool;

    /// Begins to connect; [`connected`](Self::connected) tells the outcome after readiness.
    ///
    /// # Errors
    ///
    /// The system's, where it knows at once.
    fn connect(&mut self, to: SocketAddr) -> io::Result<SockId>;

    /// Is the connect decided? False: not yet.
    ///
    /// # Errors
    ///
    /// Why it failed.
    fn connected(&mut self, sock: SockId) -> io::Result<bool>;

    /// Reads; 0 is the end.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, or why the connection failed.
    fn read(&mut self, sock: SockId, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, or why the connection failed.
    fn write(&mut self, sock: SockId, buf: &[u8]) -> io::Result<usize>;

    /// Many small pieces will come here, and nothing goes back: they may be acknowledged together
    /// (RFC 9293 §3.8.6.3). What has come by now is acknowledged at once. A hint, which may be given
    /// again.
    fn expect_stream(&mut self, _sock: SockId) {}

    /// Closes the sending side.
    fn shutdown(&mut self, sock: SockId);

    /// When the socket is closed, the peer is to see a reset instead of an end, where the system
    /// can do that.
    fn reset_on_close(&mut self, _sock: SockId) {}

    /// Closes a socket or listener and frees its number.
    fn close(&mut self, sock: SockId);

    /// Looks a name up, off this thread. The answer comes as [`SysEvent::Resolved`], also for
    /// literal addresses and for a full queue.
    fn resolve(&mut self, host: &str, port: u16, ticket: u64);
}
