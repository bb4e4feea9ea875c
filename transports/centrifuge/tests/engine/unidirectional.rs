//! Connections that only go down.

use lmserver_proto::percent;

use crate::world::{Client, Got, World, masked, text, value};

const VERSION: &str = concat!("lmserver ", env!("CARGO_PKG_VERSION"));

/// A client of a path that asks for this.
fn open(world: &mut World, path: &str, connect: &str, fields: &str) -> Client {
    let target = format!("/connection/{path}?cf_connect={}", percent::encode(connect));
    match path {
        "uni_websocket" => world.handshake(&target, fields),
        "uni_sse" => world.request("GET", &target, fields, b""),
        _ => world.request(
            "POST",
            "/connection/uni_http_stream",
            fields,
            connect.as_bytes(),
        ),
    }
}

/// What is around a message of a path.
fn frame(path: &str) -> (&'static str, &'static str) {
    match path {
        "uni_websocket" => ("", ""),
        "uni_sse" => ("data: ", "\n\n"),
        _ => ("", "\n"),
    }
}

const PATHS: [&str; 3] = ["uni_websocket", "uni_sse", "uni_http_stream"];

/// The messages among what was got.
fn messages(got: &[Got]) -> Vec<String> {
    got.iter()
        .filter_map(|got| match got {
            Got::Text(text) if text != "retry: 1000\n" => Some(masked(text)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_client_gets_pushes_alone() {
    for path in PATHS {
        let (begin, end) = frame(path);
        let mut world = World::new();
        world.publish("chan", "", "1");
        let client = open(
            &mut world,
            path,
            r#"{"token":"user:7","subs":{"chan":{}}}"#,
            "",
        );
        let got = world.get(client);
        let id = if path == "uni_sse" { "id: " } else { "" };
        let got = messages(&got);
        let [connect] = &got[..] else {
            panic!("{got:?}")
        };
        assert!(connect.starts_with(id));
        let want = format!(
            r#"{begin}{{"connect":{{"client":"ID","version":"{VERSION}","subs":{{"chan":{{"recoverable":true,"epoch":"EPOCH","offset":1,"positioned":true}}}},"ping":25,"session":"ID"}}}}{end}"#
        );
        assert!(connect.ends_with(&want), "{connect}");
        world.publish("chan", "", "2");
        world.post("/signal?user=7&kind=message", "", b"3");
        let got = messages(&world.get(client));
        assert!(
            got[0].ends_with(&format!(
                r#"{begin}{{"channel":"chan","pub":{{"data":2,"offset":2}}}}{end}"#
            )),
            "{got:?}"
        );
        assert_eq!(got[1], format!(r#"{begin}{{"message":{{"data":3}}}}{end}"#));
        let got = world.wait(client, 26);
        assert_eq!(messages(&got), [format!("{begin}{{}}{end}")]);
        assert_eq!(got.contains(&Got::Ping), path == "uni_websocket");
        // No answer is expected.
        world.pass_seconds(20);
        assert_eq!(world.got(client), []);
        world.post(
            "/signal?user=7&kind=disconnect&code=3503&reason=off",
            "",
            b"",
        );
        let got = world.get(client);
        assert_eq!(
            got[0],
            Got::Text(format!(
                r#"{begin}{{"disconnect":{{"code":3503,"reason":"off"}}}}{end}"#
            ))
        );
        let last = if path == "uni_websocket" {
            Got::Close(3503, "off".into())
        } else {
            Got::End
        };
        assert_eq!(got[1], last);
    }
}

#[test]
fn an_empty_request_is_one() {
    for path in PATHS {
        for connect in ["", "null", "{}"] {
            let mut world = World::new();
            let client = open(&mut world, path, connect, "");
            let got = messages(&world.get(client));
            assert!(
                got[0].contains(r#"{"connect":{"client":"ID""#),
                "{path} {connect}: {got:?}"
            );
        }
    }
    let mut world = World::new();
    let client = world.request("GET", "/connection/uni_sse", "", b"");
    assert!(messages(&world.get(client))[0].contains(r#"{"connect":{"#));
}

#[test]
fn on_a_websocket_the_request_may_be_the_first_message() {
    let mut world = World::new();
    let client = world.handshake("/connection/uni_websocket", "");
    assert_eq!(world.get(client).len(), 1);
    let got = messages(&world.ask(client, r#"{"subs":{"a":{}}}"#));
    assert!(got[0].starts_with(r#"{"connect":{"#));
    // Later ones mean nothing.
    assert_eq!(world.ask(client, "nothing"), []);
    let client = world.handshake("/connection/uni_websocket", "");
    world.send(client, "[]");
    let got = world.get(client);
    let push = text(r#"{"disconnect":{"code":3501,"reason":"bad request"}}"#);
    assert_eq!(got[1..], [push, Got::Close(3501, "bad request".into())]);
}

#[test]
fn errors_of_connecting_are_ends() {
    for path in PATHS {
        for (error, code, reason) in [
            (109, 3005, "connection expired"),
            (110, 3005, "connection expired"),
            (111, 3013, "too many requests"),
            (103, 3507, "permission denied"),
            (100, 3004, "internal server error"),
            (101, 3004, "internal server error"),
        ] {
            let mut world = World::new();
            let client = open(
                &mut world,
                path,
                &format!(r#"{{"token":"error:{error}"}}"#),
                "",
            );
            let got = world.get(client);
            let (begin, end) = frame(path);
            let want =
                format!(r#"{begin}{{"disconnect":{{"code":{code},"reason":"{reason}"}}}}{end}"#);
            assert_eq!(messages(&got), [want], "{path} {error}");
        }
    }
}

#[test]
fn missed_publications_come_with_the_connect_push() {
    for path in PATHS {
        let mut world = World::new();
        for data in 1..=3 {
            world.publish("a", "", &data.to_string());
        }
        let client = open(
            &mut world,
            path,
            r#"{"subs":{"a":{"recover":true,"offset":1}}}"#,
            "",
        );
        let got = messages(&world.get(client));
        assert_eq!(got.len(), 1);
        let want = r#""publications":[{"data":2,"offset":2},{"data":3,"offset":3}],"recovered":true,"offset":1,"#;
        assert!(got[0].contains(want), "{got:?}");
    }
}

#[test]
fn an_event_source_resumes_by_the_last_id() {
    let mut world = World::new();
    world.publish("a", "", "1");
    let client = open(&mut world, "uni_sse", r#"{"subs":{"a":{}}}"#, "");
    let got = world.get(client);
    let Some(Got::Text(connect)) = got.last() else {
        panic!("{got:?}")
    };
    let epoch = value(connect, "epoch");
    assert!(
        connect.starts_with(&format!("id: {epoch}-1\ndata: ")),
        "{connect}"
    );
    world.publish("a", "", "2");
    assert_eq!(
        world.texts(client),
        [format!(
            "id: {epoch}-2\ndata: {{\"channel\":\"a\",\"pub\":{{\"data\":2,\"offset\":2}}}}\n\n"
        )]
    );
    world.hang_up(client);
    world.publish("a", "", "3");
    for (seen, want, position) in [
        (
            format!("{epoch}-2"),
            r#""publications":[{"data":3,"offset":3}],"recovered":true,"offset":2"#,
            3,
        ),
        (format!("{epoch}-3"), r#""recovered":true,"offset":3"#, 3),
        ("abcdef-2".into(), r#""offset":3"#, 3),
        ("nonsense".into(), r#""offset":3"#, 3),
    ] {
        let field = format!("Last-Event-ID: {seen}\r\n");
        let client = open(&mut world, "uni_sse", r#"{"subs":{"a":{}}}"#, &field);
        let twin = format!("/connection/uni_sse?last_event_id={seen}");
        let twin = world.request("POST", &twin, "", br#"{"subs":{"a":{}}}"#);
        assert_eq!(messages(&world.get(client)), messages(&world.get(twin)));
        let client = open(&mut world, "uni_sse", r#"{"subs":{"a":{}}}"#, &field);
        let got = world.get(client);
        let Some(Got::Text(connect)) = got.last() else {
            panic!("{got:?}")
        };
        assert!(connect.contains(want), "{connect}");
        assert!(
            connect.starts_with(&format!("id: {epoch}-{position}\n")),
            "{connect}"
        );
        assert_eq!(connect.contains("recovered"), seen.starts_with(&epoch));
    }
}

#[test]
fn the_last_id_counts_more_than_what_the_request_says_of_its_channel() {
    let mut world = World::new();
    for data in 1..=4 {
        world.publish("a", "", &data.to_string());
        world.publish("b", "", &data.to_string());
    }
    let client = open(&mut world, "uni_sse", r#"{"subs":{"a":{}}}"#, "");
    let connect = messages_unmasked(&world.get(client));
    let epoch = value(&connect, "epoch");
    let field = format!("Last-Event-ID: {epoch}-3\r\n");
    for (subs, missed) in [
        (r#"{"a":{"recover":true,"offset":1}}"#.to_owned(), 1),
        (
            format!(
                r#"{{"a":{{"recover":true,"offset":1,"epoch":"{epoch}"}},"b":{{"recover":true,"offset":1,"epoch":"x"}}}}"#
            ),
            1,
        ),
        (r#"{"a":{},"b":{"recover":true,"offset":2}}"#.to_owned(), 3),
    ] {
        let client = open(
            &mut world,
            "uni_sse",
            &format!(r#"{{"subs":{subs}}}"#),
            &field,
        );
        let connect = messages_unmasked(&world.get(client));
        assert_eq!(connect.matches(r#"{"data":"#).count(), missed, "{connect}");
        assert!(connect.contains(r#"{"data":4,"offset":4}"#));
    }
}

fn messages_unmasked(got: &[Got]) -> String {
    match got.last() {
        Some(Got::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_end_of_the_server_is_said_to_all() {
    for path in PATHS {
        let mut world = World::new();
        let client = open(&mut world, path, "{}", "");
        world.get(client);
        world.stop();
        let got = world.got(client);
        assert!(
            matches!(&got[0], Got::Text(it) if it.contains(r#"{"disconnect":{"code":3001,"reason":"shutdown"}}"#)),
            "{got:?}"
        );
    }
}
