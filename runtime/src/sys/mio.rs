//! The real world: mio's poll, the system's sockets and clocks, signals through pipes.
//!
//! A socket is registered once, for both directions, edge-triggered, and never again.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clocks"
)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use socket2::SockRef;
use zeroize::Zeroize;

use super::alarm::Alarm;
use super::resolver::Resolver;
use super::{ListenAddr, Signal, SockId, Sys, SysEvent};
use crate::time::Moment;

/// Readiness events taken from the system at once.
const EVENTS: usize = 1024;

/// What the kernel may hold unsent of a connection. Without it a peer that does not read pins
/// megabytes of kernel memory.
const NOTSENT_LOWAT: u32 = 16 * 1024;

/// After this much silence the kernel probes a peer.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// How long sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Random bytes drawn from the system at once: ids are short, and a request draws several.
const RANDOM_BYTES: usize = 256;

/// Where it exists: a peer that is gone is an error, whatever the program does with SIGPIPE.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND: SendFlags = SendFlags::empty();

/// A wait of more than this is the alarm's.
const FAR: Duration = Duration::from_millis(250);

const WAKER: Token = Token(usize::MAX - 1);
const STOP: Token = Token(usize::MAX - 2);
const RELOAD: Token = Token(usize::MAX - 3);
const ALARM: Token = Token(usize::MAX - 4);

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    TcpListener(TcpListener),
    UnixListener(UnixListener),
}

/// The real world.
pub struct MioSys {
    poll: Poll,
    events: Events,
    /// Eight bytes each: a delivery looks one up.
    sockets: Vec<Option<Socket>>,
    /// The files of Unix listeners, removed when they close.
    files: Vec<(SockId, PathBuf)>,
    free: Vec<u32>,
    started: Instant,
    /// What the clock said when it was last read.
    read_at: Cell<Moment>,
    alarm: Alarm,
    random: SystemRandom,
    /// Random bytes of which the first `unused` were given to nobody; zeros behind them.
    pool: [u8; RANDOM_BYTES],
    unused: usize,
    waker: Arc<Waker>,
    resolver: Option<Resolver>,
    /// Answers that needed no thread.
    resolved: VecDeque<SysEvent>,
    /// A descriptor kept back, so that a connection can be refused when there is none left.
    reserve: Option<std::fs::File>,
    stop: Option<UnixStream>,
    reload: Option<UnixStream>,
}

