//! The HTTP code behind real sockets, judged by the foreign corpora that judge the core alone.
//!
//! The server under test is the example `http_echo`, run as a child. How does one know that it has
//! nothing more to say? It has one thread that serves connections in the order in which they
//! became ready: when it has answered a request on another connection that was sent later, it has
//! dealt with what was sent before. So nothing here waits for time to pass.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![expect(
    clippy::disallowed_types,
    reason = "the sockets are what is tested with"
)]

#[path = "common/http1_corpus.rs"]
mod http1_corpus;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http1_corpus::{CASES, Cut, DECLINED, Link, Received, corpora, run};

/// The server reads so much of one connection in one turn.
const READ_BYTES: usize = 16 * 1024;

#[test]
fn a_server_behind_sockets_agrees_with_the_corpora_as_the_core_does() {
    let Some(folder) = corpora(env!("CARGO_MANIFEST_DIR")) else {
        let _ = Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no corpora in ../shared/fixtures/http1\n"),
        );
        return;
    };
    let Some(program) = example("http_echo") else {
        let _ = Write::write_fmt(
            &mut std::io::stderr(),
            format_args!(
                "SKIPPED: the example http_echo is not built (cargo build --example http_echo)\n"
            ),
        );
        return;
    };
    let server = Server::start(&program);
    assert_eq!(
        server.address.len(),
        15,
        "lengths in the corpora count on it"
    );
    for cut in [Cut::Whole, Cut::EveryByte] {
        let report = run(&folder, &server.address, cut, &mut || {
            Box::new(Socket::open(&server.address))
        });
        assert_eq!(report.cases, CASES);
        if let Err(complaint) = report.compare(DECLINED) {
            panic!("{cut:?}:\n{complaint}");
        }
    }
}

/// An example's program, which cargo builds beside the tests.
fn example(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let profile = test.parent()?.parent()?;
    let program = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

/// The server, killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &PathBuf) -> Self {
        let mut child = Command::new(program)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            child,
            address: address.to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to judge, and one to tell when the server is done with it.
struct Socket {
    judged: TcpStream,
    witness: TcpStream,
    received: Received,
    /// Bytes that the server may not have read yet.
    unread: usize,
}

impl Socket {
    fn open(address: &str) -> Self {
        let judged = TcpStream::connect(address).unwrap();
        judged.set_nodelay(true).unwrap();
        judged.set_nonblocking(true).unwrap();
        let witness = TcpStream::connect(address).unwrap();
        witness.set_nodelay(true).unwrap();
        witness
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            judged,
            witness,
            received: Received::default(),
            unread: 0,
        }
    }

    /// One request and its answer on the other connection: a turn or more of the server.
    fn let_it_turn(&mut self) {
        self.witness
            .write_all(b"GET / HTTP/1.1\r\nHost: witness\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut buf = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            let read = self.witness.read(&mut buf).expect("the server answers");
            assert!(read > 0, "the server ended a sound connection");
            answer.extend_from_slice(&buf[..read]);
        }
    }

    fn take_in(&mut self) {
        let mut buf = [0; READ_BYTES];
        while !self.received.closed {
            match self.judged.read(&mut buf) {
                Ok(0) => self.received.closed = true,
                Ok(read) => self.received.bytes.extend_from_slice(&buf[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.received.closed = true,
            }
        }
    }
}

impl Link for Socket {
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.judged.write(bytes) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.unread += written;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.let_it_turn();
                    self.take_in();
                }
                // It has ended the connection and wants no more.
                Err(_) => return,
            }
        }
    }

    fn receive(&mut self) -> Received {
        // One turn to accept, one to read what is left, and one more for each further read.
        for _ in 0..3 + self.unread / READ_BYTES {
            self.let_it_turn();
            self.take_in();
        }
        self.unread = 0;
        self.received.clone()
    }
}
