//! Requests of clients that are slow, greedy, hasty or careful.

use crate::client::{answer, question, request};
use crate::program::Server;
use crate::provider::Provider;

const LIMITS: &str = "[limits]\nhead_bytes = \"2KiB\"\n\
                      header_count = 8\nbody_bytes = \"1KiB\"\n[provider.echo]\ndelay = \"1ms\"\n";

#[test]
fn a_client_that_does_not_finish_its_request_in_time_is_told_so() {
    let server = Server::start("[limits]\nhead_timeout = \"200ms\"\n[provider.echo]\n");
    for begun in [
        "G",
        "GET /health HTTP/1.1\r\nHos",
        "POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"mess",
    ] {
        let mut wire = server.connect();
        wire.say(begun);
        let head = wire.head();
        assert_eq!(head.status(), 408, "{begun:?}");
        assert_eq!(head.field("connection"), Some("close"));
        let body = wire.read_to_end();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "timeout");
    }
    // Who has said nothing gets no answer.
    assert_eq!(server.connect().read_to_end(), b"");
    // A client in time is served.
    assert_eq!(server.call("GET", "/health", "").0.status(), 200);
}

#[test]
fn clients_of_other_apis_and_pages_can_read_why_their_request_was_not_read() {
    let server = Server::start(
        "[server]\nallowed_origins = [\"https://app.example\"]\n[limits]\nhead_timeout = \"100ms\"\n\
         body_bytes = \"1KiB\"\n[provider.echo]\n",
    );
    for (path, id, kind, late) in [
        (
            "/v1/chat/completions",
            "x-request-id",
            "invalid_request_error",
            "invalid_request_error",
        ),
        (
            "/v1/messages",
            "request-id",
            "request_too_large",
            "timeout_error",
        ),
    ] {
        let post = format!("POST {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n");
        for (status, rest) in [
            (413, "Content-Length: 1025\r\n\r\n"),
            (413, "Transfer-Encoding: chunked\r\n\r\n401\r\n"),
            (408, "Content-Length: 100\r\n\r\n{"),
        ] {
            let mut wire = server.connect();
            wire.say(format!("{post}{rest}"));
            let head = wire.head();
            assert_eq!(head.status(), status, "{path} {rest}");
            assert_eq!(
                head.field("access-control-allow-origin"),
                Some("https://app.example")
            );
            assert!(head.field(id).unwrap().starts_with("req_"));
            assert_eq!(head.field("connection"), Some("close"));
            let body: serde_json::Value = serde_json::from_slice(&wire.read_to_end()).unwrap();
            let want = if status == 413 { kind } else { late };
            assert_eq!(body["error"]["type"], want, "{body}");
        }
    }
}

