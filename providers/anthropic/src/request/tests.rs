use lmserver_runtime::event::ErrorCode;
use lmserver_runtime::plugin::provider::{ChatRequest, Message};

use super::*;
use questions::{asking, calls, hi, parts, result, text};

#[path = "../../../../tests/common/questions.rs"]
mod questions;

const DIALECT: Dialect = Dialect {
    max_tokens: 100,
    thinking: None,
};

fn translated(request: &ChatRequest, model: &str) -> Result<Value, ProviderError> {
    body(DIALECT, &Question::new(request, "anthropic"), model)
}

fn said(text: &str) -> Value {
    json!([{"type": "text", "text": text}])
}

#[test]
fn the_plainest_request_has_a_limit_and_is_a_stream() {
    assert_eq!(
        translated(&hi(), "m"),
        Ok(json!({
            "model": "m", "stream": true, "max_tokens": 100,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        }))
    );
}

#[test]
fn conversations_are_translated() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let used = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {"x": 1}});
    let got = |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    for (name, messages, system, want) in [
        (
            "turns alternate",
            vec![text("user", "a"), text("assistant", "b"), text("user", "c")],
            json!(null),
            json!([
                {"role": "user", "content": said("a")},
                {"role": "assistant", "content": said("b")},
                {"role": "user", "content": said("c")},
            ]),
        ),
        (
            "system prompts wherever they stand",
            vec![
                text("system", "s"),
                text("user", "a"),
                text("developer", "d"),
            ],
            json!([{"type": "text", "text": "s"}, {"type": "text", "text": "d"}]),
            json!([{"role": "user", "content": said("a")}]),
        ),
        (
            "neighbours of one role",
            vec![text("user", "a"), text("user", "b")],
            json!(null),
            json!([{"role": "user", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
            ]}]),
        ),
        (
            "what is empty is left out",
            vec![text("user", "a"), text("assistant", ""), text("user", "b")],
            json!(null),
            json!([{"role": "user", "content": said("a")}, {"role": "user", "content": said("b")}]),
        ),
        (
            "calls, and their results in one message with what follows",
            vec![
                text("user", "a"),
                calls(json!([call("c1"), call("c2")])),
                result("c1", "one"),
                result("c2", ""),
                text("user", "b"),
            ],
            json!(null),
            json!([
                {"role": "user", "content": said("a")},
                {"role": "assistant", "content": [used("c1"), used("c2")]},
                {"role": "user", "content": [
                    got("c1", said("one")), got("c2", json!([])), {"type": "text", "text": "b"},
                ]},
            ]),
        ),
        (
            "images and files",
            vec![parts(
                "user",
                json!([
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "https://h/i.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==",
                                              "filename": "n.pdf"}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                ]),
            )],
            json!(null),
            json!([{"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "url", "url": "https://h/i.png"}},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "document", "title": "n.pdf", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            ]}]),
        ),
        (
            "an image as the result of a call",
            vec![
                calls(json!([call("c1")])),
                Message {
                    tool_call_id: Some("c1".into()),
                    ..parts(
                        "tool",
                        json!([{"type": "image_url", "image_url": {"url": "https://h/i.png"}}]),
                    )
                },
            ],
            json!(null),
            json!([
                {"role": "assistant", "content": [used("c1")]},
                {"role": "user", "content": [got("c1", json!([
                    {"type": "image", "source": {"type": "url", "url": "https://h/i.png"}},
                ]))]},
            ]),
        ),
        (
            "the API's own blocks",
            vec![
                parts(
                    "assistant",
                    json!([{"type": "thinking", "thinking": "t", "signature": "s"}]),
                ),
                text("user", "a"),
            ],
            json!(null),
            json!([
                {"role": "assistant", "content":
                    [{"type": "thinking", "thinking": "t", "signature": "s"}]},
                {"role": "user", "content": said("a")},
            ]),
        ),
    ] {
        let body = translated(&asking(messages), "m").unwrap();
        assert_eq!(body["messages"], want, "{name}");
        assert_eq!(body["system"], system, "{name}");
    }
    let request = ChatRequest {
        system: Some("s".into()),
        ..hi()
    };
    assert_eq!(translated(&request, "m").unwrap()["system"], said("s"));
}

