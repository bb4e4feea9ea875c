//! `/api/chat`: both forms of the answer, repetition, state, cancelling, keys and tokens.

use lmserver_proto::http1::{Method, Response};
use lmserver_runtime::channel::{Snapshot, Status, ToolCallSoFar};
use lmserver_runtime::event::{After, Attempt, ErrorCode, Failure, FinishReason, Usage};
use lmserver_runtime::plugin::service::Idempotency;
use serde_json::json;

use crate::harness::{Asked, Script, Server, Setup, describe, error, field, json, position};

const HELLO: &str = r#"{"message":"hi"}"#;
const STREAM: (&str, &str) = ("Accept", "text/event-stream");

fn idempotency(server: &mut Server) -> Idempotency {
    match server.asked.pop() {
        Some(Asked::Submit(submission)) => submission.idempotency.expect("an idempotency"),
        _ => panic!("nothing was submitted"),
    }
}

#[test]
fn a_question_makes_a_channel_with_a_random_name() {
    let mut server = Setup::default().start();
    let response = server.response("POST /api/chat", &[], HELLO);
    let body = json(&response);
    let channel = body["channel_id"].as_str().unwrap();
    // The stage's random bytes are zero; version and variant are those of RFC 9562 §5.4.
    assert_eq!(channel, "chat:00000000-0000-4000-8000-000000000000");
    assert_eq!(
        body["message"],
        "Channel created, start listening for messages"
    );
    assert_eq!(body.get("token"), None);
    assert_eq!(field(&response, "X-Channel-Id"), Some(channel));
    assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
    let Some(Asked::Submit(submission)) = server.asked.pop() else {
        panic!("not submitted")
    };
    assert_eq!(&*submission.channel, channel);
    assert_eq!(&*submission.model, "default");
    assert_eq!(&*submission.plan.targets()[0].target.model, "small");
    assert_eq!(submission.idempotency, None);
}

