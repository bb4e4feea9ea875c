//! The echo server over a real socket: one case or more of each family of the Autobahn test
//! suite, as its descriptions have them. The suite itself is run by `tests/autobahn/run`; these
//! run everywhere, and with every test run.
//!
//! Each case is sent whole, frame by frame, and byte by byte.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the far end of a real connection is an ordinary blocking socket"
)]
#![expect(clippy::expect_used, reason = "helpers of tests fail the test")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{Connection, Event, Limits, Role};
use lmserver_runtime::sys::mio::MioSys;

#[expect(dead_code, reason = "its main is not called")]
#[path = "../examples/ws_echo.rs"]
mod ws_echo;

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The server, started by whoever comes first; it ends with the process.
fn server() -> SocketAddr {
    static AT: OnceLock<SocketAddr> = OnceLock::new();
    *AT.get_or_init(|| {
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let at = SocketAddr::from(([127, 0, 0, 1], 0));
            let sys = MioSys::new().expect("a poll");
            let (mut reactor, at) = ws_echo::listen(sys, at).expect("a free port");
            said.send(at).expect("somebody who waits");
            reactor.run().expect("a loop without failure");
        });
        heard.recv().expect("a server")
    })
}

fn connect() -> TcpStream {
    let socket = TcpStream::connect(server()).expect("a connection");
    socket.set_nodelay(true).expect("an option");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("an option");
    socket
}

/// A connection behind its handshake.
fn open() -> TcpStream {
    let mut socket = connect();
    socket.write_all(HEAD.as_bytes()).expect("room");
    let head = read_head(&mut socket);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket
}

fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a response head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// What the server says until the end of the connection.
fn hear(socket: &mut TcpStream) -> Vec<String> {
    let mut connection = Connection::new(Role::Client);
    let mut heard = Vec::new();
    let mut bytes = vec![0; 65_536];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => connection.feed(&bytes[..count]),
            Err(error) => {
                heard.push(format!("failed: {error}"));
                break;
            }
        }
        while let Some(event) = connection
            .next_event(&Limits::default())
            .expect("proper frames")
        {
            heard.push(match event {
                Event::Text(text) => format!("text {text}"),
                Event::Binary(data) => format!("binary {}", data.escape_ascii()),
                Event::Ping(data) => format!("ping {}", data.escape_ascii()),
                Event::Pong(data) => format!("pong {}", data.escape_ascii()),
                Event::Close { code, .. } => format!("close {}", code.unwrap_or(1005)),
            });
        }
    }
    heard
}

/// One frame of a client: any first byte, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_frame(
        &mut out,
        Opcode::Binary,
        true,
        payload,
        Some([0x9a, 0, 0xff, 0x31]),
    );
    out[0] = first;
    out
}

fn check(name: &str, frames: &[(u8, &[u8])], want: &[&str]) {
    let frames: Vec<Vec<u8>> = frames
        .iter()
        .map(|(first, payload)| frame(*first, payload))
        .collect();
    let whole = frames.concat();
    let by_byte: Vec<Vec<u8>> = whole.iter().map(|byte| vec![*byte]).collect();
    for pieces in [vec![whole], frames, by_byte] {
        let mut socket = open();
        for piece in &pieces {
            // The server may have refused the first half already.
            if socket.write_all(piece).is_err() {
                break;
            }
        }
        assert_eq!(
            hear(&mut socket),
            want,
            "case {name} in {} writes",
            pieces.len()
        );
    }
}

const CLOSE: (u8, &[u8]) = (0x88, b"\x03\xe8");

#[test]
fn messages_of_every_length_class_come_back() {
    for len in [0, 125, 126, 127, 300] {
        let text = "*".repeat(len);
        let want = format!("text {text}");
        check(
            "1.1",
            &[(0x81, text.as_bytes()), CLOSE],
            &[&want, "close 1000"],
        );
        let data = vec![0xfe; len];
        let want = format!("binary {}", data.escape_ascii());
        check("1.2", &[(0x82, &data), CLOSE], &[&want, "close 1000"]);
    }
}

#[test]
fn pings_are_answered_in_order_and_pongs_are_not() {
    check(
        "2.2",
        &[(0x89, b"Hello, world!"), CLOSE],
        &["pong Hello, world!", "close 1000"],
    );
    check("2.5", &[(0x89, &[0xfe; 126])], &["close 1002"]);
    check(
        "2.9",
        &[(0x8a, b"x"), (0x89, b"y"), CLOSE],
        &["pong y", "close 1000"],
    );
    let pings: Vec<(u8, &[u8])> = vec![(0x89, b"a"), (0x89, b"b"), (0x89, b"c"), CLOSE];
    check(
        "2.10",
        &pings,
        &["pong a", "pong b", "pong c", "close 1000"],
    );
}

#[test]
fn reserved_bits_and_opcodes_end_the_connection_after_what_came_before() {
    for first in [
        0xc1, 0xa1, 0x91, 0xf2, 0xc8, 0xa9, 0x9a, 0x83, 0x87, 0x8b, 0x8f,
    ] {
        check(
            "3, 4",
            &[(0x81, b"Hi"), (first, b"x"), (0x89, b"")],
            &["text Hi", "close 1002"],
        );
    }
}

#[test]
fn fragments_are_joined_around_control_frames() {
    check("5.1", &[(0x09, b"fra"), (0x80, b"gment")], &["close 1002"]);
    check(
        "5.6",
        &[
            (0x01, b"fragment1"),
            (0x89, b"ping"),
            (0x80, b"fragment2"),
            CLOSE,
        ],
        &["pong ping", "text fragment1fragment2", "close 1000"],
    );
    check("5.9", &[(0x00, b"non"), (0x81, b"Hi")], &["close 1002"]);
    check("5.18", &[(0x01, b"one"), (0x81, b"two")], &["close 1002"]);
    check(
        "5.20",
        &[(0x02, b""), (0x00, b""), (0x80, b""), CLOSE],
        &["binary ", "close 1000"],
    );
}

