//! A provider for many streams at once: OpenAI's Chat Completions on one thread and one epoll.
//!
//! The request's model says what it streams, as [`crate::upstream`]'s does, with an optional third
//! number: `…paced-TOKENS-MICROSECONDS-FIRST`. The head of the answer leaves at once, the first
//! token after FIRST microseconds, each further one a pause later; with a pause of 0 each leaves as
//! soon as the socket takes it. Every token is one `write()` of a ready-made buffer, into which its
//! time is written. When requests came, answers ended and connections closed is noted for whoever
//! asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::stats::now;

const LISTENER: u64 = u64::MAX;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";
const OBJECT: &str = "{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\
                      \"object\":\"chat.completion.chunk\",\"created\":1741569952,\
                      \"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\
                      \"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":";
/// Tokens written in one round where nothing waits for a pause.
const BURST: usize = 16;

/// The running provider.
pub struct Mock {
    pub address: SocketAddrV4,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What happened to it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request was read.
    Asked(u64),
    /// The end of an answer was written.
    Told(u64),
    /// A connection closed in the middle of an answer.
    Broken(u64),
}

impl Mock {
    /// Starts it on a thread of its own, for as long as the process lives.
    pub fn start() -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        listener.set_nonblocking(true).map_err(text)?;
        let Ok(SocketAddr::V4(address)) = listener.local_addr() else {
            return Err("no local address".into());
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(text)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN).map_err(text)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut provider = Provider {
            listener,
            epoll,
            streams: Vec::new(),
            eager: Vec::new(),
            due: BinaryHeap::new(),
            token: token(),
            seen: Arc::clone(&seen),
        };
        thread::spawn(move || provider.run());
        Ok(Self { address, seen })
    }

    /// What happened since this was last asked.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The name of a model whose first token comes after `first`.
pub fn model(tokens: usize, pause: Duration, first: Duration) -> String {
    format!("paced-{tokens}-{}-{}", pause.as_micros(), first.as_micros())
}

struct Provider {
    listener: TcpListener,
    epoll: OwnedFd,
    streams: Vec<Option<Stream>>,
    /// Those that write as soon as their sockets take it.
    eager: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    token: Vec<u8>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Stream {
    socket: TcpStream,
    input: Vec<u8>,
    /// Tokens that are still to come; none while no answer is under way.
    left: Option<usize>,
    pause: u64,
    /// When the next token leaves.
    next: u64,
    unsent: Vec<u8>,
}

impl Provider {
    fn run(&mut self) -> Option<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            let wait = self
                .due
                .peek()
                .map(|Reverse((at, _))| at.saturating_sub(now()));
            let wait = if self.eager.is_empty() { wait } else { Some(0) };
            let wait = wait.map(|nanoseconds| Timespec {
                tv_sec: (nanoseconds / 1_000_000_000) as i64,
                tv_nsec: (nanoseconds % 1_000_000_000) as _,
            });
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    index => self.serve(index as usize),
                }
            }
            while let Some(&Reverse((at, index))) = self.due.peek()
                && at <= now()
            {
                self.due.pop();
                self.write_due(index, at);
            }
            let count = (BURST / self.eager.len().max(1)).max(1);
            for index in std::mem::take(&mut self.eager) {
                self.write_eagerly(index, count);
            }
        }
    }

    fn note(&self, what: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(what);
    }

    fn accept(&mut self) {
        use epoll::EventFlags;
        while let Ok((socket, _)) = self.listener.accept() {
            let index = self.streams.iter().position(Option::is_none);
            let index = index.unwrap_or_else(|| {
                self.streams.push(None);
                self.streams.len() - 1
            });
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let data = epoll::EventData::new_u64(index as u64);
            if socket.set_nonblocking(true).is_ok()
                && socket.set_nodelay(true).is_ok()
                && epoll::add(&self.epoll, &socket, data, flags).is_ok()
            {
                self.streams[index] = Some(Stream {
                    socket,
                    input: Vec::new(),
                    left: None,
                    pause: 0,
                    next: 0,
                    unsent: Vec::new(),
                });
            }
        }
    }

    /// Reads requests, notices the end, and writes on where it was held up.
    fn serve(&mut self, index: usize) {
        let Some(stream) = self.streams[index].as_mut() else {
            return;
        };
        let mut buffer = [0; 16 * 1024];
        loop {
            match stream.socket.read(&mut buffer) {
                Ok(count @ 1..) => stream.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => {
                    if stream.left.is_some() {
                        self.note(Seen::Broken(now()));
                    }
                    self.streams[index] = None;
                    return;
                }
            }
        }
        let was_held_up = !stream.unsent.is_empty();
        if stream.begin_answer() {
            let (eager, next) = (stream.is_eager(), stream.next);
            self.note(Seen::Asked(now()));
            if eager {
                self.eager.push(index);
            } else {
                self.due.push(Reverse((next, index)));
            }
        } else if was_held_up && stream.flush() && stream.is_eager() {
            self.eager.push(index);
        }
    }

    fn write_due(&mut self, index: usize, at: u64) {
        // The stream of an entry may be over, and another in its place.
        let Some(stream) = self.streams[index].as_mut().filter(|it| it.next == at) else {
            return;
        };
        stream.write_token(&mut self.token);
        if stream.left.is_none() {
            self.note(Seen::Told(now()));
            return;
        }
        stream.next += stream.pause;
        if stream.is_eager() {
            self.eager.push(index);
        } else {
            self.due.push(Reverse((stream.next, index)));
        }
    }

    fn write_eagerly(&mut self, index: usize, count: usize) {
        let Some(stream) = self.streams[index].as_mut() else {
            return;
        };
        if stream.left.is_none() {
            return;
        }
        for _ in 0..count {
            if stream.left.is_none() || !stream.unsent.is_empty() {
                break;
            }
            stream.write_token(&mut self.token);
        }
        // A socket that took not everything tells when it takes more.
        if stream.left.is_none() {
            self.note(Seen::Told(now()));
        } else if stream.unsent.is_empty() {
            self.eager.push(index);
        }
    }
}

