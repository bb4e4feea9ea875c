//! `/connection/{transport}` of clients that name their channels themselves, and how others
//! listen to channels of namespaces.

use lmserver_runtime::plugin::transport::Admission;

use crate::harness::{Server, Setup, error, field};

const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "websocket")];

fn server() -> Server {
    Setup {
        clients: true,
        open_channels: true,
        ..Setup::default()
    }
    .start()
}

#[test]
fn a_request_that_names_no_channel_is_for_clients_with_commands() {
    for (line, transport, channel) in [
        ("GET /connection/websocket", "client websocket", ""),
        ("GET /connection/websocket?x=y", "client websocket", ""),
        ("GET /connection/websocket?channel=", "client websocket", ""),
        ("GET /connection/websocket?channel=a", "websocket", "a"),
        ("GET /connection/sse?cf_connect=%7B%7D", "client sse", ""),
        ("GET /connection/sse?channel=a", "sse", "a"),
        ("POST /connection/sse", "client sse", ""),
        ("POST /connection/http_stream", "client http_stream", ""),
        (
            "POST /connection/http_stream?channel=a",
            "client http_stream",
            "",
        ),
        ("GET /connection/uni_sse", "client uni_sse", ""),
        ("POST /connection/uni_sse", "client uni_sse", ""),
        (
            "POST /connection/uni_http_stream",
            "client uni_http_stream",
            "",
        ),
        ("GET /connection/uni_websocket", "client uni_websocket", ""),
    ] {
        let opened = server().session(line, &UPGRADE, "the body");
        assert_eq!(
            (opened.transport, &*opened.channel),
            (transport, channel),
            "{line}"
        );
        assert_eq!(opened.body, b"the body");
        assert_eq!(opened.admission, Admission::Granted);
    }
    for (line, allow) in [
        ("PUT /connection/sse", "GET, POST, OPTIONS"),
        ("POST /connection/sse?channel=a", "GET, HEAD, OPTIONS"),
        ("GET /connection/http_stream", "POST, OPTIONS"),
        ("POST /connection/websocket", "GET, OPTIONS"),
    ] {
        let response = server().response(line, &[], "");
        error(&response, 405, "method_not_allowed");
        assert_eq!(field(&response, "Allow"), Some(allow), "{line}");
    }
}

#[test]
fn without_such_transports_a_channel_must_be_named() {
    let mut server = Setup::default().start();
    error(
        &server.response("GET /connection/sse", &[], ""),
        400,
        "invalid_request",
    );
    error(
        &server.response("GET /connection/uni_sse", &[], ""),
        404,
        "not_found",
    );
    error(
        &server.response("GET /connection/init", &[], ""),
        404,
        "not_found",
    );
}

#[test]
fn a_client_finds_out_about_affinity() {
    let response = server().response("GET /connection/init", &[], "");
    assert_eq!((response.status, &*response.body), (200, &b"{}"[..]));
}

#[test]
fn where_there_is_no_room_clients_are_told_so_before_the_upgrade() {
    let mut server = server();
    server.full = true;
    for line in ["GET /connection/websocket", "POST /connection/http_stream"] {
        let response = server.response(line, &UPGRADE, "");
        error(&response, 503, "overloaded");
        assert_eq!(field(&response, "Retry-After"), Some("5"));
    }
    server.session("GET /connection/websocket?channel=a", &UPGRADE, "");
}

#[test]
fn clients_come_back_to_a_server_that_drains() {
    let mut server = server();
    server.draining = true;
    server.session("GET /connection/websocket", &UPGRADE, "");
}

#[test]
fn a_foreign_page_opens_no_connection() {
    let fields = [UPGRADE[0], UPGRADE[1], ("Origin", "https://evil.example")];
    let response = server().response("GET /connection/websocket", &fields, "");
    error(&response, 403, "forbidden");
    let response = server().response("POST /connection/http_stream", &fields[2..], "");
    error(&response, 403, "forbidden");
}

#[test]
fn a_channel_of_a_namespace_is_listened_to_by_whom_it_permits() {
    for (channel, want, may_create) in [
        ("public:a", "granted", true),
        ("news:a", "unauthorized", false),
        ("bare:a", "unauthorized", false),
        ("$public:a", "unauthorized", false),
        ("public:\u{e9}", "unauthorized", false),
        ("other:a", "granted", false),
        ("chat:a", "granted", false),
    ] {
        let mut server = Setup {
            namespaces: true,
            ..Setup::default()
        }
        .start();
        let channel = channel.replace('\u{e9}', "%C3%A9");
        let opened = server.session(&format!("GET /connection/sse?channel={channel}"), &[], "");
        let got = match opened.admission {
            Admission::Granted => "granted",
            Admission::Unauthorized(_) => "unauthorized",
            Admission::Forbidden(_) => "forbidden",
        };
        assert_eq!((got, opened.may_create), (want, may_create), "{channel}");
        let line = format!("GET /connection/sse?channel={channel}&token=rubbish");
        let opened = server.session(&line, &[], "");
        let is_forbidden = matches!(opened.admission, Admission::Forbidden(_));
        assert_eq!(
            is_forbidden,
            !matches!(&*channel, "other:a" | "chat:a"),
            "{channel}"
        );
    }
}
