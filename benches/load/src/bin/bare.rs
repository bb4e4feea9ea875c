//! The bare limit: the least that any server must do to fan messages out on TCP.
//!
//! One thread, one epoll. A connection whose first bytes are `GET` is a subscriber and is answered
//! with a canned head; any other is the publisher. The publisher sends records, a little-endian
//! `u32` length and that many bytes, which are exactly what a subscriber shall see on the wire. For
//! each record there is one `send()` of that ready-made buffer per subscriber, and nothing else: no
//! parsing, no encoding, no queue, no history. Sockets block, so that a full one costs no code.
//!
//! `bare ADDRESS`, for example `bare 127.0.0.1:9000`.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddrV4;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketType, sockopt};

/// A head that both kinds of subscriber take for a success; what follows is the records.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddrV4 = std::env::args()
        .nth(1)
        .ok_or("usage: bare ADDRESS")?
        .parse()?;
    let listener = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    // Accepted sockets inherit it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    net::bind(&listener, &address)?;
    net::listen(&listener, 4096)?;

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let own = listener.as_raw_fd();
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(own as u64),
        EventFlags::IN,
    )?;

    let mut fresh: HashMap<RawFd, OwnedFd> = HashMap::new();
    let mut subscribers: Vec<OwnedFd> = Vec::new();
    let mut publisher: Option<OwnedFd> = None;
    let mut records: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1024);
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let fd = event.data.u64() as RawFd;
            if fd == own {
                let socket = net::accept(&listener)?;
                let fd = socket.as_raw_fd();
                epoll::add(
                    &epoll,
                    &socket,
                    EventData::new_u64(fd as u64),
                    EventFlags::IN,
                )?;
                fresh.insert(fd, socket);
            } else if let Some(socket) = publisher.as_ref().filter(|p| p.as_raw_fd() == fd) {
                match receive(socket, &mut buffer) {
                    0 => publisher = None,
                    count => {
                        records.extend_from_slice(&buffer[..count]);
                        fan_out(&mut records, &subscribers);
                    }
                }
            } else if let Some(socket) = fresh.remove(&fd) {
                match receive(&socket, &mut buffer) {
                    0 => {}
                    count if buffer.starts_with(b"GET") && count > 3 => {
                        let _ = net::send(&socket, HEAD, SendFlags::NOSIGNAL);
                        subscribers.push(socket);
                    }
                    count => {
                        records.clear();
                        records.extend_from_slice(&buffer[..count]);
                        publisher = Some(socket);
                        fan_out(&mut records, &subscribers);
                    }
                }
            } else if let Some(at) = subscribers.iter().position(|s| s.as_raw_fd() == fd)
                && receive(&subscribers[at], &mut buffer) == 0
            {
                subscribers.swap_remove(at);
            }
        }
    }
}

/// One `recv()`; an error counts as the end of the connection.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> usize {
    net::recv(socket, buffer, RecvFlags::empty()).map_or(0, |(count, _)| count)
}

/// One `send()` per subscriber for every complete record; an incomplete one stays.
fn fan_out(records: &mut Vec<u8>, subscribers: &[OwnedFd]) {
    let mut at = 0;
    while let Some((length, rest)) = records[at..].split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(record) = rest.get(..length) else {
            break;
        };
        for subscriber in subscribers {
            let _ = net::send(subscriber, record, SendFlags::NOSIGNAL);
        }
        at += 4 + length;
    }
    records.drain(..at);
}
