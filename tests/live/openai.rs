//! OpenAI's clients: chat completions and responses, their streams, their failures, their going.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{answer, request};
use crate::program::Server;
use crate::provider::{Provider, ending, in_chunk, piece, section, whole};
use crate::wire::{Head, Wire};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// In this time the provider's connection is to be closed.
const AT_ONCE: Duration = Duration::from_millis(100);

fn chat(is_stream: bool) -> String {
    let messages = json!([{"role": "user", "content": "hi"}]);
    json!({"messages": messages, "stream": is_stream}).to_string()
}

fn post(wire: &mut Wire, target: &str, body: &str) {
    wire.say(request("POST", target, &[], body));
}

/// The data of the events of a text, `[DONE]` as a string.
fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let read = |data: &str| serde_json::from_str(data).unwrap_or_else(|_| data.into());
    lines.map(read).collect()
}

fn stream_of(wire: &mut Wire) -> (Head, Vec<Value>) {
    let head = wire.head();
    assert_eq!(head.status(), 200, "{head:?}");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    let body = wire.body(&head);
    (head, data(str::from_utf8(&body).unwrap()))
}

fn deltas(events: &[Value], key: &str) -> String {
    let texts = events.iter();
    let texts = texts.filter_map(|event| event["choices"][0]["delta"][key].as_str());
    texts.collect()
}

#[test]
fn a_stream_of_chunks_ends_with_done_and_the_connection_goes_on() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    for text in ["Hello", "again"] {
        let mut body: Value = serde_json::from_str(&chat(true)).unwrap();
        body["stream_options"] = json!({"include_usage": true});
        post(&mut wire, CHAT, &body.to_string());
        provider.accept().answer(text);
        let (head, events) = stream_of(&mut wire);
        assert!(head.field("x-channel-id").unwrap().starts_with("chat:"));
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(deltas(&events, "content"), text);
        let [.., last, usage, done] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!(usage["choices"], json!([]));
        assert!(usage["usage"]["total_tokens"].is_u64(), "{usage}");
        assert_eq!(*done, json!("[DONE]"));
        assert!(
            events
                .iter()
                .all(|it| *it == json!("[DONE]") || it["id"] == events[0]["id"])
        );
    }
}

#[test]
fn the_channel_of_a_completion_is_watched_by_others() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    post(&mut wire, CHAT, &chat(true));
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("Hel");
    let head = wire.head();
    let mut watcher = server.listen(head.field("x-channel-id").unwrap(), None);
    watcher.until("chunk");
    // Whoever asked goes; the other one has all of it.
    drop(wire);
    connection.tell("lo");
    connection.finish();
    assert_eq!(answer(&mut watcher), "lo");
}

#[test]
fn who_goes_ends_the_answer_at_once_in_every_phase() {
    let provider = Provider::new();
    let silent = Provider::new();
    let url = format!("https://{}/v1", silent.address);
    let configuration = provider.section("p", "")
        + &section("tls", &url, "")
        + "[model.default]\ntargets = [\"p/m\"]\n";
    let server = Server::start(&configuration);
    let responses = |is_stream| json!({"input": "hi", "stream": is_stream}).to_string();
    for (target, body) in [
        (CHAT, chat(true)),
        (CHAT, chat(false)),
        (RESPONSES, responses(true)),
        (RESPONSES, responses(false)),
    ] {
        for phase in 0..4 {
            let mut wire = server.connect();
            let mut body: Value = serde_json::from_str(&body).unwrap();
            let mut connection = if phase == 0 {
                // TLS is shaking hands, and will for ever.
                body["model"] = json!("tls/m");
                post(&mut wire, target, &body.to_string());
                let mut connection = Wire::tcp(silent.accept_tcp());
                connection.exactly(1);
                connection
            } else {
                post(&mut wire, target, &body.to_string());
                let mut connection = provider.accept();
                connection.question();
                connection
            };
            if phase > 1 {
                connection.begin();
            }
            if phase > 2 {
                connection.tell("Hel");
                if body["stream"] == true {
                    assert_eq!(wire.head().status(), 200);
                }
            }
            drop(wire);
            let gone = Instant::now();
            connection.read_to_end();
            let took = gone.elapsed();
            assert!(took < AT_ONCE, "{target} {body}, phase {phase}: {took:?}");
        }
    }
}

