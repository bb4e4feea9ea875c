//! Every reply and push of Centrifugo's protocol as JSON, byte for byte: which keys there are, in
//! which order, and which stay away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_proto::centrifuge::{
    Channel, ClientInfo, ConnectResult, Disconnect, DisconnectCode, Error, ErrorCode,
    HistoryResult, Protocol, Publication, Push, PushEvent, PushSubscribe, Reply, ReplyResult,
    SubscribeResult, SubscribeResultWriter, Subscription, Unsubscribe, UnsubscribeCode,
};

const NOBODY: ClientInfo<'_> = ClientInfo {
    user: "",
    client: "",
    conn_info: b"",
    chan_info: b"",
};

const SOMEBODY: ClientInfo<'_> = ClientInfo {
    user: "42",
    client: "c1",
    conn_info: br#"{"name":"N"}"#,
    chan_info: b"7",
};

fn in_json(id: u32, result: ReplyResult<'_>) -> String {
    let mut out = Vec::new();
    Protocol::Json.reply(&Reply { id, result }, &mut out);
    String::from_utf8(out).unwrap()
}

fn whole_subscription<'a>(publications: &'a [Publication<'a>]) -> SubscribeResult<'a> {
    SubscribeResult {
        ttl: Some(9),
        recoverable: true,
        epoch: "e",
        publications,
        recovered: true,
        offset: 5,
        positioned: true,
        data: b"{}",
        was_recovering: true,
        delta: true,
        id: 3,
    }
}

#[test]
fn replies_have_their_keys_in_order() {
    let error = Error::from(ErrorCode::TooManyRequests);
    let own = Error {
        code: 1000,
        message: "a \"b\"\n".into(),
        temporary: false,
    };
    let publication = Publication {
        data: b"1",
        offset: 6,
        ..Publication::default()
    };
    let publications = [
        publication,
        Publication {
            offset: 7,
            ..publication
        },
    ];
    let subs = [
        Subscription {
            channel: "a",
            result: SubscribeResult::default(),
        },
        Subscription {
            channel: "b\"",
            result: whole_subscription(&publications[..1]),
        },
    ];
    let connected = ConnectResult {
        client: "c",
        version: "v",
        ttl: Some(60),
        data: b"[1]",
        subs: &subs,
        ping: 25,
        pong: true,
        session: "s",
        node: "n",
        time: 1_700_000_000_000,
    };
    let least = ConnectResult::default();
    let subscribed = whole_subscription(&publications);
    let history = HistoryResult {
        publications: &publications,
        epoch: "e",
        offset: 7,
    };
    for (result, want) in [
        (
            ReplyResult::Error(&error),
            r#""error":{"code":111,"message":"too many requests","temporary":true}"#,
        ),
        (
            ReplyResult::Error(&own),
            r#""error":{"code":1000,"message":"a \"b\"\n"}"#,
        ),
        (ReplyResult::Connect(&least), r#""connect":{}"#),
        (
            ReplyResult::Connect(&connected),
            r#""connect":{"client":"c","version":"v","expires":true,"ttl":60,"data":[1],"subs":{"a":{},"b\"":{"expires":true,"ttl":9,"recoverable":true,"epoch":"e","publications":[{"data":1,"offset":6}],"recovered":true,"offset":5,"positioned":true,"data":{},"was_recovering":true,"delta":true,"id":3}},"ping":25,"pong":true,"session":"s","node":"n","time":1700000000000}"#,
        ),
        (ReplyResult::Subscribe(&subs[0].result), r#""subscribe":{}"#),
        (
            ReplyResult::Subscribe(&subscribed),
            r#""subscribe":{"expires":true,"ttl":9,"recoverable":true,"epoch":"e","publications":[{"data":1,"offset":6},{"data":1,"offset":7}],"recovered":true,"offset":5,"positioned":true,"data":{},"was_recovering":true,"delta":true,"id":3}"#,
        ),
        (ReplyResult::Unsubscribe, r#""unsubscribe":{}"#),
        (ReplyResult::Publish, r#""publish":{}"#),
        (ReplyResult::Presence(&[]), r#""presence":{"presence":{}}"#),
        (
            ReplyResult::Presence(&[("c1", SOMEBODY), ("c2", NOBODY)]),
            r#""presence":{"presence":{"c1":{"user":"42","client":"c1","conn_info":{"name":"N"},"chan_info":7},"c2":{"user":"","client":""}}}"#,
        ),
        (
            ReplyResult::PresenceStats {
                clients: 0,
                users: 0,
            },
            r#""presence_stats":{"num_clients":0,"num_users":0}"#,
        ),
        (
            ReplyResult::PresenceStats {
                clients: 2,
                users: 1,
            },
            r#""presence_stats":{"num_clients":2,"num_users":1}"#,
        ),
        (
            ReplyResult::History(&HistoryResult::default()),
            r#""history":{"publications":[],"epoch":"","offset":0}"#,
        ),
        (
            ReplyResult::History(&history),
            r#""history":{"publications":[{"data":1,"offset":6},{"data":1,"offset":7}],"epoch":"e","offset":7}"#,
        ),
        (ReplyResult::Rpc { data: b"" }, r#""rpc":{}"#),
        (ReplyResult::Rpc { data: b"null" }, r#""rpc":{"data":null}"#),
        (
            ReplyResult::Refresh {
                client: "c",
                version: "v",
                ttl: Some(60),
            },
            r#""refresh":{"client":"c","version":"v","expires":true,"ttl":60}"#,
        ),
        (
            ReplyResult::Refresh {
                client: "c",
                version: "v",
                ttl: None,
            },
            r#""refresh":{"client":"c","version":"v"}"#,
        ),
        (
            ReplyResult::SubRefresh { ttl: Some(60) },
            r#""sub_refresh":{"expires":true,"ttl":60}"#,
        ),
        (ReplyResult::SubRefresh { ttl: None }, r#""sub_refresh":{}"#),
    ] {
        assert_eq!(
            in_json(4_294_967_295, result),
            format!(r#"{{"id":4294967295,{want}}}"#)
        );
    }
}

#[test]
fn pushes_are_within_a_reply_or_bare() {
    let least = Publication::default();
    let tags = [("a".into(), "1".into()), ("b\"".into(), "".into())];
    let most = Publication {
        data: br#"{"t":"hi"}"#,
        quoted: false,
        info: Some(SOMEBODY),
        offset: 1,
        tags: &tags,
        delta: true,
        time: -1,
        epoch: "e",
    };
    let text = Publication {
        quoted: true,
        ..most
    };
    let text = Publication {
        info: None,
        tags: &[],
        delta: false,
        time: 0,
        epoch: "",
        ..text
    };
    let server = Unsubscribe::from(UnsubscribeCode::Server);
    let nothing = Unsubscribe {
        code: 0,
        reason: "".into(),
    };
    let stale = Disconnect::from(DisconnectCode::Stale);
    let subscribe = PushSubscribe {
        recoverable: true,
        epoch: "e",
        offset: 7,
        positioned: true,
        data: b"1",
    };
    let subs = [Subscription {
        channel: "a",
        result: SubscribeResult {
            epoch: "e",
            ..SubscribeResult::default()
        },
    }];
    let connect = ConnectResult {
        client: "c",
        version: "v",
        ttl: Some(60),
        data: b"[1]",
        subs: &subs,
        ping: 25,
        session: "s",
        ..ConnectResult::default()
    };
    let name = Channel::Name("ch");
    for (channel, event, want) in [
        (
            name,
            PushEvent::Publication(&least),
            r#"{"channel":"ch","pub":{}}"#,
        ),
        (
            Channel::Id(7),
            PushEvent::Publication(&least),
            r#"{"id":7,"pub":{}}"#,
        ),
        (
            name,
            PushEvent::Publication(&most),
            r#"{"channel":"ch","pub":{"data":{"t":"hi"},"info":{"user":"42","client":"c1","conn_info":{"name":"N"},"chan_info":7},"offset":1,"tags":{"a":"1","b\"":""},"delta":true,"time":-1,"epoch":"e"}}"#,
        ),
        (
            name,
            PushEvent::Publication(&text),
            r#"{"channel":"ch","pub":{"data":"{\"t\":\"hi\"}","offset":1}}"#,
        ),
        (
            name,
            PushEvent::Join(NOBODY),
            r#"{"channel":"ch","join":{"info":{"user":"","client":""}}}"#,
        ),
        (
            name,
            PushEvent::Leave(NOBODY),
            r#"{"channel":"ch","leave":{"info":{"user":"","client":""}}}"#,
        ),
        (
            name,
            PushEvent::Unsubscribe(&server),
            r#"{"channel":"ch","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}"#,
        ),
        (
            name,
            PushEvent::Unsubscribe(&nothing),
            r#"{"channel":"ch","unsubscribe":{"code":0,"reason":""}}"#,
        ),
        (
            Channel::None,
            PushEvent::Message { data: b"[]" },
            r#"{"message":{"data":[]}}"#,
        ),
        (
            name,
            PushEvent::Subscribe(PushSubscribe::default()),
            r#"{"channel":"ch","subscribe":{}}"#,
        ),
        (
            name,
            PushEvent::Subscribe(subscribe),
            r#"{"channel":"ch","subscribe":{"recoverable":true,"epoch":"e","offset":7,"positioned":true,"data":1}}"#,
        ),
        (
            Channel::None,
            PushEvent::Connect(&connect),
            r#"{"connect":{"client":"c","version":"v","data":[1],"subs":{"a":{"epoch":"e"}},"expires":true,"ttl":60,"ping":25,"session":"s"}}"#,
        ),
        (
            Channel::None,
            PushEvent::Disconnect(&stale),
            r#"{"disconnect":{"code":3502,"reason":"stale"}}"#,
        ),
        (
            Channel::None,
            PushEvent::Refresh { ttl: Some(60) },
            r#"{"refresh":{"expires":true,"ttl":60}}"#,
        ),
        (
            Channel::None,
            PushEvent::Refresh { ttl: None },
            r#"{"refresh":{}}"#,
        ),
    ] {
        let push = Push { channel, event };
        let mut out = b"{".to_vec();
        Protocol::Json.bare_push(&push, &mut out);
        assert_eq!(str::from_utf8(&out[1..]), Ok(want));
        out.clear();
        Protocol::Json.push(&push, &mut out);
        assert_eq!(
            str::from_utf8(&out).unwrap(),
            format!(r#"{{"push":{want}}}"#)
        );
    }
}

#[test]
fn strings_with_line_breaks_stay_on_one_line() {
    let awkward = "\n\r\t\u{0}\u{7f}\u{2028}\"\\/<é😀";
    let publication = Publication {
        data: awkward.as_bytes(),
        quoted: true,
        ..Publication::default()
    };
    let push = Push {
        channel: Channel::Name(awkward),
        event: PushEvent::Publication(&publication),
    };
    let mut out = Vec::new();
    Protocol::Json.push(&push, &mut out);
    assert!(!out.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["push"]["channel"], awkward);
    assert_eq!(value["push"]["pub"]["data"], awkward);
}

#[test]
fn a_payload_that_is_not_utf8_stays_legal_json() {
    let publication = Publication {
        data: b"a\xffb",
        quoted: true,
        ..Publication::default()
    };
    let push = Push {
        channel: Channel::None,
        event: PushEvent::Publication(&publication),
    };
    let mut out = Vec::new();
    Protocol::Json.bare_push(&push, &mut out);
    assert_eq!(
        str::from_utf8(&out),
        Ok("{\"pub\":{\"data\":\"a\u{fffd}b\"}}")
    );
}

#[test]
fn a_payload_may_end_with_any_character() {
    for data in ["\"{\"", "\"[\"", "{}", "[]", "[[]]", "{\"a\":{}}"] {
        let publication = Publication {
            data: data.as_bytes(),
            offset: 1,
            ..Publication::default()
        };
        let push = Push {
            channel: Channel::None,
            event: PushEvent::Publication(&publication),
        };
        let mut out = Vec::new();
        Protocol::Json.bare_push(&push, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"pub":{{"data":{data},"offset":1}}}}"#)
        );
    }
}

#[test]
fn lengths_of_protobuf_grow_with_the_message() {
    // The prefix of the frame and of push, publication and payload within it: one to three bytes.
    for len in (0..300).chain([16_370, 16_383, 16_384, 16_400, 70_000]) {
        let data = vec![b'x'; len];
        let publication = Publication {
            data: &data,
            offset: 1,
            ..Publication::default()
        };
        let push = Push {
            channel: Channel::Name("c"),
            event: PushEvent::Publication(&publication),
        };
        let mut out = b"before".to_vec();
        Protocol::Protobuf.push(&push, &mut out);
        let mut rest = out.strip_prefix(b"before").unwrap();
        let reply = prost::encoding::decode_varint(&mut rest).unwrap();
        assert_eq!(reply, rest.len() as u64, "{len}");
        assert!(
            rest.ends_with(&[&data[..], &[0x30, 0x01]].concat()),
            "{len}"
        );
    }
}

#[test]
fn a_reply_that_is_written_bit_by_bit_is_the_same() {
    let data = vec![b'1'; 90];
    let publications: Vec<_> = (1..=300)
        .map(|offset| Publication {
            data: &data,
            offset,
            ..Publication::default()
        })
        .collect();
    for count in [0, 1, 2, 300] {
        let whole = whole_subscription(&publications[..count]);
        let none = SubscribeResult {
            publications: &[],
            ..whole
        };
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let mut want = b"{".to_vec();
            let result = ReplyResult::Subscribe(&whole);
            protocol.reply(&Reply { id: 7, result }, &mut want);

            let mut out = b"{".to_vec();
            let mut writer = SubscribeResultWriter::begin(protocol, 7, &none, &mut out);
            let mut before = writer.len();
            for publication in &publications[..count] {
                writer.publication(publication);
                assert!(writer.len() >= before + data.len());
                before = writer.len();
            }
            writer.finish();
            assert_eq!(out, want, "{protocol:?} {count}");
        }
    }
}
