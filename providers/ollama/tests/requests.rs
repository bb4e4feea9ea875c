//! What is sent to Ollama, option by option, and what is refused.

#![expect(clippy::expect_used, reason = "a test may fail")]

use serde_json::{Value, json};

#[path = "../../../tests/common/asking.rs"]
mod asking;

/// The body for a question, or the refusal.
fn body_for(question: &Value) -> Result<Value, String> {
    let provider = asking::opened(lmserver_ollama::open, None);
    asking::sent(&*provider, "llama3.2", question).map(|(_, body)| body)
}

/// The body of a question that is only `Hi`, and more keys.
fn plain(more: Value) -> Value {
    let mut body = json!({"model": "llama3.2", "stream": true,
        "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_request_has_its_head() {
    let provider = asking::opened(lmserver_ollama::open, None);
    let (head, _) = asking::sent(&*provider, "m", &json!("Hi")).unwrap();
    assert_eq!(head[0], "POST /api/chat HTTP/1.1");
    for line in [
        "Host: 127.0.0.1:11434",
        "Accept: application/x-ndjson",
        "Authorization: Bearer key-1234",
    ] {
        assert!(head.iter().any(|other| other == line), "{line} in {head:?}");
    }
    let mut section = asking::section::Keys::default();
    let settings = asking::section::settings(Some("http://h/prefix"), None);
    let without_key = lmserver_ollama::open(settings, &mut section).unwrap();
    assert!(section.mistakes.is_empty(), "{:?}", section.mistakes);
    let (head, _) = asking::sent(&*without_key, "m", &json!("Hi")).unwrap();
    assert_eq!(head[0], "POST /prefix/api/chat HTTP/1.1");
    assert!(!head.iter().any(|line| line.starts_with("Authorization")));
}

#[test]
fn every_option_has_its_place() {
    let schema = json!({"type": "object", "properties": {}});
    let tools = json!([
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {"type": "function", "function": {"name": "g"}},
    ]);
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
            plain(
                json!({"options": {"temperature": 0.5, "top_p": 0.9, "num_predict": 9,
                "stop": ["a", "b"], "seed": 7}}),
            ),
        ),
        (
            "JSON",
            json!({"response_format": {"type": "json_object"}}),
            plain(json!({"format": "json"})),
        ),
        (
            "JSON of a schema",
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}),
            plain(json!({"format": schema})),
        ),
        (
            "text",
            json!({"response_format": {"type": "text"}}),
            plain(json!({})),
        ),
        (
            "no reasoning",
            json!({"reasoning_effort": "none"}),
            plain(json!({"think": false})),
        ),
        (
            "some reasoning",
            json!({"reasoning_effort": "low"}),
            plain(json!({"think": "low"})),
        ),
        (
            "tools",
            json!({"tools": tools, "tool_choice": "auto"}),
            plain(json!({"tools": tools})),
        ),
        (
            "tools that must not be called",
            json!({"tools": tools, "tool_choice": "none"}),
            plain(json!({})),
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
                "model": "another", "stream": false, "keep_alive": "5m", "options": {"num_ctx": 8192, "temperature": null}}}),
            plain(json!({"keep_alive": "5m", "options": {"num_ctx": 8192}})),
        ),
    ] {
        assert_eq!(body_for(&question), Ok(want), "{name}");
    }
}

#[test]
fn a_conversation_keeps_its_turns_images_calls_and_results() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let question = json!({"messages": [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": [
            {"type": "text", "text": "What is "},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "text", "text": "this?"}]},
        {"role": "assistant", "tool_calls": [call("a", "f", "{\"x\":1}"), call("b", "g", "")]},
        {"role": "tool", "tool_call_id": "b", "content": "1"},
        {"role": "tool", "tool_call_id": "a", "content": "2"},
        {"role": "tool", "tool_call_id": "unknown", "name": "h", "content": "3"},
        {"role": "assistant", "content": "A"},
    ]});
    let want = json!([
        {"role": "system", "content": "D"},
        {"role": "user", "content": "What is this?", "images": ["AAAA"]},
        {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": 1}}},
            {"function": {"name": "g", "arguments": {}}}]},
        {"role": "tool", "tool_name": "g", "content": "1"},
        {"role": "tool", "tool_name": "f", "content": "2"},
        {"role": "tool", "tool_name": "h", "content": "3"},
        {"role": "assistant", "content": "A"},
    ]);
    assert_eq!(body_for(&question).unwrap()["messages"], want);
}

#[test]
fn what_ollama_cannot_express_is_refused_by_name() {
    let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    for (question, want) in [
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://h.example/a.png"}})),
            "ollama cannot express an image by URL in `messages[0]` (only text",
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
            "ollama cannot express audio in `messages[0]`",
        ),
        (
            part(json!({"type": "file", "file": {"file_id": "file-1"}})),
            "ollama cannot express a file in `messages[0]`",
        ),
        (
            part(json!({"type": "video_url"})),
            "ollama cannot express a part of type video_url in `messages[0]`",
        ),
        (
            json!({"messages": [{"role": "tool", "tool_call_id": "x", "content": "1"}]}),
            "`messages[0].tool_call_id` must be the id of an earlier tool call",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls":
                [{"id": "a", "function": {"name": "f", "arguments": "[]"}}]}]}),
            "the `arguments` of the tool call `a` must be",
        ),
        (
            json!({"tools": [{"type": "custom"}]}),
            "ollama cannot express `tools[0]` of type `custom`",
        ),
        (
            json!({"tool_choice": "required"}),
            "ollama cannot express a `tool_choice` other than auto and none",
        ),
        (
            json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}),
            "ollama cannot express a `tool_choice` other than auto and none",
        ),
        (
            json!({"response_format": {"type": "xml"}}),
            "`response_format.type` must be",
        ),
        (
            json!({"reasoning_effort": "minimal"}),
            "`reasoning_effort` must be none, low, medium or high",
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
    let options = json!({"top_k": 4, "presence_penalty": 0.5, "frequency_penalty": 0.25});
    assert_eq!(body["options"], options);
    assert_eq!(body.get("store"), None);
    let refused = body_for(&json!({"options": {"logit_bias": {"50": 1}}})).unwrap_err();
    assert!(refused.contains("cannot express `logit_bias`"), "{refused}");
}
