//! Subscribing and its refusals, pushes, what others tell a session.

use lmserver_runtime::plugin::access::ClientSettings;

use crate::world::{Got, World, masked, text};

fn close(code: u16, reason: &str) -> Vec<Got> {
    vec![Got::Close(code, reason.into())]
}

fn error(id: u32, code: u32, message: &str) -> Vec<Got> {
    vec![Got::Text(format!(
        r#"{{"id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#
    ))]
}

#[test]
fn a_subscription_is_answered_before_its_publications() {
    let mut world = World::new();
    let client = world.connected("");
    let got = world.ask(client, r#"{"subscribe":{"channel":"ch","flag":1},"id":2}"#);
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(
        masked(reply),
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"EPOCH","positioned":true}}"#
    );
    world.publish("ch", "", r#"{"i":1}"#);
    world.publish("ch", "&tag=a:b", r#"{"i":2}"#);
    let texts: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
    assert_eq!(
        texts,
        [
            r#"{"push":{"channel":"ch","pub":{"data":{"i":1},"offset":1,"epoch":"EPOCH"}}}"#,
            r#"{"push":{"channel":"ch","pub":{"data":{"i":2},"offset":2,"tags":{"a":"b"}}}}"#,
        ]
    );
    assert_eq!(
        world.ask(client, r#"{"unsubscribe":{"channel":"ch"},"id":3}"#),
        [text(r#"{"id":3,"unsubscribe":{}}"#)]
    );
    world.publish("ch", "", "1");
    assert_eq!(world.get(client), []);
    assert_eq!(
        world.ask(client, r#"{"unsubscribe":{"channel":"ch"},"id":4}"#),
        [text(r#"{"id":4,"unsubscribe":{}}"#)]
    );
}

#[test]
fn commands_behind_a_subscribe_command_take_effect_in_order() {
    let mut world = World::new();
    let client = world.websocket(
        &[
            r#"{"connect":{},"id":1}"#,
            r#"{"subscribe":{"channel":"own:a"},"id":2}"#,
            r#"{"publish":{"channel":"own:a","data":1},"id":3}"#,
            r#"{"unsubscribe":{"channel":"own:a"},"id":4}"#,
            r#"{"publish":{"channel":"own:a","data":2},"id":5}"#,
            r#"{"subscribe":{"channel":"own:a"},"id":6}"#,
            r#"{"subscribe":{"channel":"own:a"},"id":7}"#,
        ]
        .join("\n"),
    );
    let got = world.get(client);
    let ids: Vec<&str> = got[1..]
        .iter()
        .map(|got| match got {
            Got::Text(text) => text.split(['{', ':', ',']).nth(2).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["1", "2", "3", "4", "5", "6", "7"], "{got:?}");
    assert!(got.contains(&error(5, 103, "permission denied")[0]));
    assert!(got.contains(&error(7, 105, "already subscribed")[0]));
    assert!(got.contains(&text(r#"{"id":3,"publish":{}}"#)));
}

#[test]
fn what_is_wrong_with_a_wish_is_said() {
    let settings = ClientSettings {
        channel_limit: 2,
        ..ClientSettings::default()
    };
    let long = "x".repeat(256);
    let filter = r#"{"key":"a","cmp":"eq","val":"b"}"#;
    for (request, want) in [
        (r#""channel":"""#.into(), close(3501, "bad request")),
        ("".into(), close(3501, "bad request")),
        (
            format!(r#""channel":"{long}""#),
            error(2, 107, "bad request"),
        ),
        (
            r#""channel":"a","type":1"#.into(),
            error(2, 108, "not available"),
        ),
        (
            r#""channel":"a","type":4"#.into(),
            error(2, 108, "not available"),
        ),
        (
            r#""channel":"error:102""#.into(),
            error(2, 102, "unknown channel"),
        ),
        (
            r#""channel":"error:103""#.into(),
            error(2, 103, "permission denied"),
        ),
        (
            r#""channel":"a","token":"error:109""#.into(),
            error(2, 109, "token expired"),
        ),
        (
            r#""channel":"a","token":"disconnect:3500""#.into(),
            close(3500, "invalid token"),
        ),
        (
            r#""channel":"a","token":"error:777""#.into(),
            error(2, 777, "refused"),
        ),
        (
            r#""channel":"chat:none""#.into(),
            error(2, 102, "unknown channel"),
        ),
        (
            r#""channel":"chat:none","recover":true,"offset":3,"epoch":"abcdef""#.into(),
            error(2, 102, "unknown channel"),
        ),
        (
            format!(r#""channel":"a","tf":{filter}"#),
            error(2, 107, "bad request"),
        ),
        (
            r#""channel":"tags:a","tf":{"op":"xor"}"#.into(),
            error(2, 107, "bad request"),
        ),
        (
            format!(r#""channel":"tags:a","delta":"fossil","tf":{filter}"#),
            error(2, 107, "bad request"),
        ),
    ] {
        let mut world = World::with(settings.clone());
        let client = world.connected("");
        let got = world.ask(client, &format!(r#"{{"id":2,"subscribe":{{{request}}}}}"#));
        assert_eq!(got, want, "{request}");
    }
    let mut world = World::with(settings);
    let client = world.connected("");
    for (channel, want) in [
        ("a", None),
        ("a", Some((105, "already subscribed"))),
        ("b", None),
        ("c", Some((106, "limit exceeded"))),
    ] {
        let got = world.ask(
            client,
            &format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#),
        );
        match want {
            None => assert!(matches!(&got[0], Got::Text(it) if it.contains(r#""subscribe""#))),
            Some((code, message)) => assert_eq!(got, error(2, code, message)),
        }
    }
}

#[test]
fn features_are_on_where_they_are_asked_for_and_allowed() {
    for (request, want) in [
        (r#""channel":"plain:a","recover":true,"offset":1"#, "{}"),
        (r#""channel":"asked:a""#, r#"{"epoch":"EPOCH"}"#),
        (
            r#""channel":"asked:a","positioned":true"#,
            r#"{"epoch":"EPOCH","positioned":true}"#,
        ),
        (
            r#""channel":"asked:a","recoverable":true"#,
            r#"{"recoverable":true,"epoch":"EPOCH","positioned":true}"#,
        ),
        (
            r#""channel":"delta:a","delta":"fossil""#,
            r#"{"recoverable":true,"epoch":"EPOCH","positioned":true,"delta":true}"#,
        ),
        (
            r#""channel":"delta:a","delta":"other""#,
            r#"{"recoverable":true,"epoch":"EPOCH","positioned":true}"#,
        ),
        (
            r#""channel":"a","delta":"fossil""#,
            r#"{"recoverable":true,"epoch":"EPOCH","positioned":true}"#,
        ),
        (
            r#""channel":"a","token":"data&ttl:9""#,
            r#"{"expires":true,"ttl":9,"recoverable":true,"epoch":"EPOCH","positioned":true,"data":{"d":1}}"#,
        ),
        (
            r#""channel":"id:a""#,
            r#"{"recoverable":true,"epoch":"EPOCH","positioned":true}"#,
        ),
    ] {
        let mut world = World::new();
        let client = world.connected("");
        let got = world.ask(client, &format!(r#"{{"id":2,"subscribe":{{{request}}}}}"#));
        let [Got::Text(reply)] = &got[..] else {
            panic!("{got:?}")
        };
        assert_eq!(
            masked(reply),
            format!(r#"{{"id":2,"subscribe":{want}}}"#),
            "{request}"
        );
    }
}

#[test]
fn a_numbered_channel_is_not_named_again() {
    let mut world = World::new();
    let client = world.connected("");
    let got = world.ask(
        client,
        r#"{"id":2,"subscribe":{"channel":"id:a","flag":1}}"#,
    );
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    let number = reply
        .split(r#""id":"#)
        .nth(2)
        .unwrap()
        .trim_end_matches('}')
        .to_owned();
    assert_ne!(number, "0");
    world.publish("id:a", "", "1");
    world.publish("id:a", "", "2");
    let texts = world.texts(client);
    assert_eq!(
        texts[1],
        format!(r#"{{"push":{{"id":{number},"pub":{{"data":2,"offset":2}}}}}}"#)
    );
}

#[test]
fn publications_are_filtered_by_their_tags() {
    let mut world = World::new();
    for (tag, data) in [("k:x", "1"), ("k:y", "2"), ("k:x", "3")] {
        world.publish("tags:a", &format!("&tag={tag}"), data);
    }
    let client = world.connected("");
    let got = world.ask(
        client,
        r#"{"id":2,"subscribe":{"channel":"tags:a","recover":true,"tf":{"key":"k","cmp":"eq","val":"x"}}}"#,
    );
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    assert!(reply.contains(r#"{"data":1,"#) && reply.contains(r#"{"data":3,"#));
    assert!(!reply.contains(r#"{"data":2,"#) && reply.contains(r#""recovered":true"#));
    for (tag, data) in [
        ("k:y", "4"),
        ("k:x", "5"),
        ("k:y", "6"),
        ("j:x", "7"),
        ("k:x", "8"),
    ] {
        world.publish("tags:a", &format!("&tag={tag}"), data);
    }
    world.publish("tags:a", "&fleeting&tag=k:x", "9");
    world.publish("tags:a", "&fleeting&tag=k:y", "10");
    assert_eq!(
        world.texts(client),
        [
            r#"{"push":{"channel":"tags:a","pub":{"data":5,"offset":5,"tags":{"k":"x"}}}}"#,
            r#"{"push":{"channel":"tags:a","pub":{"data":8,"offset":8,"tags":{"k":"x"}}}}"#,
            r#"{"push":{"channel":"tags:a","pub":{"data":9,"tags":{"k":"x"}}}}"#,
        ]
    );
}

#[test]
fn a_subscription_expires_unless_it_is_refreshed() {
    let mut world = World::new();
    let client = world.connected("");
    world.ask(
        client,
        r#"{"id":2,"subscribe":{"channel":"a","token":"ttl:5"}}"#,
    );
    assert_eq!(
        world.ask(
            client,
            r#"{"id":3,"sub_refresh":{"channel":"a","token":"ttl:7"}}"#
        ),
        [text(r#"{"id":3,"sub_refresh":{"expires":true,"ttl":7}}"#)]
    );
    let mut got = world.wait(client, 40);
    if got == [text("{}")] {
        world.send(client, "{}");
        got = world.wait(client, 40);
    }
    assert_eq!(
        got,
        [text(
            r#"{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}"#
        )]
    );
    world.publish("a", "", "1");
    assert_eq!(world.get(client), []);
}

#[test]
fn what_is_wrong_with_a_refresh_is_said() {
    for (subscribed, request, want) in [
        (
            "",
            r#""channel":"b","token":"x""#,
            error(3, 103, "permission denied"),
        ),
        (
            "",
            r#""channel":"a","token":"x""#,
            close(3501, "bad request"),
        ),
        ("", r#""token":"x""#, close(3501, "bad request")),
        (
            "t",
            r#""channel":"a","token":"disconnect:3500""#,
            close(3500, "invalid token"),
        ),
        (
            "t",
            r#""channel":"a","token":"error:109""#,
            error(3, 109, "token expired"),
        ),
        (
            "t",
            r#""channel":"a","type":1"#,
            error(3, 108, "not available"),
        ),
        (
            "t",
            r#""token":"only:a""#,
            vec![text(r#"{"id":3,"sub_refresh":{}}"#)],
        ),
        (
            "t",
            r#""token":"only:b""#,
            error(3, 103, "permission denied"),
        ),
    ] {
        let mut world = World::new();
        let client = world.connected("");
        world.ask(
            client,
            &format!(r#"{{"id":2,"subscribe":{{"channel":"a","token":"{subscribed}"}}}}"#),
        );
        let got = world.ask(
            client,
            &format!(r#"{{"id":3,"sub_refresh":{{{request}}}}}"#),
        );
        assert_eq!(got, want, "{request}");
    }
}

#[test]
fn joins_and_leaves_are_heard_by_those_who_shall() {
    let mut world = World::new();
    let first = world.connected("user:1&info");
    let got = world.ask(
        first,
        r#"{"id":2,"subscribe":{"channel":"members:a","token":"info"}}"#,
    );
    let texts: Vec<String> = got
        .iter()
        .map(|got| match got {
            Got::Text(text) => masked(text),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        texts,
        [
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"EPOCH","positioned":true}}"#,
            r#"{"push":{"channel":"members:a","join":{"info":{"user":"1","client":"ID","conn_info":{"u":1},"chan_info":{"c":1}}}}}"#,
        ]
    );
    let second = world.connected("user:2");
    world.ask(second, r#"{"id":2,"subscribe":{"channel":"members:a"}}"#);
    let third = world.connected("user:2");
    world.ask(third, r#"{"id":2,"subscribe":{"channel":"members:a"}}"#);
    world.texts(first);
    let presence = world.ask(first, r#"{"id":3,"presence":{"channel":"members:a"}}"#);
    let [Got::Text(presence)] = &presence[..] else {
        panic!("{presence:?}")
    };
    assert_eq!(masked(presence).matches(r#""ID":{"user":"#).count(), 3);
    assert_eq!(
        world.ask(
            first,
            r#"{"id":4,"presence_stats":{"channel":"members:a"}}"#
        ),
        [text(
            r#"{"id":4,"presence_stats":{"num_clients":3,"num_users":2}}"#
        )]
    );
    world.ask(second, r#"{"id":3,"unsubscribe":{"channel":"members:a"}}"#);
    world.hang_up(third);
    let texts: Vec<String> = world.texts(first).iter().map(|it| masked(it)).collect();
    let left = r#"{"push":{"channel":"members:a","leave":{"info":{"user":"2","client":"ID"}}}}"#;
    assert_eq!(texts, [left, left]);

    // Where joins are pushed on request only.
    let quiet = world.connected("user:3");
    world.ask(quiet, r#"{"id":2,"subscribe":{"channel":"quiet:a"}}"#);
    let asks = world.connected("user:4");
    let got = world.ask(
        asks,
        r#"{"id":2,"subscribe":{"channel":"quiet:a","join_leave":true}}"#,
    );
    assert_eq!(got.len(), 2);
    assert_eq!(world.get(quiet), []);
}

#[test]
fn the_server_subscribes_and_unsubscribes_a_connected_client() {
    let mut world = World::new();
    world.publish("a", "", "1");
    let client = world.connected("user:7");
    world.post("/signal?user=7&kind=subscribe&channel=a", "", b"");
    world.publish("a", "", "2");
    let texts: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
    assert_eq!(
        texts,
        [
            r#"{"push":{"channel":"a","subscribe":{"recoverable":true,"epoch":"EPOCH","offset":1,"positioned":true}}}"#,
            r#"{"push":{"channel":"a","pub":{"data":2,"offset":2}}}"#,
        ]
    );
    world.post("/signal?user=7&kind=subscribe&channel=a", "", b"");
    world.post(
        "/signal?user=7&kind=unsubscribe&channel=b&code=2000",
        "",
        b"",
    );
    world.post(
        "/signal?user=7&kind=unsubscribe&channel=a&code=2000",
        "",
        b"",
    );
    world.post("/signal?user=7&kind=subscribe&channel=a&since=0", "", b"");
    let texts: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
    assert_eq!(
        texts,
        [
            r#"{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"why not"}}}"#,
            r#"{"push":{"channel":"a","subscribe":{"recoverable":true,"epoch":"EPOCH","positioned":true}}}"#,
            "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1,\"offset\":1,\"epoch\":\"EPOCH\"}}}\n{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":2,\"offset\":2}}}",
        ]
    );
}

#[test]
fn other_signals_reach_the_client() {
    let mut world = World::new();
    let client = world.connected("user:7");
    world.post("/signal?user=7&kind=message", "", br#"{"m":1}"#);
    world.post("/signal?user=7&kind=refresh", "", b"");
    world.post("/signal?user=7&kind=refresh&at=1767225700", "", b"");
    let texts = world.texts(client);
    assert_eq!(texts[0], r#"{"push":{"message":{"data":{"m":1}}}}"#);
    assert_eq!(texts[1], r#"{"push":{"refresh":{}}}"#);
    assert!(
        texts[2].starts_with(r#"{"push":{"refresh":{"expires":true,"ttl":100}}}"#),
        "{texts:?}"
    );
    for (signal, code, reason) in [
        (
            "kind=disconnect&code=3503&reason=force+disconnect",
            3503,
            "force disconnect",
        ),
        ("kind=disconnect&code=4501&reason=mine", 4501, "mine"),
        ("kind=disconnect&code=4001", 4001, "disconnect"),
        ("kind=disconnect&code=4001&reason={}", 4001, "disconnect"),
        ("kind=refresh&expired", 3005, "connection expired"),
    ] {
        let client = world.connected("user:8");
        world.post(&format!("/signal?user=8&{signal}"), "", b"");
        assert_eq!(world.get(client), close(code, reason));
        world.hang_up(client);
    }
}
