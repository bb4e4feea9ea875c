//! Subscribers and the publisher of one subject, in a process of their own.
//!
//! `load swarm ADDRESS bare|lmserver SSE|WebSocket|CentrifugoJSON|CentrifugoProtobuf` reads commands on standard input, one a line,
//! and answers each with one line of `name=value` pairs:
//!
//! - `connect COUNT`: opens subscriptions and waits until each has its head;
//! - `stall`: opens one that never reads a byte;
//! - `paced RATE SECONDS TEXT_BYTES`: publishes at a steady rate and waits for all deliveries;
//! - `flat MESSAGES WINDOW TEXT_BYTES`: publishes as fast as they arrive, with at most WINDOW
//!   messages that some subscriber does not have yet;
//! - `close`: resets every subscription.
//!
//! It is a process, so that two subjects with 10,000 subscribers each fit under an ordinary limit
//! of open files, and so that its own CPU never mixes with what is measured.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use crate::publisher::{CHANNEL, Kind, Publisher};
use crate::stats::{Histogram, now};
use crate::wire::{Decoder, Delivery, Transport};

const PUBLISHER: u64 = u64::MAX;
/// Connections opened before their heads are awaited: fewer than any backlog.
const BATCH: usize = 256;
/// Without a delivery for so long, what is missing is lost.
const PATIENCE: u64 = 3_000_000_000;

pub struct Swarm {
    address: SocketAddrV4,
    kind: Kind,
    transport: Transport,
    /// Of the last window; the poll knows it only while a window lasts, since a server may close
    /// a connection that is idle between two.
    publisher: Publisher,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    deliveries: Vec<Delivery>,
    subscribers: Vec<Subscriber>,
    stalled: Vec<TcpStream>,
    open: usize,
    window: Window,
}

struct Subscriber {
    stream: TcpStream,
    decoder: Decoder,
    last: u64,
}

/// What one command has seen.
struct Window {
    /// Offset before the first message of the window.
    base: Option<u64>,
    published: u64,
    delivered: u64,
    bytes: u64,
    reads: u64,
    out_of_order: u64,
    /// Deliveries of each message, and how many of the first messages all subscribers have.
    counts: Vec<u32>,
    complete: usize,
    latency: Histogram,
    last_delivery: u64,
}

impl Window {
    fn new() -> Self {
        Self {
            base: None,
            published: 0,
            delivered: 0,
            bytes: 0,
            reads: 0,
            out_of_order: 0,
            counts: Vec::new(),
            complete: 0,
            latency: Histogram::new(),
            last_delivery: now(),
        }
    }
}

