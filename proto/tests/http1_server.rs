//! The server's side of a connection: answers, phases, pipelining, streams and upgrades.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lint sees tests only in functions that are tests themselves"
)]

use lmserver_proto::http1::server::{Connection, Event, PIPELINE_BYTES_MAX};
use lmserver_proto::http1::{Framing, Limits, Method, Response, Target, Version, imf_fixdate};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn request(input: &[u8]) -> (lmserver_proto::http1::Request, Vec<u8>, Connection) {
    let mut connection = Connection::new();
    connection.feed(input);
    match connection.next_event(&Limits::default()) {
        Ok(Some(Event::Request { head, body })) => (head, body, connection),
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn answer(input: &[u8], response: &Response) -> (String, bool) {
    let (_, _, mut connection) = request(input);
    let mut out = Vec::new();
    let kept = connection.respond(response, DATE, &mut out);
    (String::from_utf8(out).unwrap(), kept)
}

#[test]
fn a_request_is_read_in_all_its_parts() {
    let (head, body, _) = request(
        b"PUT /a%20b/c?d=e%26&f HTTP/1.1\r\nHost: example.com:8080\r\nX-A: 1\r\nx-a: 2\r\n\
          Content-Length: 3\r\n\r\nabcREST",
    );
    assert_eq!(head.method, Method::Put);
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.path(), "/a%20b/c");
    assert_eq!(head.query(), Some("d=e%26&f"));
    assert_eq!(head.host(), Some("example.com:8080"));
    assert_eq!(head.fields.get_all("X-A").collect::<Vec<_>>(), [b"1", b"2"]);
    assert!(head.wants_keep_alive());
    assert_eq!(body, b"abc");
}

#[test]
fn the_host_of_an_absolute_target_counts_more_than_the_field() {
    let (head, ..) = request(b"GET HTTP://b.example:81?x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.host(), Some("b.example:81"));
    assert_eq!((head.path(), head.query()), ("/", Some("x")));
    let (head, ..) = request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.target.clone(), head.path()), (Target::Asterisk, "*"));
    let (head, ..) = request(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(head.host(), None);
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    for (input, want) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"[..], true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false),
    ] {
        assert_eq!(request(input).0.wants_upgrade("websocket"), want, "{}", input.escape_ascii());
    }
}