#[test]
fn a_page_that_does_not_come_back_ends_its_answer_after_a_while() {
    let provider = Provider::new();
    let configuration =
        provider.section("p", "") + "[llm_api]\nui_cancel_when_abandoned = \"20ms\"\n";
    let server = Server::start(&configuration);
    let mut wire = server.connect();
    let message = json!({"role": "user", "parts": [{"type": "text", "text": "hi"}]});
    let body = json!({"id": "42", "messages": [message]});
    post(&mut wire, "/api/ui/chat", &body.to_string());
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("Hel");
    assert_eq!(wire.head().status(), 200);
    drop(wire);
    connection.read_to_end();
}

#[test]
fn an_answer_goes_on_alone_where_that_is_configured_and_in_the_background() {
    let provider = Provider::new();
    for (configuration, background) in [
        ("[llm_api]\ncancel_when_abandoned = false\n", false),
        ("", true),
    ] {
        let server = Server::start(&(provider.section("p", "") + configuration));
        let mut wire = server.connect();
        let body = json!({"input": "hi", "stream": true, "background": background});
        post(&mut wire, RESPONSES, &body.to_string());
        let mut connection = provider.accept();
        connection.question();
        connection.begin();
        connection.tell("Hel");
        let head = wire.head();
        let first = wire.chunk().unwrap();
        let first = data(str::from_utf8(&first).unwrap());
        let id = first[0]["response"]["id"].as_str().unwrap().to_owned();
        assert!(head.field("x-channel-id").is_some());
        drop(wire);
        connection.tell("lo");
        connection.finish();
        let target = format!("{RESPONSES}/{id}?stream=true&starting_after=4");
        let mut wire = server.connect();
        wire.say(request("GET", &target, &[], ""));
        let (_, events) = stream_of(&mut wire);
        let numbers: Vec<_> = events
            .iter()
            .map(|it| it["sequence_number"].as_u64())
            .collect();
        let want: Vec<_> = (5..5 + events.len() as u64).map(Some).collect();
        assert_eq!(numbers, want);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hello");
        // There is nothing behind the end.
        let number = last["sequence_number"].as_u64().unwrap();
        let target = format!("{RESPONSES}/{id}?stream=true&starting_after={number}");
        wire.say(request("GET", &target, &[], ""));
        assert_eq!(stream_of(&mut wire).1, Vec::<Value>::new());
        let (_, whole) = wire.call("GET", &format!("{RESPONSES}/{id}"), &[], "");
        assert_eq!(whole["output"], last["response"]["output"]);
    }
}

#[test]
fn a_failure_before_any_content_is_an_http_error() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", "breaker_failures = 1000\n"));
    for (status, error, want, code, again) in [
        ("400 Bad Request", "x", 400, "provider_bad_request", "false"),
        ("401 Unauthorized", "x", 502, "provider_auth", "false"),
        ("404 Not Found", "x", 404, "provider_not_found", "false"),
        (
            "429 Too Many Requests",
            "x",
            429,
            "provider_rate_limited",
            "true",
        ),
        (
            "503 Service Unavailable",
            "x",
            503,
            "provider_overloaded",
            "true",
        ),
        (
            "500 Internal Server Error",
            "x",
            502,
            "provider_error",
            "true",
        ),
        (
            "400 Bad Request",
            "context_length_exceeded",
            400,
            "context_length_exceeded",
            "false",
        ),
    ] {
        for (target, body) in [
            (CHAT, chat(true)),
            (CHAT, chat(false)),
            (RESPONSES, r#"{"input":"hi","stream":true}"#.to_owned()),
            (RESPONSES, r#"{"input":"hi"}"#.to_owned()),
        ] {
            let said = json!({"error": {"message": "no", "type": "t", "code": error}});
            let mut wire = server.connect();
            post(&mut wire, target, &body);
            provider.accept().refuse(status, &said.to_string());
            let head = wire.head();
            let body: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
            assert_eq!(
                (head.status(), &body["error"]["code"]),
                (want, &json!(code)),
                "{body}"
            );
            assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
            assert_eq!(head.field("x-should-retry"), Some(again));
            assert_eq!(
                head.field("retry-after").is_some(),
                matches!(want, 429 | 503)
            );
        }
    }
}

#[test]
fn a_failure_behind_content_is_said_in_the_stream_and_ends_it() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for target in [CHAT, RESPONSES] {
        let mut wire = server.connect();
        let body = match target {
            CHAT => chat(true),
            _ => r#"{"input":"hi","stream":true}"#.to_owned(),
        };
        post(&mut wire, target, &body);
        let mut connection = provider.accept();
        connection.question();
        connection.begin();
        connection.tell("Hel");
        assert_eq!(wire.head().status(), 200);
        drop(connection);
        let body = wire.body_in_chunks();
        let text = String::from_utf8(body).unwrap();
        let events = data(&text);
        let last = events.last().unwrap();
        if target == CHAT {
            assert_eq!(last["error"]["code"], "provider_truncated", "{text}");
            assert!(!text.contains("[DONE]"));
        } else {
            assert_eq!(last["type"], "response.failed");
            assert_eq!(last["response"]["error"]["code"], "provider_truncated");
            assert_eq!(last["response"]["output"][0]["status"], "incomplete");
        }
    }
}