#[test]
fn a_head_that_cannot_be_read_is_refused_as_its_path_wants_it() {
    let server = Server::start(LIMITS);
    let many = format!("Host: a\r\nX: {}\r\n\r\n", "x".repeat(4096));
    for (path, id, key, value) in [
        (
            "/v1/models",
            Some("x-request-id"),
            "/error/type",
            "invalid_request_error",
        ),
        ("/v1/messages", Some("request-id"), "/type", "error"),
        ("/health", None, "/type", ""),
    ] {
        for (status, rest) in [(400, "No colon\r\n\r\n"), (400, "\r\n"), (431, &many)] {
            let mut wire = server.connect();
            wire.say(format!("GET {path} HTTP/1.1\r\n{rest}"));
            let head = wire.head();
            assert_eq!(head.status(), status, "{path} {rest}");
            assert_eq!(head.field("connection"), Some("close"));
            if let Some(id) = id {
                assert!(head.field(id).unwrap().starts_with("req_"));
            }
            let body: serde_json::Value = serde_json::from_slice(&wire.read_to_end()).unwrap();
            let told = body.pointer(key).and_then(|it| it.as_str());
            assert_eq!(told.unwrap_or_default(), value, "{body}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status_before_it_is_read() {
    let server = Server::start(LIMITS);
    let long = "x".repeat(4096);
    let post = "POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let cases = [
        (413, format!("{post}Content-Length: 1025\r\n\r\n")),
        (413, format!("{post}Content-Length: 9999999999999\r\n\r\n")),
        (
            413,
            format!("{post}Content-Length: 1025\r\nExpect: 100-continue\r\n\r\n"),
        ),
        (
            413,
            format!("{post}Transfer-Encoding: chunked\r\n\r\n401\r\n{long}"),
        ),
        (
            413,
            format!("{post}Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n"),
        ),
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (414, format!("GET /{long}")),
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(9)),
        ),
    ];
    for (status, bytes) in cases {
        let mut wire = server.connect();
        wire.say(&bytes);
        let head = wire.head();
        let begin = bytes.get(..120).unwrap_or(&bytes);
        assert_eq!(head.status(), status, "{begin}");
        let body: serde_json::Value = serde_json::from_slice(&wire.read_to_end()).unwrap();
        assert_eq!(body["error"]["code"], "too_large", "{begin}: {body}");
    }
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start(LIMITS);
    let head = "POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n";
    let mut wire = server.connect();
    wire.say(head);
    let piece = [b'x'; 100_000];
    for _ in 0..80 {
        if wire.try_say(piece).is_err() {
            break;
        }
    }
    assert_eq!(wire.head().status(), 413);
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let server = Server::start(LIMITS);
    let whole = request(
        "POST",
        "/api/chat",
        &[("Expect", "100-continue")],
        &question("hi"),
    );
    let (head, body) = whole.split_at(whole.len() - question("hi").len());
    let mut wire = server.connect();
    wire.say(head);
    assert_eq!(wire.head().line, "HTTP/1.1 100 Continue");
    wire.say(body);
    let head = wire.head();
    assert_eq!(head.status(), 200);
    wire.body(&head);
    // The connection serves on.
    assert_eq!(wire.call("GET", "/health", &[], "").0.status(), 200);
}

#[test]
fn requests_in_one_go_are_answered_in_order() {
    let server = Server::start(LIMITS);
    let accept = [("Accept", "text/event-stream")];
    let requests = [
        request("GET", "/health", &[], ""),
        request("POST", "/api/chat", &accept, &question("to be streamed")),
        request("GET", "/nowhere", &[], ""),
        request("POST", "/api/chat", &[], &question("hi")),
        request("GET", "/health", &[("Connection", "close")], ""),
    ]
    .concat();
    for size in [requests.len(), 1, 7] {
        let mut wire = server.connect();
        for part in requests.as_bytes().chunks(size) {
            wire.say(part);
        }
        let mut statuses = Vec::new();
        while let Some(head) = wire.try_head() {
            statuses.push(head.status());
            let body = wire.body(&head);
            if head.is_chunked() {
                let body = String::from_utf8(body).unwrap();
                assert!(body.contains("\"finish_reason\":\"stop\""), "{body}");
            }
        }
        assert_eq!(statuses, [200, 200, 404, 200, 200], "pieces of {size}");
    }
}

#[test]
fn a_connection_is_kept_where_its_client_wants_that() {
    let server = Server::start(LIMITS);
    let cases = [
        ("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
        ),
        ("GET /health HTTP/1.0\r\n\r\n", false),
        ("GET /health HTTP/1.1\r\n\r\n", false),
    ];
    for (bytes, is_kept) in cases {
        let mut wire = server.connect();
        wire.say(bytes);
        let head = wire.head();
        wire.body(&head);
        assert_eq!(
            head.field("connection") != Some("close"),
            is_kept,
            "{bytes:?}"
        );
        if is_kept {
            assert_eq!(wire.call("GET", "/health", &[], "").0.status(), 200);
        } else {
            assert_eq!(wire.read_to_end(), b"");
        }
    }
}

#[test]
fn a_client_of_http_1_0_gets_its_stream_without_chunks() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let channel = server.post("hi");
    provider.accept().answer("plainly");
    let mut stream = server.listen(&channel, None);
    assert_eq!(answer(&mut stream), "plainly");
    let mut wire = server.connect();
    wire.say(format!(
        "GET /connection/sse?channel={channel} HTTP/1.0\r\n\r\n"
    ));
    let head = wire.head();
    assert!(!head.is_chunked());
    let body = String::from_utf8(wire.read_to_end()).unwrap();
    assert!(body.starts_with("retry: 1000\nid: "), "{body}");
    assert!(body.ends_with("\n\n") && body.contains("plainly"), "{body}");
}
