//! What is kept with a response's channel: what the response tells of its question, and the
//! conversation that another one may go on with.
//!
//! ```text
//!   "instructions":null,"metadata":{},…     the echo: members of an object
//!   [{"role":"user","content":"Hi"}]        the conversation, in the words of Chat Completions
//! ```
//!
//! One line each, so that the echo is copied into every response without a look at it.

use lmserver_runtime::channel::{Snapshot, Status};
use lmserver_runtime::plugin::provider::{Content, Message};
use serde_json::{Map, Value, json};

use crate::chat_completions::messages;
use crate::dialect::{Asked, Mistake};

/// Makes a note.
pub(super) fn write(echo: &Map<String, Value>, conversation: &[Message]) -> Box<[u8]> {
    let mut note = Value::Object(echo.clone()).to_string();
    // Without the braces; no line break stands in JSON that a writer made.
    note.pop();
    note.push('\n');
    note.push_str(
        &conversation
            .iter()
            .map(value)
            .collect::<Value>()
            .to_string(),
    );
    note.into_bytes().into_iter().skip(1).collect()
}

/// What the response tells of its question.
pub(super) fn echo(note: &[u8]) -> &[u8] {
    parts(note).0
}

/// Puts the previous conversation, and the answer to it, in front of a question.
pub(super) fn go_on(asked: &mut Asked, previous: &Snapshot) -> Result<(), Mistake> {
    let lost = |why: &str| {
        let key = "previous_response_id";
        Mistake::at(key, format!("\"{key}\" names a response that {why}"))
    };
    match previous.status {
        Status::Completed | Status::Cancelled => {}
        Status::Streaming => return Err(lost("is not complete yet")),
        Status::Failed => return Err(lost("failed")),
    }
    let (_, conversation) = parts(&previous.note);
    let said: Value = serde_json::from_slice(conversation).unwrap_or_default();
    let Value::Array(said) = said else {
        return Err(lost("is no response, or one with \"store\": false"));
    };
    let mut all = messages::of_values(said)?;
    all.extend(answer(previous));
    all.append(&mut asked.request.messages);
    asked.request.messages = all;
    renew(asked);
    Ok(())
}

/// Keeps the conversation as it is now, if it is kept.
pub(super) fn renew(asked: &mut Asked) {
    let (echo, conversation) = parts(&asked.note);
    if !conversation.is_empty() {
        let mut note = echo.to_vec();
        note.push(b'\n');
        let all: Value = asked.request.messages.iter().map(value).collect();
        note.extend(all.to_string().into_bytes());
        asked.note = note.into();
    }
}

/// A note without the conversation, which nobody may go on with.
pub(super) fn forgetful(note: &[u8]) -> Box<[u8]> {
    echo(note).into()
}

/// What the model said, as a part of a conversation.
fn answer(snapshot: &Snapshot) -> Option<Message> {
    let text = match (snapshot.text.as_str(), snapshot.refusal.as_str()) {
        ("", refusal) => refusal,
        (text, _) => text,
    };
    let calls = snapshot.tool_calls.iter().map(|call| {
        json!({
            "id": call.id, "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })
    });
    let calls: Vec<Value> = calls.collect();
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let content = if text.is_empty() {
        Content::Absent
    } else {
        Content::Text(text.to_owned())
    };
    Some(Message {
        // Who wants thoughts back wants those behind calls.
        reasoning: (!calls.is_empty() && !snapshot.reasoning.is_empty())
            .then(|| snapshot.reasoning.clone()),
        tool_calls: (!calls.is_empty()).then_some(Value::Array(calls)),
        ..Message::new("assistant", content)
    })
}

fn parts(note: &[u8]) -> (&[u8], &[u8]) {
    let end = note.iter().position(|byte| *byte == b'\n');
    let (echo, rest) = note.split_at(end.unwrap_or(note.len()));
    (echo, rest.get(1..).unwrap_or_default())
}

/// A message in the words of Chat Completions.
fn value(message: &Message) -> Value {
    let content = match &message.content {
        Content::Absent => Value::Null,
        Content::Text(text) => text.clone().into(),
        Content::Parts(parts) => parts.clone().into(),
    };
    let mut object = Map::new();
    object.insert("role".into(), message.role.clone().into());
    object.insert("content".into(), content);
    let text = |text: &Option<String>| text.clone().map(Value::String);
    for (key, value) in [
        ("name", text(&message.name)),
        ("tool_calls", message.tool_calls.clone()),
        ("tool_call_id", text(&message.tool_call_id)),
        ("reasoning_content", text(&message.reasoning)),
    ] {
        object.extend(value.map(|value| (key.to_owned(), value)));
    }
    Value::Object(object)
}
