//! Where and how the server listens: TCP, TLS, a socket of the file system.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::certificates::Authority;
use crate::client::{answer, listening, request};
use crate::program::{Program, Server};
use crate::provider::Provider;
use crate::websocket::{Message, listening as websocket_listening};
use crate::wire::{PATIENCE, Wire};

const TLS: &str = "[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n";

/// A server that speaks TLS, between a provider and whoever trusts its authority.
struct Secure {
    authority: Authority,
    provider: Provider,
    server: Server,
}

impl Secure {
    fn new() -> Self {
        let (authority, provider) = (Authority::new(), Provider::new());
        let certificate = authority.certify("localhost");
        let server = Program::new(&(TLS.to_owned() + &provider.section("p", "")))
            .file("cert.pem", &certificate.chain)
            .file("key.pem", &certificate.key)
            .start();
        assert!(server.url.starts_with("https://"), "{}", server.url);
        Self {
            authority,
            provider,
            server,
        }
    }

    fn connect(&self) -> Wire {
        let stream = self.server.connect_tcp();
        self.authority.connect(stream, "localhost")
    }
}

#[test]
fn event_streams_and_websockets_run_in_tls() {
    let secure = Secure::new();
    let mut asked = secure.connect().ask("hi");
    let channel = asked.channel();
    let mut socket = secure.connect();
    socket.open(&channel, None);
    let mut connection = secure.provider.accept();
    connection.question();
    connection.begin();
    for text in ["grüße, ", "each ", "on ", "its ", "own"] {
        connection.tell(text);
        assert_eq!(asked.until("chunk").data["message"], text);
        let event = loop {
            match socket.message() {
                Message::Event(event) if event["type"] == "start" => {}
                other => break other,
            }
        };
        let Message::Event(event) = event else {
            panic!("{event:?}")
        };
        assert_eq!(event["message"], text);
    }
    connection.finish();
    assert_eq!(answer(&mut asked), "");
    let (events, code) = socket.messages();
    assert_eq!((events.len(), code), (1, 1000));
    socket.agree_to_close(code);
    // The connection of a stream that has ended serves on.
    let (head, state) = asked
        .into_wire()
        .call("GET", &format!("/api/chat/{channel}"), &[], "");
    assert_eq!(head.status(), 200);
    assert_eq!(state["text"], "grüße, each on its own");
}

#[test]
fn a_websocket_that_ends_with_its_tls_at_once_is_counted_down_once() {
    let secure = Secure::new();
    let channel = secure.connect().ask("hi").channel();
    let mut client = secure
        .authority
        .client(secure.server.connect_tcp(), "localhost");
    client
        .write_all(websocket_listening(&channel, None).as_bytes())
        .unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    // The close frame and the end of TLS arrive together.
    let mut last = Vec::new();
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    client.conn.writer().write_all(&close).unwrap();
    client.conn.send_close_notify();
    while client.conn.wants_write() {
        client.conn.write_tls(&mut last).unwrap();
    }
    client.sock.write_all(&last).unwrap();
    while client.sock.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    let metrics = request("GET", "/metrics", &[], "");
    let mut wire = secure.connect();
    wire.say(metrics);
    let head = wire.head();
    let body = String::from_utf8(wire.body(&head)).unwrap();
    assert!(body.contains("\nlmserver_sessions 0\n"), "{body}");
}

#[test]
fn an_answer_larger_than_all_buffers_is_whole_in_tls() {
    let secure = Secure::new();
    let mut asked = secure.connect().ask("hi");
    let mut connection = secure.provider.accept();
    connection.question();
    connection.begin();
    let text = "zwölf Boxkämpfer ".repeat(60);
    for _ in 0..2000 {
        connection.tell(&text);
    }
    connection.finish();
    assert!(answer(&mut asked) == text.repeat(2000));
}

#[test]
fn who_does_not_speak_tls_is_sent_away_and_harms_nobody() {
    let secure = Secure::new();
    let mut asked = secure.connect().ask("hi");
    for nonsense in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x00\x05hello",
        "",
    ] {
        let stream = secure.server.connect_tcp();
        let mut wire = Wire::tcp(stream.try_clone().unwrap());
        wire.say(nonsense);
        stream.shutdown(Shutdown::Write).unwrap();
        wire.read_to_end();
    }
    secure.provider.accept().answer("unharmed");
    assert_eq!(answer(&mut asked), "unharmed");
}

#[test]
fn a_socket_of_the_file_system_streams_and_is_removed_at_the_end() {
    let provider = Provider::new();
    let program = Program::new(&provider.section("p", ""));
    let path = program.path("lm.sock");
    // What a server that was killed leaves behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = program.listen(&format!("unix:{}", path.display()));
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire::over(stream)
    };
    let mut asked = connect().ask("hi");
    let mut second = connect().stream(&listening(&asked.channel(), None));
    let mut socket = connect();
    socket.open(&asked.channel(), None);
    provider.accept().answer("from file to file");
    assert_eq!(answer(&mut asked), "from file to file");
    assert_eq!(answer(&mut second), "from file to file");
    assert_eq!(socket.messages().1, 1000);
    drop(socket);
    let mut idle = connect();
    idle.say(request("GET", "/health", &[], ""));
    assert_eq!(idle.head().status(), 200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!path.exists());
}

#[test]
fn an_address_of_ipv6_serves_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let provider = Provider::at("[::1]:0");
    let server = Program::new(&provider.section("p", "")).listen("[::1]:0");
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    let (head, _) = connection.question();
    assert_eq!(head.field("host"), Some(&*provider.address.to_string()));
    connection.begin();
    connection.tell("from six to six");
    connection.finish();
    assert_eq!(answer(&mut asked), "from six to six");
}
