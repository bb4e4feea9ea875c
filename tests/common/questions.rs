//! Conversations to ask a provider about.
//!
//! Included with `#[path]`.

use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::Value;

fn message(role: &str, content: Content) -> Message {
    Message {
        role: role.into(),
        content,
        name: None,
        tool_calls: None,
        tool_call_id: None,
        reasoning: None,
    }
}

pub(crate) fn text(role: &str, text: &str) -> Message {
    message(role, Content::Text(text.into()))
}

pub(crate) fn parts(role: &str, parts: Value) -> Message {
    let Value::Array(parts) = parts else {
        panic!("{parts} is no array")
    };
    message(role, Content::Parts(parts))
}

pub(crate) fn result(id: &str, content: &str) -> Message {
    Message {
        tool_call_id: Some(id.into()),
        ..text("tool", content)
    }
}

pub(crate) fn calls(calls: Value) -> Message {
    Message {
        tool_calls: Some(calls),
        ..message("assistant", Content::Absent)
    }
}

pub(crate) fn asking(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        messages,
        ..ChatRequest::default()
    }
}

/// A question of one word, to be filled in.
pub(crate) fn hi() -> ChatRequest {
    asking(vec![text("user", "Hi")])
}