impl Stream {
    /// Does every token leave as soon as it can?
    fn is_eager(&self) -> bool {
        self.left.is_some() && self.pause == 0 && self.next <= now()
    }

    /// Begins an answer where a whole request has come.
    fn begin_answer(&mut self) -> bool {
        let Some(numbers) = take_request(&mut self.input) else {
            return false;
        };
        let [tokens, pause, first] = numbers;
        self.left = Some(tokens as usize);
        self.pause = pause * 1000;
        self.next = now() + first * 1000;
        self.unsent.extend_from_slice(HEAD);
        self.flush();
        true
    }

    fn write_token(&mut self, token: &mut [u8]) {
        match self.left {
            Some(0) => {
                self.left = None;
                self.unsent.extend(end());
            }
            Some(left) => {
                self.left = Some(left - 1);
                // The stamp is taken last, with everything but the write behind it.
                put_stamp(token, now());
                self.unsent.extend_from_slice(token);
            }
            None => return,
        }
        self.flush();
    }

    /// Writes what is unsent. True where nothing is left. A broken connection is found by reading.
    fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(_) => break,
            }
        }
        self.unsent.is_empty()
    }
}

/// Takes a whole request off the front, and the numbers of its model.
fn take_request(input: &mut Vec<u8>) -> Option<[u64; 3]> {
    let head = memmem::find(input, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let length = text.split("content-length:").nth(1)?.lines().next()?;
    let whole = head + length.trim().parse::<usize>().ok()?;
    let body = String::from_utf8_lossy(input.get(head..whole)?).into_owned();
    input.drain(..whole);
    let mut numbers = body
        .split("paced-")
        .nth(1)?
        .split(|c: char| !c.is_ascii_digit() && c != '-')
        .next()?
        .split('-')
        .map(|number| number.parse().unwrap_or(0));
    let (tokens, pause) = (numbers.next()?, numbers.next()?);
    Some([tokens, pause, numbers.next().unwrap_or(pause)])
}

/// An event in a chunk of its own.
fn chunk(json: &str) -> Vec<u8> {
    format!("{:x}\r\ndata: {json}\n\n\r\n", json.len() + 8).into_bytes()
}

/// The chunk of a token; its stamp is zeros.
fn token() -> Vec<u8> {
    chunk(&format!(
        "{OBJECT}{{\"content\":\"@{:016} \"}},\"logprobs\":null,\"finish_reason\":null}}]}}",
        0
    ))
}

fn end() -> Vec<u8> {
    let stop = format!("{OBJECT}{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}");
    let usage = "{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1741569952,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\
                 \"usage\":{\"prompt_tokens\":8,\"completion_tokens\":100,\"total_tokens\":108}}";
    let chunks = [chunk(&stop), chunk(usage), chunk("[DONE]")];
    [chunks.concat(), b"0\r\n\r\n".to_vec()].concat()
}

fn put_stamp(token: &mut [u8], mut value: u64) {
    let Some(at) = memchr::memchr(b'@', token) else {
        return;
    };
    for digit in token[at + 1..at + 17].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::stamps;

    #[test]
    fn a_request_is_taken_once_it_is_whole() {
        let body = format!(
            "{{\"model\":\"{}\"}}",
            model(7, Duration::from_millis(2), Duration::ZERO)
        );
        let request = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut input = Vec::new();
        for byte in request.bytes() {
            assert_eq!(take_request(&mut input), None);
            input.push(byte);
        }
        input.push(b'x');
        assert_eq!(take_request(&mut input), Some([7, 2000, 0]));
        assert_eq!(input, b"x");
    }

    #[test]
    fn a_token_carries_its_time() {
        let mut token = token();
        put_stamp(&mut token, 1_234_567_890_123_456);
        assert_eq!(stamps(&token).0, [1_234_567_890_123_456]);
        put_stamp(&mut token, 17);
        assert_eq!(stamps(&token).0, [17]);
    }
}
