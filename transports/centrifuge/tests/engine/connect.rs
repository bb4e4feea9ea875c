//! Connecting, its refusals, pings, expiry and the end.

use std::time::Duration;

use lmserver_runtime::plugin::access::ClientSettings;

use crate::world::{Got, World, masked, text};

const VERSION: &str = concat!("lmserver ", env!("CARGO_PKG_VERSION"));

fn close(code: u16, reason: &str) -> Vec<Got> {
    vec![Got::Close(code, reason.into())]
}

/// What follows the handshake of a client that sends this first.
fn after_handshake(message: &str) -> Vec<Got> {
    let mut world = World::new();
    let client = world.websocket(message);
    world.get(client).split_off(1)
}

#[test]
fn a_client_connects_and_is_told_of_pings() {
    let got = after_handshake(r#"{"connect":{"name":"js"},"id":1}"#);
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(
        masked(reply),
        format!(
            r#"{{"id":1,"connect":{{"client":"ID","version":"{VERSION}","ping":25,"pong":true}}}}"#
        )
    );
}

#[test]
fn the_first_command_is_connect_and_nothing_else_is() {
    for message in [
        r#"{"id":1,"subscribe":{"channel":"a"}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"id":1}"#,
        "{}",
        r#"{"send":{"data":1}}"#,
        r#"{"id":1,"rpc":{"method":"x"}}"#,
        "",
        "\n",
        "[]",
        "1",
        "{",
        r#"{"id":"1","connect":{}}"#,
        r#"{"id":1,"connect":{"token":1}}"#,
        "{\"id\":1,\"connect\":\n{}}",
    ] {
        assert_eq!(
            after_handshake(message),
            close(3501, "bad request"),
            "{message:?}"
        );
    }
}

#[test]
fn a_refusal_is_an_error_or_the_end() {
    for (code, reason) in [
        (3500, "invalid token"),
        (3501, "bad request"),
        (3507, "permission denied"),
    ] {
        let message = format!(r#"{{"id":1,"connect":{{"token":"disconnect:{code}"}}}}"#);
        assert_eq!(after_handshake(&message), close(code, reason));
    }
    for (code, rest) in [
        (109, r#""message":"token expired""#),
        (101, r#""message":"unauthorized""#),
        (100, r#""message":"internal server error","temporary":true"#),
    ] {
        let mut world = World::new();
        // What stands behind in the same message is ignored.
        let client = world.websocket(&format!(
            "{{\"id\":1,\"connect\":{{\"token\":\"error:{code}\"}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"a\"}}}}"
        ));
        let want = format!(r#"{{"id":1,"error":{{"code":{code},{rest}}}}}"#);
        assert_eq!(world.get(client)[1..], [text(&want)]);
        // It stays open until it is stale.
        world.pass_seconds(9);
        assert_eq!(world.got(client), []);
        world.pass_seconds(2);
        assert_eq!(world.got(client), close(3502, "stale"));
        // Whatever comes later is one too many.
        let client = world.websocket(&format!(
            r#"{{"id":1,"connect":{{"token":"error:{code}"}}}}"#
        ));
        world.get(client);
        assert_eq!(
            world.ask(client, r#"{"id":2,"connect":{}}"#),
            close(3501, "bad request")
        );
    }
}

#[test]
fn limits_of_connections_and_channels_are_held() {
    let settings = ClientSettings {
        user_connection_limit: 1,
        channel_limit: 1,
        ..ClientSettings::default()
    };
    let mut world = World::with(settings);
    let first = world.connected("user:42");
    let second = world.websocket(r#"{"id":1,"connect":{"token":"user:42"}}"#);
    assert_eq!(world.get(second)[1..], close(3504, "connection limit"));
    world.hang_up(first);
    world.connected("user:42");
    world.connected("");
    world.connected("");
    let many = world.websocket(r#"{"id":1,"connect":{"token":"sub:a&sub:b"}}"#);
    assert_eq!(world.get(many)[1..], close(3505, "channel limit"));
}

#[test]
fn a_connection_that_asks_for_nothing_becomes_stale() {
    let mut world = World::new();
    let client = world.handshake("/connection/websocket", "");
    assert!(matches!(world.get(client)[..], [Got::Head(101, _)]));
    world.pass_seconds(9);
    assert_eq!(world.got(client), []);
    world.pass_seconds(1);
    assert_eq!(world.get(client), close(3502, "stale"));
    // The peer's close frame is waited for, five seconds at most.
    world.pass_seconds(4);
    assert_eq!(world.got(client), []);
    world.pass_seconds(2);
    assert_eq!(world.got(client), [Got::Gone]);
}

#[test]
fn the_server_pings_and_wants_an_answer() {
    let mut world = World::new();
    let client = world.connected("");
    world.pass_seconds(12);
    assert_eq!(world.got(client), []);
    for _ in 0..5 {
        assert_eq!(world.wait(client, 26), [text("{}")]);
        world.send(client, "{}");
    }
    assert_eq!(world.wait(client, 26), [text("{}")]);
    assert_eq!(world.wait(client, 9), close(3012, "no pong"));
}

/// FIN and pong, masked, empty.
const PONG_FRAME: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

#[test]
fn an_answer_to_no_ping_is_let_pass() {
    let settings = ClientSettings {
        command_rate: 2,
        ..ClientSettings::default()
    };
    let mut world = World::with(settings);
    let client = world.connected("");
    assert_eq!(world.ask(client, "{}"), []);
    assert_eq!(world.wait(client, 26), [text("{}")]);
    assert_eq!(world.ask(client, "{}"), []);
    assert_eq!(world.ask(client, "{}"), []);
    let not_available = text(r#"{"id":2,"error":{"code":108,"message":"not available"}}"#);
    assert_eq!(world.ask(client, r#"{"id":2,"rpc":{}}"#), [not_available]);
    let many = ["{}"; 9].join("\n");
    assert_eq!(
        world.ask(client, &many),
        close(3013, "too many requests"),
        "but not a flood of them"
    );
}

#[test]
fn a_pong_frame_is_no_answer_to_a_ping_that_is_a_message() {
    let mut world = World::new();
    let client = world.connected("");
    world.send_bytes(client, &PONG_FRAME);
    for _ in 0..3 {
        assert_eq!(world.wait(client, 26), [text("{}")]);
        world.send_bytes(client, &PONG_FRAME);
        assert_eq!(world.ask(client, "{}"), []);
    }
    assert_eq!(world.wait(client, 26), [text("{}")]);
    world.send_bytes(client, &PONG_FRAME);
    assert_eq!(world.wait(client, 9), close(3012, "no pong"));
}

#[test]
fn pings_may_be_off_unanswered_or_frames() {
    for (interval, timeout, want) in [
        (0, 8, ""),
        (25, 0, r#","ping":25"#),
        (40, 10, r#","ping":40,"pong":true"#),
    ] {
        let settings = ClientSettings {
            ping_interval: Duration::from_secs(interval),
            pong_timeout: Duration::from_secs(timeout),
            ..ClientSettings::default()
        };
        let mut world = World::with(settings);
        let client = world.websocket(r#"{"id":1,"connect":{}}"#);
        let got = world.get(client);
        let want = format!(r#"{{"id":1,"connect":{{"client":"ID","version":"{VERSION}"{want}}}}}"#);
        assert!(
            matches!(&got[1], Got::Text(it) if masked(it) == want),
            "{got:?}"
        );
        world.pass_seconds(41);
        let pings = world.got(client).len();
        assert_eq!(pings > 0, interval > 0, "{interval}");
    }
    let mut world = World::new();
    let client = world.handshake(
        "/connection/websocket?cf_ws_frame_ping_pong=true&other=1",
        "",
    );
    world.send(client, r#"{"id":1,"connect":{}}"#);
    let got = world.get(client);
    assert!(
        matches!(&got[1], Got::Text(it) if !it.contains("ping")),
        "{got:?}"
    );
    assert_eq!(world.wait(client, 26), [Got::Ping]);
    world.send_bytes(client, &PONG_FRAME);
    world.pass_seconds(9);
    assert_eq!(world.got(client), []);
    assert_eq!(world.wait(client, 26), [Got::Ping]);
    assert_eq!(world.wait(client, 9), close(3012, "no pong"));
}

#[test]
fn an_expired_connection_is_refreshed_or_ends() {
    let mut world = World::new();
    let client = world.websocket(r#"{"id":1,"connect":{"token":"ttl:10&user:7"}}"#);
    let got = world.get(client);
    assert!(
        matches!(&got[1], Got::Text(it) if it.contains(r#","expires":true,"ttl":10,"#)),
        "{got:?}"
    );
    let got = world.ask(client, r#"{"id":2,"refresh":{"token":"ttl:20"}}"#);
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    let want = format!(
        r#"{{"id":2,"refresh":{{"client":"ID","version":"{VERSION}","expires":true,"ttl":20}}}}"#
    );
    assert_eq!(masked(reply), want);
    let mut got = world.wait(client, 26);
    while got == [text("{}")] {
        world.send(client, "{}");
        got = world.wait(client, 26);
    }
    assert_eq!(got, close(3005, "connection expired"));
}

#[test]
fn a_refresh_may_be_refused_or_senseless() {
    for (connect, refresh, want) in [
        ("", "", close(3501, "bad request")),
        ("ttl:10", "disconnect:3500", close(3500, "invalid token")),
        (
            "ttl:10",
            "disconnect:3005",
            close(3005, "connection expired"),
        ),
    ] {
        let mut world = World::new();
        let client = world.connected(connect);
        let refresh = format!(r#"{{"id":2,"refresh":{{"token":"{refresh}"}}}}"#);
        assert_eq!(world.ask(client, &refresh), want);
    }
    let mut world = World::new();
    let client = world.connected("ttl:10");
    let got = world.ask(client, r#"{"id":2,"refresh":{"token":"error:109"}}"#);
    assert_eq!(
        got,
        [text(
            r#"{"id":2,"error":{"code":109,"message":"token expired"}}"#
        )]
    );
}

#[test]
fn the_server_subscribes_the_client_with_the_connect_reply() {
    let mut world = World::new();
    world.publish("news", "", r#"{"n":1}"#);
    world.publish("news", "", r#"{"n":2}"#);
    let client = world.websocket(concat!(
        r#"{"id":1,"connect":{"token":"user:42&sub:news&sub:plain:x","#,
        r#""subs":{"news":{"recover":true,"offset":1}}}}"#,
        "\n",
        r#"{"id":2,"history":{"channel":"news"}}"#
    ));
    let got = world.get(client);
    let [_, Got::Text(connect), Got::Text(history)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(
        masked(connect),
        format!(
            r#"{{"id":1,"connect":{{"client":"ID","version":"{VERSION}","subs":{{"news":{},"plain:x":{{}}}},"ping":25,"pong":true}}}}"#,
            r#"{"recoverable":true,"epoch":"EPOCH","publications":[{"data":{"n":2},"offset":2}],"recovered":true,"offset":1,"positioned":true,"was_recovering":true}"#
        )
    );
    assert!(history.starts_with(r#"{"id":2,"history""#));
    world.publish("news", "", r#"{"n":3}"#);
    world.publish("plain:x", "", "1");
    assert_eq!(
        world.texts(client),
        [
            r#"{"push":{"channel":"news","pub":{"data":{"n":3},"offset":3}}}"#,
            r#"{"push":{"channel":"plain:x","pub":{"data":1}}}"#,
        ]
    );
}

#[test]
fn a_subscription_of_the_server_that_expires_ends_the_connection() {
    let mut world = World::new();
    let client = world.connected("sub:a&subttl:2");
    let mut got = world.wait(client, 26);
    while got == [text("{}")] {
        world.send(client, "{}");
        got = world.wait(client, 26);
    }
    assert_eq!(got, close(3006, "subscription expired"));
}

#[test]
fn commands_that_come_too_fast_are_refused() {
    let settings = ClientSettings {
        command_rate: 3,
        ..ClientSettings::default()
    };
    let mut world = World::with(settings);
    let client = world.connected("");
    let command = r#"{"id":9,"rpc":{}}"#;
    let message = [command; 13].join("\n");
    let refused = r#"{"id":9,"error":{"code":111,"message":"too many requests","temporary":true}}"#;
    let done = r#"{"id":9,"error":{"code":108,"message":"not available"}}"#;
    let got = world.ask(client, &message);
    let mut want: Vec<Got> = [[done; 6], [refused; 6]]
        .concat()
        .into_iter()
        .map(text)
        .collect();
    want.extend(close(3013, "too many requests"));
    assert_eq!(got, want);
}

#[test]
fn a_message_has_its_bounds() {
    let settings = ClientSettings {
        message_bytes: 100,
        commands_per_message: 3,
        ..ClientSettings::default()
    };
    let mut world = World::with(settings);
    let client = world.connected("");
    let four = [r#"{"id":2,"rpc":{}}"#; 4].join("\n");
    let got = world.ask(client, &four);
    assert_eq!(got[3..], close(3501, "bad request"));
    let client = world.connected("");
    let got = world.ask(client, &"x".repeat(101));
    assert!(
        matches!(&got[..], [Got::Close(1009, _), Got::Gone]),
        "{got:?}"
    );
}

#[test]
fn a_message_of_the_largest_size_may_wait_for_a_placement() {
    let settings = ClientSettings {
        message_bytes: 1024 * 1024,
        ..ClientSettings::default()
    };
    let mut world = World::with(settings);
    let client = world.connected("");
    let data = "x".repeat(900_000);
    let got = world.ask(
        client,
        &format!(
            "{{\"id\":2,\"subscribe\":{{\"channel\":\"a\"}}}}\n\
             {{\"id\":3,\"publish\":{{\"channel\":\"a\",\"data\":\"{data}\"}}}}"
        ),
    );
    assert!(
        matches!(&got[..], [Got::Text(reply), Got::Text(published), Got::Text(_)]
            if reply.contains("subscribe") && published == r#"{"id":3,"publish":{}}"#),
        "{} messages",
        got.len()
    );
}

#[test]
fn the_end_of_the_server_is_said() {
    let mut world = World::new();
    let client = world.connected("");
    world.stop();
    let got = world.got(client);
    assert_eq!(got[0], Got::Close(3001, "shutdown".into()), "{got:?}");
}

#[test]
fn the_clients_close_is_answered() {
    let mut world = World::new();
    let client = world.connected("");
    world.send_bytes(client, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(
        world.get(client),
        [Got::Close(1000, String::new()), Got::Gone]
    );
}

#[test]
fn a_message_is_understood_however_it_is_cut() {
    let messages = [
        "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
        r#"{"id":3,"unsubscribe":{"channel":"a"}}"#,
    ];
    let mut bytes = Vec::new();
    for message in messages {
        use lmserver_proto::ws::frame::{Opcode, write_frame};
        write_frame(
            &mut bytes,
            Opcode::Text,
            true,
            message.as_bytes(),
            Some([9, 8, 7, 6]),
        );
    }
    let mut want = None;
    for at in 0..bytes.len() {
        let mut world = World::new();
        let client = world.handshake("/connection/websocket", "");
        world.get(client);
        world.send_bytes(client, &bytes[..at]);
        world.pass(Duration::from_millis(20));
        world.send_bytes(client, &bytes[at..]);
        let got: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
        assert_eq!(got.len(), 3);
        assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "cut at {at}");
    }
}