#[test]
fn silence_is_filled_before_the_first_word_too() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[limits]\nheartbeat = \"30ms\"\n";
    let server = Server::start(&configuration);
    let mut wire = server.connect();
    post(&mut wire, CHAT, &chat(true));
    let mut connection = provider.accept();
    connection.question();
    let head = wire.head();
    assert_eq!(head.status(), 200);
    for _ in 0..3 {
        assert_eq!(wire.chunk().unwrap(), b": hb\n\n");
    }
    connection.begin();
    connection.tell("Hello");
    connection.finish();
    let body = wire.body(&head);
    assert_eq!(
        deltas(&data(str::from_utf8(&body).unwrap()), "content"),
        "Hello"
    );
}

#[test]
fn several_choices_are_merged_and_their_usage_added_up() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for is_stream in [true, false] {
        let mut wire = server.connect();
        let mut body: Value = serde_json::from_str(&chat(is_stream)).unwrap();
        body["n"] = json!(3);
        post(&mut wire, CHAT, &body.to_string());
        for text in ["one", "two", "three"] {
            provider.accept().answer(text);
        }
        if is_stream {
            let (_, events) = stream_of(&mut wire);
            let mut texts = vec![String::new(); 3];
            for event in &events {
                let choice = &event["choices"][0];
                if let Some(text) = choice["delta"]["content"].as_str() {
                    texts[usize::try_from(choice["index"].as_u64().unwrap()).unwrap()] += text;
                }
            }
            texts.sort();
            assert_eq!(texts, ["one", "three", "two"]);
            let dones = events.iter().filter(|it| **it == json!("[DONE]"));
            assert_eq!(dones.count(), 1);
        } else {
            let head = wire.head();
            let body: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
            assert_eq!(body["choices"].as_array().unwrap().len(), 3, "{body}");
            assert_eq!(body["choices"][2]["index"], 2);
        }
    }
}

#[test]
fn a_choice_that_fails_first_fails_them_all_and_ends_the_others() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    let mut body: Value = serde_json::from_str(&chat(true)).unwrap();
    body["n"] = json!(2);
    post(&mut wire, CHAT, &body.to_string());
    let (mut first, mut second) = (provider.accept(), provider.accept());
    second.question();
    first.refuse("503 Service Unavailable", "{}");
    assert_eq!(wire.head().status(), 503);
    let began = Instant::now();
    second.read_to_end();
    assert!(began.elapsed() < AT_ONCE);
}

#[test]
fn a_choice_that_fails_while_another_begins_is_told_in_the_stream() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", "breaker_failures = 1000\n"));
    for failing in [0, 1] {
        let mut wire = server.connect();
        let mut body: Value = serde_json::from_str(&chat(true)).unwrap();
        body["n"] = json!(2);
        post(&mut wire, CHAT, &body.to_string());
        let mut choices = [provider.accept(), provider.accept()];
        for choice in &mut choices {
            choice.question();
        }
        // Both are read in the same turn.
        server.signal("STOP");
        for (index, choice) in choices.iter_mut().enumerate() {
            if index == failing {
                choice.say(whole("400 Bad Request", "application/json", "{}"));
            } else {
                choice.begin();
                choice.tell("Hel");
            }
        }
        server.signal("CONT");
        let head = wire.head();
        if head.status() != 200 {
            // The failure came first.
            assert_eq!(head.status(), 400);
            continue;
        }
        let text = String::from_utf8(wire.body_in_chunks()).unwrap();
        let events = data(&text);
        let last = events.last().unwrap();
        assert_eq!(last["error"]["code"], "provider_bad_request", "{text}");
        assert_eq!(text.matches("\"error\"").count(), 1, "{text}");
    }
}

