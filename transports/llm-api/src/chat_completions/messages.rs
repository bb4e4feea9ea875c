//! Reading `messages`. What an SDK's answer has and a question does not need is left out, since
//! programs send answers back as they got them.

use lmserver_runtime::plugin::provider::{Content, Message};
use serde_json::{Value, json};

use crate::body::{Object, type_of};
use crate::dialect::Mistake;

/// Who may speak.
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// Reads the conversation.
pub(super) fn read(object: &mut Object) -> Result<Vec<Message>, Mistake> {
    let items = object.array("messages")?.filter(|items| !items.is_empty());
    let items =
        items.ok_or_else(|| object.wrong("messages", "an array of at least one message"))?;
    let place = |index| object.item("messages", index);
    let messages = items.into_iter().enumerate();
    messages
        .map(|(index, item)| message(Object::part(item, &place(index))?))
        .collect()
}

/// Reads messages that were read before.
pub(crate) fn of_values(values: Vec<Value>) -> Result<Vec<Message>, Mistake> {
    let values = values.into_iter();
    values
        .map(|value| message(Object::part(value, "messages")?))
        .collect()
}

fn message(mut object: Object) -> Result<Message, Mistake> {
    let role = object.string("role")?;
    let role = role
        .filter(|role| ROLES.contains(&role.as_str()))
        .ok_or_else(|| object.wrong("role", &format!("one of {}", ROLES.join(", "))))?;
    let mut message = Message {
        content: content(&mut object)?,
        name: object.string("name")?.filter(|name| !name.is_empty()),
        tool_calls: None,
        tool_call_id: None,
        reasoning: None,
        role,
    };
    match message.role.as_str() {
        "assistant" => assistant(&mut message, &mut object)?,
        "tool" => {
            let id = object.string("tool_call_id")?;
            let id = id.ok_or_else(|| object.wrong("tool_call_id", "the id of a call"))?;
            message.tool_call_id = Some(id);
        }
        "function" => {
            let name = message.name.take();
            let name = name.ok_or_else(|| object.wrong("name", "the name of a function"))?;
            message.role = "tool".into();
            message.tool_call_id = Some(former_id(&name));
        }
        _ => {}
    }
    if message.content == Content::Absent && message.tool_calls.is_none() {
        return Err(object.wrong("content", "a string or an array of content parts"));
    }
    Ok(message)
}

/// What only an assistant's message has.
fn assistant(message: &mut Message, object: &mut Object) -> Result<(), Mistake> {
    let want =
        "an array of {\"id\", \"type\": \"function\", \"function\": {\"name\", \"arguments\"}}";
    let calls = object.typed("tool_calls", want, |value| {
        let is_call = |call: &Value| {
            let is_string = |at| call.pointer(at).is_some_and(Value::is_string);
            is_string("/id") && is_string("/function/name") && is_string("/function/arguments")
        };
        match &value {
            Value::Array(calls) if calls.iter().all(is_call) => Ok(value),
            _ => Err(value),
        }
    })?;
    // No call at all is as good as none; several providers refuse an empty list.
    message.tool_calls = calls.filter(|calls| calls.as_array().is_some_and(|it| !it.is_empty()));
    let former = object.typed(
        "function_call",
        "an object with strings \"name\" and \"arguments\"",
        |value| match (string_at(&value, "name"), string_at(&value, "arguments")) {
            (Some(name), Some(arguments)) => Ok(json!([{
                "id": former_id(name), "type": "function",
                "function": {"name": name, "arguments": arguments},
            }])),
            _ => Err(value),
        },
    )?;
    message.tool_calls = message.tool_calls.take().or(former);
    // Servers name it so or so; it is nobody's mistake if it is of another type.
    let thought = ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|key| match object.take(key) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        });
    message.reasoning = thought;
    let refusal = object.string("refusal")?;
    if let (Content::Absent, Some(refusal)) = (&message.content, refusal) {
        message.content = Content::Text(refusal);
    }
    Ok(())
}

/// The id of a call from the time when calls had none.
fn former_id(name: &str) -> String {
    format!("call_{name}")
}

fn string_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn content(object: &mut Object) -> Result<Content, Mistake> {
    let want = "a string or an array of content parts";
    let content = object.typed("content", want, |value| match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(parts) => Ok(Content::Parts(parts)),
        other => Err(other),
    })?;
    if let Some(Content::Parts(parts)) = &content {
        if parts.is_empty() {
            return Err(object.wrong(
                "content",
                "a string or an array of at least one content part",
            ));
        }
        for (index, part) in parts.iter().enumerate() {
            if let Some(want) = lack(part) {
                let place = object.item("content", index);
                let message = format!("\"{place}\" must be an object with {want}");
                return Err(Mistake::at(place, message));
            }
        }
    }
    Ok(content.unwrap_or(Content::Absent))
}

/// What a part lacks: those that every provider knows are checked, of others only the type.
fn lack(part: &Value) -> Option<&'static str> {
    let has = |at| part.pointer(at).is_some_and(Value::is_string);
    match type_of(part) {
        "" => Some("a string \"type\""),
        "text" if !has("/text") => Some("a string \"text\", since its type is text"),
        "refusal" if !has("/refusal") => Some("a string \"refusal\", since its type is refusal"),
        "image_url" if !has("/image_url/url") => {
            Some("\"image_url\": {\"url\": a string}, since its type is image_url")
        }
        "input_audio" if !has("/input_audio/data") => {
            Some("\"input_audio\": {\"data\", \"format\"}, since its type is input_audio")
        }
        "file" if part.get("file").is_none_or(|file| !file.is_object()) => {
            Some("an object \"file\", since its type is file")
        }
        _ => None,
    }
}
