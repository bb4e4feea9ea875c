//! Commands of Centrifugo's clients: what they mean, and what is none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_proto::centrifuge::{
    Command, Commands, ConnectRequest, DecodeError, DisconnectCode, EmulationRequest, HEADERS,
    HistoryRequest, Protocol, PublishRequest, Request, SUBSCRIPTIONS, StreamPosition,
    SubRefreshRequest, SubscribeRequest, TagsFilter,
};

fn read(protocol: Protocol, frame: &[u8]) -> Vec<Result<Command<'_>, String>> {
    Commands::of(protocol, frame, 3)
        .map(|command| {
            command.map_err(|error| {
                assert_eq!(error.disconnect(), DisconnectCode::BadRequest);
                error.to_string()
            })
        })
        .collect()
}

fn one(text: &str) -> Command<'_> {
    let mut commands = read(Protocol::Json, text.as_bytes());
    assert_eq!(commands.len(), 1, "{text}");
    commands.remove(0).unwrap()
}

/// Some bytes with their length in front.
fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A message of Protobuf: fields of a number and a value.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in fields {
        out.push(number << 3 | 2);
        out.extend(delimited(value));
    }
    out
}

/// A command with an id of 1, as a frame.
fn framed(fields: &[(u8, &[u8])]) -> Vec<u8> {
    delimited(&[&[8, 1], &*message(fields)].concat())
}