#[test]
fn a_response_goes_on_from_the_one_before() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    post(
        &mut wire,
        RESPONSES,
        r#"{"input":"My name is Ann","instructions":"first"}"#,
    );
    provider.accept().answer("Hello Ann");
    let head = wire.head();
    let first: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
    let next = json!({"input": "Who am I?", "previous_response_id": first["id"]});
    post(&mut wire, RESPONSES, &next.to_string());
    let mut connection = provider.accept();
    let (_, asked) = connection.question();
    let want = json!([
        {"role": "user", "content": "My name is Ann"},
        {"role": "assistant", "content": "Hello Ann"},
        {"role": "user", "content": "Who am I?"},
    ]);
    assert_eq!(asked["messages"], want);
    connection.begin();
    connection.say(
        [
            in_chunk(piece("Ann")),
            in_chunk(ending()),
            b"0\r\n\r\n".to_vec(),
        ]
        .concat(),
    );
    let head = wire.head();
    let second: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
    assert_eq!(second["previous_response_id"], first["id"]);
    let id = second["id"].as_str().unwrap();
    let (_, deleted) = wire.call("DELETE", &format!("{RESPONSES}/{id}"), &[], "");
    assert_eq!(deleted["deleted"], true);
    let (head, _) = wire.call("GET", &format!("{RESPONSES}/{id}"), &[], "");
    assert_eq!(head.status(), 404);
}

#[test]
fn a_conversation_that_has_outgrown_its_channel_is_refused_before_it_is_asked() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[channels]\nmax_channel_bytes = \"64KiB\"\n";
    let server = Server::start(&configuration);
    let mut wire = server.connect();
    // Nearly all that a channel may keep, and the answer has room all the same.
    let first = json!({"input": "x".repeat(60_000)});
    post(&mut wire, RESPONSES, &first.to_string());
    provider.accept().answer(&"y".repeat(20_000));
    let head = wire.head();
    let first: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
    assert_eq!(first["status"], "completed", "{first}");
    let next = json!({"input": "Who am I?", "previous_response_id": first["id"]});
    let (head, refused) = wire.call("POST", RESPONSES, &[], &next.to_string());
    assert_eq!(head.status(), 413, "{refused}");
    assert_eq!(refused["error"]["code"], "too_large");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("conversation"), "{message}");
}

#[test]
fn a_response_that_is_deleted_while_it_comes_ends_for_everybody() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for is_stream in [true, false] {
        let mut asker = server.connect();
        let body = json!({"input": "hi", "stream": is_stream});
        post(&mut asker, RESPONSES, &body.to_string());
        let mut connection = provider.accept();
        connection.question();
        connection.begin();
        connection.tell("Hel");
        let (_, running) = server.call("POST", "/api/channels", "{}");
        let running = running["result"]["channels"].as_object().unwrap();
        let channel = running.keys().next().expect("a channel").clone();
        let mut watcher = server.listen(&channel, None);
        watcher.until("chunk");
        let id = channel.replace("chat:", "resp_").replace('-', "");
        let (_, deleted) = server.call("DELETE", &format!("{RESPONSES}/{id}"), "");
        assert_eq!(deleted["deleted"], true);
        let head = asker.head();
        let body = asker.body(&head);
        let body = str::from_utf8(&body).unwrap();
        let status = if is_stream {
            let last = data(body).pop().unwrap();
            assert_eq!(last["type"], "response.incomplete", "{body}");
            last["response"]["status"].clone()
        } else {
            serde_json::from_str::<Value>(body).unwrap()["status"].clone()
        };
        assert!(
            ["incomplete", "cancelled"].contains(&status.as_str().unwrap()),
            "{body}"
        );
        let rest = watcher.rest();
        assert_eq!(rest.last().unwrap().data["type"], "end");
        // The connection goes on.
        let (head, _) = asker.call("GET", &format!("{RESPONSES}/{id}"), &[], "");
        assert_eq!(head.status(), 404);
    }
}

#[test]
fn items_that_are_only_named_are_looked_up() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    post(&mut wire, RESPONSES, r#"{"input":"hi"}"#);
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("Let me see");
    for index in 0..2 {
        let function = json!({"name": "f", "arguments": format!("{{\"n\":{index}}}")});
        let call = json!({"index": index, "id": format!("c{index}"), "type": "function", "function": function});
        let delta = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
        connection.say(in_chunk(format!("data: {delta}\n\n")));
    }
    connection.say([in_chunk(ending()), b"0\r\n\r\n".to_vec()].concat());
    let head = wire.head();
    let first: Value = serde_json::from_slice(&wire.body(&head)).unwrap();
    let named = first["output"].as_array().unwrap().iter();
    let mut input = vec![json!({"role": "user", "content": "hi"})];
    input.extend(named.map(|item| json!({"type": "item_reference", "id": item["id"]})));
    input.push(json!({"type": "function_call_output", "call_id": "c1", "output": "7"}));
    post(&mut wire, RESPONSES, &json!({"input": input}).to_string());
    // The connection is used again.
    let mut asked = connection;
    let (_, question) = asked.question();
    let call = |index: usize| {
        let function = json!({"name": "f", "arguments": format!("{{\"n\":{index}}}")});
        json!({"id": format!("c{index}"), "type": "function", "function": function})
    };
    let want = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Let me see", "tool_calls": [call(0), call(1)]},
        {"role": "tool", "content": "7", "tool_call_id": "c1"},
    ]);
    assert_eq!(question["messages"], want);
    drop(asked);
    let gone = json!({"input": [{"type": "item_reference", "id": "msg_00000000000040008000000000000000"}]});
    let (head, body) = server
        .connect()
        .call("POST", RESPONSES, &[], &gone.to_string());
    assert_eq!(
        (head.status(), &body["error"]["param"]),
        (404, &json!("input"))
    );
}

