//! Centrifugo's server API: every method, well asked and badly.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lmserver_runtime::directory::Signal;
use lmserver_runtime::directory::Target;
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::access::{Expiry, Feature};
use serde_json::{Value, json};

use crate::harness::{Asked, NODE, Script, Server, Setup, error, json as body_of};

const CLIENT: &str = "00000000-0000-0000-0000-000000000007";

const METHODS: [&str; 14] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "info",
    "rpc",
    "batch",
];

fn server(script: Script) -> Server {
    let mut server = Setup {
        namespaces: true,
        ..Setup::default()
    }
    .start();
    server.script = script;
    server
}

/// The body of the answer to a call.
fn call(server: &mut Server, method: &str, body: &Value) -> Value {
    let line = format!("POST /api/{method}");
    let response = server.response(&line, &[], &body.to_string());
    assert_eq!(response.status, 200, "{line} {body}");
    body_of(&response)
}

/// What the engine was asked by a call that must succeed with an empty result.
fn done(script: Script, method: &str, body: &Value) -> Asked {
    let mut server = server(script);
    let answer = call(&mut server, method, body);
    assert_eq!(answer, json!({"result": {}}), "{method} {body}");
    server.asked.pop().expect("a question")
}

fn signal(method: &str, body: &Value) -> (Target, Signal) {
    match done(Script::Signalled(1), method, body) {
        Asked::Signal(target, signal) => (target, signal),
        _ => panic!("{method}: no signal"),
    }
}

