//! The one connection that publishes.
//!
//! To lmserver it speaks `POST /api/publish` with keep-alive and pipelining and checks every
//! answer; to the bare limit it sends ready records.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use memchr::memmem;

use crate::wire::{self, Transport};

/// The key that every configuration written here has.
pub const API_KEY: &str = "bench-key";
/// The channel that everyone publishes to and listens on.
pub const CHANNEL: &str = "bench";

/// Whom one publishes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Bare,
    Lmserver,
}

pub struct Publisher {
    pub stream: TcpStream,
    kind: Kind,
    transport: Transport,
    offset: u64,
    unsent: Vec<u8>,
    answers: Vec<u8>,
}

impl Publisher {
    pub fn connect(
        address: SocketAddrV4,
        kind: Kind,
        transport: Transport,
        offset: u64,
    ) -> Result<Self, String> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|e: std::io::Error| format!("publisher: {e}"))?;
        let (unsent, answers) = (Vec::new(), Vec::new());
        Ok(Self {
            stream,
            kind,
            transport,
            offset,
            unsent,
            answers,
        })
    }

    /// Queues one message; [`Publisher::flush`] sends it.
    pub fn publish(&mut self, sent: u64, text_bytes: usize) {
        let data = wire::data(sent, text_bytes);
        self.offset += 1;
        match self.kind {
            Kind::Bare => {
                let record = wire::record(self.transport, self.offset, &data);
                self.unsent.extend((record.len() as u32).to_le_bytes());
                self.unsent.extend(record);
            }
            Kind::Lmserver => {
                let body = format!("{{\"channel\":\"{CHANNEL}\",\"data\":{data}}}");
                let request = format!(
                    "POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {API_KEY}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                self.unsent.extend(request.into_bytes());
            }
        }
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("publishing: {error}")),
            }
        }
        Ok(())
    }

    /// The offset of the newest message, as the bare limit's records count it.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Reads answers; one that is not a success is an error.
    pub fn receive(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed the publisher's connection".into()),
            Ok(count) => self.answers.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("publishing: {error}")),
        }
        let mut at = 0;
        while let Some(end) = memmem::find(&self.answers[at..], b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.answers[at..at + end]).to_ascii_lowercase();
            let length = head.split("content-length:").nth(1).and_then(|rest| {
                rest.trim_start()
                    .split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse()
                    .ok()
            });
            let whole = end + 4 + length.unwrap_or(0usize);
            let Some(answer) = self.answers.get(at..at + whole) else {
                break;
            };
            if !head.starts_with("http/1.1 200") || !has_result(answer) {
                return Err(format!(
                    "publish answered: {}",
                    String::from_utf8_lossy(answer)
                ));
            }
            at += whole;
        }
        self.answers.drain(..at);
        Ok(())
    }
}

fn has_result(answer: &[u8]) -> bool {
    memmem::find(answer, b"\"result\"").is_some()
}
