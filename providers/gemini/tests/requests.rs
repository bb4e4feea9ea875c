//! What is sent to Gemini, option by option, and what is refused.

#![expect(clippy::expect_used, reason = "a test may fail")]

use serde_json::{Value, json};

#[path = "../../../tests/common/asking.rs"]
mod asking;

const MODEL: &str = "gemini-2.5-flash";
const VERTEX: &str =
    "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google";

/// The body for a question, or the refusal.
fn body_for(model: &str, question: &Value) -> Result<Value, String> {
    let provider = asking::opened(lmserver_gemini::open, None);
    asking::sent(&*provider, model, question).map(|(_, body)| body)
}

fn with_key(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// The body of a question that is only `Hi`.
fn plain() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]})
}

#[test]
fn the_model_stands_in_the_target() {
    for (url, model, target) in [
        (
            None,
            MODEL,
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        (
            None,
            "models/gemini-2.5-pro",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            None,
            "tunedModels/mine-1",
            "/v1beta/tunedModels/mine-1:streamGenerateContent?alt=sse",
        ),
        (
            None,
            "a/b?c#d e:f\u{e9}\r\n",
            "/v1beta/models/a%2Fb%3Fc%23d%20e%3Af%C3%A9%0D%0A:streamGenerateContent?alt=sse",
        ),
        (
            Some("http://127.0.0.1:9/proxy?team=a"),
            "m",
            "/proxy/models/m:streamGenerateContent?alt=sse&team=a",
        ),
        (
            Some(VERTEX),
            MODEL,
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
    ] {
        let provider = asking::opened(lmserver_gemini::open, url);
        let (head, _) = asking::sent(&*provider, model, &json!("Hi")).unwrap();
        assert_eq!(head[0], format!("POST {target} HTTP/1.1"));
    }
}

#[test]
fn the_key_goes_where_google_looks_for_it() {
    for (url, field) in [
        (None, "x-goog-api-key: key-1234"),
        (Some(VERTEX), "Authorization: Bearer key-1234"),
    ] {
        let provider = asking::opened(lmserver_gemini::open, url);
        let (head, _) = asking::sent(&*provider, MODEL, &json!("Hi")).unwrap();
        assert!(head.iter().any(|line| line == field), "{head:?}");
        assert!(!head[0].contains("key"), "{}", head[0]);
    }
    let mut section = asking::section::Keys::default();
    let provider = lmserver_gemini::open(asking::section::settings(None, None), &mut section);
    assert!(provider.is_none() || !section.mistakes.is_empty());
    assert!(
        section.mistakes[0].starts_with("api_key: "),
        "{:?}",
        section.mistakes
    );
}

#[test]
fn every_option_has_its_place() {
    let schema = json!({"type": "object", "additionalProperties": false});
    let config = |value: Value| with_key(plain(), "generationConfig", value);
    let choice = |value: Value| {
        let config = json!({"functionCallingConfig": value});
        with_key(plain(), "toolConfig", config)
    };
    for (name, question, want) in [
        ("nothing", json!({}), plain()),
        (
            "a system prompt",
            json!({"system": "Be brief"}),
            with_key(
                plain(),
                "systemInstruction",
                json!({"parts": [{"text": "Be brief"}]}),
            ),
        ),
        (
            "sampling and limits",
            json!({"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": ["a", "b"], "seed": 7}),
            config(
                json!({"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 9,
                "stopSequences": ["a", "b"], "seed": 7}),
            ),
        ),
        (
            "JSON",
            json!({"response_format": {"type": "json_object"}}),
            config(json!({"responseMimeType": "application/json"})),
        ),
        (
            "JSON of a schema",
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
            config(json!({"responseMimeType": "application/json", "responseJsonSchema": schema})),
        ),
        (
            "text",
            json!({"response_format": {"type": "text"}}),
            plain(),
        ),
        (
            "no reasoning",
            json!({"reasoning_effort": "none"}),
            config(json!({"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": false}})),
        ),
        (
            "some reasoning",
            json!({"reasoning_effort": "medium"}),
            config(json!({"thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true}})),
        ),
        (
            "tools",
            json!({"tools": [
                {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
                {"type": "function", "function": {"name": "g"}},
            ]}),
            with_key(
                plain(),
                "tools",
                json!([{"functionDeclarations": [
                    {"name": "f", "description": "d", "parametersJsonSchema": schema},
                    {"name": "g"},
                ]}]),
            ),
        ),
        (
            "any tool",
            json!({"tool_choice": "auto"}),
            choice(json!({"mode": "AUTO"})),
        ),
        (
            "no tool",
            json!({"tool_choice": "none"}),
            choice(json!({"mode": "NONE"})),
        ),
        (
            "some tool",
            json!({"tool_choice": "required"}),
            choice(json!({"mode": "ANY"})),
        ),
        (
            "one tool",
            json!({"tool_choice": {"type": "function", "function": {"name": "f"}}}),
            choice(json!({"mode": "ANY", "allowedFunctionNames": ["f"]})),
        ),
        (
            "what is no more than a hint",
            json!({"user": "u", "metadata": {"a": "b"},
                "messages": [{"role": "user", "name": "n", "content": "Hi"}]}),
            plain(),
        ),
        (
            "extra comes last",
            json!({"temperature": 0.5, "extra": {
                "model": "another", "generationConfig": {"temperature": null, "topK": 40},
                "tools": [{"googleSearch": {}}], "cachedContent": "cachedContents/1"}}),
            with_key(
                with_key(
                    config(json!({"topK": 40})),
                    "tools",
                    json!([{"googleSearch": {}}]),
                ),
                "cachedContent",
                json!("cachedContents/1"),
            ),
        ),
    ] {
        assert_eq!(body_for(MODEL, &question), Ok(want), "{name}");
    }
}

#[test]
fn later_models_think_in_levels() {
    const FLASH: &str = "gemini-3-flash-preview";
    for (model, effort, level) in [
        (FLASH, "minimal", "MINIMAL"),
        (FLASH, "low", "LOW"),
        (FLASH, "high", "HIGH"),
        ("gemini-3.1-flash-lite", "minimal", "MINIMAL"),
        ("gemini-3.1-pro-preview", "minimal", "LOW"),
        ("gemini-3.7-flash", "minimal", "LOW"),
        ("gemini-pro-latest", "minimal", "LOW"),
    ] {
        let question = json!({"reasoning_effort": effort});
        let body = body_for(model, &question).unwrap();
        let want = json!({"thinkingLevel": level, "includeThoughts": true});
        assert_eq!(body["generationConfig"]["thinkingConfig"], want);
    }
}

#[test]
fn parts_of_a_message_keep_their_order_and_kind() {
    let parts = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://h.example/a/b.JPG?x=.y"}},
        {"type": "image_url", "image_url": {"url": "https://h.example/c"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "f"}},
    ]);
    let want = json!([
        {"text": "What is this?"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h.example/a/b.JPG?x=.y"}},
        {"fileData": {"fileUri": "https://h.example/c"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
    ]);
    let question = json!({"messages": [{"role": "user", "content": parts}]});
    let body = body_for(MODEL, &question).unwrap();
    assert_eq!(body["contents"], json!([{"role": "user", "parts": want}]));
}

/// A conversation with two parallel calls and their results.
fn with_calls() -> Value {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let mut signed = call("b", "");
    signed["extra_content"] = json!({"google": {"thought_signature": "c2ln"}});
    json!({"system": "S", "messages": [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "", "tool_calls": [call("a", "{\"x\":1}"), signed]},
        {"role": "tool", "tool_call_id": "a", "content": "{\"y\":2}"},
        {"role": "tool", "tool_call_id": "b", "content": [
            {"type": "text", "text": "warm"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "R"},
    ]})
}

#[test]
fn a_conversation_keeps_its_turns_calls_and_results() {
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let want = json!({
        "systemInstruction": {"parts": [{"text": "S"}, {"text": "D"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Q"}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "b", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
                {"functionResponse": {"id": "b", "name": "f", "response": {"output": "warm"},
                    "parts": [image]}}]},
            {"role": "model", "parts": [{"text": "A"}]},
            {"role": "user", "parts": [{"text": "R"}]},
        ],
    });
    assert_eq!(body_for(MODEL, &with_calls()), Ok(want));
}

#[test]
fn models_that_check_signatures_get_one_for_the_first_call_of_a_turn() {
    for (model, is_told) in [
        ("gemini-3-pro-preview", true),
        ("gemini-3.5-flash", true),
        ("models/gemini-flash-latest", true),
        ("gemini-10", true),
        (MODEL, false),
        ("gemini-2.0-flash", false),
        ("tunedModels/mine", false),
        ("gemma-3-27b-it", false),
    ] {
        let body = body_for(model, &with_calls()).unwrap();
        let signature =
            |part: &str| body.pointer(&format!("/contents/1/parts/{part}/thoughtSignature"));
        let none = json!("skip_thought_signature_validator");
        assert_eq!(signature("0"), is_told.then_some(&none), "{model}");
        assert_eq!(signature("1"), Some(&json!("c2ln")), "{model}");
    }
}

#[test]
fn vertex_gets_no_ids_of_calls() {
    let provider = asking::opened(lmserver_gemini::open, Some(VERTEX));
    let (_, body) = asking::sent(&*provider, MODEL, &with_calls()).unwrap();
    assert!(!body.to_string().contains("\"id\""), "{body}");
}

#[test]
fn what_gemini_cannot_express_is_refused_by_name() {
    let message =
        |role: &str, part: Value| json!({"messages": [{"role": role, "content": [part]}]});
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    for (question, want) in [
        (
            json!({"messages": [{"role": "system", "content": "S"}]}),
            "gemini cannot express a conversation without a message of a user",
        ),
        (
            message("system", image),
            "gemini cannot express anything but text in `messages[0]`, a system message",
        ),
        (
            message("user", json!({"type": "video_url", "video_url": {}})),
            "gemini cannot express a part of type video_url in `messages[0]`",
        ),
        (
            message(
                "user",
                json!({"type": "file", "file": {"file_id": "file-1"}}),
            ),
            "gemini cannot express a file by the id of another provider in `messages[0]`",
        ),
        (
            json!({"messages": [{"role": "tool", "tool_call_id": "x", "content": "1"}]}),
            "`messages[0].tool_call_id` must be the id of an earlier tool call",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls":
                [{"id": "a", "function": {"name": "f", "arguments": "no"}}]}]}),
            "the `arguments` of the tool call `a` must be",
        ),
        (
            json!({"tools": [{"type": "web_search"}]}),
            "gemini cannot express `tools[0]` of type `web_search`",
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
        let refusal = body_for(MODEL, &question).unwrap_err();
        assert!(refusal.starts_with(want), "{refusal}, want {want}");
    }
    let refusal = body_for("gemini-3-pro", &json!({"reasoning_effort": "none"})).unwrap_err();
    assert!(refusal.starts_with("gemini cannot express no reasoning at all of gemini-3-pro"));
}

#[test]
fn further_options_have_words_or_are_refused() {
    let options =
        json!({"top_k": 4, "presence_penalty": 0.5, "frequency_penalty": 0.25, "store": true});
    let body = body_for(MODEL, &json!({"options": options})).unwrap();
    let config = json!({"topK": 4, "presencePenalty": 0.5, "frequencyPenalty": 0.25});
    assert_eq!(body, with_key(plain(), "generationConfig", config));
    let refused = body_for(MODEL, &json!({"options": {"logit_bias": {"50": 1}}})).unwrap_err();
    assert!(refused.contains("cannot express `logit_bias`"), "{refused}");
}