#[test]
fn an_answer_says_what_its_status_and_method_allow() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let hello = Response::text(200, "hello");
    for (name, input, response, want, kept) in [
        (
            "plain",
            &get[..],
            hello.clone(),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 5\r\n\r\nhello",
            true,
        ),
        (
            "to HEAD",
            head,
            hello,
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 5\r\n\r\n",
            true,
        ),
        (
            "204",
            get,
            Response::empty(204),
            "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n",
            true,
        ),
        (
            "304 with a body by mistake",
            get,
            Response {
                body: b"x".to_vec(),
                ..Response::empty(304)
            },
            "HTTP/1.1 304 Not Modified\r\nDate: D\r\n\r\n",
            true,
        ),
        (
            "empty 200",
            get,
            Response::empty(200),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
        (
            "closed by the server",
            get,
            Response::empty(200).with_close(),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "closed by the client",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Response::empty(299),
            "HTTP/1.1 299 \r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.0",
            b"GET / HTTP/1.0\r\n\r\n",
            Response::empty(200),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.0 that persists",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Response::empty(200),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
        (
            "CONNECT",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            Response::empty(501),
            "HTTP/1.1 501 Not Implemented\r\nDate: D\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            false,
        ),
        (
            "line ends in a value",
            get,
            Response::empty(200).with_field("X", "a\r\nSet-Cookie: b"),
            "HTTP/1.1 200 OK\r\nDate: D\r\nX: a  Set-Cookie: b\r\nContent-Length: 0\r\n\r\n",
            true,
        ),
    ] {
        let want = want.replace("Date: D", &format!("Date: {DATE}"));
        assert_eq!(answer(input, &response), (want, kept), "{name}");
    }
    assert_eq!(imf_fixdate(784_111_777), DATE);
}

#[test]
fn a_refusal_closes_and_ignores_the_rest() {
    let mut connection = Connection::new();
    let mut out = Vec::new();
    connection.feed(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let error = connection.next_event(&Limits::default()).unwrap_err();
    assert!(connection.is_closed() && !connection.wants_bytes());
    connection.reject(&error.response(), DATE, &mut out);
    connection.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.next_event(&Limits::default()), Ok(None));
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    assert!(
        text.ends_with(
            "{\"error\":{\"code\":\"invalid_request\",\"message\":\"the Host field is missing\"}}"
        ),
        "{text}"
    );
}

#[test]
fn leave_to_continue_is_given_once_and_only_where_it_is_awaited() {
    let limits = Limits::default();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut connection = Connection::new();
    connection.feed(head.as_bytes());
    assert_eq!(connection.next_event(&limits), Ok(Some(Event::Continue)));
    assert_eq!(connection.next_event(&limits), Ok(None));
    assert!(connection.is_receiving_body());
    let mut out = Vec::new();
    connection.write_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.feed(b"ab");
    assert!(matches!(
        connection.next_event(&limits),
        Ok(Some(Event::Request { .. }))
    ));

    for (name, input) in [
        ("content has come", format!("{head}a")),
        ("no content", head.replace("Content-Length: 2\r\n", "")),
        ("HTTP/1.0", head.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let mut connection = Connection::new();
        connection.feed(input.as_bytes());
        let event = connection.next_event(&limits);
        assert!(
            !matches!(event, Ok(Some(Event::Continue))),
            "{name}: {event:?}"
        );
    }

    let mut connection = Connection::new();
    connection.feed(head.replace(": 2", ": 9999999").as_bytes());
    let error = connection.next_event(&limits).unwrap_err();
    assert_eq!(error.status(), 413, "too much is said before it is sent");
}

#[test]
fn a_chunk_that_announces_too_much_is_refused_before_it_comes() {
    let limits = Limits {
        body_bytes: 16,
        ..Limits::default()
    };
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (chunks, is_refused) in [
        ("10\r\n", false),
        ("11\r\n", true),
        ("8\r\n01234567\r\n8\r\n", false),
        ("8\r\n01234567\r\n9\r\n", true),
        ("ffffffffffffffff\r\n", true),
    ] {
        let mut connection = Connection::new();
        connection.feed(head.as_bytes());
        connection.feed(chunks.as_bytes());
        match connection.next_event(&limits) {
            Ok(event) => assert!(event.is_none() && !is_refused, "{chunks:?}"),
            Err(error) => assert!(error.status() == 413 && is_refused, "{chunks:?}: {error}"),
        }
    }
}

#[test]
fn an_answer_before_the_content_is_the_last_one() {
    let mut connection = Connection::new();
    connection.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(connection.next_event(&Limits::default()), Ok(None));
    let mut out = Vec::new();
    assert!(!connection.respond(&Response::empty(401), DATE, &mut out));
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("Connection: close")
    );
    assert!(connection.is_closed());
}

#[test]
fn pipelined_requests_wait_their_turn() {
    let limits = Limits::default();
    let mut connection = Connection::new();
    connection.feed(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
    for left in [2, 1, 0] {
        assert!(matches!(
            connection.next_event(&limits),
            Ok(Some(Event::Request { .. }))
        ));
        assert_eq!(connection.next_event(&limits), Ok(None), "{left} wait");
        assert!(connection.is_answering());
        assert!(connection.respond(&Response::empty(204), DATE, &mut Vec::new()));
    }
    assert_eq!(connection.next_event(&limits), Ok(None));
    assert!(connection.is_idle());
}

#[test]
fn what_waits_behind_a_request_is_bounded() {
    let limits = Limits::default();
    let mut connection = Connection::new();
    connection.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(
        connection.next_event(&limits),
        Ok(Some(Event::Request { .. }))
    ));
    assert!(connection.wants_bytes());
    connection.feed(&[b'x'; PIPELINE_BYTES_MAX]);
    assert!(!connection.wants_bytes());
    connection.feed(b"x");
    for _ in 0..100 {
        connection.feed(&[b'x'; 1000]);
    }
    assert!(connection.take_leftover().is_empty());
    let mut out = Vec::new();
    assert!(!connection.respond(&Response::empty(200), DATE, &mut out));
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("Connection: close")
    );
}

