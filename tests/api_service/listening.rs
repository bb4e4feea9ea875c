//! `/connection/{transport}`: what a transport is handed.

use std::time::Duration;

use lmserver_runtime::event::After;
use lmserver_runtime::plugin::transport::Admission;

use crate::harness::{Server, Setup, error, json, position};

const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "websocket")];

#[test]
fn a_listener_is_handed_to_its_transport() {
    let mut server = Setup::default().start();
    let opened = server.session("GET /connection/sse?channel=chat%3Aa", &[], "");
    assert_eq!((opened.transport, &*opened.channel), ("sse", "chat:a"));
    assert_eq!(opened.admission, Admission::Granted);
    assert!(opened.may_cancel && !opened.may_create);
    let opened = server.session("GET /connection/websocket?x=y&channel=chat:a", &UPGRADE, "");
    assert_eq!(
        (opened.transport, &*opened.channel),
        ("websocket", "chat:a")
    );
    assert_eq!(
        server
            .response("GET /connection/websocket?channel=chat:a", &[], "")
            .status,
        426
    );
}

#[test]
fn a_channel_must_be_named() {
    let mut server = Setup {
        open_channels: true,
        ..Setup::default()
    }
    .start();
    let long = format!("?channel={}", "x".repeat(256));
    for query in [
        "",
        "?",
        "?channel",
        "?channel=",
        "?Channel=a",
        "?channel=a%0ab",
        &long,
    ] {
        for (transport, fields) in [("sse", &[][..]), ("websocket", &UPGRADE)] {
            let line = format!("GET /connection/{transport}{query}");
            let message = error(&server.response(&line, fields, ""), 400, "invalid_request");
            assert!(message.contains("channel"), "{message}");
        }
    }
    let line = format!("GET /connection/sse?channel={}", "x".repeat(255));
    server.session(&line, &[], "");
}

#[test]
fn a_channel_is_created_by_listening_only_where_channels_are_open() {
    for (open_channels, channel, want) in [
        (false, "news", false),
        (false, "chat:a", false),
        (true, "news", true),
        (true, "chat", true),
        (true, "chat:a", false),
    ] {
        let mut server = Setup {
            open_channels,
            ..Setup::default()
        }
        .start();
        let line = format!("GET /connection/sse?channel={channel}");
        let opened = server.session(&line, &[], "");
        assert_eq!(opened.may_create, want, "{open_channels} {channel}");
    }
}

#[test]
fn the_cursor_is_the_header_else_the_query() {
    let at = |text| After::Position(position(text));
    for (query, header, want) in [
        ("", None, After::Beginning),
        ("&last_event_id=k3f9ab-2", None, at("k3f9ab-2")),
        ("&lastEventId=k3f9ab-3", None, at("k3f9ab-3")),
        ("&since=k3f9ab-4", None, at("k3f9ab-4")),
        (
            "&since=k3f9ab-4&last_event_id=k3f9ab-2",
            None,
            at("k3f9ab-2"),
        ),
        ("&last_event_id=k3f9ab-2", Some("k3f9ab-9"), at("k3f9ab-9")),
        ("&last_event_id=k3f9ab-2", Some(""), at("k3f9ab-2")),
        ("", Some("k3f9ab-9"), at("k3f9ab-9")),
        ("&since=earliest", None, After::Beginning),
        ("&since=0", None, After::Beginning),
        ("&since=now", None, After::Now),
        ("", Some("gone-0"), After::Gone),
        ("&since=nonsense", None, After::Unreadable),
        ("", Some("nonsense"), After::Unreadable),
        ("", Some("k3f9ab-\u{e9}"), After::Unreadable),
    ] {
        let fields: Vec<_> = header
            .iter()
            .map(|value| ("Last-Event-ID", *value))
            .collect();
        let line = format!("GET /connection/sse?channel=chat:a{query}");
        let opened = Setup::default().start().session(&line, &fields, "");
        assert_eq!(opened.after, want, "{query} {header:?}");
    }
}

#[test]
fn with_a_secret_listening_needs_a_token() {
    let mut server = Setup {
        secret: Some("s"),
        ..Setup::default()
    }
    .start();
    let body = json(&server.response("POST /api/chat", &[], r#"{"message":"hi"}"#));
    let (channel, token) = (
        body["channel_id"].as_str().unwrap(),
        body["token"].as_str().unwrap(),
    );
    let listen = |server: &mut Server, channel: &str, query: &str, bearer: &str| {
        let bearer = format!("Bearer {bearer}");
        let fields = [("Authorization", bearer.as_str())];
        let fields = if bearer.len() > 7 { &fields[..] } else { &[] };
        let line = format!("GET /connection/sse?channel={channel}{query}");
        server.session(&line, fields, "")
    };
    let query = format!("&token={token}");
    for (name, channel, query, bearer, want, may_cancel) in [
        ("query", channel, &*query, "", "granted", true),
        ("bearer", channel, "", token, "granted", true),
        ("query first", channel, &*query, "rubbish", "granted", true),
        ("none", channel, "", "", "unauthorized", false),
        (
            "rubbish",
            channel,
            "&token=rubbish",
            token,
            "unauthorized",
            false,
        ),
        ("empty", channel, "&token=", "", "unauthorized", false),
        ("the secret itself", channel, "", "s", "unauthorized", false),
        ("another channel", "chat:b", &*query, "", "forbidden", false),
    ] {
        let opened = listen(&mut server, channel, query, bearer);
        let verdict = match &opened.admission {
            Admission::Granted => "granted",
            Admission::Unauthorized(_) => "unauthorized",
            Admission::Forbidden(_) => "forbidden",
        };
        assert_eq!((verdict, opened.may_cancel), (want, may_cancel), "{name}");
        let told = format!("{:?}", opened.admission);
        assert!(!told.contains(token) && !told.contains("rubbish"), "{told}");
    }
    server.unix_time += Duration::from_secs(599);
    assert_eq!(
        listen(&mut server, channel, &query, "").admission,
        Admission::Granted
    );
    server.unix_time += Duration::from_secs(1);
    let expired = listen(&mut server, channel, &query, "");
    assert!(matches!(&expired.admission, Admission::Unauthorized(why) if why.contains("expired")));
}

#[test]
fn a_websocket_may_cancel_if_its_client_may() {
    let mut server = Setup {
        keys: &["k"],
        ..Setup::default()
    }
    .start();
    let line = "GET /connection/websocket?channel=chat:a";
    assert!(!server.session(line, &UPGRADE, "").may_cancel);
    let fields = [UPGRADE[0], UPGRADE[1], ("X-API-Key", "k")];
    assert!(server.session(line, &fields, "").may_cancel);
}

#[test]
fn without_transports_there_is_nothing_to_listen_with() {
    let mut server = Setup {
        no_transports: true,
        ..Setup::default()
    }
    .start();
    error(
        &server.response("GET /connection/sse?channel=chat:a", &[], ""),
        404,
        "not_found",
    );
}
