//! Asking a provider plugin in the words of the HTTP API, to see what it would send.
//!
//! Included by the tests of provider crates with `#[path]`.

use lmserver_runtime::event::ErrorCode;
use lmserver_runtime::plugin::provider::{
    ChatRequest, Content, Message, OpenProvider, Provider, StartCx,
};
use serde_json::{Map, Value};

#[path = "section.rs"]
pub(crate) mod section;

/// An instance; without a URL at the provider's own.
pub(crate) fn opened(open: OpenProvider, url: Option<&str>) -> Box<dyn Provider> {
    let mut section = section::Keys::default();
    let provider = open(section::settings(url, Some("key-1234")), &mut section);
    assert_eq!(section.mistakes, Vec::<String>::new());
    provider.expect("a provider")
}

/// What is sent for a question: the lines of the head, and the body. Or the message with which it
/// is refused.
pub(crate) fn sent(
    provider: &dyn Provider,
    model: &str,
    question: &Value,
) -> Result<(Vec<String>, Value), String> {
    match provider.start(&request(question), model, StartCx::default()) {
        Ok(start) => {
            let upstream = start.upstream.expect("a connection");
            assert_eq!(provider.endpoint(), Some(&upstream.endpoint));
            let text = String::from_utf8(upstream.request).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let head = head.split("\r\n").map(str::to_owned).collect();
            Ok((head, serde_json::from_str(body).expect("JSON")))
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::ProviderBadRequest, "{error}");
            assert!(!error.retryable, "{error}");
            Err(error.message.into())
        }
    }
}

/// A question as `POST /api/chat` takes it; a string is the one message of a user.
pub(crate) fn request(question: &Value) -> ChatRequest {
    let text = |key: &str| question.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |key: &str| question.get(key).and_then(Value::as_array);
    let messages = match list("messages") {
        Some(messages) => messages.iter().map(message).collect(),
        None => vec![message(
            &serde_json::json!({"role": "user", "content": "Hi"}),
        )],
    };
    let stop = list("stop").into_iter().flatten();
    let seed = question.get("seed").and_then(Value::as_number);
    let object = |key: &str| question.get(key).and_then(Value::as_object).cloned();
    ChatRequest {
        messages,
        system: text("system"),
        temperature: question.get("temperature").and_then(Value::as_f64),
        top_p: question.get("top_p").and_then(Value::as_f64),
        max_tokens: question.get("max_tokens").and_then(Value::as_u64),
        stop: stop.filter_map(Value::as_str).map(str::to_owned).collect(),
        seed: seed.cloned(),
        tools: question.get("tools").cloned(),
        tool_choice: question.get("tool_choice").cloned(),
        response_format: question.get("response_format").cloned(),
        reasoning_effort: text("reasoning_effort"),
        user: text("user"),
        metadata: question.get("metadata").cloned(),
        options: object("options").unwrap_or_else(Map::new),
        extra: object("extra").unwrap_or_else(Map::new),
    }
}

fn message(value: &Value) -> Message {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Message {
        role: text("role").expect("a role"),
        content: match value.get("content") {
            Some(Value::String(text)) => Content::Text(text.clone()),
            Some(Value::Array(parts)) => Content::Parts(parts.clone()),
            _ => Content::Absent,
        },
        name: text("name"),
        tool_calls: value.get("tool_calls").cloned(),
        tool_call_id: text("tool_call_id"),
        reasoning: text("reasoning_content"),
    }
}
