//! Questions in the words of the dialects that can say all of them.

use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::{Map, Value, json};

/// Which dialect.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Words {
    /// This server's own.
    Own,
    /// OpenAI's Chat Completions.
    Chat,
}

/// The body of a question. None, if its numbers are rounded when they are read, or it is nested too
/// deeply for a reader.
pub(super) fn body(words: Words, model: &str, request: &ChatRequest) -> Option<String> {
    let messages: Vec<Value> = request.messages.iter().map(message).collect();
    let stop = (!request.stop.is_empty()).then(|| json!(request.stop));
    let most = match words {
        Words::Own => "max_tokens",
        Words::Chat => "max_completion_tokens",
    };
    let mut body = Map::new();
    for (key, value) in [
        ("messages", Some(messages.into())),
        ("model", Some(model.into())),
        ("system", request.system.clone().map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        (most, request.max_tokens.map(Value::from)),
        ("stop", stop),
        ("seed", request.seed.clone().map(Value::Number)),
        ("tools", request.tools.clone()),
        ("tool_choice", request.tool_choice.clone()),
        ("response_format", request.response_format.clone()),
        (
            "reasoning_effort",
            request.reasoning_effort.clone().map(Value::from),
        ),
        ("user", request.user.clone().map(Value::from)),
        ("metadata", request.metadata.clone()),
    ] {
        add(&mut body, key, value);
    }
    match words {
        Words::Own => add(&mut body, "extra", Some(request.extra.clone().into())),
        Words::Chat => {
            for (key, value) in request.options.iter().chain(&request.extra) {
                add(&mut body, key, Some(value.clone()));
            }
        }
    }
    let body = Value::Object(body);
    let text = body.to_string();
    let again: Option<Value> = serde_json::from_str(&text).ok();
    (again? == body).then_some(text)
}

fn message(message: &Message) -> Value {
    let content = match &message.content {
        Content::Absent => None,
        Content::Text(text) => Some(text.clone().into()),
        Content::Parts(parts) => Some(parts.clone().into()),
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let mut out = Map::new();
    for (key, value) in [
        ("role", Some(message.role.clone().into())),
        ("content", content),
        ("name", text(&message.name)),
        ("tool_calls", message.tool_calls.clone()),
        ("tool_call_id", text(&message.tool_call_id)),
        ("reasoning_content", text(&message.reasoning)),
    ] {
        add(&mut out, key, value);
    }
    out.into()
}

fn add(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        let before = object.insert(key.to_owned(), value);
        assert!(before.is_none(), "{key} is said twice");
    }
}