#[test]
fn without_a_key_it_is_open_or_closed_as_a_whole() {
    for method in METHODS {
        for line in [format!("POST /api/{method}"), "POST /api".to_owned()] {
            let mut server = Setup {
                closed: true,
                namespaces: true,
                ..Setup::default()
            }
            .start();
            let body = json!({"method": method, "channel": "news:a", "user": "42", "data": 1});
            for fields in [&[][..], &[("X-API-Key", "")], &[("X-API-Key", "key")]] {
                let response = server.response(&line, fields, &body.to_string());
                let message = error(&response, 401, "unauthorized");
                assert!(message.contains("set [auth] api_keys"), "{message}");
            }
            assert!(server.asked.is_empty(), "{method}");
        }
    }
    let mut server = Setup {
        closed: true,
        ..Setup::default()
    }
    .start();
    server.submission(r#"{"message":"anybody may ask"}"#);
}

#[test]
fn a_channel_takes_data_of_its_format() {
    let as_bytes = |text: &str| json!({"b64data": STANDARD.encode(text)});
    for (channel, data, is_taken) in [
        ("bare:a", as_bytes("nul"), true),
        ("bare:a", json!({"data": 1}), true),
        ("json:a", as_bytes("nul"), false),
        ("json:a", as_bytes("\"nul\""), true),
        ("json:a", json!({"data": [1]}), true),
        ("object:a", json!({"data": [1]}), false),
        ("object:a", as_bytes("{"), false),
        ("object:a", as_bytes("{}"), true),
        ("object:a", json!({"data": {}}), true),
    ] {
        let mut body = data;
        body["channel"] = channel.into();
        let mut server = server(Script::Published("k3f9ab-7"));
        let answer = call(&mut server, "publish", &body);
        let code = answer["error"]["code"].as_u64();
        assert_eq!(code, (!is_taken).then_some(107), "{body}: {answer}");
        assert_eq!(server.asked.len(), usize::from(is_taken), "{body}");
    }
}

#[test]
fn what_is_missing_or_wrong_has_a_number() {
    for (method, body, code) in [
        ("publish", json!({}), 107),
        ("publish", json!({"channel": "news:a"}), 107),
        ("publish", json!({"channel": "news:a", "b64data": "%"}), 107),
        ("publish", json!({"channel": "other:a", "data": 1}), 102),
        ("publish", json!({"channel": "plain", "data": 1}), 102),
        ("publish", json!({"channel": "chat:a", "data": 1}), 103),
        (
            "publish",
            json!({"channel": "news:a", "data": 1, "tags": {"a": 1}}),
            107,
        ),
        ("broadcast", json!({"data": 1}), 107),
        ("broadcast", json!({"channels": [], "data": 1}), 107),
        ("broadcast", json!({"channels": ["news:a"]}), 107),
        ("subscribe", json!({"user": "42"}), 107),
        ("subscribe", json!({"channel": "news:a"}), 107),
        (
            "subscribe",
            json!({"user": "42", "channel": "other:a"}),
            102,
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "news:\u{e9}"}),
            107,
        ),
        (
            "subscribe",
            json!({"user": "42", "channel": "news:a", "b64info": "eA=="}),
            107,
        ),
        ("unsubscribe", json!({"user": "42"}), 107),
        ("unsubscribe", json!({"channel": "news:a"}), 107),
        (
            "unsubscribe",
            json!({"user": "42", "channel": "other:a"}),
            102,
        ),
        ("disconnect", json!({}), 107),
        (
            "disconnect",
            json!({"user": "42", "disconnect": {"code": 5, "reason": "x"}}),
            107,
        ),
        (
            "disconnect",
            json!({"user": "42", "disconnect": {"reason": "x"}}),
            107,
        ),
        ("refresh", json!({}), 107),
        ("presence", json!({}), 107),
        ("presence", json!({"channel": "other:a"}), 102),
        ("presence", json!({"channel": "bare:a"}), 108),
        ("presence", json!({"channel": "chat:a"}), 108),
        ("presence_stats", json!({}), 107),
        ("presence_stats", json!({"channel": "bare:a"}), 108),
        ("history", json!({}), 107),
        ("history", json!({"channel": "other:a"}), 102),
        ("history", json!({"channel": "bare:a"}), 108),
        ("history", json!({"channel": "news:a", "limit": "1"}), 107),
        (
            "history",
            json!({"channel": "news:a", "reverse": true, "since": {"offset": 0}}),
            107,
        ),
        ("history_remove", json!({}), 107),
        ("history_remove", json!({"channel": "chat:a"}), 103),
        ("history_remove", json!({"channel": "bare:a"}), 108),
        ("channels", json!({"pattern": "[a"}), 107),
        ("rpc", json!({}), 107),
        ("rpc", json!({"method": "x"}), 104),
        ("batch", json!({"commands": 1}), 107),
        ("map_publish", json!({"channel": "news:a"}), 108),
    ] {
        let mut server = server(Script::Done);
        let answer = call(&mut server, method, &body);
        assert_eq!(answer["error"]["code"], code, "{method} {body}: {answer}");
        assert!(
            answer["error"]["message"]
                .as_str()
                .is_some_and(|it| it.len() > 10)
        );
        assert!(answer.get("result").is_none());
        assert!(server.asked.is_empty(), "{method} {body}");
    }
    for method in METHODS {
        let line = format!("POST /api/{method}");
        for body in ["[]", "{", "1", "\"x\""] {
            let response = server(Script::Metrics).response(&line, &[], body);
            let code = body_of(&response)["error"]["code"].clone();
            // `info` takes nothing.
            let want = if method == "info" {
                Value::Null
            } else {
                107.into()
            };
            assert_eq!(code, want, "{method} {body}");
        }
    }
}