impl Swarm {
    pub fn new(address: SocketAddrV4, kind: Kind, transport: Transport) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(text)?;
        Ok(Self {
            address,
            kind,
            transport,
            publisher: Publisher::connect(address, kind, transport, 0)?,
            epoll,
            events: Vec::with_capacity(1024),
            buffer: vec![0; 64 * 1024],
            deliveries: Vec::new(),
            subscribers: Vec::new(),
            stalled: Vec::new(),
            open: 0,
            window: Window::new(),
        })
    }

    /// Answers commands until standard input ends.
    pub fn serve(&mut self) -> Result<(), String> {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(text)?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| -> Result<f64, String> {
                let word = words
                    .get(at)
                    .ok_or_else(|| format!("{line:?}: too short"))?;
                word.parse()
                    .map_err(|_| format!("{line:?}: {word:?} is no number"))
            };
            let answer = match words.first() {
                Some(&"connect") => self.connect(number(1)? as usize)?,
                Some(&"stall") => self.stall()?,
                Some(&"paced") => self.paced(number(1)?, number(2)?, number(3)? as usize)?,
                Some(&"flat") => {
                    self.flat(number(1)? as u64, number(2)? as u64, number(3)? as usize)?
                }
                Some(&"close") => self.close(),
                _ => return Err(format!("unknown command {line:?}")),
            };
            println!("{answer}");
            std::io::stdout().flush().map_err(text)?;
        }
        Ok(())
    }

    fn connect(&mut self, count: usize) -> Result<String, String> {
        let request = self.transport.request(CHANNEL);
        let want = self.subscribers.len() + count;
        while self.subscribers.len() < want {
            for _ in 0..BATCH.min(want - self.subscribers.len()) {
                let stream = self.dial(&request)?;
                stream.set_nonblocking(true).map_err(text)?;
                let data = epoll::EventData::new_u64(self.subscribers.len() as u64);
                epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN).map_err(text)?;
                let mut decoder = Decoder::new(self.transport);
                if self.kind == Kind::Bare {
                    decoder = decoder.without_answers();
                }
                self.subscribers.push(Subscriber {
                    stream,
                    decoder,
                    last: 0,
                });
            }
            let deadline = now() + PATIENCE;
            while self.open < self.subscribers.len() {
                self.turn(Duration::from_millis(100))?;
                if now() > deadline {
                    return Err(format!("{} of {want} subscriptions opened", self.open));
                }
            }
        }
        Ok(format!("subscribers={}", self.open))
    }

    fn stall(&mut self) -> Result<String, String> {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).map_err(text)?;
        // The smallest receive buffer, set before the handshake offers a window.
        sockopt::set_socket_recv_buffer_size(&socket, 2048).map_err(text)?;
        net::connect(&socket, &self.address).map_err(text)?;
        let mut stream = TcpStream::from(socket);
        stream
            .write_all(&self.transport.request(CHANNEL))
            .map_err(text)?;
        self.stalled.push(stream);
        Ok(format!("stalled={}", self.stalled.len()))
    }

    fn dial(&self, request: &[u8]) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(self.address).map_err(text)?;
        // A reset leaves no port in TIME_WAIT, so that runs can follow each other at once.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).map_err(text)?;
        stream.write_all(request).map_err(text)?;
        Ok(stream)
    }

    fn close(&mut self) -> String {
        self.subscribers.clear();
        self.stalled.clear();
        self.open = 0;
        "closed=1".into()
    }

    fn paced(&mut self, rate: f64, seconds: f64, text_bytes: usize) -> Result<String, String> {
        self.begin()?;
        let messages = (rate * seconds).round() as u64;
        let step = (1e9 / rate) as u64;
        let start = now();
        for message in 0..messages {
            let due = start + message * step;
            while let left @ 1.. = due.saturating_sub(now()) {
                self.turn(Duration::from_nanos(left))?;
            }
            self.publish(text_bytes)?;
        }
        self.finish()?;
        Ok(self.report(now() - start))
    }

    fn flat(&mut self, messages: u64, window: u64, text_bytes: usize) -> Result<String, String> {
        self.begin()?;
        let start = now();
        while self.window.published < messages && !self.is_stuck() {
            // The socket's own buffer decides how many requests one read of the server finds.
            while self.window.published < messages
                && self.window.published < self.window.complete as u64 + window
                && self.publisher.unsent() < 64 * 1024
            {
                self.window.published += 1;
                self.publisher.publish(now(), text_bytes);
            }
            self.publisher.flush()?;
            self.turn(Duration::from_millis(1))?;
        }
        self.finish()?;
        Ok(self.report(now() - start))
    }

    fn publish(&mut self, text_bytes: usize) -> Result<(), String> {
        self.window.published += 1;
        self.publisher.publish(now(), text_bytes);
        self.publisher.flush()
    }

    fn expected(&self) -> u64 {
        self.window.published * self.open as u64
    }

    fn is_stuck(&self) -> bool {
        now().saturating_sub(self.window.last_delivery) > PATIENCE
    }

    /// Begins a window, with a publisher's connection of its own.
    fn begin(&mut self) -> Result<(), String> {
        self.window = Window::new();
        let offset = self.publisher.offset();
        self.publisher = Publisher::connect(self.address, self.kind, self.transport, offset)?;
        let data = epoll::EventData::new_u64(PUBLISHER);
        let stream = &self.publisher.stream;
        epoll::add(&self.epoll, stream, data, epoll::EventFlags::IN).map_err(text)
    }

    /// Waits for what is under way, and ends the window.
    fn finish(&mut self) -> Result<(), String> {
        while self.window.delivered < self.expected() && !self.is_stuck() {
            self.publisher.flush()?;
            self.turn(Duration::from_millis(5))?;
        }
        epoll::delete(&self.epoll, &self.publisher.stream).map_err(text)
    }

    fn report(&self, wall: u64) -> String {
        let window = &self.window;
        let last: Vec<u64> = self.subscribers.iter().map(|s| s.last).collect();
        let behind = last
            .iter()
            .filter(|&&l| Some(&l) != last.iter().max())
            .count();
        format!(
            "published={} delivered={} lost={} out_of_order={} behind={behind} bytes={} reads={} \
             wall={wall} p50={} p99={}",
            window.published,
            window.delivered,
            self.expected().saturating_sub(window.delivered),
            window.out_of_order,
            window.bytes,
            window.reads,
            window.latency.percentile(0.5),
            window.latency.percentile(0.99),
        )
    }

    /// Waits for readable sockets and reads each once.
    fn turn(&mut self, wait: Duration) -> Result<(), String> {
        let wait = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(text(error)),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                PUBLISHER => self.publisher.receive()?,
                index => self.receive(index as usize)?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<(), String> {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Ok(());
        };
        let count = match subscriber.stream.read(&mut self.buffer) {
            Ok(0) => return Err(format!("the server closed subscription {index}")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(format!("subscription {index}: {error}")),
        };
        let was_open = subscriber.decoder.is_open();
        subscriber
            .decoder
            .feed(&self.buffer[..count], &mut self.deliveries)?;
        self.open += usize::from(!was_open && subscriber.decoder.is_open());
        while subscriber.decoder.pings > 0 {
            subscriber.decoder.pings -= 1;
            // An empty pong with a mask of zeros.
            subscriber
                .stream
                .write_all(&[0x8a, 0x80, 0, 0, 0, 0])
                .map_err(text)?;
        }
        let window = &mut self.window;
        window.bytes += count as u64;
        window.reads += 1;
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let seen = now();
        window.last_delivery = seen;
        for delivery in self.deliveries.drain(..) {
            let base = *window.base.get_or_insert(delivery.offset - 1);
            let expected = if subscriber.last == 0 {
                delivery.offset
            } else {
                subscriber.last + 1
            };
            window.out_of_order += u64::from(delivery.offset != expected);
            subscriber.last = delivery.offset;
            window.delivered += 1;
            window.latency.add(seen.saturating_sub(delivery.sent));
            let at = delivery.offset.saturating_sub(base + 1) as usize;
            if at >= window.counts.len() {
                window.counts.resize(at + 1, 0);
            }
            window.counts[at] += 1;
        }
        while window
            .counts
            .get(window.complete)
            .is_some_and(|&c| c as usize >= self.open)
        {
            window.complete += 1;
        }
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
