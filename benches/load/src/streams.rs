//! Clients that ask and read streamed answers, many at once on one epoll.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::stats::now;
use crate::upstream;

/// Without a byte for so long, an answer is lost.
const PATIENCE: u64 = 5_000_000_000;

/// Connections to one address that are kept from one window to the next.
pub struct Streams {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    clients: Vec<Client>,
}

struct Client {
    stream: TcpStream,
    asked: u64,
    tokens: usize,
    chunks: Chunks,
    /// Body that is not understood yet.
    kept: Vec<u8>,
}

/// An answer's head, then the chunked coding around its body (RFC 9112 §7.1).
#[derive(Default)]
struct Chunks {
    /// The head, or the line of a chunk's size, as far as it has come.
    line: Vec<u8>,
    in_body: bool,
    /// Bytes of the present chunk's data still to come.
    left: usize,
    /// The last chunk was seen: an empty line follows.
    is_last: bool,
}

impl Chunks {
    /// Appends what of `bytes` is body. True at the end of the answer.
    fn decode(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, String> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (data, rest) = bytes.split_at(self.left.min(bytes.len()));
                body.extend_from_slice(data);
                self.left -= data.len();
                bytes = rest;
                continue;
            }
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let (line, rest) = bytes.split_at(end);
            self.line.extend_from_slice(line);
            bytes = rest;
            if !self
                .line
                .ends_with(if self.in_body { b"\n" } else { b"\r\n\r\n" })
            {
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            if !self.in_body {
                if !line.starts_with("HTTP/1.1 200") || !line.contains("chunked") {
                    return Err(format!("{line}{}", String::from_utf8_lossy(rest)));
                }
                self.in_body = true;
            } else if line.trim_end().is_empty() {
                // The line end behind a chunk's data, or behind the last chunk.
                if self.is_last {
                    *self = Self::default();
                    return Ok(true);
                }
            } else {
                let size = usize::from_str_radix(line.trim_end(), 16);
                self.left = size.map_err(|e| format!("{line:?}: {e}"))?;
                self.is_last = self.left == 0;
            }
            self.line.clear();
        }
        Ok(false)
    }
}

/// What the answers of one window had, in microseconds.
#[derive(Default)]
pub struct Seen {
    pub tokens: usize,
    /// From each request to its first token.
    pub first: Vec<f64>,
    /// From the provider's write to the client's read, of each token but the first of an answer.
    pub delays: Vec<f64>,
    pub reads: usize,
    pub bytes: usize,
}

impl Streams {
    pub fn connect(address: SocketAddrV4, count: usize) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(text)?;
        let mut clients = Vec::new();
        for index in 0..count {
            let stream = TcpStream::connect(address).map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            stream.set_nonblocking(true).map_err(text)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN).map_err(text)?;
            clients.push(Client {
                stream,
                asked: 0,
                tokens: 0,
                chunks: Chunks::default(),
                kept: Vec::new(),
            });
        }
        Ok(Self {
            epoll,
            events: Vec::with_capacity(1024),
            buffer: vec![0; 64 * 1024],
            clients,
        })
    }

    /// Sends the request on every connection, spread over `spread`, and reads answers of `tokens`
    /// tokens to their ends.
    pub fn ask(&mut self, request: &str, tokens: usize, spread: Duration) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let (start, count) = (now(), self.clients.len());
        let (mut asked, mut open, mut heard) = (0, count, start);
        while open > 0 {
            let due = start + spread.as_nanos() as u64 * asked as u64 / count as u64;
            let wait = if asked < count {
                due.saturating_sub(now())
            } else {
                100_000_000
            };
            if wait == 0 {
                let client = &mut self.clients[asked];
                (client.asked, client.tokens) = (now(), 0);
                client.kept.clear();
                client.stream.write_all(request.as_bytes()).map_err(text)?;
                asked += 1;
                continue;
            }
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: wait.min(100_000_000) as _,
            };
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(text(error)),
            }
            if !self.events.is_empty() {
                heard = now();
            } else if now() - heard > PATIENCE {
                return Err(format!("{open} of {count} answers never ended"));
            }
            for event in self.events.drain(..) {
                let client = &mut self.clients[event.data.u64() as usize];
                if client.read(&mut self.buffer, tokens, &mut seen)? {
                    open -= 1;
                }
            }
        }
        Ok(seen)
    }
}

impl Client {
    /// Reads once. True where that ends the answer.
    fn read(&mut self, buffer: &mut [u8], want: usize, seen: &mut Seen) -> Result<bool, String> {
        let count = match self.stream.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(text(error)),
        };
        let at = now();
        if count == 0 {
            return Err(format!(
                "an answer ended after {} of {want} tokens",
                self.tokens
            ));
        }
        seen.reads += 1;
        seen.bytes += count;
        let ended = self.chunks.decode(&buffer[..count], &mut self.kept)?;
        let (stamps, used) = upstream::stamps(&self.kept);
        for stamp in stamps {
            if self.tokens == 0 {
                seen.first.push((at - self.asked) as f64 / 1e3);
            } else {
                seen.delays.push(at.saturating_sub(stamp) as f64 / 1e3);
            }
            self.tokens += 1;
            seen.tokens += 1;
        }
        self.kept.drain(..used);
        if self.tokens > want || (ended && self.tokens < want) {
            return Err(format!("{} tokens instead of {want}", self.tokens));
        }
        Ok(ended)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_whatever_the_cut() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      5\r\n\n\n@01\r\n1c\r\n2345678901234567890 and more\r\n0\r\n\r\n";
        for cut in 0..answer.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            let (one, other) = answer.as_bytes().split_at(cut);
            assert_eq!(chunks.decode(one, &mut body), Ok(false), "{cut}");
            assert_eq!(chunks.decode(other, &mut body), Ok(true), "{cut}");
            assert_eq!(body, b"\n\n@012345678901234567890 and more");
        }
    }
}
