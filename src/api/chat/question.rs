//! Reading the body of `POST /api/chat`: every key has its type, and what is wrong is named.

use lmserver_runtime::plugin::fast::Question;
use lmserver_runtime::plugin::provider::{ChatRequest, Content, Message};
use serde_json::Value;

use super::fast;
use super::object::{Object, kind};
use crate::api::refusal::Refusal;

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Question, Refusal> {
    match fast::read(body) {
        Some(question) => Ok(question),
        None => read_any(body),
    }
}

/// Reads a body with all that may be in it. Out of line: a plain question needs nothing of it.
#[inline(never)]
pub(super) fn read_any(body: &[u8]) -> Result<Question, Refusal> {
    let mut object = Object::read(body)?;
    object.only(&KEYS)?;
    let messages = conversation(&mut object)?;
    let model = object.text("model")?;
    if model.as_ref().is_some_and(|name| name.len() > MODEL_MAX) {
        return Err(object.wrong("model", &format!("at most {MODEL_MAX} bytes long")));
    }
    let request = ChatRequest {
        options: serde_json::Map::new(),
        messages,
        system: object.string("system")?,
        temperature: object.number("temperature", 0.0, f64::MAX, "a number of at least 0")?,
        top_p: object.number("top_p", 0.0, 1.0, "a number from 0 to 1")?,
        max_tokens: max_tokens(&mut object)?,
        stop: stop(&mut object)?,
        seed: object.integer("seed", "an integer")?,
        tools: tools(&mut object)?,
        tool_choice: object.typed("tool_choice", "a string or an object", |value| {
            if value.is_string() || value.is_object() {
                Ok(value)
            } else {
                Err(value)
            }
        })?,
        response_format: object.typed("response_format", TYPED, |value| {
            if is_typed(&value) {
                Ok(value)
            } else {
                Err(value)
            }
        })?,
        reasoning_effort: object.text("reasoning_effort")?,
        user: object.string("user")?,
        metadata: object.object("metadata")?.map(Value::Object),
        extra: object.object("extra")?.unwrap_or_default(),
    };
    Ok(Question {
        model,
        request: Box::new(request),
    })
}

/// The conversation, from whichever of the two keys it was given by.
fn conversation(object: &mut Object) -> Result<Vec<Message>, Refusal> {
    match (object.has("message"), object.has("messages")) {
        (true, true) => Err(Refusal::invalid(
            "both \"message\" and \"messages\" are there: send one of them",
        )),
        (false, false) => Err(Refusal::invalid(
            "neither \"message\" (a string) nor \"messages\" (an array) is there: send one of them",
        )),
        (true, false) => {
            let text = object.text("message")?;
            let text = text.ok_or_else(|| object.wrong("message", "a string, not null"))?;
            Ok(vec![Message {
                role: "user".into(),
                content: Content::Text(text),
                name: None,
                tool_calls: None,
                tool_call_id: None,
                reasoning: None,
            }])
        }
        (false, true) => {
            let items = object.array("messages", "an array of messages")?;
            let items = items
                .filter(|items| !items.is_empty())
                .ok_or_else(|| object.wrong("messages", "an array of at least one message"))?;
            let place = |index| object.item("messages", index);
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| message(item, &place(i)))
                .collect()
        }
    }
}

fn message(item: Value, place: &str) -> Result<Message, Refusal> {
    let Value::Object(item) = item else {
        let is = kind(&item);
        return Err(Refusal::invalid(format!(
            "\"{place}\" must be an object, not {is}"
        )));
    };
    let mut object = Object::part(item, [place, "."].concat());
    object.only(&MESSAGE_KEYS)?;
    let role = object
        .text("role")?
        .filter(|role| ROLES.contains(&role.as_str()));
    let role = role.ok_or_else(|| object.wrong("role", &format!("one of {}", ROLES.join(", "))))?;
    let message = Message {
        content: content(&mut object, place)?,
        name: object.text("name")?,
        tool_calls: tool_calls(&mut object)?,
        tool_call_id: object.text("tool_call_id")?,
        reasoning: None,
        role,
    };
    fits_its_role(&message, &object)?;
    Ok(message)
}

/// A message's keys against its role.
fn fits_its_role(message: &Message, object: &Object) -> Result<(), Refusal> {
    let is_tool = message.role == "tool";
    let called = message.tool_calls.is_some();
    if message.content == Content::Absent && !called {
        return Err(object.wrong("content", "there: a string or an array of content parts"));
    }
    if called && message.role != "assistant" {
        return Err(object.wrong("tool_calls", "absent where the role is not assistant"));
    }
    if is_tool && message.tool_call_id.is_none() {
        return Err(object.wrong("tool_call_id", "there, where the role is tool"));
    }
    if !is_tool && message.tool_call_id.is_some() {
        return Err(object.wrong("tool_call_id", "absent where the role is not tool"));
    }
    Ok(())
}

