//! What was recorded between Centrifugo's SDKs and a server, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_proto::centrifuge::delta::{self, Cut};
use lmserver_proto::centrifuge::{
    Channel, ClientInfo, Command, Commands, ConnectRequest, ConnectResult, EmulationRequest, Error,
    ErrorCode, Protocol, Publication, PublishRequest, Push, PushEvent, Reply, ReplyResult, Request,
    SubscribeRequest, SubscribeResult, SubscribeResultWriter, Subscription,
};

fn commands(protocol: Protocol, frame: &[u8]) -> Vec<Command<'_>> {
    Commands::of(protocol, frame, 16)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn reply(protocol: Protocol, id: u32, result: ReplyResult<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    protocol.reply(&Reply { id, result }, &mut out);
    out
}

fn push(protocol: Protocol, push: &Push<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    protocol.push(push, &mut out);
    out
}

#[track_caller]
fn assert_text(bytes: &[u8], want: &str) {
    assert_eq!(str::from_utf8(bytes).unwrap(), want);
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn named(name: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        name: name.into(),
        ..ConnectRequest::default()
    }
}

fn publication(data: &str, offset: u64) -> Publication<'_> {
    Publication {
        data: data.as_bytes(),
        offset,
        ..Publication::default()
    }
}

fn in_channel<'a>(name: &'a str, publication: &'a Publication<'a>) -> Push<'a> {
    Push {
        channel: Channel::Name(name),
        event: PushEvent::Publication(publication),
    }
}

/// A subscription to a stream whose position is kept.
fn kept(epoch: &str) -> SubscribeResult<'_> {
    SubscribeResult {
        recoverable: true,
        positioned: true,
        epoch,
        ..SubscribeResult::default()
    }
}

#[test]
fn connecting_and_subscribing_in_one_frame() {
    let frame = b"{\"connect\":{\"name\":\"js\"},\"id\":1}\n\
                  {\"subscribe\":{\"channel\":\"ch\",\"flag\":1,\"recover\":true},\"id\":2}";
    let subscribe = SubscribeRequest {
        channel: "ch".into(),
        flag: SubscribeRequest::COMPACTION,
        recover: true,
        ..SubscribeRequest::default()
    };
    assert_eq!(
        commands(Protocol::Json, frame),
        [
            Command {
                id: 1,
                request: Request::Connect(named("js"))
            },
            Command {
                id: 2,
                request: Request::Subscribe(subscribe)
            },
        ]
    );
    let result = ConnectResult {
        client: "be8194ab-61ff-47a3-b165-2bc6bfb23929",
        version: "0.0.0 mini",
        ping: 25,
        pong: true,
        ..ConnectResult::default()
    };
    assert_text(
        &reply(Protocol::Json, 1, ReplyResult::Connect(&result)),
        r#"{"id":1,"connect":{"client":"be8194ab-61ff-47a3-b165-2bc6bfb23929","version":"0.0.0 mini","ping":25,"pong":true}}"#,
    );
}

