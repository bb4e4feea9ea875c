//! Sessions on responses of HTTP: what stands in them, commands beside them, how they end.

use lmserver_proto::percent;

use crate::site::NODE;
use crate::world::{Got, World, masked, text, value};

const VERSION: &str = concat!("lmserver ", env!("CARGO_PKG_VERSION"));

/// The cache's fields, which all responses have.
const FIELDS: [&str; 5] = [
    "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n",
    "Pragma: no-cache\r\n",
    "Expire: 0\r\n",
    "X-Accel-Buffering: no\r\n",
    "Access-Control-Allow-Origin: http://a\r\n",
];

fn emulate(world: &mut World, session: &str, commands: &str) {
    let data = serde_json::to_string(commands).unwrap();
    let body = format!(r#"{{"session":"{session}","node":"{NODE}","data":{data}}}"#);
    world.post(
        "/emulation",
        "Content-Type: application/json\r\n",
        body.as_bytes(),
    );
}

#[test]
fn server_sent_events_carry_a_session() {
    for by_get in [true, false] {
        let mut world = World::new();
        let connect = r#"{"connect":{"name":"js"},"id":1}"#;
        let client = if by_get {
            let target = format!("/connection/sse?cf_connect={}", percent::encode(connect));
            world.request("GET", &target, "", b"")
        } else {
            world.request("POST", "/connection/sse", "", connect.as_bytes())
        };
        let got = world.get(client);
        let [Got::Head(200, head), Got::Text(first), Got::Text(reply)] = &got[..] else {
            panic!("{got:?}")
        };
        for field in FIELDS {
            assert!(head.contains(field), "{head}");
        }
        assert!(head.contains("Content-Type: text/event-stream; charset=utf-8\r\n"));
        assert_eq!(first, "\r\n");
        assert_eq!(
            masked(reply),
            format!(
                "data: {{\"id\":1,\"connect\":{{\"client\":\"ID\",\"version\":\"{VERSION}\",\"ping\":25,\"pong\":true,\"session\":\"ID\",\"node\":\"ID\"}}}}\n\n"
            )
        );
        assert_eq!(value(reply, "node"), NODE);
        let session = value(reply, "session");
        emulate(
            &mut world,
            &session,
            r#"{"subscribe":{"channel":"t","flag":1},"id":2}"#,
        );
        let got = world.texts(client);
        assert_eq!(
            masked(&got[0]),
            "data: {\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"EPOCH\",\"positioned\":true}}\n\n"
        );
        emulate(
            &mut world,
            &session,
            r#"{"publish":{"channel":"t","data":{"a":1}},"id":3}"#,
        );
        let mut got: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
        got.sort_unstable();
        assert_eq!(
            got,
            [
                "data: {\"id\":3,\"publish\":{}}\n\n",
                "data: {\"push\":{\"channel\":\"t\",\"pub\":{\"data\":{\"a\":1},\"info\":{\"user\":\"\",\"client\":\"ID\"},\"offset\":1,\"epoch\":\"EPOCH\"}}}\n\n",
            ]
        );
        assert_eq!(world.wait(client, 26), [text("data: {}\n\n")]);
        emulate(&mut world, &session, "{}");
        assert_eq!(world.get(client), []);
        emulate(&mut world, &session, r#"{"id":4,"ping":{}}"#);
        assert_eq!(
            world.get(client),
            [
                text(
                    "data: {\"push\":{\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}}\n\n"
                ),
                Got::End,
            ]
        );
    }
}

#[test]
fn a_stream_of_lines_carries_a_session() {
    let mut world = World::new();
    let client = world.request(
        "POST",
        "/connection/http_stream",
        "Content-Type: application/json\r\n",
        br#"{"connect":{"name":"js","token":"user:7"},"id":1}"#,
    );
    let got = world.get(client);
    let [Got::Head(200, head), Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    for field in FIELDS {
        assert!(head.contains(field), "{head}");
    }
    assert!(reply.starts_with(r#"{"id":1,"connect":{"client":""#) && reply.ends_with("}}\n"));
    let session = value(reply, "session");
    emulate(
        &mut world,
        &session,
        "{\"subscribe\":{\"channel\":\"t\"},\"id\":2}\n{\"subscribe\":{\"channel\":\"u\"},\"id\":3}",
    );
    let got = world.texts(client);
    assert!(got[0].starts_with(r#"{"id":2,"#) && got[1].starts_with(r#"{"id":3,"#));
    world.publish("u", "", "1");
    world.publish("u", "", "2");
    assert_eq!(
        world.texts(client)[1],
        "{\"push\":{\"channel\":\"u\",\"pub\":{\"data\":2,\"offset\":2}}}\n"
    );
    world.post(
        "/signal?user=7&kind=disconnect&code=3503&reason=force",
        "",
        b"",
    );
    assert_eq!(
        world.get(client),
        [
            text("{\"push\":{\"disconnect\":{\"code\":3503,\"reason\":\"force\"}}}\n"),
            Got::End,
        ]
    );
    // The session is gone, and commands for it are lost.
    emulate(
        &mut world,
        &session,
        r#"{"subscribe":{"channel":"t"},"id":9}"#,
    );
}

#[test]
fn a_stream_of_protobuf_carries_a_session() {
    let mut world = World::new();
    let octets = "Content-Type: application/octet-stream\r\n";
    let client = world.request(
        "POST",
        "/connection/http_stream",
        octets,
        &[4, 8, 1, 0x22, 0],
    );
    let got = world.get(client);
    let (Got::Head(200, _), Got::Binary(reply)) = (&got[0], &got[1]) else {
        panic!("{got:?}")
    };
    // Its length in two bytes; id 1, connect.
    assert_eq!(reply[2..5], [8, 1, 0x2a]);
    assert_eq!(reply.len(), 2 + usize::from(reply[0] & 0x7f) + 128);
    let session = reply.windows(38).find(|it| it[..2] == [0x4a, 36]).unwrap();
    let mut body = vec![0x0a, 36];
    body.extend_from_slice(NODE.as_bytes());
    body.extend_from_slice(&[0x12, 36]);
    body.extend_from_slice(&session[2..]);
    body.extend_from_slice(&[0x1a, 8, 7, 8, 2, 0x2a, 3, 0x0a, 1, b'a']);
    world.post("/emulation", octets, &body);
    let got = world.get(client);
    assert!(
        matches!(&got[..], [Got::Text(it)] if it.as_bytes()[1..4] == [8, 2, 0x32]),
        "{got:?}"
    );
    world.publish("a", "", "boom");
    let got = world.get(client);
    assert!(
        matches!(&got[..], [Got::Text(it)] if it.contains("boom")),
        "{got:?}"
    );
}

#[test]
fn a_refusal_that_shall_be_tried_again_is_a_status_for_streams_of_lines() {
    for (token, reason) in [
        ("error:100", "too many requests"),
        ("error:111", "too many requests"),
        ("disconnect:3004", "internal server error"),
        ("disconnect:3013", "too many requests"),
    ] {
        let mut world = World::new();
        let body = format!(r#"{{"connect":{{"token":"{token}"}},"id":1}}"#);
        let client = world.request("POST", "/connection/http_stream", "", body.as_bytes());
        let got = world.get(client);
        assert!(
            matches!(&got[0], Got::Head(503, head) if head.contains("Access-Control-Allow-Origin: http://a\r\n")),
            "{got:?}"
        );
        assert_eq!(got[1..], [text(reason), Got::End]);
    }
}

#[test]
fn other_refusals_stand_in_the_stream() {
    for (path, begin, mark) in [("sse", "data: ", "\n\n"), ("http_stream", "", "\n")] {
        for (token, want) in [
            (
                "error:101",
                r#"{"id":1,"error":{"code":101,"message":"unauthorized"}}"#,
            ),
            (
                "error:109",
                r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#,
            ),
        ] {
            let mut world = World::new();
            let body = format!(r#"{{"connect":{{"token":"{token}"}},"id":1}}"#);
            let client = world.request("POST", &format!("/connection/{path}"), "", body.as_bytes());
            let got = world.get(client);
            assert_eq!(got.last(), Some(&Got::Text(format!("{begin}{want}{mark}"))));
            // The client closes it, or it becomes stale.
            world.pass_seconds(9);
            assert_eq!(world.got(client), []);
            world.pass_seconds(2);
            let stale = r#"{"push":{"disconnect":{"code":3502,"reason":"stale"}}}"#;
            assert_eq!(
                world.got(client),
                [Got::Text(format!("{begin}{stale}{mark}")), Got::End]
            );
        }
        for body in [
            r#"{"connect":{"token":"disconnect:3500"},"id":1}"#,
            "",
            "{}",
        ] {
            let mut world = World::new();
            let client = world.request("POST", &format!("/connection/{path}"), "", body.as_bytes());
            let got = world.get(client);
            assert!(matches!(got[0], Got::Head(200, _)));
            let (code, reason) = if body.contains("3500") {
                (3500, "invalid token")
            } else {
                (3501, "bad request")
            };
            let want = format!(
                r#"{begin}{{"push":{{"disconnect":{{"code":{code},"reason":"{reason}"}}}}}}{mark}"#
            );
            let at = got.len() - 2;
            assert_eq!(got[at..], [Got::Text(want), Got::End], "{got:?}");
        }
    }
    // A busy server is an error like others to events.
    let mut world = World::new();
    let client = world.request(
        "POST",
        "/connection/sse",
        "",
        br#"{"connect":{"token":"error:100"},"id":1}"#,
    );
    let got = world.get(client);
    assert!(
        matches!(got.last(), Some(Got::Text(it)) if it.contains(r#""temporary":true"#)),
        "{got:?}"
    );
}

#[test]
fn the_end_of_the_server_ends_streams() {
    for path in ["sse", "http_stream"] {
        let mut world = World::new();
        let client = world.request(
            "POST",
            &format!("/connection/{path}"),
            "",
            br#"{"connect":{},"id":1}"#,
        );
        world.get(client);
        world.stop();
        let got = world.got(client);
        assert!(
            matches!(&got[0], Got::Text(it) if it.contains(r#""disconnect":{"code":3001,"reason":"shutdown"}"#)),
            "{got:?}"
        );
        assert_eq!(got[1], Got::End);
    }
}

#[test]
fn commands_in_another_encoding_end_the_session() {
    let mut world = World::new();
    let client = world.request("POST", "/connection/sse", "", br#"{"connect":{},"id":1}"#);
    let got = world.get(client);
    let Some(Got::Text(reply)) = got.last() else {
        panic!("{got:?}")
    };
    let session = value(reply, "session");
    // node and session, then data.
    let mut body = vec![0x0a, 36];
    body.extend_from_slice(NODE.as_bytes());
    body.extend_from_slice(&[0x12, 36]);
    body.extend_from_slice(session.as_bytes());
    body.extend_from_slice(&[0x1a, 1, 0]);
    world.post(
        "/emulation",
        "Content-Type: application/octet-stream\r\n",
        &body,
    );
    let got = world.get(client);
    assert!(
        matches!(&got[0], Got::Text(it) if it.contains("3501")),
        "{got:?}"
    );
}

#[test]
fn a_client_of_http_1_0_gets_the_messages_alone() {
    let mut world = World::new();
    let body = r#"{"connect":{},"id":1}"#;
    let client = world.request("POST", "/connection/http_stream", "", b"");
    world.hang_up(client);
    let head = format!(
        "POST /connection/http_stream HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let client = world.raw(head.as_bytes());
    let got = world.get(client);
    assert!(
        matches!(&got[1], Got::Text(it) if it.starts_with(r#"{"id":1,"connect""#)),
        "{got:?}"
    );
}