impl MioSys {
    /// Opens the poll.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        Ok(Self {
            poll,
            alarm,
            events: Events::with_capacity(EVENTS),
            sockets: Vec::new(),
            files: Vec::new(),
            free: Vec::new(),
            started: Instant::now(),
            read_at: Cell::default(),
            random: SystemRandom::new(),
            pool: [0; RANDOM_BYTES],
            unused: 0,
            waker,
            resolver: None,
            resolved: VecDeque::new(),
            reserve: reserve(),
            stop: None,
            reload: None,
        })
    }

    /// From now on `SIGTERM`, `SIGINT` and `SIGHUP` are events.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        self.stop = Some(self.signal_pipe(&[SIGTERM, SIGINT], STOP)?);
        self.reload = Some(self.signal_pipe(&[SIGHUP], RELOAD)?);
        Ok(())
    }

    fn signal_pipe(&self, signals: &[i32], token: Token) -> io::Result<UnixStream> {
        let (mut receiver, sender) = UnixStream::pair()?;
        self.poll
            .registry()
            .register(&mut receiver, token, Interest::READABLE)?;
        let sender: std::os::fd::OwnedFd = sender.into();
        for signal in signals {
            let sender: std::os::unix::net::UnixStream = sender.try_clone()?.into();
            signal_hook::low_level::pipe::register(*signal, sender)?;
        }
        Ok(receiver)
    }

    fn insert(&mut self, socket: Socket) -> io::Result<SockId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.sockets.push(None);
                u32::try_from(self.sockets.len() - 1).map_err(io::Error::other)?
            }
        };
        let Some(slot) = self.sockets.get_mut(index as usize) else {
            return Err(io::Error::other("the table of sockets lost a slot"));
        };
        let socket = slot.insert(socket);
        let (registry, token) = (self.poll.registry(), Token(index as usize));
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = match socket {
            Socket::Tcp(it) => registry.register(it, token, both),
            Socket::Unix(it) => registry.register(it, token, both),
            Socket::TcpListener(it) => registry.register(it, token, Interest::READABLE),
            Socket::UnixListener(it) => registry.register(it, token, Interest::READABLE),
        };
        if let Err(error) = registered {
            *slot = None;
            self.free.push(index);
            return Err(error);
        }
        Ok(SockId(index))
    }

    fn get(&mut self, sock: SockId) -> io::Result<&mut Socket> {
        self.sockets
            .get_mut(sock.0 as usize)
            .and_then(Option::as_mut)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The descriptor of a connection, for calls that are made without the C library: its wrappers
    /// cost a delivery some 5 % more.
    fn stream(&self, sock: SockId) -> io::Result<BorrowedFd<'_>> {
        match self.sockets.get(sock.0 as usize) {
            Some(Some(Socket::Tcp(stream))) => Ok(stream.as_fd()),
            Some(Some(Socket::Unix(stream))) => Ok(stream.as_fd()),
            Some(Some(Socket::TcpListener(_) | Socket::UnixListener(_))) => {
                Err(io::ErrorKind::InvalidInput.into())
            }
            Some(None) | None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// For how long to wait at most; without limit where the alarm tells. The clock shows whole
    /// milliseconds that have passed: the wait ends in the one asked for.
    fn time_limit(&mut self, until: Option<Moment>) -> Option<Duration> {
        let until = until?;
        if until <= self.read_at.get() {
            return Some(Duration::ZERO);
        }
        if self.alarm.is_set_by(until) {
            return None;
        }
        // The clock is read again: what is near must not be late by what this turn has done, nor
        // what will be told by an alarm that is set now.
        let left = until.since(self.now());
        if left > FAR && self.alarm.set(until, left) {
            return None;
        }
        Some(left)
    }

    #[cold]
    fn tell_resolved(&mut self, out: &mut Vec<SysEvent>) {
        out.extend(self.resolved.drain(..));
    }

    fn take_in(&mut self, out: &mut Vec<SysEvent>) {
        let (mut mail, mut stops, mut reloads) = (false, 0, 0);
        for event in &self.events {
            match event.token() {
                WAKER => mail = true,
                STOP => stops += drain(self.stop.as_mut()),
                RELOAD => reloads += drain(self.reload.as_mut()),
                ALARM => self.alarm.has_rung(),
                Token(index) => out.push(SysEvent::Ready {
                    sock: SockId(u32::try_from(index).unwrap_or(u32::MAX)),
                    readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                    writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                    closed: event.is_read_closed() || event.is_write_closed() || event.is_error(),
                }),
            }
        }
        out.extend((0..stops).map(|_| SysEvent::Signal(Signal::Stop)));
        if reloads > 0 {
            out.push(SysEvent::Signal(Signal::Reload));
        }
        if let Some(resolver) = self.resolver.as_mut().filter(|_| mail) {
            resolver.collect(out);
        }
    }
}

impl Sys for MioSys {
    fn now(&self) -> Moment {
        let passed = self.started.elapsed();
        let now = Moment(passed.as_secs() * 1000 + u64::from(passed.subsec_millis()));
        self.read_at.set(now);
        now
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn random(&mut self, out: &mut [u8]) {
        if out.len() > RANDOM_BYTES {
            return draw(&self.random, out);
        }
        if self.unused < out.len() {
            draw(&self.random, &mut self.pool);
            self.unused = RANDOM_BYTES;
        }
        let rest = self.unused - out.len();
        let drawn = self.pool.get_mut(rest..self.unused).unwrap_or_default();
        out.copy_from_slice(drawn);
        // What was given away may be a secret now.
        drawn.zeroize();
        self.unused = rest;
    }

    fn poll(&mut self, until: Option<Moment>, events: &mut Vec<SysEvent>) -> io::Result<()> {
        let timeout = if self.resolved.is_empty() {
            self.time_limit(until)
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        if !self.resolved.is_empty() {
            self.tell_resolved(events);
        }
        self.take_in(events);
        Ok(())
    }

    fn listen(&mut self, at: &ListenAddr) -> io::Result<(SockId, ListenAddr)> {
        match at {
            ListenAddr::Tcp(addr) => {
                let listener = TcpListener::bind(*addr)?;
                set_options(&SockRef::from(&listener))?;
                let addr = listener.local_addr()?;
                Ok((
                    self.insert(Socket::TcpListener(listener))?,
                    ListenAddr::Tcp(addr),
                ))
            }
            ListenAddr::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                let sock = self.insert(Socket::UnixListener(listener))?;
                self.files.push((sock, path.clone()));
                Ok((sock, at.clone()))
            }
        }
    }

    fn accept(&mut self, listener: SockId) -> io::Result<(SockId, Option<IpAddr>)> {
        let (socket, peer) = match self.get(listener)? {
            Socket::TcpListener(it) => {
                let (stream, peer) = it.accept()?;
                (Socket::Tcp(stream), Some(peer.ip()))
            }
            Socket::UnixListener(it) => (Socket::Unix(it.accept()?.0), None),
            Socket::Tcp(_) | Socket::Unix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok((self.insert(socket)?, peer))
    }

    fn shed(&mut self, listener: SockId) -> bool {
        self.reserve = None;
        let dropped = match self.get(listener) {
            Ok(Socket::TcpListener(it)) => it.accept().is_ok(),
            Ok(Socket::UnixListener(it)) => it.accept().is_ok(),
            Ok(Socket::Tcp(_) | Socket::Unix(_)) | Err(_) => false,
        };
        self.reserve = reserve();
        dropped
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<SockId> {
        let stream = TcpStream::connect(to)?;
        set_options(&SockRef::from(&stream))?;
        self.insert(Socket::Tcp(stream))
    }

    fn connected(&mut self, sock: SockId) -> io::Result<bool> {
        let Socket::Tcp(stream) = self.get(sock)? else {
            return Ok(true);
        };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, sock: SockId, buf: &mut [u8]) -> io::Result<usize> {
        let stream = self.stream(sock)?;
        let (read, _) = retry_on_intr(|| recv(stream, &mut *buf, RecvFlags::empty()))?;
        Ok(read)
    }

    fn write(&mut self, sock: SockId, buf: &[u8]) -> io::Result<usize> {
        let stream = self.stream(sock)?;
        Ok(retry_on_intr(|| send(stream, buf, SEND))?)
    }

    fn expect_stream(&mut self, sock: SockId) {
        // Without it the kernel acknowledges each token by itself, within our read. It goes back to
        // that when a peer falls silent for as long as it held an acknowledgement back, some 40 ms;
        // so what has come is acknowledged first, or the first token would be it that pays.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Ok(Socket::Tcp(stream)) = self.get(sock) {
            // Where it cannot be set, acknowledgements cost what they cost.
            let socket = SockRef::from(&*stream);
            let _ = socket.set_tcp_quickack(true);
            let _ = socket.set_tcp_quickack(false);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = sock;
    }

    fn shutdown(&mut self, sock: SockId) {
        // A failure means that the peer is gone already, which the next read tells.
        let _ = match self.get(sock) {
            Ok(Socket::Tcp(stream)) => stream.shutdown(std::net::Shutdown::Write),
            Ok(Socket::Unix(stream)) => stream.shutdown(std::net::Shutdown::Write),
            Ok(Socket::TcpListener(_) | Socket::UnixListener(_)) | Err(_) => Ok(()),
        };
    }

    fn reset_on_close(&mut self, sock: SockId) {
        if let Ok(Socket::Tcp(stream)) = self.get(sock) {
            // A failure means that the peer is gone already.
            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn close(&mut self, sock: SockId) {
        let Some(slot) = self.sockets.get_mut(sock.0 as usize) else {
            return;
        };
        // Closing the descriptor takes it out of the poll.
        if slot.take().is_none() {
            return;
        }
        self.free.push(sock.0);
        if let Some(index) = self.files.iter().position(|(owner, _)| *owner == sock) {
            let (_, path) = self.files.swap_remove(index);
            if let Err(error) = std::fs::remove_file(&path) {
                log::warn!("cannot remove the socket {}: {error}", path.display());
            }
        }
    }

    fn resolve(&mut self, host: &str, port: u16, ticket: u64) {
        if let Ok(literal) = host.parse::<IpAddr>() {
            let addrs = Ok(vec![SocketAddr::new(literal, port)]);
            return self
                .resolved
                .push_back(SysEvent::Resolved { ticket, addrs });
        }
        let now = self.now();
        let resolver = match &mut self.resolver {
            Some(resolver) => Ok(resolver),
            None => Resolver::start(Arc::clone(&self.waker)).map(|new| self.resolver.insert(new)),
        };
        let answer = match resolver {
            Ok(resolver) => resolver.ask(host, port, ticket, now),
            Err(error) => Some(Err(error)),
        };
        if let Some(addrs) = answer {
            self.resolved
                .push_back(SysEvent::Resolved { ticket, addrs });
        }
    }
}

fn draw(random: &SystemRandom, out: &mut [u8]) {
    if random.fill(out).is_err() {
        // Without randomness no id is a secret: better no server than a guessable one.
        log::error!("the system gives no random bytes");
        std::process::abort();
    }
}

/// What every TCP socket is set to; accepted ones inherit it from their listener.
fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    }
    Ok(())
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() || std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

fn reserve() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

/// Reads a signal pipe empty; how many bytes came.
fn drain(pipe: Option<&mut UnixStream>) -> usize {
    let Some(pipe) = pipe else { return 0 };
    let mut buf = [0; 64];
    let mut count = 0;
    while let Ok(read @ 1..) = pipe.read(&mut buf) {
        count += read;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(sys: &mut MioSys, until: Moment) -> Moment {
        let mut events = Vec::new();
        sys.poll(Some(until), &mut events).unwrap();
        assert!(events.is_empty(), "{events:?}");
        sys.now()
    }

    #[test]
    fn waits_end_when_they_should_with_the_alarm_and_without() {
        let mut sys = MioSys::new().unwrap();
        let minute = sys.now() + Duration::from_secs(60);
        // What is set for later must not be waited for.
        for millis in [300, 1, 260, 0, 30] {
            if cfg!(target_os = "linux") {
                assert_eq!(sys.time_limit(Some(minute)), None);
                assert!(sys.alarm.is_set_by(minute));
            }
            let until = sys.now() + Duration::from_millis(millis);
            let woken = wait(&mut sys, until);
            assert!((until..minute).contains(&woken), "{millis} ms: {woken:?}");
        }
        assert_eq!(sys.time_limit(None), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_alarm_stays_set_and_rings_once() {
        let mut sys = MioSys::new().unwrap();
        let first = sys.now() + Duration::from_millis(260);
        let later = first + Duration::from_secs(60);
        assert_eq!(sys.time_limit(Some(first)), None);
        // Nobody wants the first moment any more: it is one wake-up, and the last.
        assert_eq!(sys.time_limit(Some(later)), None);
        assert!(sys.alarm.is_set_by(first));
        let woken = wait(&mut sys, later);
        assert!((first..later).contains(&woken), "{woken:?}");
        assert!(!sys.alarm.is_set_by(later));
        assert_eq!(sys.time_limit(Some(later)), None);
        assert!(sys.alarm.is_set_by(later) && !sys.alarm.is_set_by(first));
    }

    /// Bytes of this end of a connection that are not acknowledged, as the system's table tells.
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::disallowed_types,
        reason = "the other end is no part of the server"
    )]
    fn unacknowledged(peer: &std::net::TcpStream) -> Option<u32> {
        let place = |addr: SocketAddr| format!("{:04X}", addr.port());
        let local = place(peer.local_addr().unwrap());
        let remote = place(peer.peer_addr().unwrap());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut lines = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line[1].ends_with(&local) && line[2].ends_with(&remote));
        // Where other sockets come and go while it is read, it may lack a line.
        let queues = line?[4].to_owned();
        Some(u32::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap())
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::disallowed_types,
        reason = "the other end is no part of the server"
    )]
    fn what_has_come_is_acknowledged_and_what_comes_is_held_back() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sys = MioSys::new().unwrap();
        let sock = sys.connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let (mut was_held_back, mut at_once) = (false, 0);
        sys.expect_stream(sock);
        // It may be acknowledged earlier, where this test is held up for 40 ms.
        for _ in 0..50 {
            peer.write_all(b"x").unwrap();
            while let Err(error) = sys.read(sock, &mut [0; 8]) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
            was_held_back |= unacknowledged(&peer) == Some(1);
            sys.expect_stream(sock);
            at_once += u32::from(unacknowledged(&peer) == Some(0));
        }
        assert!(
            was_held_back && at_once >= 40,
            "{was_held_back}, {at_once} of 50"
        );
    }

    #[test]
    fn random_bytes_are_given_once() {
        let mut sys = MioSys::new().unwrap();
        let mut seen = std::collections::HashSet::new();
        for length in [16, 100, RANDOM_BYTES, RANDOM_BYTES + 1, 16, 200, 56, 16] {
            let mut bytes = vec![0; length];
            sys.random(&mut bytes);
            for part in bytes.chunks_exact(8) {
                assert!(seen.insert(part.to_vec()), "{length}");
            }
        }
        sys.random(&mut []);
        assert!(sys.pool.iter().skip(sys.unused).all(|byte| *byte == 0));
    }
}
