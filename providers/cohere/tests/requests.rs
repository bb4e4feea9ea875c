//! What is sent to Cohere, option by option, and what is refused.

#![expect(clippy::expect_used, reason = "a test may fail")]

use serde_json::{Value, json};

#[path = "../../../tests/common/asking.rs"]
mod asking;

/// The body for a question, or the refusal.
fn body_for(question: &Value) -> Result<Value, String> {
    let provider = asking::opened(lmserver_cohere::open, None);
    asking::sent(&*provider, "command-a-03-2025", question).map(|(_, body)| body)
}

/// The body of a question that is only `Hi`, and more keys.
fn plain(more: Value) -> Value {
    let mut body = json!({"model": "command-a-03-2025", "stream": true,
        "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_request_has_its_head() {
    let provider = asking::opened(lmserver_cohere::open, None);
    let (head, _) = asking::sent(&*provider, "m", &json!("Hi")).unwrap();
    assert_eq!(head[0], "POST /v2/chat HTTP/1.1");
    for line in [
        "Host: api.cohere.com",
        "Accept: text/event-stream",
        "Authorization: Bearer key-1234",
    ] {
        assert!(head.iter().any(|other| other == line), "{line} in {head:?}");
    }
    for (url, target) in [
        ("http://h/v2", "/v2/chat"),
        ("http://h/v2/", "/v2/chat"),
        ("http://h/proxy", "/proxy/v2/chat"),
    ] {
        let provider = asking::opened(lmserver_cohere::open, Some(url));
        let (head, _) = asking::sent(&*provider, "m", &json!("Hi")).unwrap();
        assert_eq!(head[0], format!("POST {target} HTTP/1.1"));
    }
    let mut section = asking::section::Keys::default();
    let _ = lmserver_cohere::open(asking::section::settings(None, None), &mut section);
    assert!(
        section.mistakes[0].starts_with("api_key: "),
        "{:?}",
        section.mistakes
    );
}

#[test]
fn every_option_has_its_place() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let nothing = json!({"type": "object", "properties": {}});
    let tool = |name: &str, parameters: &Value| json!({"type": "function", "function": {"name": name, "parameters": parameters}});
    let tools = json!([tool("f", &schema), tool("g", &schema)]);
    for (name, question, want) in [
        ("nothing", json!({}), plain(json!({}))),
        (
            "a system prompt",
            json!({"system": "Be brief"}),
            plain(json!({"messages": [
                {"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]})),
        ),
        (
            "sampling and limits",
            json!({"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": ["a", "b"], "seed": 7}),
            plain(json!({"temperature": 0.5, "p": 0.9, "max_tokens": 9,
                "stop_sequences": ["a", "b"], "seed": 7})),
        ),
        (
            "JSON",
            json!({"response_format": {"type": "json_object"}}),
            plain(json!({"response_format": {"type": "json_object"}})),
        ),
        (
            "JSON of a schema",
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}),
            plain(json!({"response_format": {"type": "json_object", "json_schema": schema}})),
        ),
        (
            "text",
            json!({"response_format": {"type": "text"}}),
            plain(json!({})),
        ),
        (
            "no reasoning",
            json!({"reasoning_effort": "none"}),
            plain(json!({"thinking": {"type": "disabled"}})),
        ),
        (
            "some reasoning",
            json!({"reasoning_effort": "low"}),
            plain(json!({"thinking": {"type": "enabled", "token_budget": 1024}})),
        ),
        (
            "much reasoning",
            json!({"reasoning_effort": "high"}),
            plain(json!({"thinking": {"type": "enabled"}})),
        ),
        (
            "tools",
            json!({"tools": tools, "tool_choice": "auto"}),
            plain(json!({"tools": tools})),
        ),
        (
            "tools that keep to their schemas, one without parameters",
            json!({"tools": [{"type": "function",
                "function": {"name": "f", "description": "d", "strict": true}}]}),
            plain(json!({"strict_tools": true, "tools": [{"type": "function",
                "function": {"name": "f", "description": "d", "parameters": nothing}}]})),
        ),
        (
            "no tool",
            json!({"tools": tools, "tool_choice": "none"}),
            plain(json!({"tools": tools, "tool_choice": "NONE"})),
        ),
        (
            "some tool",
            json!({"tools": tools, "tool_choice": "required"}),
            plain(json!({"tools": tools, "tool_choice": "REQUIRED"})),
        ),
        (
            "one tool",
            json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "g"}}}),
            plain(json!({"tools": [tool("g", &schema)], "tool_choice": "REQUIRED"})),
        ),
        (
            "what is no more than a hint",
            json!({"user": "u", "metadata": {"a": "b"},
                "messages": [{"role": "user", "name": "n", "content": "Hi"}]}),
            plain(json!({})),
        ),
        (
            "extra comes last, but the answer stays a stream",
            json!({"temperature": 0.5, "extra": {
                "model": "another", "stream": false, "temperature": null, "k": 40, "safety_mode": "NONE"}}),
            plain(json!({"k": 40, "safety_mode": "NONE"})),
        ),
    ] {
        assert_eq!(body_for(&question), Ok(want), "{name}");
    }
}