#[test]
fn options_are_translated() {
    let function = |more: Value| json!({"type": "function", "function": more});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    type Wants = Vec<(&'static str, Value)>;
    let mut cases: Vec<(&str, ChatRequest, Wants)> = Vec::new();
    let mut add = |name, request, wants| cases.push((name, request, wants));
    add(
        "numbers",
        ChatRequest {
            temperature: Some(0.5),
            top_p: Some(0.25),
            max_tokens: Some(7),
            ..hi()
        },
        vec![
            ("/temperature", json!(0.5)),
            ("/top_p", json!(0.25)),
            ("/max_tokens", json!(7)),
        ],
    );
    add(
        "stop",
        ChatRequest {
            stop: vec!["END".into(), "X".into()],
            ..hi()
        },
        vec![("/stop_sequences", json!(["END", "X"]))],
    );
    add(
        "tools",
        ChatRequest {
            tools: Some(json!([
                function(
                    json!({"name": "f", "description": "d", "parameters": schema,
                                "strict": true})
                ),
                function(json!({"name": "g", "strict": false})),
            ])),
            ..hi()
        },
        vec![(
            "/tools",
            json!([
                {"name": "f", "description": "d", "input_schema": schema, "strict": true},
                {"name": "g", "input_schema": {"type": "object", "properties": {}}},
            ]),
        )],
    );
    for (choice, want) in [
        (json!("auto"), json!({"type": "auto"})),
        (json!("none"), json!({"type": "none"})),
        (json!("required"), json!({"type": "any"})),
        (
            function(json!({"name": "f"})),
            json!({"type": "tool", "name": "f"}),
        ),
    ] {
        let request = ChatRequest {
            tool_choice: Some(choice),
            ..hi()
        };
        add("tool choice", request, vec![("/tool_choice", want)]);
    }
    add(
        "a schema",
        ChatRequest {
            response_format: Some(json!({"type": "json_schema", "json_schema":
                {"name": "n", "strict": true, "schema": schema}})),
            reasoning_effort: Some("low".into()),
            ..hi()
        },
        vec![(
            "/output_config",
            json!({"format": {"type": "json_schema", "schema": schema}, "effort": "low"}),
        )],
    );
    add(
        "hints that the API knows, and those it does not",
        ChatRequest {
            user: Some("u".into()),
            seed: Some(7.into()),
            metadata: Some(json!({"a": "b"})),
            ..hi()
        },
        vec![
            ("/metadata", json!({"user_id": "u"})),
            ("/seed", json!(null)),
        ],
    );
    add(
        "extra comes last, but a stream of the same model it stays",
        ChatRequest {
            extra: json!({"top_k": 5, "max_tokens": 9, "stream": false, "metadata": {"x": 1},
                          "messages": null, "model": "another"})
            .as_object()
            .unwrap()
            .clone(),
            user: Some("u".into()),
            ..hi()
        },
        vec![
            ("/top_k", json!(5)),
            ("/max_tokens", json!(9)),
            ("/stream", json!(true)),
            ("/metadata", json!({"user_id": "u", "x": 1})),
            ("/messages", json!(null)),
        ],
    );
    for (name, request, wants) in cases {
        let body = translated(&request, "m").unwrap();
        for (pointer, want) in wants {
            let got = body.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(*got, want, "{name}: {pointer}");
        }
    }
}

#[test]
fn effort_becomes_what_the_model_takes() {
    const OLD: &str = "claude-sonnet-4-5";
    const NEW: &str = "claude-opus-4-7";
    let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    let adaptive = json!({"type": "adaptive"});
    let disabled = json!({"type": "disabled"});
    for (model, effort, limit, thinking, word, max_tokens) in [
        (OLD, "none", None, &disabled, json!(null), 100),
        (OLD, "minimal", None, &budget(1024), json!(null), 1124),
        (OLD, "low", None, &budget(2048), json!(null), 2148),
        (OLD, "medium", None, &budget(8192), json!(null), 8292),
        (OLD, "high", None, &budget(16_384), json!(null), 16_484),
        (OLD, "xhigh", None, &budget(32_768), json!(null), 32_868),
        (
            OLD,
            "high",
            Some(10_000),
            &budget(5000),
            json!(null),
            10_000,
        ),
        (OLD, "low", Some(10_000), &budget(2048), json!(null), 10_000),
        (OLD, "high", Some(1025), &budget(1024), json!(null), 1025),
        (NEW, "none", None, &disabled, json!(null), 100),
        (NEW, "minimal", None, &adaptive, json!("low"), 1124),
        (NEW, "medium", None, &adaptive, json!("medium"), 8292),
        (NEW, "xhigh", None, &adaptive, json!("xhigh"), 32_868),
        (NEW, "max", Some(50), &adaptive, json!("max"), 50),
    ] {
        let request = ChatRequest {
            reasoning_effort: Some(effort.into()),
            max_tokens: limit,
            ..hi()
        };
        let body = translated(&request, model).unwrap();
        let name = format!("{model} {effort} {limit:?}");
        assert_eq!(body["thinking"], *thinking, "{name}");
        assert_eq!(body["output_config"]["effort"], word, "{name}");
        assert_eq!(body["max_tokens"], max_tokens, "{name}");
    }
    let forced = Dialect {
        thinking: Some(Thinking::Budget),
        ..DIALECT
    };
    let request = ChatRequest {
        reasoning_effort: Some("low".into()),
        ..hi()
    };
    let body = body(forced, &Question::new(&request, "anthropic"), NEW).unwrap();
    assert_eq!(body["thinking"], budget(2048), "as configured");
}

#[test]
fn a_model_that_is_not_told_what_it_thought_does_not_think_amid_calls() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}});
    let thought = json!([{"type": "thinking", "thinking": "t", "signature": "s"}]);
    let forgotten = calls(json!([call]));
    let remembered = Message {
        tool_calls: Some(json!([call])),
        ..parts("assistant", thought)
    };
    for (model, called, rest, thinks) in [
        ("claude-sonnet-4-5", &forgotten, vec![], false),
        ("claude-sonnet-4-5", &remembered, vec![], true),
        (
            "claude-sonnet-4-5",
            &forgotten,
            vec![text("assistant", "b")],
            true,
        ),
        ("claude-opus-4-7", &forgotten, vec![], true),
    ] {
        let mut messages = vec![text("user", "a"), called.clone(), result("c", "x")];
        messages.extend(rest);
        messages.push(text("user", "c"));
        let request = ChatRequest {
            reasoning_effort: Some("low".into()),
            ..asking(messages)
        };
        let body = translated(&request, model).unwrap();
        assert_eq!(body.get("thinking").is_some(), thinks, "{model} {called:?}");
        assert_eq!(body["max_tokens"], 2148);
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_name() {
    let with = |part: Value| asking(vec![parts("user", json!([part]))]);
    let effort = |effort: &str| ChatRequest {
        reasoning_effort: Some(effort.into()),
        ..hi()
    };
    for (request, want) in [
        (
            with(json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})),
            "anthropic cannot express audio in `messages[0]`: leave it out or use `extra`",
        ),
        (
            asking(vec![parts(
                "system",
                json!([{"type": "image_url", "image_url": {"url": "https://h/i"}}]),
            )]),
            "anthropic cannot express a system prompt of other than text in `messages[0]`: leave \
             it out or use `extra`",
        ),
        (
            asking(vec![text("tool", "x")]),
            "`messages[0].tool_call_id` must be the id of a tool call",
        ),
        (
            asking(vec![text("system", "s"), text("user", "")]),
            "`messages` must be a conversation with a message that is not empty",
        ),
        (
            ChatRequest {
                temperature: Some(1.5),
                ..hi()
            },
            "`temperature` must be between 0 and 1 for anthropic",
        ),
        (
            ChatRequest {
                temperature: Some(0.5),
                ..effort("low")
            },
            "anthropic cannot express a `temperature` other than 1 beside `reasoning_effort`: \
             leave it out or use `extra`",
        ),
        (
            effort("extreme"),
            "`reasoning_effort` must be none, minimal, low, medium, high, xhigh or max",
        ),
        (
            ChatRequest {
                response_format: Some(json!({"type": "json_object"})),
                ..hi()
            },
            "anthropic cannot express `response_format` of type `json_object` (it takes one of \
             type `json_schema`): leave it out or use `extra`",
        ),
        (
            ChatRequest {
                tools: Some(json!([{"type": "web_search"}])),
                ..hi()
            },
            "anthropic cannot express `tools[0]` of type `web_search`: leave it out or use `extra`",
        ),
    ] {
        let error = translated(&request, "m").unwrap_err();
        assert_eq!(&*error.message, want);
        assert_eq!(error.code, ErrorCode::ProviderBadRequest);
        assert!(!error.retryable);
    }
    let request = ChatRequest {
        max_tokens: Some(1024),
        ..effort("low")
    };
    let error = translated(&request, "claude-sonnet-4-5").unwrap_err();
    let want = "`max_tokens` must be more than 1024 where `reasoning_effort` is set";
    assert_eq!(&*error.message, want);
}

#[test]
fn further_options_have_words_or_are_refused() {
    let with = |options: Value, tools: bool, choice: Option<Value>| {
        let Value::Object(options) = options else {
            panic!("an object")
        };
        let tool = json!([{"type": "function", "function": {"name": "f"}}]);
        ChatRequest {
            options,
            tools: tools.then_some(tool),
            tool_choice: choice,
            ..hi()
        }
    };
    let one = json!({"parallel_tool_calls": false, "top_k": 4, "service_tier": "flex"});
    for (tools, choice, want) in [
        (
            true,
            None,
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            true,
            Some("required"),
            json!({"type": "any", "disable_parallel_tool_use": true}),
        ),
        (true, Some("none"), json!({"type": "none"})),
        (false, None, Value::Null),
    ] {
        let request = with(one.clone(), tools, choice.map(Value::from));
        let body = translated(&request, "claude-sonnet-4-5").unwrap();
        assert_eq!(body["tool_choice"], want);
        assert_eq!(body["top_k"], 4);
        assert_eq!(body.get("service_tier"), None);
    }
    let refused = translated(&with(json!({"logprobs": true}), false, None), "m").unwrap_err();
    assert!(
        refused.message.contains("cannot express `logprobs`"),
        "{refused}"
    );
}
