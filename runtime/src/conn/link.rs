//! What lies between a connection's bytes and its socket: nothing, or TLS in either role.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use rustls::{ClientConnection, ServerConnection};

use crate::sys::{SockId, Sys};
use crate::tls::{Identity, Trust};

/// Plaintext and ciphertext that rustls may hold for one connection in each direction.
const TLS_BUFFER: usize = 64 * 1024;

/// Plaintext given to rustls at once.
const TLS_RECORD: usize = 16 * 1024;

/// The way to the socket.
pub(crate) enum Link {
    Plain,
    Tls(Box<TlsLink>),
}

/// A TLS session and the ciphertext that the socket has not taken.
pub(crate) struct TlsLink {
    session: rustls::Connection,
    unsent: Vec<u8>,
    /// Has the socket taken something since this was last asked?
    progressed: bool,
}

/// Why a link cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("TLS: {}", explain(.0))]
    Tls(rustls::Error),
    #[error("TLS: {0}")]
    Trust(#[from] crate::tls::TlsError),
    #[error("TLS: {0:?} is no host name that a certificate could be for")]
    Name(String),
}

impl Link {
    /// TLS towards a server of this name.
    pub(crate) fn client(trust: &Trust, host: &str) -> Result<Self, LinkError> {
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())
            .map_err(|_| LinkError::Name(host.to_owned()))?;
        let mut session = ClientConnection::new(trust.config()?, name).map_err(LinkError::Tls)?;
        session.set_buffer_limit(Some(TLS_BUFFER));
        Ok(Self::Tls(Box::new(TlsLink {
            session: session.into(),
            unsent: Vec::new(),
            progressed: false,
        })))
    }

    /// TLS towards a client.
    pub(crate) fn server(identity: &Identity) -> Result<Self, LinkError> {
        let mut session = ServerConnection::new(identity.0.clone()).map_err(LinkError::Tls)?;
        session.set_buffer_limit(Some(TLS_BUFFER));
        Ok(Self::Tls(Box::new(TlsLink {
            session: session.into(),
            unsent: Vec::new(),
            progressed: false,
        })))
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Is the way open for bytes of the application?
    pub(crate) fn is_established(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(tls) => !tls.session.is_handshaking(),
        }
    }

    /// Is there something that the socket has not taken?
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => !tls.unsent.is_empty() || tls.session.wants_write(),
        }
    }

    /// Takes bytes for the socket; `WouldBlock` if it takes none now. Taken bytes may wait in the
    /// link; see [`flush`](Self::flush).
    pub(crate) fn write<S: Sys>(
        &mut self,
        sys: &mut S,
        sock: SockId,
        bytes: &[u8],
    ) -> io::Result<usize> {
        match self {
            Self::Plain => sys.write(sock, bytes),
            Self::Tls(tls) => {
                if !tls.flush(sys, sock)? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let taken = tls
                    .session
                    .writer()
                    .write(bytes.get(..TLS_RECORD).unwrap_or(bytes))?;
                tls.flush(sys, sock)?;
                if taken == 0 {
                    // The handshake is not done and rustls holds as much as it may.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(taken)
            }
        }
    }

    /// Writes what waits in the link. True if nothing waits any more.
    pub(crate) fn flush<S: Sys>(&mut self, sys: &mut S, sock: SockId) -> io::Result<bool> {
        match self {
            Self::Plain => Ok(true),
            Self::Tls(tls) => tls.flush(sys, sock),
        }
    }

    /// Has the socket taken something of what waits in the link, since this was last asked?
    pub(crate) fn take_progress(&mut self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => std::mem::take(&mut tls.progressed),
        }
    }

    /// Says that nothing more will be written (TLS `close_notify`).
    pub(crate) fn finish(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
        }
    }

    /// Turns what the socket gave into the peer's bytes, appended to `plain`. True if the peer
    /// said that nothing follows.
    pub(crate) fn open(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, LinkError> {
        let Self::Tls(tls) = self else {
            plain.extend_from_slice(bytes);
            return Ok(false);
        };
        let mut closed = false;
        loop {
            let before = bytes.len();
            if !bytes.is_empty() {
                tls.session.read_tls(&mut bytes)?;
            }
            let state = tls.session.process_new_packets().map_err(LinkError::Tls)?;
            closed |= state.peer_has_closed();
            tls.take_plaintext(state.plaintext_bytes_to_read(), plain)?;
            if bytes.is_empty() || bytes.len() == before {
                return Ok(closed);
            }
        }
    }
}

/// The words for what most often is wrong, with what helps; rustls's own for the rest.
fn explain(error: &rustls::Error) -> Cow<'_, str> {
    use rustls::{CertificateError, Error, InvalidMessage};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate is signed by no authority that is trusted; ca_file adds one".into()
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the certificate has expired".into(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer does not speak TLS".into()
        }
        other => other.to_string().into(),
    }
}

impl TlsLink {
    fn take_plaintext(&mut self, count: usize, plain: &mut Vec<u8>) -> io::Result<()> {
        let start = plain.len();
        plain.resize(start + count, 0);
        let mut filled = start;
        while filled < plain.len() {
            let Some(room) = plain.get_mut(filled..) else {
                break;
            };
            match self.session.reader().read(room) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        plain.truncate(filled);
        Ok(())
    }

    fn flush<S: Sys>(&mut self, sys: &mut S, sock: SockId) -> io::Result<bool> {
        loop {
            while self.session.wants_write() && self.unsent.len() < TLS_BUFFER {
                self.session.write_tls(&mut self.unsent)?;
            }
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
                return Ok(true);
            }
            match sys.write(sock, &self.unsent) {
                Ok(written) => {
                    self.unsent.drain(..written);
                    self.progressed |= written > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}