#[test]
fn a_conversation_keeps_its_turns_images_calls_and_results() {
    let calls = json!([
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]);
    let parts = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://h.example/a.png"}},
    ]);
    let question = json!({"messages": [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": parts},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": [
            {"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
        {"role": "tool", "tool_call_id": "a", "content": "3"},
        {"role": "assistant", "content": "A"},
    ]});
    let want = json!([
        {"role": "system", "content": "D"},
        {"role": "user", "content": parts},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "12"},
        {"role": "tool", "tool_call_id": "a", "content": "3"},
        {"role": "assistant", "content": "A"},
    ]);
    assert_eq!(body_for(&question).unwrap()["messages"], want);
}

#[test]
fn what_cohere_cannot_express_is_refused_by_name() {
    let part = |role: &str, part: Value| json!({"messages": [{"role": role, "content": [part]}]});
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    for (question, want) in [
        (
            part("system", image),
            "cohere cannot express such an image in `messages[0]` (only text, and images of users)",
        ),
        (
            part(
                "user",
                json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
            ),
            "cohere cannot express audio in `messages[0]`",
        ),
        (
            part(
                "user",
                json!({"type": "file", "file": {"file_id": "file-1"}}),
            ),
            "cohere cannot express a file in `messages[0]`",
        ),
        (
            part("user", json!({"type": "video_url"})),
            "cohere cannot express a part of type video_url in `messages[0]`",
        ),
        (
            json!({"tools": [{"type": "custom"}]}),
            "cohere cannot express `tools[0]` of type `custom`",
        ),
        (
            json!({"tool_choice": {"type": "function", "function": {"name": "h"}}}),
            "`tool_choice.function.name` must be the name of a tool",
        ),
        (json!({"tool_choice": "maybe"}), "`tool_choice` must be"),
        (
            json!({"response_format": {"type": "xml"}}),
            "`response_format.type` must be",
        ),
        (
            json!({"reasoning_effort": "extreme"}),
            "`reasoning_effort` must be none, minimal, low, medium or high",
        ),
    ] {
        let refusal = body_for(&question).unwrap_err();
        assert!(refusal.starts_with(want), "{refusal}, want {want}");
    }
}

#[test]
fn further_options_have_words_or_are_refused() {
    let options =
        json!({"top_k": 4, "presence_penalty": 0.5, "frequency_penalty": 0.25, "store": true});
    let body = body_for(&json!({"options": options})).unwrap();
    let said = [
        &body["k"],
        &body["presence_penalty"],
        &body["frequency_penalty"],
    ];
    assert_eq!(said, [&json!(4), &json!(0.5), &json!(0.25)]);
    assert_eq!(body.get("store"), None);
    let refused = body_for(&json!({"options": {"logit_bias": {"50": 1}}})).unwrap_err();
    assert!(refused.contains("cannot express `logit_bias`"), "{refused}");
}