#[test]
fn a_model_is_found_or_the_known_ones_are_named() {
    let mut server = Setup::default().start();
    let submission = server.submission(r#"{"message":"hi","model":"local/large:7b"}"#);
    assert_eq!(&*submission.plan.targets()[0].target.model, "large:7b");
    assert_eq!(&*submission.model, "local/large:7b");
    for model in ["gpt-9", "other/x", "local/", "local", "", "/"] {
        let body = json!({ "message": "hi", "model": model }).to_string();
        let message = error(
            &server.response("POST /api/chat", &[], &body),
            400,
            "invalid_request",
        );
        assert!(
            model.is_empty() || message.contains("default, local/<model>"),
            "{message}"
        );
    }
    assert!(server.asked.is_empty());
}

#[test]
fn the_answer_can_be_the_stream_itself() {
    let origins = Some(&["https://app.example"][..]);
    let mut server = Setup {
        origins,
        secret: Some("s"),
        ..Setup::default()
    }
    .start();
    let fields = [
        STREAM,
        ("Origin", "https://app.example"),
        ("Last-Event-ID", "k3f9ab-7"),
    ];
    let opened = server.session("POST /api/chat", &fields, HELLO);
    assert_eq!((opened.transport, &opened.method), ("sse", &Method::Post));
    assert!(opened.channel.starts_with("chat:"));
    assert_eq!(opened.after, After::Beginning, "a new channel has no past");
    assert!(!opened.may_create);
    let has = |name: &str, want: &str| {
        opened
            .fields
            .iter()
            .any(|(other, value)| other == name && value.contains(want))
    };
    assert!(has("X-Channel-Id", &opened.channel));
    assert!(has("X-Channel-Token", "."));
    assert!(has("Access-Control-Allow-Origin", "https://app.example"));
    assert!(has("Access-Control-Expose-Headers", "X-Channel-Id"));

    server.script = Script::Repeated("chat:old");
    let opened = server.session("POST /api/chat", &fields, HELLO);
    assert_eq!(
        (&*opened.channel, opened.after),
        ("chat:old", After::Position(position("k3f9ab-7")))
    );

    let mut server = Setup {
        no_transports: true,
        ..Setup::default()
    }
    .start();
    error(
        &server.response("POST /api/chat", &[STREAM], HELLO),
        406,
        "invalid_request",
    );
    assert!(server.asked.is_empty());
}

#[test]
fn a_repetition_finds_its_channel() {
    let mut server = Setup {
        keys: &["one", "two"],
        ..Setup::default()
    }
    .start();
    let mut ask = |key: &str, id: &str, body: &str| {
        let fields = [("X-API-Key", key), ("Idempotency-Key", id)];
        assert_eq!(server.response("POST /api/chat", &fields, body).status, 200);
        idempotency(&mut server)
    };
    let first = ask("one", "id", HELLO);
    assert_eq!(ask("one", "id", HELLO), first);
    assert_ne!(
        ask("two", "id", HELLO).key,
        first.key,
        "keys of callers are apart"
    );
    assert_ne!(ask("one", "id2", HELLO).key, first.key);
    let other = ask("one", "id", r#"{"message":"ho"}"#);
    assert_eq!(other.key, first.key);
    assert_ne!(other.body, first.body);

    let fields = [("X-API-Key", "one"), ("Idempotency-Key", "id")];
    server.script = Script::Repeated("chat:old");
    let repeated = json(&server.response("POST /api/chat", &fields, HELLO));
    assert_eq!(repeated["channel_id"], "chat:old");
    server.script = Script::Conflict;
    let message = error(
        &server.response("POST /api/chat", &fields, HELLO),
        422,
        "idempotency_conflict",
    );
    assert!(message.contains("new key"), "{message}");
}

#[test]
fn an_idempotency_key_has_bounds() {
    let long = "x".repeat(256);
    for (fields, want) in [
        (&[("Idempotency-Key", "x")][..], 200),
        (&[("Idempotency-Key", &long[..255])], 200),
        (&[("Idempotency-Key", "")], 400),
        (&[("Idempotency-Key", &long)], 400),
        (&[("Idempotency-Key", "a"), ("Idempotency-Key", "b")], 400),
    ] {
        let response = Setup::default()
            .start()
            .response("POST /api/chat", fields, HELLO);
        assert_eq!(response.status, want, "{fields:?}");
    }
}

#[test]
fn without_room_a_question_may_come_back() {
    for (script, code) in [
        (Script::Overloaded, "overloaded"),
        (Script::Draining, "draining"),
    ] {
        let mut server = Setup::default().start();
        server.script = script;
        let response = server.response("POST /api/chat", &[], HELLO);
        error(&response, 503, code);
        assert!(field(&response, "Retry-After").is_some_and(|after| after.parse::<u8>().is_ok()));
    }
    let mut server = Setup::default().start();
    server.full = true;
    error(
        &server.response("POST /api/chat", &[], HELLO),
        503,
        "overloaded",
    );
    server.full = false;
    server.draining = true;
    error(
        &server.response("POST /api/chat", &[STREAM], HELLO),
        503,
        "draining",
    );
    assert!(server.asked.is_empty());
    server.script = Script::Repeated("chat:old");
    let again = server.response("POST /api/chat", &[("Idempotency-Key", "k")], HELLO);
    assert_eq!(again.status, 200, "a repetition is no new chat");
    server.script = Script::TooLarge(10);
    server.draining = false;
    error(
        &server.response("POST /api/chat", &[], HELLO),
        413,
        "too_large",
    );
}

#[test]
fn a_question_carries_the_name_of_the_key_that_pays() {
    for (keys, field, want) in [
        (&["one", "two"][..], "two", "name of two"),
        (&["one", "two"], "one", "name of one"),
        (&[], "whatever", "none"),
    ] {
        let setup = Setup {
            keys,
            ..Setup::default()
        };
        let mut server = setup.start();
        server.response("POST /api/chat", &[("X-API-Key", field)], HELLO);
        let Some(Asked::Submit(submission)) = server.asked.pop() else {
            panic!("nothing was submitted");
        };
        assert_eq!(&*submission.key, want);
    }
}

#[test]
fn what_costs_money_needs_a_key_where_keys_are_configured() {
    let mut server = Setup {
        keys: &["first", "second"],
        ..Setup::default()
    }
    .start();
    for (fields, want) in [
        (&[][..], 401),
        (&[("Authorization", "Bearer first")], 200),
        (&[("Authorization", "bearer  second")], 200),
        (&[("X-API-Key", "second")], 200),
        (&[("Authorization", "apikey first")], 200),
        (
            &[("X-API-Key", "wrong"), ("Authorization", "Bearer first")],
            200,
        ),
        (&[("Authorization", "Bearer third")], 401),
        (&[("Authorization", "Bearer ")], 401),
        (&[("Authorization", "Bearer firs")], 401),
        (&[("Authorization", "Bearer first2")], 401),
        (&[("Authorization", "first")], 401),
        (&[("Authorization", "Basic first")], 401),
        (&[("X-API-Key", "")], 401),
        (&[("X-API-Key", "FIRST")], 401),
        (
            &[
                ("Authorization", "Bearer first"),
                ("Authorization", "Bearer first"),
            ],
            401,
        ),
    ] {
        let response = server.response("POST /api/chat", fields, HELLO);
        assert_eq!(response.status, want, "{fields:?}");
        if want == 401 {
            let message = error(&response, 401, "unauthorized");
            assert!(field(&response, "WWW-Authenticate").is_some_and(|c| c.starts_with("Bearer")));
            assert!(
                !message.contains("first") && !message.contains("third"),
                "{message}"
            );
        }
    }
    let query = server.response("POST /api/chat?api_key=first", &[], HELLO);
    assert_eq!(query.status, 401, "a key does not stand in a URL");
}

#[test]
fn the_state_of_a_chat_has_all_fields() {
    let mut server = Setup::default().start();
    server.script = Script::Snapshot(
        Box::new(Snapshot {
            status: Status::Completed,
            text: "Hel\"lo".into(),
            reasoning: "hm".into(),
            tool_calls: vec![ToolCallSoFar {
                id: "call_1".into(),
                name: "f".into(),
                arguments: "{}".into(),
            }],
            finish_reason: Some(FinishReason::ToolCalls),
            usage: Some(Usage {
                input_tokens: 12,
                output_tokens: 34,
                cached_tokens: Some(5),
                ..Usage::default()
            }),
            model: "small".into(),
            provider: Some("local".into()),
            ..Snapshot::default()
        }),
        "k3f9ab-17",
    );
    let response = server.response("GET /api/chat/chat%3Aabc", &[], "");
    assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
    assert_eq!(
        json(&response),
        json!({
            "channel_id": "chat:abc", "status": "completed", "text": "Hel\"lo",
            "finish_reason": "tool_calls",
            "usage": {"input_tokens": 12, "output_tokens": 34, "cached_tokens": 5},
            "model": "small", "provider": "local", "reasoning": "hm",
            "tool_calls": [{"index": 0, "id": "call_1", "name": "f", "arguments": "{}"}],
            "error": null, "position": "k3f9ab-17",
        })
    );
    assert!(matches!(server.asked.pop(), Some(Asked::Snapshot(name)) if &*name == "chat:abc"));
}

#[test]
fn the_state_of_a_failed_chat_says_why() {
    let mut server = Setup::default().start();
    let attempt = Attempt {
        provider: "claude".into(),
        model: "m".into(),
        code: ErrorCode::ProviderOverloaded,
    };
    let snapshot = Snapshot {
        status: Status::Failed,
        refusal: "no".into(),
        error: Some(Failure::new(ErrorCode::ProviderTimeout, "too late")),
        attempts: vec![attempt],
        ..Snapshot::default()
    };
    server.script = Script::Snapshot(Box::new(snapshot), "k3f9ab-2");
    let body = json(&server.response("GET /api/chat/chat:abc", &[], ""));
    assert_eq!(
        body["error"],
        json!({"code": "provider_timeout", "message": "too late", "retryable": true})
    );
    assert_eq!(
        body["attempts"],
        json!([{"provider": "claude", "model": "m", "code": "provider_overloaded"}])
    );
    assert_eq!(
        (&body["status"], &body["refusal"]),
        (&json!("failed"), &json!("no"))
    );
    assert_eq!(
        (&body["usage"], &body["finish_reason"]),
        (&json!(null), &json!(null))
    );
}

#[test]
fn a_chat_is_cancelled_and_cancelling_again_is_fine() {
    let mut server = Setup::default().start();
    for running in [true, false] {
        server.script = Script::Cancelled(running);
        let response = server.response("DELETE /api/chat/chat%3aabc", &[], "");
        assert_eq!(response.status, 200, "{}", describe(&response));
        assert_eq!(json(&response)["cancelled"], running);
        assert_eq!(json(&response)["channel_id"], "chat:abc");
        assert!(matches!(server.asked.pop(), Some(Asked::Cancel(name)) if &*name == "chat:abc"));
    }
}

#[test]
fn a_chat_that_is_not_here_is_404_or_410() {
    let mut server = Setup::default().start();
    for method in ["GET", "DELETE"] {
        server.script = Script::Unknown;
        let line = format!("{method} /api/chat/chat:abc");
        error(&server.response(&line, &[], ""), 404, "not_found");
        server.script = Script::Expired;
        error(&server.response(&line, &[], ""), 410, "gone");
        server.asked.clear();
        let line = format!("{method} /api/chat/news");
        error(&server.response(&line, &[], ""), 404, "not_found");
        for bad in ["chat%3", "chat%ff", "%zz"] {
            let line = format!("{method} /api/chat/{bad}");
            error(&server.response(&line, &[], ""), 400, "invalid_request");
        }
        assert!(server.asked.is_empty());
    }
}

#[test]
fn who_may_read_and_cancel_depends_on_what_is_configured() {
    let other = |secret| {
        let body = Setup {
            secret: Some(secret),
            ..Setup::default()
        };
        token(&body.start().response("POST /api/chat", &[], HELLO))
    };
    // Every new channel here has the same name.
    let channel = "chat:00000000-0000-4000-8000-000000000000";
    let good = format!("Bearer {}", other("s"));
    let bad = format!("Bearer {}", other("another"));
    let key = "Bearer k".to_owned();
    for (name, keys, secret, credentials, may_read, may_cancel) in [
        ("open", &[][..], None, None, 200, 200),
        ("keys, none", &["k"], None, None, 200, 401),
        ("keys, key", &["k"], None, Some(&key), 200, 200),
        ("secret, none", &[], Some("s"), None, 401, 401),
        ("secret, token", &[], Some("s"), Some(&good), 200, 200),
        ("secret, bad token", &[], Some("s"), Some(&bad), 401, 401),
        ("secret, a key", &[], Some("s"), Some(&key), 401, 401),
        ("both, none", &["k"], Some("s"), None, 401, 401),
        ("both, key", &["k"], Some("s"), Some(&key), 200, 200),
        ("both, token", &["k"], Some("s"), Some(&good), 200, 200),
        ("both, bad token", &["k"], Some("s"), Some(&bad), 401, 401),
    ] {
        let mut server = Setup {
            keys,
            secret,
            ..Setup::default()
        }
        .start();
        let fields: Vec<_> = credentials
            .iter()
            .map(|value| ("Authorization", value.as_str()))
            .collect();
        server.script = Script::Snapshot(Box::default(), "k3f9ab-1");
        let read = server.response(&format!("GET /api/chat/{channel}"), &fields, "");
        server.script = Script::Cancelled(true);
        let cancel = server.response(&format!("DELETE /api/chat/{channel}"), &fields, "");
        assert_eq!(
            (read.status, cancel.status),
            (may_read, may_cancel),
            "{name}"
        );
        let elsewhere = server.response("DELETE /api/chat/chat:other", &fields, "");
        let is_token = credentials == Some(&good);
        assert_eq!(
            elsewhere.status,
            if is_token { 403 } else { may_cancel },
            "{name}"
        );
    }
}

fn token(response: &Response) -> String {
    json(response)["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}