#[test]
fn every_request_has_its_fields() {
    let channel = || "c".into();
    for (text, request) in [
        ("{}", Request::Pong),
        (r#"{"id":0}"#, Request::Pong),
        (r#"{"id":null,"ping":{}}"#, Request::Pong),
        (r#"{"id":1}"#, Request::Unknown),
        (r#"{"id":1,"ping":{}}"#, Request::Unknown),
        (r#"{"id":1,"later":{}}"#, Request::Unknown),
        (r#"{"id":1,"publish":null}"#, Request::Unknown),
        (
            r#"{"id":1,"connect":{}}"#,
            Request::Connect(ConnectRequest::default()),
        ),
        (
            r#"{"id":1,"connect":{"token":"t","data":{"a":[1, 2]},"name":"n","version":"v","headers":{"A":"1","B":null},"flag":1,"dict":"x","later":[[]]}}"#,
            Request::Connect(ConnectRequest {
                token: "t".into(),
                data: br#"{"a":[1, 2]}"#,
                name: "n".into(),
                version: "v".into(),
                headers: vec![("A".into(), "1".into()), ("B".into(), "".into())],
                flag: 1,
                ..ConnectRequest::default()
            }),
        ),
        (
            r#"{"id":1,"subscribe":{"channel":"c","token":"t","recover":true,"epoch":"e","offset":18446744073709551615,"data":null,"positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","tf":{"key":"k"},"flag":-1,"type":-2,"phase":1}}"#,
            Request::Subscribe(SubscribeRequest {
                channel: channel(),
                token: "t".into(),
                recover: true,
                epoch: "e".into(),
                offset: u64::MAX,
                data: b"null",
                positioned: true,
                recoverable: true,
                join_leave: true,
                delta: "fossil".into(),
                tags_filter: Some(TagsFilter {
                    protocol: Protocol::Json,
                    source: br#"{"key":"k"}"#,
                }),
                flag: -1,
                kind: -2,
            }),
        ),
        (
            r#"{"id":1,"unsubscribe":{"channel":"c"}}"#,
            Request::Unsubscribe { channel: channel() },
        ),
        (
            r#"{"id":1,"publish":{"channel":"c","data":"x","type":1}}"#,
            Request::Publish(PublishRequest {
                channel: channel(),
                data: br#""x""#,
                kind: 1,
            }),
        ),
        (
            r#"{"id":1,"presence":{"channel":"c"}}"#,
            Request::Presence { channel: channel() },
        ),
        (
            r#"{"id":1,"presence_stats":{"channel":"c"}}"#,
            Request::PresenceStats { channel: channel() },
        ),
        (
            r#"{"id":1,"history":{"channel":"c","limit":-1,"since":{"offset":7,"epoch":"e"},"reverse":true}}"#,
            Request::History(HistoryRequest {
                channel: channel(),
                limit: -1,
                since: Some(StreamPosition {
                    offset: 7,
                    epoch: "e".into(),
                }),
                reverse: true,
            }),
        ),
        (
            r#"{"id":1,"rpc":{"method":"m","data":7}}"#,
            Request::Rpc {
                method: "m".into(),
                data: b"7",
            },
        ),
        (r#"{"send":{"data":[]}}"#, Request::Send { data: b"[]" }),
        (
            r#"{"id":1,"refresh":{"token":"t"}}"#,
            Request::Refresh { token: "t".into() },
        ),
        (
            r#"{"id":1,"sub_refresh":{"channel":"c","token":"t","type":1}}"#,
            Request::SubRefresh(SubRefreshRequest {
                channel: channel(),
                token: "t".into(),
                kind: 1,
            }),
        ),
    ] {
        assert_eq!(one(text).request, request, "{text}");
    }
}

#[test]
fn null_is_as_if_the_key_were_not_there() {
    let text = r#"{"id":1,"subscribe":{"channel":null,"token":null,"recover":null,"epoch":null,"offset":null,"positioned":null,"delta":null,"tf":null,"flag":null,"type":null}}"#;
    assert_eq!(
        one(text).request,
        Request::Subscribe(SubscribeRequest::default())
    );
    let text = r#"{"id":1,"connect":{"subs":null,"headers":null}}"#;
    assert_eq!(
        one(text).request,
        Request::Connect(ConnectRequest::default())
    );
    let text = r#"{"id":1,"connect":{"subs":{"c":null}}}"#;
    let subs = vec![("c".into(), SubscribeRequest::default())];
    let request = ConnectRequest {
        subs,
        ..ConnectRequest::default()
    };
    assert_eq!(one(text).request, Request::Connect(request));
}

#[test]
fn without_an_id_only_send_is_more_than_a_pong() {
    for name in [
        "connect",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "refresh",
        "sub_refresh",
    ] {
        let text = format!(r#"{{"{name}":{{}}}}"#);
        assert_eq!(one(&text).request, Request::Pong, "{text}");
    }
    assert_eq!(one(r#"{"send":{}}"#).request, Request::Send { data: b"" });
    // What stands beside `send` counts as ever.
    let both = one(r#"{"send":{},"presence":{"channel":"c"}}"#).request;
    assert_eq!(
        both,
        Request::Presence {
            channel: "c".into()
        }
    );
}

#[test]
fn of_several_requests_the_first_in_a_fixed_order_counts() {
    let names = [
        "connect",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "send",
        "refresh",
        "sub_refresh",
    ];
    for first in 0..names.len() {
        let all: Vec<_> = names[first..]
            .iter()
            .rev()
            .map(|name| format!(r#""{name}":{{}}"#))
            .collect();
        let text = format!(r#"{{{},"id":9}}"#, all.join(","));
        let alone = format!(r#"{{"id":9,"{}":{{}}}}"#, names[first]);
        assert_eq!(one(&text), one(&alone), "{text}");
    }
    let both = framed(&[(7, b""), (5, b"")]);
    let want = Request::Subscribe(SubscribeRequest::default());
    assert_eq!(
        read(Protocol::Protobuf, &both),
        [Ok(Command {
            id: 1,
            request: want
        })]
    );
}

#[test]
fn strings_are_borrowed_unless_they_have_escapes() {
    let Request::Connect(request) =
        one(r#"{"id":1,"connect":{"token":"plain","name":"a\u00e9\"b"}}"#).request
    else {
        unreachable!("a connect request")
    };
    assert!(matches!(request.token, std::borrow::Cow::Borrowed("plain")));
    assert_eq!(request.name, "aé\"b");
}

#[test]
fn lines_are_commands() {
    let (a, b) = (r#"{"id":1,"rpc":{}}"#, r#" { "id" : 2 } "#);
    for (frame, want) in [
        (a.to_owned(), vec![Ok(1)]),
        (format!("{a}\n"), vec![Ok(1)]),
        (format!("{a}\n{b}"), vec![Ok(1), Ok(2)]),
        (format!("{a}\n{b}\n{a}\n"), vec![Ok(1), Ok(2), Ok(1)]),
        (format!("{a}\r\n{b}\r\n"), vec![Ok(1), Ok(2)]),
        (
            format!("{a}\n{a}\n{a}\n{a}"),
            vec![Ok(1), Ok(1), Ok(1), Err("more than 3 commands")],
        ),
        (String::new(), vec![Err("empty where a command was to be")]),
        (
            "\n".to_owned(),
            vec![Err("empty where a command was to be")],
        ),
        (" ".to_owned(), vec![Err("empty where a command was to be")]),
        (
            format!("\n{a}"),
            vec![Err("empty where a command was to be")],
        ),
        (
            format!("{a}\n\n"),
            vec![Ok(1), Err("empty where a command was to be")],
        ),
        (
            format!("{a}\n\n{b}"),
            vec![Ok(1), Err("empty where a command was to be")],
        ),
        (
            format!("{a}\n \n{b}"),
            vec![Ok(1), Err("empty where a command was to be")],
        ),
        (
            format!("{a}\nx\n{b}"),
            vec![Ok(1), Err("not a JSON object")],
        ),
        (format!("{a}{b}"), vec![Err("not a message in JSON")]),
        (format!("{a},{b}"), vec![Err("not a message in JSON")]),
        (format!("[{a},{b}]"), vec![Err("not a JSON object")]),
        (
            "{\"id\":1,\n\"rpc\":{}}".to_owned(),
            vec![Err("not a message in JSON")],
        ),
    ] {
        let ids: Vec<_> = read(Protocol::Json, frame.as_bytes())
            .into_iter()
            .map(|command| command.map(|command| command.id))
            .collect();
        let want: Vec<_> = want
            .into_iter()
            .map(|want| want.map_err(str::to_owned))
            .collect();
        assert_eq!(ids, want, "{frame:?}");
    }
}

#[test]
fn what_is_not_a_command_is_refused() {
    let deep = format!(
        r#"{{"id":1,"history":{{"since":{}1{}}}}}"#,
        "[".repeat(9000),
        "]".repeat(9000)
    );
    for text in [
        "null",
        "1",
        "\"x\"",
        "[]",
        "[1]",
        "true",
        "{",
        "}",
        "{]",
        "{\"id\"}",
        "{\"id\":}",
        "{,}",
        "{\"id\":1,}",
        "{\"id\":1}x",
        "\u{feff}{}",
        "{'id':1}",
        "{id:1}",
        r#"{"id":-1}"#,
        r#"{"id":4294967296}"#,
        r#"{"id":1.5}"#,
        r#"{"id":"1"}"#,
        r#"{"id":[]}"#,
        r#"{"id":1,"id":2}"#,
        r#"{"id":1,"connect":1}"#,
        r#"{"id":1,"connect":"x"}"#,
        r#"{"id":1,"connect":[]}"#,
        r#"{"id":1,"connect":true}"#,
        r#"{"id":1,"subscribe":["c"]}"#,
        r#"{"id":1,"connect":{"token":1}}"#,
        r#"{"id":1,"connect":{"token":{}}}"#,
        r#"{"id":1,"connect":{"subs":[]}}"#,
        r#"{"id":1,"connect":{"subs":{"c":[]}}}"#,
        r#"{"id":1,"connect":{"subs":{"c":1}}}"#,
        r#"{"id":1,"connect":{"headers":{"a":1}}}"#,
        r#"{"id":1,"connect":{"data":}}"#,
        r#"{"id":1,"connect":{"data":nul}}"#,
        r#"{"id":1,"connect":{"data":{"a"}}}"#,
        r#"{"id":1,"connect":{"data":'x'}}"#,
        r#"{"id":1,"subscribe":{"channel":["c"]}}"#,
        r#"{"id":1,"subscribe":{"recover":1}}"#,
        r#"{"id":1,"subscribe":{"recover":"true"}}"#,
        r#"{"id":1,"subscribe":{"offset":-1}}"#,
        r#"{"id":1,"subscribe":{"offset":"1"}}"#,
        r#"{"id":1,"subscribe":{"offset":18446744073709551616}}"#,
        r#"{"id":1,"subscribe":{"type":2147483648}}"#,
        r#"{"id":1,"subscribe":{"channel":"\x"}}"#,
        r#"{"id":1,"subscribe":{"channel":"\ud800"}}"#,
        "{\"id\":1,\"subscribe\":{\"channel\":\"\t\"}}",
        r#"{"id":1,"history":{"since":5}}"#,
        r#"{"id":1,"history":{"since":[1,"e"]}}"#,
        r#"{"id":1,"history":{"limit":2147483648}}"#,
        // A request that does not count must be one all the same.
        r#"{"id":1,"connect":{},"publish":5}"#,
        &deep,
    ] {
        let commands = read(Protocol::Json, text.as_bytes());
        assert!(matches!(&commands[..], [Err(_)]), "{text} {commands:?}");
    }
    for text in [
        &b"{\"id\":1,\"connect\":{\"token\":\"\xff\"}}"[..],
        b"{\"id\":1,\"rpc\":{\"data\":\"\xc3\"}}",
        b"\xff",
    ] {
        assert!(matches!(&read(Protocol::Json, text)[..], [Err(_)]));
    }
}

#[test]
fn json_that_is_cut_anywhere_is_refused() {
    let text = r#"{"id":1,"subscribe":{"channel":"c","recover":true,"offset":5,"data":{"a":[null]},"tf":{"op":"not"}}}"#;
    for cut in 0..text.len() {
        let commands = read(Protocol::Json, &text.as_bytes()[..cut]);
        assert!(matches!(&commands[..], [Err(_)]), "{cut}");
    }
}

#[test]
fn maps_have_bounds() {
    let subs = |count| {
        (0..count)
            .map(|n| format!(r#""c{n}":{{}}"#))
            .collect::<Vec<_>>()
            .join(",")
    };
    let headers = |count| {
        (0..count)
            .map(|n| format!(r#""h{n}":"""#))
            .collect::<Vec<_>>()
            .join(",")
    };
    let connect = |name, entries| format!(r#"{{"id":1,"connect":{{"{name}":{{{entries}}}}}}}"#);
    for (text, good) in [
        (connect("subs", subs(SUBSCRIPTIONS)), true),
        (connect("subs", subs(SUBSCRIPTIONS + 1)), false),
        (connect("headers", headers(HEADERS)), true),
        (connect("headers", headers(HEADERS + 1)), false),
    ] {
        assert_eq!(read(Protocol::Json, text.as_bytes())[0].is_ok(), good);
    }
    let entry = message(&[(1, b"c")]);
    for (number, count, good) in [
        (3, SUBSCRIPTIONS, true),
        (3, SUBSCRIPTIONS + 1, false),
        (6, HEADERS, true),
        (6, HEADERS + 1, false),
    ] {
        let entries = vec![(number, &*entry); count];
        let frame = framed(&[(4, &message(&entries))]);
        assert_eq!(
            read(Protocol::Protobuf, &frame)[0].is_ok(),
            good,
            "{number} {count}"
        );
    }
}

#[test]
fn protobuf_frames_end_with_a_message() {
    let rpc = framed(&[(13, b"")]);
    for (frame, want) in [
        (vec![0], vec![Ok(0)]),
        (vec![0, 0], vec![Ok(0), Ok(0)]),
        (rpc.clone(), vec![Ok(1)]),
        ([&rpc[..], &rpc].concat(), vec![Ok(1), Ok(1)]),
        (
            vec![0; 4],
            vec![Ok(0), Ok(0), Ok(0), Err("more than 3 commands")],
        ),
        (vec![], vec![Err("empty where a command was to be")]),
        (vec![1], vec![Err("1 bytes announced, 0 left")]),
        (
            vec![0, 5, 1, 2],
            vec![Ok(0), Err("5 bytes announced, 2 left")],
        ),
        (
            vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            vec![Err("18446744073709551615 bytes announced, 0 left")],
        ),
        (vec![0x80], vec![Err("not a message in Protobuf")]),
        (vec![0xff; 11], vec![Err("not a message in Protobuf")]),
    ] {
        let ids: Vec<_> = read(Protocol::Protobuf, &frame)
            .into_iter()
            .map(|command| command.map(|command| command.id))
            .collect();
        let want: Vec<_> = want
            .into_iter()
            .map(|want| want.map_err(str::to_owned))
            .collect();
        assert_eq!(ids, want, "{frame:?}");
    }
}

#[test]
fn what_is_not_a_message_is_refused() {
    for (name, body) in [
        ("a field without a value", &[0x08][..]),
        ("a field 0", &[0x00, 0x00]),
        ("a wire type of 6", &[0x0e]),
        ("a wire type of 7", &[0x0f]),
        ("an id that is a string", &[0x0a, 0x01, 0x31]),
        ("an id of fixed width", &[0x0d, 1, 0, 0, 0]),
        ("a number that does not end", &[0x08, 0x80]),
        (
            "a number of eleven bytes",
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ),
        ("a request that is a number", &[0x20, 0x01]),
        ("a request beyond the message", &[0x22, 0x02, 0x22]),
        ("a string beyond the request", &[0x22, 0x02, 0x0a, 0x01]),
        (
            "a string that is not UTF-8",
            &[0x22, 0x03, 0x0a, 0x01, 0xff],
        ),
        ("a channel that is a number", &[0x32, 0x02, 0x08, 0x01]),
        (
            "an unknown field that does not end",
            &[0x7a + 8, 0x02, 0x01],
        ),
        ("an unknown field of fixed width, cut", &[0x81, 0x02, 0, 0]),
        ("a group that does not end", &[0x83, 0x02, 0x08, 0x01]),
        ("a group that does not begin", &[0x84, 0x02]),
        ("a map's entry that is a number", &[0x22, 0x02, 0x18, 0x01]),
        ("a position that is a number", &[0x52, 0x02, 0x40, 0x01]),
    ] {
        let frame = delimited(body);
        let commands = read(Protocol::Protobuf, &frame);
        assert!(matches!(&commands[..], [Err(_)]), "{name}: {commands:?}");
    }
    let nested = [[0x83, 0x02].repeat(5000), [0x84, 0x02].repeat(5000)].concat();
    let frame = delimited(&nested);
    assert!(matches!(&read(Protocol::Protobuf, &frame)[..], [Err(_)]));
}

#[test]
fn unknown_fields_are_skipped() {
    let unknown = [
        &[0x82, 0x02, 0x01, 0x78][..],         // bytes
        &[0x80, 0x02, 0x05],                   // a number
        &[0x81, 0x02, 1, 2, 3, 4, 5, 6, 7, 8], // eight bytes
        &[0x85, 0x02, 1, 2, 3, 4],             // four bytes
        &[0x83, 0x02, 0x08, 0x01, 0x84, 0x02], // a group
        &[0x12, 0x00, 0x18, 0x07],             // what an older protocol had
    ]
    .concat();
    let request = [&unknown[..], &[0x0a, 0x01, b'c'], &unknown].concat();
    let frame = [
        &unknown[..],
        &[0x08, 0x01, 0x32],
        &delimited(&request),
        &unknown,
    ]
    .concat();
    let frame = delimited(&frame);
    let request = Request::Unsubscribe {
        channel: "c".into(),
    };
    assert_eq!(
        read(Protocol::Protobuf, &frame),
        [Ok(Command { id: 1, request })]
    );
}

#[test]
fn fields_that_come_twice_are_one_message() {
    let frame = framed(&[
        (5, &message(&[(1, b"old"), (2, b"t")])),
        (5, &message(&[(1, b"new")])),
    ]);
    let request = SubscribeRequest {
        channel: "new".into(),
        token: "t".into(),
        ..SubscribeRequest::default()
    };
    let request = Request::Subscribe(request);
    assert_eq!(
        read(Protocol::Protobuf, &frame),
        [Ok(Command { id: 1, request })]
    );
}

#[test]
fn numbers_that_are_too_long_lose_their_upper_bits() {
    // id: 2^32 + 5, history: {limit: -1 as ten bytes}
    let frame = delimited(&[
        0x08, 0x85, 0x80, 0x80, 0x80, 0x10, 0x52, 0x0b, 0x38, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 0x01,
    ]);
    let request = Request::History(HistoryRequest {
        limit: -1,
        ..HistoryRequest::default()
    });
    assert_eq!(
        read(Protocol::Protobuf, &frame),
        [Ok(Command { id: 5, request })]
    );
}

#[test]
fn a_connect_request_may_stand_alone() {
    for text in ["", " \n", "null", " null ", "{}"] {
        assert_eq!(
            ConnectRequest::from_json(text.as_bytes()).unwrap(),
            ConnectRequest::default(),
            "{text:?}"
        );
    }
    let text = br#" {"token":"t","subs":{"chat:1":{"recover":true,"offset":5,"epoch":"x"}}} "#;
    let position = SubscribeRequest {
        recover: true,
        offset: 5,
        epoch: "x".into(),
        ..SubscribeRequest::default()
    };
    let want = ConnectRequest {
        token: "t".into(),
        subs: vec![("chat:1".into(), position)],
        ..ConnectRequest::default()
    };
    assert_eq!(ConnectRequest::from_json(text).unwrap(), want);
    for text in [
        "nul",
        "nullx",
        "[]",
        "5",
        "\"\"",
        "{",
        "{}{}",
        "{\"token\":5}",
        "\0",
    ] {
        assert!(
            ConnectRequest::from_json(text.as_bytes()).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn an_emulation_request_is_session_node_and_frame() {
    let body = br#"{"session":"s","node":"n","data":"{\"id\":1}\n{\"id\":2}","later":1}"#;
    let request = EmulationRequest::decode(Protocol::Json, body).unwrap();
    assert_eq!((&*request.session, &*request.node), ("s", "n"));
    assert_eq!(&*request.data, b"{\"id\":1}\n{\"id\":2}");
    let ids: Vec<_> = Commands::of(Protocol::Json, &request.data, 9)
        .map(|command| command.unwrap().id)
        .collect();
    assert_eq!(ids, [1, 2]);

    let body = message(&[(1, b"n"), (2, b"s"), (3, &[0, 0]), (4, b"later")]);
    let request = EmulationRequest::decode(Protocol::Protobuf, &body).unwrap();
    assert_eq!(
        (&*request.session, &*request.node, &*request.data),
        ("s", "n", &[0, 0][..])
    );
    assert_eq!(
        EmulationRequest::decode(Protocol::Protobuf, b"").unwrap(),
        EmulationRequest::default()
    );

    for body in [
        "",
        "null",
        "[]",
        "{",
        r#"{"data":{}}"#,
        r#"{"data":5}"#,
        r#"{"session":5}"#,
        r#"{"node":[]}"#,
    ] {
        assert!(
            EmulationRequest::decode(Protocol::Json, body.as_bytes()).is_err(),
            "{body:?}"
        );
    }
    for body in [
        &b"\x08\x01"[..],
        b"\x0a\x05n",
        b"\x0a\x01\xff",
        b"\x1a",
        b"\x18\x01",
    ] {
        assert!(
            EmulationRequest::decode(Protocol::Protobuf, body).is_err(),
            "{body:?}"
        );
    }
}

#[test]
fn an_error_is_small() {
    assert!(size_of::<DecodeError>() <= 32);
    assert!(
        size_of::<Command<'_>>() <= 224,
        "{}",
        size_of::<Command<'_>>()
    );
}
