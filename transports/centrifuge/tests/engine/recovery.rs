//! What a client missed: the rules of recovery, long backlogs, differences.

use std::fmt::Write as _;

use lmserver_proto::centrifuge::delta;

use crate::world::{Got, World, masked, text, value};

/// The reply to a client that subscribes so, and what follows it.
fn subscribe(world: &mut World, request: &str) -> (String, Vec<Got>) {
    let client = world.connected("");
    let mut got = world.ask(client, &format!(r#"{{"id":2,"subscribe":{{{request}}}}}"#));
    let rest = got.split_off(1);
    match got.remove(0) {
        Got::Text(reply) => (reply, rest),
        other => panic!("{other:?}"),
    }
}

fn epoch_of(world: &mut World, channel: &str) -> String {
    let (reply, _) = subscribe(world, &format!(r#""channel":"{channel}""#));
    value(&reply, "epoch")
}

#[test]
fn recovery_follows_its_rules() {
    const HEAD: &str = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"EPOCH""#;
    const LOST: &str = r#","positioned":true,"was_recovering":true}}"#;
    let mut world = World::new();
    for data in 1..=5 {
        world.publish("small:a", "", &data.to_string());
        world.publish("a", "", &data.to_string());
    }
    let entries = |range: std::ops::RangeInclusive<u32>| {
        let mut list = String::new();
        for data in range {
            let epoch = if data == 1 { r#","epoch":"EPOCH""# } else { "" };
            let comma = if list.is_empty() { "" } else { "," };
            let _ = write!(list, r#"{comma}{{"data":{data},"offset":{data}{epoch}}}"#);
        }
        format!(r#","publications":[{list}]"#)
    };
    let small = epoch_of(&mut world, "small:a");
    let big = epoch_of(&mut world, "a");
    let good = |list: &str, offset: u32| {
        let offset = if offset == 0 {
            String::new()
        } else {
            format!(r#","offset":{offset}"#)
        };
        format!(r#"{HEAD}{list},"recovered":true{offset}{LOST}"#)
    };
    let bad = format!(r#"{HEAD},"offset":5{LOST}"#);
    for (request, want) in [
        (
            r#""channel":"a""#.into(),
            format!(r#"{HEAD},"offset":5,"positioned":true}}}}"#),
        ),
        (
            r#""channel":"a","recover":true"#.into(),
            good(&entries(1..=5), 0),
        ),
        (
            r#""channel":"a","recover":true,"offset":0,"epoch":"""#.into(),
            good(&entries(1..=5), 0),
        ),
        (
            r#""channel":"a","recover":true,"offset":3"#.into(),
            good(&entries(4..=5), 3),
        ),
        (
            r#""channel":"a","recover":true,"offset":5"#.into(),
            good("", 5),
        ),
        (
            r#""channel":"a","recover":true,"offset":6"#.into(),
            bad.clone(),
        ),
        (
            format!(r#""channel":"a","recover":true,"offset":4,"epoch":"{big}""#),
            good(&entries(5..=5), 4),
        ),
        (
            format!(r#""channel":"a","recover":true,"offset":4,"epoch":"{small}""#),
            bad.clone(),
        ),
        (
            r#""channel":"a","recover":true,"offset":4,"epoch":"lzfcquwb""#.into(),
            bad.clone(),
        ),
        (r#""channel":"small:a","recover":true"#.into(), bad.clone()),
        (
            r#""channel":"small:a","recover":true,"offset":1"#.into(),
            bad,
        ),
        (
            r#""channel":"small:a","recover":true,"offset":2"#.into(),
            good(&entries(3..=5), 2),
        ),
        (
            r#""channel":"small:a","recover":true,"offset":2,"flag":3"#.into(),
            good(&entries(3..=5), 2),
        ),
    ] {
        let (reply, rest) = subscribe(&mut world, &request);
        assert_eq!(masked(&reply), want, "{request}");
        assert_eq!(rest, []);
    }
}

#[test]
fn a_client_that_can_reload_is_told_by_an_error() {
    let mut world = World::new();
    for data in 1..=5 {
        world.publish("small:a", "", &data.to_string());
    }
    let client = world.connected("");
    let lost =
        r#"{"subscribe":{"channel":"small:a","flag":3,"recover":true,"epoch":"jfdogiqj"},"id":6}"#;
    assert_eq!(
        world.ask(client, lost),
        [text(
            r#"{"id":6,"error":{"code":112,"message":"unrecoverable position"}}"#
        )]
    );
    world.publish("small:a", "", "6");
    assert_eq!(world.get(client), []);
    let got = world.ask(
        client,
        r#"{"subscribe":{"channel":"small:a","flag":3,"recover":true,"offset":5},"id":7}"#,
    );
    assert!(
        matches!(&got[..], [Got::Text(it)] if it.contains(r#""data":6"#)),
        "{got:?}"
    );
}

#[test]
fn the_newest_alone_is_recovered_where_that_is_the_mode() {
    let mut world = World::new();
    let (reply, _) = subscribe(&mut world, r#""channel":"cache:a","recover":true"#);
    assert!(reply.contains(r#""recovered":true"#), "{reply}");
    for data in 1..=5 {
        world.publish("cache:a", "", &data.to_string());
    }
    let head = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"EPOCH""#;
    let tail = r#""recovered":true,"offset":5,"positioned":true,"was_recovering":true}}"#;
    for (request, list) in [
        ("", r#","publications":[{"data":5,"offset":5}]"#),
        (
            r#","offset":4"#,
            r#","publications":[{"data":5,"offset":5}]"#,
        ),
        (
            r#","offset":9,"epoch":"abcdef""#,
            r#","publications":[{"data":5,"offset":5}]"#,
        ),
        (r#","offset":5"#, ""),
    ] {
        let (reply, rest) = subscribe(
            &mut world,
            &format!(r#""channel":"cache:a","recover":true{request}"#),
        );
        assert_eq!(masked(&reply), format!("{head}{list},{tail}"), "{request}");
        assert_eq!(rest, []);
    }
}

#[test]
fn a_channel_may_be_read_from_its_beginning() {
    let mut world = World::new();
    for data in 1..=3 {
        world.publish("early:a", "", &data.to_string());
    }
    let (reply, rest) = subscribe(&mut world, r#""channel":"early:a""#);
    assert_eq!(
        masked(&reply),
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"EPOCH","positioned":true}}"#
    );
    let [Got::Text(pushes)] = &rest[..] else {
        panic!("{rest:?}")
    };
    let push = |data: u32, epoch: &str| {
        format!(
            r#"{{"push":{{"channel":"early:a","pub":{{"data":{data},"offset":{data}{epoch}}}}}}}"#
        )
    };
    let want = [push(1, r#","epoch":"EPOCH""#), push(2, ""), push(3, "")];
    assert_eq!(masked(pushes), want.join("\n"));
}

#[test]
fn what_the_reply_does_not_hold_follows_in_order() {
    let mut world = World::new();
    let data = format!("\"{}\"", "x".repeat(1000));
    for _ in 0..100 {
        world.publish("a", "", &data);
    }
    let (reply, rest) = subscribe(&mut world, r#""channel":"a","recover":true"#);
    assert!(reply.len() < 20_000 && reply.contains(r#""recovered":true"#));
    let mut all = reply;
    for got in rest {
        let Got::Text(text) = got else {
            panic!("{got:?}")
        };
        all.push_str(&text);
    }
    let offsets: Vec<u32> = all
        .split(r#""offset":"#)
        .skip(1)
        .map(|it| it.split(['}', ',']).next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(offsets, (1..=100).collect::<Vec<u32>>());

    // One that fits no reply.
    world.publish("b", "", &format!("\"{}\"", "y".repeat(40_000)));
    let (reply, rest) = subscribe(&mut world, r#""channel":"b","recover":true"#);
    assert!(reply.contains(r#""recovered":true"#) && !reply.contains("yy"));
    assert!(
        matches!(&rest[..], [Got::Text(it)] if it.contains("yy") && it.contains(r#""offset":1"#))
    );
}

/// What a client makes of pushes and replies with differences.
fn undo(base: &mut String, publication: &str) {
    let value: serde_json::Value = serde_json::from_str(publication).unwrap();
    let data = value["data"].as_str().unwrap();
    *base = if value["delta"] == true {
        let whole = delta::apply(base.as_bytes(), data.as_bytes(), 10_000).unwrap();
        String::from_utf8(whole).unwrap()
    } else {
        data.to_owned()
    };
}

fn document(counter: usize) -> String {
    format!(
        r#"{{"counter":{counter},"payload":"{}ü"}}"#,
        "a".repeat(100)
    )
}

fn publications(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["push"]["pub"].to_string()
        })
        .collect()
}

#[test]
fn differences_follow_what_the_client_has() {
    let mut world = World::new();
    world.publish("delta:t", "&delta", &document(0));
    world.publish("delta:t", "&delta", &document(1));
    let fresh = world.connected("");
    world.ask(
        fresh,
        r#"{"subscribe":{"channel":"delta:t","delta":"fossil"},"id":2}"#,
    );
    let whole = world.connected("");
    world.ask(whole, r#"{"subscribe":{"channel":"delta:t"},"id":2}"#);
    let back = world.connected("");
    let got = world.ask(
        back,
        r#"{"subscribe":{"channel":"delta:t","delta":"fossil","recover":true},"id":2}"#,
    );
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
    assert_eq!(reply["subscribe"]["delta"], true);
    let missed = reply["subscribe"]["publications"].as_array().unwrap();
    let mut base = String::new();
    for (counter, publication) in missed.iter().enumerate() {
        undo(&mut base, &publication.to_string());
        assert_eq!(base, document(counter));
    }
    let mut fresh_base = String::new();
    for counter in 2..6 {
        // The one in the middle is published without.
        let more = if counter == 4 { "" } else { "&delta" };
        world.publish("delta:t", more, &document(counter));
        let pushes = world.texts(back).concat();
        let [publication] = &publications(&pushes)[..] else {
            panic!("{pushes}")
        };
        assert_eq!(publication.contains(r#""delta":true"#), counter != 4);
        undo(&mut base, publication);
        assert_eq!(base, document(counter));
        let pushes = world.texts(fresh).concat();
        let publication = &publications(&pushes)[0];
        let expected = counter != 4 && counter != 2;
        assert_eq!(
            publication.contains(r#""delta":true"#),
            expected,
            "{counter}"
        );
        undo(&mut fresh_base, publication);
        assert_eq!(fresh_base, document(counter));
        let pushes = world.texts(whole).concat();
        assert!(pushes.contains(&document(counter)));
    }
    // What has no place in the log is none to build upon: the next comes whole.
    for (counter, more, is_delta) in [
        (6, "&fleeting", false),
        (7, "&delta&fleeting", false),
        (8, "&delta", false),
        (9, "&delta", true),
        (10, "&fleeting", false),
        (11, "&delta", false),
        (12, "&delta", true),
    ] {
        world.publish("delta:t", more, &document(counter));
        for (client, base) in [(back, &mut base), (fresh, &mut fresh_base)] {
            let pushes = world.texts(client).concat();
            let [publication] = &publications(&pushes)[..] else {
                panic!("{pushes}")
            };
            assert_eq!(publication.contains(r#""delta":true"#), is_delta, "{more}");
            undo(base, publication);
            assert_eq!(*base, document(counter));
        }
    }
}

#[test]
fn differences_come_out_right_for_who_is_behind_when_something_fleeting_comes() {
    let large = |counter: usize| format!(r#"{{"counter":{counter},"x":"{}"}}"#, "x".repeat(9000));
    let mut world = World::new();
    let client = world.connected("");
    world.ask(
        client,
        r#"{"subscribe":{"channel":"delta:t","delta":"fossil"},"id":2}"#,
    );
    world.stall(client, true);
    for counter in 0..60 {
        let more = match counter % 10 {
            0..=6 => "",
            8 => "&fleeting",
            _ => "&delta",
        };
        world.publish("delta:t", more, &large(counter));
    }
    world.stall(client, false);
    let mut base = String::new();
    let (mut seen, mut deltas) = (Vec::new(), 0);
    for text in world.texts(client) {
        for publication in publications(&text) {
            deltas += usize::from(publication.contains(r#""delta":true"#));
            undo(&mut base, &publication);
            let value: serde_json::Value = serde_json::from_str(&base).unwrap();
            let counter = usize::try_from(value["counter"].as_u64().unwrap()).unwrap();
            assert_eq!(base, large(counter));
            seen.push(counter);
        }
    }
    assert!(deltas > 0, "{seen:?}");
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
}

#[test]
fn protobuf_clients_get_bytes() {
    let mut world = World::new();
    let client = world.handshake("/connection/websocket?format=protobuf", "");
    // connect, id 1; subscribe "chat:1" would be a chat, so "a"; in one frame.
    world.send_binary(client, &[4, 8, 1, 0x22, 0, 7, 8, 2, 0x2a, 3, 0x0a, 1, b'a']);
    let got = world.get(client);
    assert!(
        matches!(&got[1], Got::Binary(it) if it[1..5] == [8, 1, 0x2a, it[4]]),
        "{got:?}"
    );
    assert!(
        matches!(&got[2], Got::Binary(it) if it[1..4] == [8, 2, 0x32]),
        "{got:?}"
    );
    world.publish("a", "", "boom");
    world.publish("a", "", r#"{"t":1}"#);
    let got = world.get(client);
    let Got::Binary(first) = &got[0] else {
        panic!("{got:?}")
    };
    assert!(
        first.windows(6).any(|it| it == b"\x22\x04boom"),
        "{first:?}"
    );
    let Got::Binary(bytes) = &got[1] else {
        panic!("{got:?}")
    };
    // length, push, channel, publication: data, offset.
    let want = [
        &[0x12, 0x22, 0x10, 0x12, 1, b'a', 0x22, 0x0b, 0x22, 7][..],
        br#"{"t":1}"#,
        &[0x30, 2],
    ]
    .concat();
    assert_eq!(bytes, &want);
    // unsubscribe, id 3: the reply of the protocol's own example.
    world.send_binary(client, &[7, 8, 3, 0x32, 3, 0x0a, 1, b'a']);
    assert_eq!(world.get(client), [Got::Binary(vec![4, 8, 3, 0x3a, 0])]);
    assert_eq!(world.wait(client, 26), [Got::Binary(vec![0])]);
    world.send_binary(client, &[0]);
    assert_eq!(world.get(client), []);
    world.send_binary(client, &[5, 8]);
    assert_eq!(world.get(client), [Got::Close(3501, "bad request".into())]);
}

#[test]
fn several_publications_travel_in_one_frame() {
    let mut world = World::new();
    let client = world.connected("");
    world.ask(client, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let other = world.connected("");
    let many: Vec<String> = (1..=10)
        .map(|data| format!(r#"{{"id":{data},"publish":{{"channel":"a","data":{data}}}}}"#))
        .collect();
    let before = world.log_writes();
    world.ask(other, &many.join("\n"));
    assert!(world.log_writes() - before < 10);
    let texts = world.texts(client);
    assert!(texts.len() < 10, "{texts:?}");
    assert_eq!(texts.iter().map(|it| it.lines().count()).sum::<usize>(), 10);
    assert!(texts.iter().all(|it| !it.ends_with('\n')));
}