#[test]
fn a_question_that_failed_for_now_is_asked_again_with_the_same_key() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for (status, is_asked_again) in [
        ("503 Service Unavailable", true),
        ("400 Bad Request", false),
    ] {
        let ask = request("POST", CHAT, &[("Idempotency-Key", status)], &chat(false));
        let mut wire = server.connect();
        wire.say(&ask);
        provider.accept().refuse(status, "{}");
        let head = wire.head();
        assert!(status.starts_with(&head.status().to_string()));
        wire.body(&head);
        wire.say(&ask);
        if is_asked_again {
            provider.accept().answer("Hello");
        }
        let again = wire.head().status();
        assert_eq!(again, if is_asked_again { 200 } else { 400 });
    }
}

#[test]
fn a_question_that_was_given_up_is_asked_again_with_the_same_key() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let ask = request("POST", CHAT, &[("Idempotency-Key", "k")], &chat(false));
    let mut wire = server.connect();
    wire.say(&ask);
    let mut connection = provider.accept();
    connection.question();
    drop(wire);
    connection.read_to_end();
    let mut wire = server.connect();
    wire.say(&ask);
    provider.accept().answer("Hello");
    let head = wire.head();
    let first = wire.body(&head);
    // What was answered is not asked again.
    wire.say(&ask);
    let head = wire.head();
    assert_eq!(wire.body(&head), first);
    assert!(provider.has_nobody());
}

#[test]
fn a_client_of_http_1_0_gets_its_stream_as_it_is() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut wire = server.connect();
    let ask = request("POST", CHAT, &[], &chat(true)).replace("HTTP/1.1", "HTTP/1.0");
    wire.say(ask);
    provider.accept().answer("Hello");
    let head = wire.head();
    assert_eq!((head.status(), head.is_chunked()), (200, false));
    let text = String::from_utf8(wire.read_to_end()).unwrap();
    assert_eq!(deltas(&data(&text), "content"), "Hello");
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[test]
fn how_long_to_wait_is_handed_on() {
    let provider = Provider::new();
    // Nobody is asked again who demands more than a minute.
    let server = Server::start(&provider.section("p", "retries = 2\nbreaker_failures = 2"));
    let ask = || {
        let mut wire = server.connect();
        post(&mut wire, CHAT, &chat(true));
        wire
    };
    for _ in 0..2 {
        let mut wire = ask();
        let mut connection = provider.accept();
        connection.question();
        connection.say(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 89.5\r\nContent-Length: 2\r\n\r\n{}",
        );
        let head = wire.head();
        assert_eq!(
            (head.status(), head.field("retry-after")),
            (429, Some("90"))
        );
    }
    // Now the breaker is open, and says itself how long.
    let mut wire = ask();
    let head = wire.head();
    let seconds: u64 = head.field("retry-after").unwrap().parse().unwrap();
    assert!(
        head.status() == 503 && (1..=30).contains(&seconds),
        "{seconds} s"
    );
    assert!(provider.has_nobody());
}

#[test]
fn much_that_comes_behind_a_question_leaves_its_answer_whole() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for is_stream in [true, false] {
        let mut wire = server.connect();
        post(&mut wire, CHAT, &chat(is_stream));
        let mut asked = provider.accept();
        asked.question();
        asked.begin();
        asked.tell("Hel");
        // More than the sockets hold: when it is said, most of it has been read.
        wire.say(request("POST", CHAT, &[], &"x".repeat(16 << 20)));
        asked.tell("lo");
        asked.finish();
        let head = wire.head();
        assert_eq!(head.status(), 200, "{head:?}");
        let body = String::from_utf8(wire.body(&head)).unwrap();
        if is_stream {
            assert_eq!(deltas(&data(&body), "content"), "Hello");
            assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
        } else {
            assert!(body.contains("Hello"), "{body}");
            assert_eq!(head.field("connection"), Some("close"));
        }
        assert_eq!(wire.read_to_end(), b"");
    }
}