fn content(object: &mut Object, place: &str) -> Result<Content, Refusal> {
    let want = "a string or an array of content parts";
    let content = object.typed("content", want, |value| match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(parts) => Ok(Content::Parts(parts)),
        other => Err(other),
    })?;
    let Some(Content::Parts(parts)) = &content else {
        return Ok(content.unwrap_or(Content::Absent));
    };
    if parts.is_empty() {
        return Err(object.wrong("content", "an array of at least one part"));
    }
    for (index, part) in parts.iter().enumerate() {
        check_part(part).map_err(|want| {
            Refusal::invalid(format!("\"{place}.content[{index}]\" must be {want}"))
        })?;
    }
    Ok(content.unwrap_or(Content::Absent))
}

/// The parts that every provider knows are checked whole, others only for their type.
fn check_part(part: &Value) -> Result<(), &'static str> {
    if !is_typed(part) {
        return Err(TYPED);
    }
    match part.get("type").and_then(Value::as_str).unwrap_or_default() {
        "text" if !part.get("text").is_some_and(Value::is_string) => {
            Err("an object with a string \"text\", since its type is text")
        }
        "image_url" if !part.pointer("/image_url/url").is_some_and(Value::is_string) => {
            Err("an object with \"image_url\": {\"url\": a string}, since its type is image_url")
        }
        _ => Ok(()),
    }
}

fn tool_calls(object: &mut Object) -> Result<Option<Value>, Refusal> {
    let want =
        "an array of {\"id\", \"type\": \"function\", \"function\": {\"name\", \"arguments\"}}";
    object.typed("tool_calls", want, |value| {
        let is_call = |call: &Value| {
            let is_string = |at| call.pointer(at).is_some_and(Value::is_string);
            is_string("/id") && is_string("/function/name") && is_string("/function/arguments")
        };
        match &value {
            Value::Array(calls) if !calls.is_empty() && calls.iter().all(is_call) => Ok(value),
            _ => Err(value),
        }
    })
}

fn max_tokens(object: &mut Object) -> Result<Option<u64>, Refusal> {
    let want = "an integer of at least 1";
    object.typed("max_tokens", want, |value| match value.as_u64() {
        Some(tokens) if tokens >= 1 => Ok(tokens),
        _ => Err(value),
    })
}

fn stop(object: &mut Object) -> Result<Vec<String>, Refusal> {
    let want = "a string or an array of strings, none of them empty";
    let stop = object.typed("stop", want, |value| {
        let items = match value {
            Value::Array(items) => items,
            single => vec![single],
        };
        let texts = items
            .iter()
            .map(|item| item.as_str().filter(|text| !text.is_empty()));
        let texts: Option<Vec<String>> = texts.map(|text| text.map(str::to_owned)).collect();
        texts.ok_or(Value::Array(items))
    });
    // The kind of the value would name the array that a single text was put in.
    Ok(stop
        .map_err(|_| object.wrong("stop", want))?
        .unwrap_or_default())
}

fn tools(object: &mut Object) -> Result<Option<Value>, Refusal> {
    let Some(tools) = object.array("tools", "an array of tools")? else {
        return Ok(None);
    };
    for (index, tool) in tools.iter().enumerate() {
        let place = object.item("tools", index);
        if !is_typed(tool) {
            return Err(Refusal::invalid(format!("\"{place}\" must be {TYPED}")));
        }
        let is_function = tool.get("type").and_then(Value::as_str) == Some("function");
        if is_function && !tool.pointer("/function/name").is_some_and(Value::is_string) {
            let want = "an object with a string \"name\"";
            return Err(Refusal::invalid(format!(
                "\"{place}.function\" must be {want}"
            )));
        }
    }
    Ok(Some(Value::Array(tools)))
}

fn is_typed(value: &Value) -> bool {
    value
        .as_object()
        .and_then(|object| object.get("type"))
        .is_some_and(Value::is_string)
}

/// All keys of a question.
const KEYS: [&str; 16] = [
    "message",
    "messages",
    "model",
    "system",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "user",
    "metadata",
    "extra",
];

/// Bytes of a model's name; it is part of events and of error messages.
const MODEL_MAX: usize = 256;

/// All keys of a message.
const MESSAGE_KEYS: [&str; 5] = ["role", "content", "name", "tool_calls", "tool_call_id"];

/// Who may speak.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

const TYPED: &str = "an object with a string \"type\"";
