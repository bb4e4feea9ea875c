//! Connections that stand still: they cost no time and no files, and end when they must.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use crate::certificates::Authority;
use crate::client::{answer, end_of, listening, question, request, text_of};
use crate::program::{Program, Server};
use crate::provider::{Provider, section};
use crate::wire::Wire;

/// A piece of an answer that is more than a socket takes unread, a few times over.
fn piece() -> String {
    "x".repeat(64 * 1024)
}

/// A connection that says something and reads nothing.
fn unread(server: &Server, said: &str) -> TcpStream {
    let mut stream = server.connect_tcp();
    stream.write_all(said.as_bytes()).unwrap();
    stream
}

#[test]
fn whoever_stands_still_costs_no_time() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let channel = asked.channel();
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    let request_state = request("GET", &format!("/api/chat/{channel}"), &[], "");
    let stuck = [
        // Readers of nothing, of whom some have ended their side.
        unread(&server, &listening(&channel, None)),
        unread(&server, &listening(&channel, None)),
        unread(&server, &crate::websocket::listening(&channel, None)),
        // Half a request, and more of them than their answers fit.
        unread(&server, "GET / HTTP/1.1\r\nHo"),
        unread(&server, &request_state.repeat(200)),
        unread(&server, &request_state.repeat(200)),
    ];
    for stream in [&stuck[1], &stuck[5]] {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for _ in 0..8 {
        connection.tell(&piece());
        asked.until("chunk");
    }
    let late = unread(&server, &request_state.repeat(200));
    late.shutdown(Shutdown::Write).unwrap();
    // A provider that has ended its side in the middle of nothing.
    let mut second = server.ask("hi");
    let half = provider.accept_tcp();
    let mut reader = Wire::tcp(half.try_clone().unwrap());
    reader.question();
    second.until("start");
    assert_eq!(server.call("GET", "/health", "").0.status(), 200);
    let ticks = server.ticks_in_a_while();
    assert!(ticks.is_none_or(|ticks| ticks <= 6), "{ticks:?} of 40");
    connection.finish();
    let events = asked.rest();
    assert_eq!(end_of(&events)["type"], "end");
    drop((stuck, late));
}

#[test]
fn a_subscriber_that_reads_too_slowly_is_cut_off_and_resumes() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[limits]\nwrite_timeout = \"200ms\"\n";
    let server = Server::start(&configuration);
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    let slow = unread(&server, &listening(&asked.channel(), None));
    for _ in 0..8 {
        connection.tell(&piece());
        asked.until("chunk");
    }
    connection.finish();
    assert_eq!(answer(&mut asked), "");
    // The server gives up on it: only then is its connection gone from the others.
    let mut others = server.connect();
    for tries in 0.. {
        assert!(tries < 100_000, "it is not cut off");
        others.say(request("GET", "/metrics", &[], ""));
        let head = others.head();
        let text = String::from_utf8(others.body(&head)).unwrap();
        if text
            .lines()
            .any(|line| line.contains("slow") && line.ends_with(" 1"))
        {
            break;
        }
    }
    // What it had is a beginning, and the rest is there.
    let mut broken = Wire::tcp(slow);
    assert_eq!(broken.head().status(), 200);
    let mut seen = crate::resume::whole_events(&broken.read_to_end());
    let last = seen.last().map(|event| event.id.clone());
    let mut rest = server.listen(&asked.channel(), last.as_deref());
    seen.extend(rest.rest());
    assert_eq!(text_of(&seen).len(), 8 * 64 * 1024);
    assert_eq!(end_of(&seen)["type"], "end");
}

#[test]
fn silence_is_filled_with_signs_of_life_that_no_event_notices() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[limits]\nheartbeat = \"30ms\"\n";
    let server = Server::start(&configuration);
    let mut wire = server.connect();
    let accept = [("Accept", "text/event-stream")];
    wire.say(request("POST", "/api/chat", &accept, &question("hi")));
    assert_eq!(wire.head().status(), 200);
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    let mut text = String::new();
    for word in ["one", "two"] {
        connection.tell(word);
        let from = text.len();
        while text[from..].matches(": hb\n\n").count() < 2 {
            text += &String::from_utf8(wire.chunk().unwrap()).unwrap();
        }
    }
    connection.finish();
    while let Some(chunk) = wire.chunk() {
        text += &String::from_utf8(chunk).unwrap();
    }
    assert!(text.starts_with("retry: 1000\nid: "), "{text}");
    for block in text.split_terminator("\n\n") {
        assert!(block == ": hb" || block.contains("\ndata: {"), "{block:?}");
    }
}

#[test]
fn an_unused_connection_is_closed_after_a_while() {
    let server = Server::start("[limits]\nidle_timeout = \"400ms\"\n[provider.echo]\n");
    let mut wire = server.connect();
    for _ in 0..2 {
        assert_eq!(wire.call("GET", "/health", &[], "").0.status(), 200);
    }
    assert_eq!(wire.read_to_end(), b"");
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended() {
    let authority = Authority::new();
    let certificate = authority.certify("localhost");
    let configuration = "[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n\
                         [limits]\nhead_timeout = \"600ms\"\n[provider.echo]\n";
    let server = Program::new(configuration)
        .file("cert.pem", &certificate.chain)
        .file("key.pem", &certificate.key)
        .start();
    for said in ["", "\x16\x03\x01\x01\x00\x01"] {
        let mut wire = server.connect();
        wire.say(said);
        wire.read_to_end();
    }
    let mut silent = authority.connect(server.connect_tcp(), "localhost");
    silent.say("GET /hea");
    let head = silent.head();
    assert_eq!(head.status(), 408);
}

#[test]
fn no_file_is_left_open_behind_anything_that_ended() {
    let (provider, silent) = (Provider::new(), Provider::new());
    let configuration = provider.section("p", "")
        + &section("tls", &format!("https://{}/v1", silent.address), "")
        + "[model.default]\ntargets = [\"p/m\"]\n";
    let server = Server::start(&configuration);
    let mut first = server.ask("hi");
    let mut kept = provider.accept();
    kept.answer("1");
    assert_eq!(answer(&mut first), "1");
    drop(first);
    let Some(before) = server.settled_files(None) else {
        eprintln!("SKIPPED: the system does not tell a process's open files");
        return;
    };
    for round in 0..20 {
        // A listener leaves, and its answer goes on; another is cancelled while it waits for TLS.
        let mut asked = server.ask("hi");
        let channel = asked.channel();
        asked.until("start");
        drop(asked);
        kept.answer("on the kept connection");
        let events = server.listen(&channel, None).rest();
        assert_eq!(end_of(&events)["type"], "end", "round {round}");
        let body = r#"{"message":"hi","model":"tls/m"}"#;
        let (_, created) = server.call("POST", "/api/chat", body);
        let mut waiting = Wire::tcp(silent.accept_tcp());
        let target = format!("/api/chat/{}", created["channel_id"].as_str().unwrap());
        assert_eq!(server.call("DELETE", &target, "").1["cancelled"], true);
        waiting.read_to_end();
        // Connections of every kind are dropped in the middle.
        drop(unread(&server, "GET / HT"));
        drop(unread(&server, &listening(&channel, None)));
        drop(unread(
            &server,
            &crate::websocket::listening(&channel, None),
        ));
        drop(unread(&server, ""));
    }
    assert_eq!(server.settled_files(Some(before)), Some(before));
    assert!(provider.has_nobody());
}