#[test]
fn phases_are_told_apart() {
    let limits = Limits::default();
    let mut connection = Connection::new();
    let phase = |connection: &Connection| {
        [
            connection.is_idle(),
            connection.is_receiving_head(),
            connection.is_receiving_body(),
            connection.is_answering(),
            connection.is_closed(),
        ]
        .map(u8::from)
    };
    assert_eq!(phase(&connection), [1, 0, 0, 0, 0]);
    let mut step = |bytes: &[u8]| {
        connection.feed(bytes);
        connection.next_event(&limits).unwrap();
        phase(&connection)
    };
    assert_eq!(
        step(b"\r\n"),
        [1, 0, 0, 0, 0],
        "an empty line begins nothing"
    );
    assert_eq!(step(b"P"), [0, 1, 0, 0, 0]);
    assert_eq!(
        step(b"OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r"),
        [0, 1, 0, 0, 0]
    );
    assert_eq!(step(b"\n"), [0, 0, 1, 0, 0]);
    assert_eq!(step(b"a"), [0, 0, 1, 0, 0]);
    assert_eq!(step(b"b"), [0, 0, 0, 1, 0]);
    assert!(connection.respond(&Response::empty(200), DATE, &mut Vec::new()));
    assert_eq!(phase(&connection), [1, 0, 0, 0, 0]);
}

#[test]
fn a_stream_is_chunked_for_http_1_1_and_closed_for_1_0() {
    let response = Response::empty(200).with_field("Content-Type", "text/event-stream");
    for (input, framing, field, kept) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            Framing::Chunked,
            "Transfer-Encoding: chunked\r\n\r\n",
            true,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            Framing::Chunked,
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Framing::UntilClose,
            "text/event-stream\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            Framing::Length(0),
            "Transfer-Encoding: chunked\r\n\r\n",
            true,
        ),
    ] {
        let (_, _, mut connection) = request(input);
        let mut out = Vec::new();
        assert_eq!(connection.begin_stream(&response, DATE, &mut out), framing);
        let head = String::from_utf8(out).unwrap();
        assert!(head.ends_with(field), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        assert_eq!(
            connection.next_event(&Limits::default()),
            Ok(None),
            "the answer goes on"
        );
        assert_eq!(connection.end_stream(), kept);
        assert_eq!(connection.is_closed(), !kept);
    }
}

#[test]
fn an_upgraded_connection_hands_its_bytes_over() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nframes";
    let (_, _, mut connection) = request(input);
    let response = Response::empty(101)
        .with_field("Connection", "Upgrade")
        .with_field("Upgrade", "x");
    let mut out = Vec::new();
    assert!(connection.upgrade(&response, DATE, &mut out));
    let head = String::from_utf8(out).unwrap();
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nDate: {DATE}\r\n\
             Connection: Upgrade\r\nUpgrade: x\r\n\r\n"
        )
    );
    connection.feed(b" and more");
    assert_eq!(connection.next_event(&Limits::default()), Ok(None));
    assert_eq!(connection.take_leftover(), b"frames and more");
}

#[test]
fn a_refusal_behind_a_head_request_has_its_content() {
    let input = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let (_, _, mut connection) = request(input);
    assert!(connection.respond(&Response::text(200, "unsent"), DATE, &mut Vec::new()));
    let error = connection.next_event(&Limits::default()).unwrap_err();
    let mut out = Vec::new();
    connection.reject(&Response::text(error.status(), "why"), DATE, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(text.ends_with("\r\n\r\nwhy"), "{text}");
}
