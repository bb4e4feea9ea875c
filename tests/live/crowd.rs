//! A thousand subscribers of one answer, of whom one never reads.

use std::net::TcpStream;

use crate::client::{listening, text_of};
use crate::program::Server;
use crate::provider::Provider;
use crate::wire::Wire;

const SUBSCRIBERS: usize = 1000;

/// The answer: more than a socket that nobody reads takes in.
const PIECES: usize = 40;
const PIECE: usize = 4096;

/// Memory that the server may take for all of it: a few kilobytes a connection, the answer in two
/// encodings, and no copy of it for anybody.
const MEMORY: u64 = 32 << 20;

#[test]
fn a_thousand_subscribers_get_one_answer_though_one_never_reads() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let channel = server.post("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("begun");
    let request = listening(&channel, None);
    let before = memory(&server);
    let stalled = subscribe(&server, &request);
    let mut crowd: Vec<Wire> = (1..SUBSCRIBERS)
        .map(|_| Wire::tcp(subscribe(&server, &request)))
        .collect();
    for wire in &mut crowd {
        assert_eq!(wire.head().status(), 200);
    }
    let piece = "x".repeat(PIECE);
    for _ in 0..PIECES {
        connection.tell(&piece);
    }
    connection.finish();
    let (first, others) = crowd.split_first_mut().unwrap();
    let first = first.body_in_chunks();
    for other in others {
        assert!(other.exactly(first.len()) == first);
    }
    drop(crowd);
    // The one that did not read has lost nothing either.
    let mut late = Wire::tcp(stalled);
    assert_eq!(late.head().status(), 200);
    assert!(late.body_in_chunks() == first);
    let mut again = server.listen(&channel, None);
    let text = text_of(&again.rest());
    assert_eq!(text.len(), "begun".len() + PIECES * PIECE);
    if let (Some(before), Some(after)) = (before, memory(&server)) {
        let grown = after.saturating_sub(before);
        assert!(
            grown < MEMORY,
            "{grown} bytes for {SUBSCRIBERS} subscribers"
        );
    }
}

fn subscribe(server: &Server, request: &str) -> TcpStream {
    let mut stream = server.connect_tcp();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    stream
}

/// The most memory that the server has had, in bytes, where the system tells.
fn memory(server: &Server) -> Option<u64> {
    let status = server.proc("status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