#[test]
fn a_recovered_subscription_carries_what_was_missed() {
    let want = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"lzfcquwb","publications":[{"data":{"i":1},"offset":1,"epoch":"lzfcquwb"},{"data":{"i":2},"offset":2},{"data":{"i":3},"offset":3}],"recovered":true,"positioned":true,"was_recovering":true}}"#;
    let behind = r#"],"recovered":true,"positioned":true,"was_recovering":true}}"#;
    let missed = [
        Publication {
            epoch: "lzfcquwb",
            ..publication(r#"{"i":1}"#, 1)
        },
        publication(r#"{"i":2}"#, 2),
        publication(r#"{"i":3}"#, 3),
    ];
    let result = SubscribeResult {
        recovered: true,
        was_recovering: true,
        ..kept("lzfcquwb")
    };
    let whole = SubscribeResult {
        publications: &missed,
        ..result
    };
    assert_text(
        &reply(Protocol::Json, 2, ReplyResult::Subscribe(&whole)),
        want,
    );

    let begun = SubscribeResult {
        publications: &missed[..1],
        ..result
    };
    for (first, rest) in [
        (&result, &missed[..]),
        (&begun, &missed[1..]),
        (&whole, &[]),
    ] {
        let mut out = b"[".to_vec();
        let mut writer = SubscribeResultWriter::begin(Protocol::Json, 2, first, &mut out);
        for publication in rest {
            writer.publication(publication);
        }
        assert_eq!(writer.len() + behind.len(), want.len());
        writer.finish();
        assert_text(&out[1..], want);
    }
}

#[test]
fn publications_pings_and_pongs_follow() {
    let publication = publication(r#"{"i":4}"#, 4);
    assert_text(
        &push(Protocol::Json, &in_channel("ch", &publication)),
        r#"{"push":{"channel":"ch","pub":{"data":{"i":4},"offset":4}}}"#,
    );
    let mut out = Vec::new();
    Protocol::Json.ping(&mut out);
    assert_text(&out, "{}");
    let pong = Command {
        id: 0,
        request: Request::Pong,
    };
    assert_eq!(commands(Protocol::Json, b"{}"), [pong]);
    let request = Request::Unsubscribe {
        channel: "ch".into(),
    };
    assert_eq!(
        commands(
            Protocol::Json,
            br#"{"unsubscribe":{"channel":"ch"},"id":3}"#
        ),
        [Command { id: 3, request }]
    );
    assert_text(
        &reply(Protocol::Json, 3, ReplyResult::Unsubscribe),
        r#"{"id":3,"unsubscribe":{}}"#,
    );
}

#[test]
fn a_position_is_taken_up_again() {
    let frame =
        br#"{"subscribe":{"channel":"ch","flag":1,"recover":true,"offset":20,"epoch":"e"},"id":4}"#;
    let request = SubscribeRequest {
        channel: "ch".into(),
        flag: 1,
        recover: true,
        offset: 20,
        epoch: "e".into(),
        ..SubscribeRequest::default()
    };
    let request = Request::Subscribe(request);
    assert_eq!(
        commands(Protocol::Json, frame),
        [Command { id: 4, request }]
    );
    let result = SubscribeResult {
        recovered: true,
        offset: 20,
        was_recovering: true,
        ..kept("e")
    };
    assert_text(
        &reply(Protocol::Json, 4, ReplyResult::Subscribe(&result)),
        r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"e","recovered":true,"offset":20,"positioned":true,"was_recovering":true}}"#,
    );
}

#[test]
fn a_position_that_is_lost_is_an_error_for_who_wants_it() {
    let frame = br#"{"subscribe":{"channel":"smallhistory:x","flag":3,"recover":true,"epoch":"jfdogiqj"},"id":6}"#;
    let [
        Command {
            id: 6,
            request: Request::Subscribe(request),
        },
    ] = &commands(Protocol::Json, frame)[..]
    else {
        unreachable!("one subscribe command")
    };
    assert_ne!(request.flag & SubscribeRequest::REFUSE_UNRECOVERABLE, 0);
    let error = Error::from(ErrorCode::UnrecoverablePosition);
    assert_text(
        &reply(Protocol::Json, 6, ReplyResult::Error(&error)),
        r#"{"id":6,"error":{"code":112,"message":"unrecoverable position"}}"#,
    );
}

#[test]
fn json_with_spaces_and_subscriptions_of_the_server() {
    let frame = br##"{"id": 3, "connect": {"token": "eyJ0", "name": "python", "subs": {"#42": {"recover": true, "offset": 0, "epoch": "kbobgfgf"}}}}"##;
    let position = SubscribeRequest {
        recover: true,
        epoch: "kbobgfgf".into(),
        ..SubscribeRequest::default()
    };
    let request = Request::Connect(ConnectRequest {
        token: "eyJ0".into(),
        subs: vec![("#42".into(), position)],
        ..named("python")
    });
    assert_eq!(
        commands(Protocol::Json, frame),
        [Command { id: 3, request }]
    );

    let subs = [Subscription {
        channel: "#42",
        result: kept("kbobgfgf"),
    }];
    let result = ConnectResult {
        client: "38b0",
        version: "0.0.0 mini",
        ping: 25,
        pong: true,
        subs: &subs,
        ..ConnectResult::default()
    };
    assert_text(
        &reply(Protocol::Json, 1, ReplyResult::Connect(&result)),
        r##"{"id":1,"connect":{"client":"38b0","version":"0.0.0 mini","subs":{"#42":{"recoverable":true,"epoch":"kbobgfgf","positioned":true}},"ping":25,"pong":true}}"##,
    );
    let info = ClientInfo {
        user: "42",
        client: "38b0",
        ..ClientInfo::default()
    };
    let join = Push {
        channel: Channel::Name("#42"),
        event: PushEvent::Join(info),
    };
    assert_text(
        &push(Protocol::Json, &join),
        r##"{"push":{"channel":"#42","join":{"info":{"user":"42","client":"38b0"}}}}"##,
    );
}

#[test]
fn commands_beside_a_stream_are_a_string() {
    let result = ConnectResult {
        client: "fa0d",
        version: "0.0.0 mini",
        ping: 25,
        pong: true,
        session: "5db19c31",
        node: "51c7b677",
        ..ConnectResult::default()
    };
    assert_text(
        &reply(Protocol::Json, 1, ReplyResult::Connect(&result)),
        r#"{"id":1,"connect":{"client":"fa0d","version":"0.0.0 mini","ping":25,"pong":true,"session":"5db19c31","node":"51c7b677"}}"#,
    );
    let body = br#"{"session":"5db19c31","node":"51c7b677","data":"{\"publish\":{\"channel\":\"t\",\"data\":{\"a\":1}},\"id\":3}"}"#;
    let request = EmulationRequest::decode(Protocol::Json, body).unwrap();
    assert_eq!(
        (&*request.session, &*request.node),
        ("5db19c31", "51c7b677")
    );
    let publish = PublishRequest {
        channel: "t".into(),
        data: br#"{"a":1}"#,
        kind: 0,
    };
    assert_eq!(
        commands(Protocol::Json, &request.data),
        [Command {
            id: 3,
            request: Request::Publish(publish)
        }]
    );
    let published = Publication {
        info: Some(ClientInfo {
            client: "fa0d",
            ..ClientInfo::default()
        }),
        epoch: "dslcnszl",
        ..publication(r#"{"a":1}"#, 1)
    };
    assert_text(
        &push(Protocol::Json, &in_channel("t", &published)),
        r#"{"push":{"channel":"t","pub":{"data":{"a":1},"info":{"user":"","client":"fa0d"},"offset":1,"epoch":"dslcnszl"}}}"#,
    );
    assert_text(
        &reply(Protocol::Json, 3, ReplyResult::Publish),
        r#"{"id":3,"publish":{}}"#,
    );
}

#[test]
fn deltas_are_strings_in_json() {
    let result = SubscribeResult {
        delta: true,
        ..kept("dtzslbry")
    };
    assert_text(
        &reply(Protocol::Json, 2, ReplyResult::Subscribe(&result)),
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"dtzslbry","positioned":true,"delta":true}}"#,
    );
    let payload = |count| format!(r#"{{"counter":{count},"payload":"{}"}}"#, "a".repeat(500));
    let (first, second) = (payload(1), payload(2));
    let full = Publication {
        quoted: true,
        ..publication(&first, 1)
    };
    let begin = r#"{"push":{"channel":"delta:t","pub":{"data":"{\"counter\":1,\"payload\":\"aaa"#;
    let end = r#"aaa\"}","offset":1}}}"#;
    let text = push(Protocol::Json, &in_channel("delta:t", &full));
    assert!(text.starts_with(begin.as_bytes()) && text.ends_with(end.as_bytes()));

    let mut out = Vec::new();
    assert!(delta::create(
        first.as_bytes(),
        second.as_bytes(),
        Cut::Characters,
        &mut out
    ));
    let changed = Publication {
        data: &out,
        quoted: true,
        delta: true,
        offset: 2,
        ..Publication::default()
    };
    assert_text(
        &push(Protocol::Json, &in_channel("delta:t", &changed)),
        r#"{"push":{"channel":"delta:t","pub":{"data":"8E\nC:{\"counter\":282@C,RRRX7;","offset":2,"delta":true}}}"#,
    );
}

#[test]
fn protobuf_is_the_same_in_bytes() {
    let connect = hex("08 08 01 22 04 22 02 6a 73");
    let request = Request::Connect(named("js"));
    assert_eq!(
        commands(Protocol::Protobuf, &connect),
        [Command { id: 1, request }]
    );
    let subscribe = hex("0e 08 02 2a 0a 0a 06 63 68 61 74 3a 31 70 01");
    let request = Request::Subscribe(SubscribeRequest {
        channel: "chat:1".into(),
        flag: 1,
        ..SubscribeRequest::default()
    });
    let command = Command { id: 2, request };
    assert_eq!(commands(Protocol::Protobuf, &subscribe)[0], command);
    assert_eq!(
        commands(Protocol::Protobuf, &[connect, subscribe].concat())[1],
        command
    );
    let pong = Command {
        id: 0,
        request: Request::Pong,
    };
    assert_eq!(commands(Protocol::Protobuf, &hex("00")), [pong]);

    let connected = ConnectResult {
        client: "c1",
        version: "lm",
        ping: 25,
        pong: true,
        ..ConnectResult::default()
    };
    let subscribed = SubscribeResult {
        offset: 3,
        ..kept("abcd")
    };
    let error = Error::from(ErrorCode::PermissionDenied);
    for (id, result, want) in [
        (
            1,
            ReplyResult::Connect(&connected),
            "10 08 01 2a 0c 0a 02 63 31 12 02 6c 6d 38 19 40 01",
        ),
        (
            2,
            ReplyResult::Subscribe(&subscribed),
            "10 08 02 32 0c 18 01 32 04 61 62 63 64 48 03 50 01",
        ),
        (3, ReplyResult::Unsubscribe, "04 08 03 3a 00"),
        (
            4,
            ReplyResult::Error(&error),
            "19 08 04 12 15 08 67 12 11 70 65 72 6d 69 73 73 69 6f 6e 20 64 65 6e 69 65 64",
        ),
    ] {
        assert_eq!(reply(Protocol::Protobuf, id, result), hex(want), "{id}");
    }
    let publication = publication(r#"{"t":"hi"}"#, 4);
    assert_eq!(
        push(Protocol::Protobuf, &in_channel("chat:1", &publication)),
        hex("1a 22 18 12 06 63 68 61 74 3a 31 22 0e 22 0a 7b 22 74 22 3a 22 68 69 22 7d 30 04")
    );
    let mut out = Vec::new();
    Protocol::Protobuf.ping(&mut out);
    assert_eq!(out, hex("00"));
}
