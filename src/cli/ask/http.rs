//! One HTTP exchange over a blocking socket that looks up now and then for Ctrl-C.

#![expect(
    clippy::disallowed_types,
    reason = "a client for the terminal has no reactor"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lmserver_proto::http1::client::{Exchange, ResponseEvent, ResponseHead, write_request};
use lmserver_proto::http1::{self, Limits, Method};
use lmserver_proto::sse;
use lmserver_runtime::plugin::provider::{BaseUrl, Secret};
use lmserver_runtime::tls::Trust;

/// A server, and how one shows oneself to it.
pub(super) struct Server {
    pub(super) at: At,
    pub(super) key: Option<Secret>,
    /// Set by Ctrl-C.
    pub(super) interrupted: Arc<AtomicBool>,
}

/// Where a server listens.
pub(super) enum At {
    Tcp(BaseUrl),
    Tls(BaseUrl, Trust),
    Unix(PathBuf),
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) head: ResponseHead,
    exchange: Exchange,
    socket: Box<dyn Socket>,
}

/// What reading on gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Perhaps content; there may be more.
    More,
    /// The answer is whole.
    End,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot reach {at}: {error}; is the server running?")]
    Unreachable { at: String, error: String },
    #[error("the connection was cut: {0}")]
    Cut(String),
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Refused(String),
    #[error("the server's answer is not understood: {0}")]
    NotUnderstood(String),
    #[error("the event stream is not understood: {0}")]
    Stream(#[from] sse::Error),
    #[error("cannot read or write here: {0}")]
    Local(#[from] io::Error),
}

trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

impl Server {
    /// Sends a request and waits for the head of its answer.
    pub(super) fn send(
        &self,
        method: &Method,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let mut socket = self.connect()?;
        let (host, target) = match &self.at {
            At::Tcp(base) | At::Tls(base, _) => {
                (base.host_field(), format!("{}{target}", base.path))
            }
            At::Unix(_) => ("localhost".to_owned(), target.to_owned()),
        };
        let mut request = Vec::new();
        let fields = fields.iter().copied().chain([("Connection", "close")]);
        write_request(&mut request, method, &target, &host, fields, body);
        self.write_all(&mut *socket, &request)?;
        let mut exchange = Exchange::new(method);
        let mut quiet = 0;
        loop {
            match exchange
                .next_event(&Limits::default())
                .map_err(not_understood)?
            {
                Some(ResponseEvent::Head(head)) => {
                    return Ok(Answer {
                        head,
                        exchange,
                        socket,
                    });
                }
                Some(_) => {}
                None => receive(&mut *socket, &mut exchange, &self.interrupted, &mut quiet)?,
            }
        }
    }

    /// Writes the request; with TLS a write may pause for the handshake.
    fn write_all(&self, socket: &mut dyn Socket, mut rest: &[u8]) -> Result<(), Failure> {
        let mut quiet = 0;
        while !rest.is_empty() {
            match socket.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if is_pause(error.kind()) => glance(&self.interrupted, &mut quiet)?,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    // What rustls says of a certificate or of a peer that speaks no TLS.
                    let at = self.at.to_string();
                    return Err(Failure::Unreachable {
                        at,
                        error: error.to_string(),
                    });
                }
                Err(error) => return Err(Failure::Cut(error.to_string())),
            }
        }
        Ok(())
    }

    /// Whether Ctrl-C was pressed.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn connect(&self) -> Result<Box<dyn Socket>, Failure> {
        let unreachable = |error: String| {
            let at = self.at.to_string();
            Failure::Unreachable { at, error }
        };
        match &self.at {
            At::Unix(path) => {
                let socket = unix(path).map_err(|error| unreachable(error.to_string()))?;
                Ok(Box::new(socket))
            }
            At::Tcp(base) => {
                let socket = tcp(base).map_err(|error| unreachable(error.to_string()))?;
                Ok(Box::new(socket))
            }
            At::Tls(base, trust) => {
                let socket = tcp(base).map_err(|error| unreachable(error.to_string()))?;
                let socket = trust.over(socket, &base.endpoint.host);
                Ok(Box::new(
                    socket.map_err(|error| unreachable(error.to_string()))?,
                ))
            }
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(base) => write!(f, "http://{}{}", base.host_field(), base.path),
            Self::Tls(base, _) => write!(f, "https://{}{}", base.host_field(), base.path),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Answer {
    /// Appends the next piece of the content, if there is one by now.
    pub(super) fn read(&mut self, server: &Server, out: &mut Vec<u8>) -> Result<Progress, Failure> {
        let mut quiet = 0;
        loop {
            match self
                .exchange
                .next_event(&Limits::default())
                .map_err(not_understood)?
            {
                Some(ResponseEvent::Body(bytes)) => {
                    out.extend_from_slice(bytes);
                    return Ok(Progress::More);
                }
                Some(ResponseEvent::End { .. }) => return Ok(Progress::End),
                Some(ResponseEvent::Head(_)) => {}
                None => {
                    let Self {
                        socket, exchange, ..
                    } = self;
                    receive(&mut **socket, exchange, &server.interrupted, &mut quiet)?;
                    if exchange.is_done() {
                        return Ok(Progress::End);
                    }
                }
            }
        }
    }

    /// The whole content of a short answer.
    pub(super) fn read_all(&mut self, server: &Server) -> Result<Vec<u8>, Failure> {
        let mut content = Vec::new();
        while self.read(server, &mut content)? == Progress::More {
            if content.len() > LARGEST_DOCUMENT {
                return Err(Failure::NotUnderstood("it is too long".to_owned()));
            }
        }
        Ok(content)
    }
}

/// Waits for bytes. Looks up for Ctrl-C on the way; a server that is silent for several
/// heartbeats is gone.
fn receive(
    socket: &mut dyn Socket,
    exchange: &mut Exchange,
    interrupted: &AtomicBool,
    quiet: &mut u32,
) -> Result<(), Failure> {
    let mut buf = [0; 16 * 1024];
    match socket.read(&mut buf) {
        Ok(0) => {
            exchange
                .closed()
                .map_err(|error| Failure::Cut(error.to_string()))?;
        }
        Ok(read) => {
            exchange.feed(buf.get(..read).unwrap_or_default());
            *quiet = 0;
        }
        Err(error) if is_pause(error.kind()) => glance(interrupted, quiet)?,
        Err(error) => return Err(Failure::Cut(error.to_string())),
    }
    Ok(())
}

/// A pause in which nothing came: looks for Ctrl-C, and counts them.
fn glance(interrupted: &AtomicBool, quiet: &mut u32) -> Result<(), Failure> {
    *quiet += 1;
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    if GLANCE * *quiet > SILENCE {
        let silence = SILENCE.as_secs();
        return Err(Failure::Cut(format!("nothing came for {silence} s")));
    }
    Ok(())
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn unix(path: &Path) -> io::Result<UnixStream> {
    let socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(GLANCE))?;
    Ok(socket)
}

fn tcp(base: &BaseUrl) -> io::Result<TcpStream> {
    let endpoint = &base.endpoint;
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in (&*endpoint.host, endpoint.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(socket) => {
                socket.set_read_timeout(Some(GLANCE))?;
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn not_understood(error: http1::Error) -> Failure {
    Failure::NotUnderstood(error.to_string())
}

/// How long a read waits before it looks up for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(100);

/// How long the server may be silent: four of its heartbeats.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of an answer that is no stream.
const LARGEST_DOCUMENT: usize = 1 << 20;