#[test]
fn text_must_be_utf8_and_bad_text_is_refused_in_mid_frame() {
    let text = "Hello-µ@ßöäüàá-UTF-8!!";
    let want = format!("text {text}");
    let (first, second) = text.as_bytes().split_at(7);
    check(
        "6.2.1",
        &[(0x81, text.as_bytes()), CLOSE],
        &[&want, "close 1000"],
    );
    check(
        "6.2.2",
        &[(0x01, first), (0x80, second), CLOSE],
        &[&want, "close 1000"],
    );
    check(
        "6.3.1",
        &[(0x81, b"\xce\xba\xed\xa0\x80edited")],
        &["close 1007"],
    );
    check("6.6.1", &[(0x81, b"\xce")], &["close 1007"]);
    check(
        "6.12.4",
        &[(0x01, b"\xf0"), (0x80, b"\x80\x80\xaf")],
        &["close 1007"],
    );
    // 6.4: the rest of the frame never comes, and the verdict does not wait for it.
    let bad = frame(0x81, b"fine so far \xf4\x90 and so on");
    let mut socket = open();
    socket.write_all(&bad[..6 + 14]).expect("room");
    assert_eq!(hear(&mut socket), ["close 1007"]);
}

#[test]
fn a_close_is_answered_once_and_ends_the_connection() {
    check("7.1.1", &[(0x81, b"Hi"), CLOSE], &["text Hi", "close 1000"]);
    check("7.1.2", &[CLOSE, CLOSE], &["close 1000"]);
    check("7.1.4", &[CLOSE, (0x81, b"late")], &["close 1000"]);
    check(
        "7.1.5",
        &[(0x01, b"fragment1"), CLOSE, (0x80, b"fragment2")],
        &["close 1000"],
    );
    check("7.3.1", &[(0x88, b"")], &["close 1005"]);
    check("7.3.2", &[(0x88, b"a")], &["close 1002"]);
    check("7.5.1", &[(0x88, b"\x03\xe8\xff")], &["close 1007"]);
    for code in [1001, 1003, 1007, 1011, 1014, 3000, 4999] {
        check(
            "7.7",
            &[(0x88, &u16::to_be_bytes(code))],
            &[&format!("close {code}")],
        );
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        check("7.9", &[(0x88, &u16::to_be_bytes(code))], &["close 1002"]);
    }
}

#[test]
fn sixteen_mebibytes_come_back_from_one_frame_and_from_65536_fragments() {
    let payload = vec![b'x'; 16 << 20];
    let one = frame(0x82, &payload);
    let mut many = Vec::new();
    for (index, part) in payload.chunks(256).enumerate() {
        let first = if index == 0 { 0x02 } else { 0x00 };
        many.extend(frame(first, part));
    }
    many.extend(frame(0x80, b""));
    for bytes in [one, many] {
        let mut socket = open();
        let mut writer = socket.try_clone().expect("a second handle");
        let sender = std::thread::spawn(move || {
            writer.write_all(&bytes).expect("room");
            writer.write_all(&frame(CLOSE.0, CLOSE.1)).expect("room");
        });
        let heard = hear(&mut socket);
        sender.join().expect("all sent");
        assert_eq!(heard.len(), 2);
        assert!(
            heard[0]
                .strip_prefix("binary ")
                .is_some_and(|data| data.as_bytes() == payload)
        );
        assert_eq!(heard[1], "close 1000");
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_header() {
    let mut socket = open();
    socket
        .write_all(b"\x82\xff\0\0\0\0\x01\0\0\x01\0\0\0\0")
        .expect("room");
    assert_eq!(hear(&mut socket), ["close 1009"]);
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let mut socket = connect();
    let all = [
        HEAD.as_bytes(),
        &frame(0x81, b"early"),
        &frame(CLOSE.0, CLOSE.1),
    ]
    .concat();
    socket.write_all(&all).expect("room");
    assert!(read_head(&mut socket).starts_with("HTTP/1.1 101 "));
    assert_eq!(hear(&mut socket), ["text early", "close 1000"]);
}

#[test]
fn what_is_no_handshake_is_refused_by_http() {
    for (from, to, status, field) in [
        ("GET", "POST", "405 ", "allow: get"),
        ("Upgrade: websocket\r\n", "", "426 ", "upgrade: websocket"),
        (
            "Connection: Upgrade\r\n",
            "",
            "426 ",
            "sec-websocket-version: 13",
        ),
        (
            "Version: 13",
            "Version: 12",
            "426 ",
            "sec-websocket-version: 13",
        ),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Quay", "400 ", ""),
        ("dGhl", "dGhlIHNh", "400 ", ""),
    ] {
        let mut socket = connect();
        socket
            .write_all(HEAD.replace(from, to).as_bytes())
            .expect("room");
        let head = read_head(&mut socket);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{to}: {head}"
        );
        assert!(head.to_lowercase().contains(field), "{to}: {head}");
    }
}

#[test]
fn a_client_that_goes_away_leaves_the_server_running() {
    for bytes in [&b""[..], b"\x81", &frame(0x01, b"half")[..]] {
        let mut socket = open();
        socket.write_all(bytes).expect("room");
        socket.shutdown(Shutdown::Both).expect("an end");
    }
    check(
        "after them",
        &[(0x81, b"Hi"), CLOSE],
        &["text Hi", "close 1000"],
    );
}
