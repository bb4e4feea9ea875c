//! The floor of the added latency: a process that copies bytes between one client and one upstream.
//!
//! It reads nothing into them. What it adds is what any process between a provider and a subscriber
//! must add: two socket hops and one wake-up.
//!
//! `relay ADDRESS UPSTREAM`, for example `relay 127.0.0.1:9000 127.0.0.1:9001`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, poll};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(upstream)) = (args.next(), args.next()) else {
        return Err("usage: relay ADDRESS UPSTREAM".into());
    };
    let listener = TcpListener::bind(address)?;
    loop {
        let (client, _) = listener.accept()?;
        // A client or an upstream that breaks off is no reason to stop.
        let _ = TcpStream::connect(&upstream).and_then(|upstream| copy(client, upstream));
    }
}

/// Copies both ways until either side ends.
fn copy(mut client: TcpStream, mut upstream: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let mut buffer = [0; 16 * 1024];
    loop {
        let mut fds = [
            PollFd::new(&client, PollFlags::IN),
            PollFd::new(&upstream, PollFlags::IN),
        ];
        poll(&mut fds, None)?;
        let ready = [!fds[0].revents().is_empty(), !fds[1].revents().is_empty()];
        if ready[0] && !pass(&mut client, &mut upstream, &mut buffer)? {
            return Ok(());
        }
        if ready[1] && !pass(&mut upstream, &mut client, &mut buffer)? {
            return Ok(());
        }
    }
}

/// Moves what one read gives; false at the end.
fn pass(from: &mut TcpStream, to: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<bool> {
    let count = from.read(buffer)?;
    to.write_all(&buffer[..count])?;
    Ok(count > 0)
}
