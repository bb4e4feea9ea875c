//! `POST /emulation`: commands of a client whose connection only goes down.

use lmserver_runtime::plugin::transport::{Signal, Target};

use crate::harness::{Asked, Got, NODE, Script, Server, Setup, error, field};

const SESSION: &str = "00000000-0000-0000-0000-00000000002a";

fn server() -> Server {
    let mut server = Setup {
        clients: true,
        ..Setup::default()
    }
    .start();
    server.script = Script::Signalled(1);
    server
}

fn body(node: &str, session: &str) -> String {
    format!(r#"{{"session":"{session}","node":"{node}","data":"{{\"id\":2}}\n{{}}"}}"#)
}

#[test]
fn commands_reach_their_session() {
    let mut server = server();
    let fields = [("Content-Type", "application/json")];
    let response = server.response("POST /emulation", &fields, &body(NODE, SESSION));
    assert_eq!((response.status, &*response.body), (204, &b""[..]));
    let Some(Asked::Signal(target, signal)) = server.asked.pop() else {
        panic!("nothing was asked");
    };
    assert_eq!(target, Target::Session(42));
    let bytes = Box::from(&b"{\"id\":2}\n{}"[..]);
    let is_binary = false;
    assert_eq!(signal, Signal::Commands { bytes, is_binary });
}

#[test]
fn commands_in_protobuf_too() {
    let mut server = server();
    let mut body = vec![10, 36];
    body.extend_from_slice(NODE.as_bytes());
    body.extend_from_slice(&[18, 36]);
    body.extend_from_slice(SESSION.as_bytes());
    body.extend_from_slice(&[26, 3, 2, 8, 1]);
    let fields = [("Content-Type", "application/octet-stream")];
    let Got::Response(response) = server.send("POST /emulation", &fields, &body) else {
        panic!("a session");
    };
    assert_eq!(response.status, 204);
    let Some(Asked::Signal(Target::Session(42), signal)) = server.asked.pop() else {
        panic!("nothing was asked");
    };
    let bytes = Box::from(&[2, 8, 1][..]);
    let is_binary = true;
    assert_eq!(signal, Signal::Commands { bytes, is_binary });
}

#[test]
fn whether_there_is_such_a_session_is_not_told() {
    let mut server = server();
    server.script = Script::Signalled(0);
    for session in [SESSION, "", "nobody"] {
        let response = server.response("POST /emulation", &[], &body(NODE, session));
        assert_eq!(response.status, 204, "{session}");
    }
}

#[test]
fn what_cannot_be_handed_on_is_refused() {
    let large = format!(
        r#"{{"session":"{SESSION}","node":"{NODE}","data":"{}"}}"#,
        "x".repeat(65_536)
    );
    for (body, status, code) in [
        ("", 400, "invalid_request"),
        ("[]", 400, "invalid_request"),
        (r#"{"session":1}"#, 400, "invalid_request"),
        ("{", 400, "invalid_request"),
        ("{}", 404, "not_found"),
        (&body("", SESSION), 404, "not_found"),
        (&body("another", SESSION), 404, "not_found"),
        (&large, 413, "too_large"),
    ] {
        let mut server = server();
        error(&server.response("POST /emulation", &[], body), status, code);
        assert!(server.asked.is_empty());
    }
    let fields = [("Content-Type", "application/octet-stream")];
    error(
        &server().response("POST /emulation", &fields, "{}"),
        400,
        "invalid_request",
    );
    error(
        &server().response("GET /emulation", &[], ""),
        405,
        "method_not_allowed",
    );
    let without = Setup::default()
        .start()
        .response("POST /emulation", &[], "{}");
    error(&without, 404, "not_found");
}

#[test]
fn a_page_is_told_that_it_may_post() {
    let mut server = Setup {
        clients: true,
        origins: Some(&["https://app.example"]),
        ..Setup::default()
    }
    .start();
    let fields = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    for target in ["/emulation", "/connection/http_stream"] {
        let response = server.response(&format!("OPTIONS {target}"), &fields, "");
        assert_eq!(response.status, 204);
        let origin = field(&response, "Access-Control-Allow-Origin");
        assert_eq!(origin, Some("https://app.example"));
        assert_eq!(field(&response, "Allow"), Some("POST, OPTIONS"), "{target}");
    }
    let foreign = [("Origin", "https://evil.example")];
    error(
        &server.response("POST /emulation", &foreign, "{}"),
        403,
        "forbidden",
    );
}