#[test]
fn a_key_is_needed_where_one_is_configured() {
    for method in METHODS {
        let line = format!("POST /api/{method}");
        let start = || {
            let mut server = Setup {
                keys: &["k"],
                ..Setup::default()
            }
            .start();
            server.script = Script::Metrics;
            server
        };
        for fields in [
            &[][..],
            &[("X-API-Key", "x")],
            &[("Authorization", "apikey x")],
        ] {
            let mut server = start();
            error(&server.response(&line, fields, "{}"), 401, "unauthorized");
            let query = format!("{line}?api_key=x");
            error(&server.response(&query, fields, "{}"), 401, "unauthorized");
            assert!(server.asked.is_empty());
        }
        for fields in [
            [("X-API-Key", "k")],
            [("Authorization", "apikey k")],
            [("Authorization", "Bearer k")],
        ] {
            assert_eq!(start().response(&line, &fields, "[]").status, 200, "{line}");
        }
        let query = format!("{line}?api_key=k");
        assert_eq!(start().response(&query, &[], "[]").status, 200, "{line}");
    }
    let mut server = Setup {
        keys: &["k"],
        ..Setup::default()
    }
    .start();
    error(
        &server.response("POST /api", &[], "{}"),
        401,
        "unauthorized",
    );
    let chat = server.response("POST /api/chat?api_key=k", &[], r#"{"message":"hi"}"#);
    error(&chat, 401, "unauthorized");
}

#[test]
fn a_publication_has_what_belongs_to_it() {
    let body = json!({
        "channel": "news:a", "data": {"a": 1}, "tags": {"b": "2", "a": "1"}, "delta": true,
        "skip_history": true, "unknown": 1,
    });
    let Asked::Publish(publish) = done(Script::Published("k3f9ab-7"), "publish", &body) else {
        panic!("no publication");
    };
    assert_eq!(&*publish.data, br#"{"a":1}"#);
    assert!(publish.is_fleeting);
    let details = publish.details.expect("details");
    assert_eq!(
        details.tags,
        [("a".into(), "1".into()), ("b".into(), "2".into())]
    );
    assert!(details.as_delta && details.publisher.is_none() && details.binary.is_none());
    let retention = Retention {
        size: 100,
        ttl: Duration::from_secs(300),
        position_ttl: Duration::from_secs(3600),
    };
    assert_eq!(publish.retention, retention);

    let mut server = server(Script::Published("k3f9ab-7"));
    let body = json!({"channel": "news:a", "data": null, "idempotency_key": ""});
    let answer = call(&mut server, "publish", &body);
    assert_eq!(answer, json!({"result": {"offset": 7, "epoch": "k3f9ab"}}));
    assert!(matches!(server.asked.pop(), Some(Asked::Publish(it)) if it.details.is_none()));
}

#[test]
fn data_in_base64_is_json_or_is_kept_as_it_is() {
    for (text, data, binary) in [
        ("eyJhIjoKMX0=", r#"{"a":1}"#, None),
        ("Ym9vbQ==", r#""boom""#, Some(&b"boom"[..])),
    ] {
        let mut server = server(Script::Published("k3f9ab-7"));
        call(
            &mut server,
            "publish",
            &json!({"channel": "news:a", "b64data": text}),
        );
        let Some(Asked::Publish(publish)) = server.asked.pop() else {
            panic!("{text}");
        };
        assert_eq!(&*publish.data, data.as_bytes());
        let details = publish.details.unwrap_or_default();
        assert_eq!(details.binary.as_deref(), binary);
    }
}

#[test]
fn a_publication_with_a_key_is_made_once() {
    let body =
        |channel: &str, key: &str| json!({"channel": channel, "data": 1, "idempotency_key": key});
    let mut server = server(Script::Overloaded);
    let answer = call(&mut server, "publish", &body("news:a", "k"));
    assert_eq!(answer["error"]["code"], 100);
    server.script = Script::Published("k3f9ab-7");
    for (channel, key, want, is_made) in [
        ("news:a", "k", 7, true),
        ("news:a", "k", 7, false),
        ("news:b", "k", 8, true),
        ("news:a", "l", 8, true),
        ("news:a", "k", 7, false),
    ] {
        server.asked.clear();
        let answer = call(&mut server, "publish", &body(channel, key));
        assert_eq!(answer["result"]["offset"], want, "{channel} {key}");
        assert_eq!(!server.asked.is_empty(), is_made, "{channel} {key}");
        server.script = Script::Published("k3f9ab-8");
    }
    let many = json!({
        "channels": ["news:a", "news:c", "news:c"], "data": 1, "idempotency_key": "k",
    });
    server.asked.clear();
    let answer = call(&mut server, "broadcast", &many);
    let offsets: Vec<_> = (0..3)
        .map(|index| answer["result"]["responses"][index]["result"]["offset"].clone())
        .collect();
    assert_eq!(offsets, [7, 8, 8]);
    assert_eq!(server.asked.len(), 1);
}

#[test]
fn a_broadcast_answers_for_each_channel() {
    let mut server = server(Script::Published("k3f9ab-7"));
    let body = json!({"channels": ["news:a", "other:b", "chat:c", "", "news:d"], "data": {}});
    let answer = call(&mut server, "broadcast", &body);
    let responses = answer["result"]["responses"].as_array().expect("responses");
    let codes: Vec<_> = responses
        .iter()
        .map(|it| it["error"]["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [Value::Null, 102.into(), 103.into(), 107.into(), Value::Null]
    );
    assert_eq!(
        responses[4],
        json!({"result": {"offset": 7, "epoch": "k3f9ab"}})
    );
    let asked: Vec<_> = server
        .asked
        .iter()
        .map(|asked| match asked {
            Asked::Publish(publish) => &*publish.channel,
            _ => panic!("another question"),
        })
        .collect();
    assert_eq!(asked, ["news:a", "news:d"]);
}

#[test]
fn clients_are_meant_by_user_client_and_session() {
    let user = |client, session, except| Target::User {
        user: "42".into(),
        client,
        session,
        except,
    };
    for (body, want) in [
        (json!({"user": "42"}), user(None, None, vec![])),
        (
            json!({"user": "42", "client": CLIENT}),
            user(Some(7), None, vec![]),
        ),
        (
            json!({"user": "42", "session": CLIENT}),
            user(None, Some(7), vec![]),
        ),
        (
            json!({"user": "42", "whitelist": [CLIENT, "nobody"]}),
            user(None, None, vec![7]),
        ),
        (json!({"user": "", "client": CLIENT}), Target::Client(7)),
        (json!({"session": CLIENT}), Target::Session(7)),
    ] {
        assert_eq!(signal("disconnect", &body).0, want, "{body}");
    }
    let mut server = server(Script::Signalled(1));
    for key in ["client", "session"] {
        let body = json!({"user": "42", key: "no id of a client"});
        assert_eq!(
            call(&mut server, "disconnect", &body),
            json!({"result": {}})
        );
        assert!(server.asked.is_empty(), "nobody can have this id");
    }
}

#[test]
fn a_client_is_subscribed_by_the_server() {
    let body = json!({
        "user": "42", "channel": "news:a", "info": {"a": 1}, "b64data": "eyJiIjoyfQ==",
        "recover_since": {"offset": 3, "epoch": "e"}, "expire_at": 77,
        "override": {"presence": {"value": false}, "force_recovery": {"value": true}},
    });
    let (_, signal) = signal("subscribe", &body);
    let Signal::Subscribe {
        channel,
        grant,
        since,
    } = signal
    else {
        panic!("{signal:?}");
    };
    assert_eq!((&*channel, since), ("news:a", Some((3, "e".into()))));
    assert_eq!(grant.info.as_deref(), Some(&br#"{"a":1}"#[..]));
    assert_eq!(grant.data.as_deref(), Some(&br#"{"b":2}"#[..]));
    assert_eq!(grant.expiry, Expiry(Some(77)));
    assert!(!grant.presence && !grant.by_token);
    assert_eq!(
        (grant.recovery, grant.positioning),
        (Feature::Forced, Feature::Off)
    );
}

#[test]
fn clients_are_told_what_is_decided_about_them() {
    let (_, unsubscribed) = signal("unsubscribe", &json!({"user": "42", "channel": "news:a"}));
    let want = Signal::Unsubscribe {
        channel: "news:a".into(),
        code: 2000,
        reason: "server unsubscribe".into(),
    };
    assert_eq!(unsubscribed, want);
    for (disconnect, code, reason) in [
        (Value::Null, 3503, "force disconnect"),
        (json!({"code": 4001, "reason": "bye"}), 4001, "bye"),
        (json!({"code": 3000}), 3000, "disconnect"),
    ] {
        let body = json!({"user": "42", "disconnect": disconnect});
        let want = Signal::Disconnect {
            code,
            reason: reason.into(),
        };
        assert_eq!(signal("disconnect", &body).1, want);
    }
    for (body, expired, expires_at) in [
        (json!({"user": "42"}), false, None),
        (json!({"user": "42", "expired": true}), true, None),
        (json!({"user": "42", "expire_at": 99}), false, Some(99)),
        (json!({"user": "42", "expire_at": 0}), false, None),
    ] {
        let want = Signal::Refresh {
            expired,
            expires_at,
            info: None,
        };
        assert_eq!(signal("refresh", &body).1, want);
    }
}

#[test]
fn presence_is_told_even_where_nobody_is() {
    let body = json!({"channel": "news:a"});
    let mut server = server(Script::Presence);
    let answer = call(&mut server, "presence", &body);
    assert_eq!(answer, json!({"result": {"presence": {}}}));
    let answer = call(&mut server, "presence_stats", &body);
    assert_eq!(
        answer,
        json!({"result": {"num_clients": 0, "num_users": 0}})
    );
    for asked in server.asked {
        assert!(matches!(asked, Asked::Presence(channel) if &*channel == "news:a"));
    }
}

#[test]
fn a_history_is_asked_for_as_it_is_wanted() {
    for (body, since, epoch, limit, reverse) in [
        (json!({"channel": "news:a"}), None, None, 0, false),
        (
            json!({"channel": "news:a", "limit": 5}),
            None,
            None,
            5,
            false,
        ),
        (
            json!({"channel": "news:a", "limit": -1}),
            None,
            None,
            usize::MAX,
            false,
        ),
        (
            json!({"channel": "news:a", "limit": 2, "since": {"offset": 4, "epoch": "e"}, "reverse": true}),
            Some(4),
            Some("e"),
            2,
            true,
        ),
        (
            json!({"channel": "news:a", "since": {}}),
            Some(0),
            None,
            0,
            false,
        ),
    ] {
        let mut server = server(Script::Unrecoverable);
        let answer = call(&mut server, "history", &body);
        assert_eq!(answer["error"]["code"], 112);
        let Some(Asked::History(range)) = server.asked.pop() else {
            panic!("{body}");
        };
        assert_eq!(
            (
                range.since,
                range.epoch.as_deref(),
                range.limit,
                range.reverse
            ),
            (since, epoch, limit, reverse),
            "{body}"
        );
        assert!(range.create.is_some());
    }
    for (script, code) in [(Script::Unknown, 102), (Script::Expired, 102)] {
        let mut server = server(script);
        let answer = call(&mut server, "history", &json!({"channel": "chat:a"}));
        assert_eq!(answer["error"]["code"], code);
        assert!(matches!(server.asked.pop(), Some(Asked::History(it)) if it.create.is_none()));
    }
    let body = json!({"channel": "news:a"});
    for script in [Script::Done, Script::Unknown] {
        let asked = done(script, "history_remove", &body);
        assert!(matches!(asked, Asked::RemoveHistory(it) if &*it == "news:a"));
    }
}

#[test]
fn channels_are_listed_by_a_pattern() {
    for (body, want) in [
        (json!({}), &["chat:1", "news:a"][..]),
        (json!({"pattern": "news:*"}), &["news:a"]),
        (json!({"pattern": "x"}), &[]),
    ] {
        let found = vec![("news:a".into(), 3), ("chat:1".into(), 1)];
        let answer = call(&mut server(Script::Channels(found)), "channels", &body);
        let channels = answer["result"]["channels"].as_object().expect("channels");
        assert_eq!(channels.keys().collect::<Vec<_>>(), want);
        assert!(
            channels
                .get("news:a")
                .is_none_or(|it| it["num_clients"] == 3)
        );
    }
}

#[test]
fn the_node_says_who_it_is() {
    let answer = call(&mut server(Script::Metrics), "info", &json!({}));
    let node = &answer["result"]["nodes"][0];
    assert_eq!(
        (&node["uid"], &node["name"]),
        (&NODE.into(), &"lmserver".into())
    );
    for key in [
        "version",
        "num_clients",
        "num_users",
        "num_subs",
        "num_channels",
        "uptime",
    ] {
        assert!(node.get(key).is_some(), "{key}");
    }
}

#[test]
fn a_batch_is_carried_out_in_order() {
    let mut server = server(Script::Published("k3f9ab-7"));
    let body = json!({"parallel": true, "commands": [
        {"publish": {"channel": "news:a", "data": 1}},
        {"publish": {"channel": "chat:a", "data": 1}},
        {"broadcast": {"channels": ["news:b", "other:c"], "data": 2}},
        {"rpc": {"method": "x"}},
        {"batch": {"commands": []}},
        {"nothing": {}},
        {},
        {"publish": {"channel": "news:d", "data": 3}},
    ]});
    let answer = call(&mut server, "batch", &body);
    let published = json!({"offset": 7, "epoch": "k3f9ab"});
    let replies = answer["replies"].as_array().expect("replies");
    assert_eq!(replies.len(), 8);
    assert_eq!(replies[0], json!({"publish": published}));
    assert_eq!(replies[1]["error"]["code"], 103);
    let responses = &replies[2]["broadcast"]["responses"];
    assert_eq!(responses[0], json!({"result": published}));
    assert_eq!(responses[1]["error"]["code"], 102);
    assert_eq!(replies[3]["error"]["code"], 104);
    for reply in &replies[4..7] {
        assert_eq!(reply["error"]["code"], 107);
    }
    assert_eq!(replies[7], json!({"publish": published}));
    let asked: Vec<_> = server
        .asked
        .iter()
        .map(|asked| match asked {
            Asked::Publish(publish) => &*publish.channel,
            _ => panic!("another question"),
        })
        .collect();
    assert_eq!(asked, ["news:a", "news:b", "news:d"]);
    assert_eq!(
        call(&mut server, "batch", &json!({})),
        json!({"replies": []})
    );
}

#[test]
fn a_long_batch_does_not_exhaust_the_stack() {
    let command = r#"{"publish":{"channel":"news:a","data":1}},{"rpc":{}}"#;
    let body = format!(r#"{{"commands":[{}]}}"#, [command; 15_000].join(","));
    let mut server = server(Script::Published("k3f9ab-7"));
    let response = server.response("POST /api/batch", &[], &body);
    assert_eq!(
        body_of(&response)["replies"].as_array().map(Vec::len),
        Some(30_000)
    );
    assert_eq!(server.asked.len(), 15_000);
}

#[test]
fn the_method_may_stand_in_the_body() {
    let mut server = server(Script::Published("k3f9ab-7"));
    for (body, code) in [
        (
            json!({"method": "publish", "params": {"channel": "news:a", "data": 1}}),
            None,
        ),
        (json!({"method": "publish"}), Some(107)),
        (json!({"method": "nothing", "params": {}}), Some(104)),
        (json!({"params": {}}), Some(107)),
        (json!({"method": "publish", "params": []}), Some(107)),
    ] {
        let response = server.response("POST /api", &[], &body.to_string());
        assert_eq!(response.status, 200);
        let answer = body_of(&response);
        assert_eq!(answer["error"]["code"].as_u64(), code, "{body}");
        assert_eq!(answer.get("result").is_some(), code.is_none());
    }
}

#[test]
fn a_mistake_is_an_http_status_for_those_who_want_that() {
    let mode = [("X-Centrifugo-Error-Mode", "transport")];
    for (method, body, script, status, code) in [
        (
            "publish",
            r#"{"channel":"news:a","data":1}"#,
            Script::Overloaded,
            500,
            100,
        ),
        (
            "publish",
            r#"{"channel":"other:a","data":1}"#,
            Script::Done,
            404,
            102,
        ),
        (
            "publish",
            r#"{"channel":"chat:a","data":1}"#,
            Script::Done,
            403,
            103,
        ),
        ("rpc", r#"{"method":"x"}"#, Script::Done, 404, 104),
        ("publish", "{}", Script::Done, 400, 107),
        (
            "presence",
            r#"{"channel":"bare:a"}"#,
            Script::Done,
            400,
            108,
        ),
        (
            "history",
            r#"{"channel":"news:a"}"#,
            Script::Unrecoverable,
            416,
            112,
        ),
    ] {
        let line = format!("POST /api/{method}");
        let response = server(script).response(&line, &mode, body);
        assert_eq!(response.status, status, "{body}");
        let answer = body_of(&response);
        assert_eq!(answer["code"], code, "{body}");
        assert!(answer["message"].is_string());
    }
    let body = json!({"channel": "news:a", "data": 1}).to_string();
    let mut server = server(Script::Published("k3f9ab-7"));
    assert_eq!(
        server.response("POST /api/publish", &mode, &body).status,
        200
    );
}
