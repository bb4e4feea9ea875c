//! Reading `input`: a text, or items, which become the messages of a conversation.

use std::collections::BTreeSet;

use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::{Content, Message};
use serde_json::{Map, Value};

use crate::body::{Object, clip, type_of};
use crate::dialect::Mistake;
use crate::names;

/// Reads the conversation.
pub(super) fn read(object: &mut Object) -> Result<Vec<Message>, Mistake> {
    let want = "a string or an array of input items";
    let input = object.typed("input", want, |value| match &value {
        Value::String(_) | Value::Array(_) => Ok(value),
        _ => Err(value),
    })?;
    match input {
        Some(Value::Array(items)) => {
            let mut messages = Vec::new();
            let mut thought = String::new();
            for (index, item) in items.into_iter().enumerate() {
                let place = object.item("input", index);
                let kind = type_of(&item).to_owned();
                if kind == "reasoning" {
                    think(&item, &mut thought);
                    continue;
                }
                read_item(&kind, Object::part(item, &place)?, &mut messages)?;
                // A model thinks before it speaks or calls.
                let thought = std::mem::take(&mut thought);
                if let Some(said) = messages.last_mut().filter(|it| it.role == "assistant")
                    && !thought.is_empty()
                {
                    said.reasoning.get_or_insert_default().push_str(&thought);
                }
            }
            if messages.is_empty() {
                return Err(object.wrong("input", "an array with a message"));
            }
            Ok(messages)
        }
        Some(Value::String(text)) => Ok(vec![Message::new("user", Content::Text(text))]),
        _ => Err(object.wrong("input", want)),
    }
}

/// Appends what a model thought, as far as it is not sealed for whoever sealed it.
fn think(item: &Value, thought: &mut String) {
    let texts = |key: &str| {
        let parts = item.get(key).and_then(Value::as_array);
        let texts = parts.into_iter().flatten();
        let texts = texts.filter_map(|part| part.get("text")?.as_str());
        texts.collect::<String>()
    };
    let whole = texts("content");
    if whole.is_empty() {
        thought.push_str(&texts("summary"));
    } else {
        thought.push_str(&whole);
    }
}

fn read_item(kind: &str, mut item: Object, messages: &mut Vec<Message>) -> Result<(), Mistake> {
    match kind {
        "" | "message" => {
            let roles = ["system", "developer", "user", "assistant"];
            let role = item.string("role")?;
            let role = role
                .filter(|role| roles.contains(&role.as_str()))
                .ok_or_else(|| item.wrong("role", &format!("one of {}", roles.join(", "))))?;
            let content = content(&mut item, "content")?;
            messages.push(Message::new(&role, content));
        }
        "function_call" => {
            let call = object! {
                "id": required(&mut item, "call_id")?,
                "type": "function",
                "function": object! {
                    "name": required(&mut item, "name")?,
                    "arguments": required(&mut item, "arguments")?,
                },
            };
            call_by_assistant(call, messages);
        }
        "function_call_output" => {
            let id = required(&mut item, "call_id")?;
            let content = content(&mut item, "output")?;
            messages.push(Message {
                tool_call_id: Some(id),
                ..Message::new("tool", content)
            });
        }
        "item_reference" => {
            let id = required(&mut item, "id")?;
            if place_of(&id).is_none() {
                return Err(item.wrong("id", "that of an item of a response of this server"));
            }
            if !id.starts_with("rs_") {
                messages.push(Message {
                    name: Some(id),
                    ..Message::new(NAMED, Content::Absent)
                });
            }
        }
        _ => {
            let want = "message, function_call, function_call_output, reasoning or item_reference";
            return Err(item.wrong("type", want));
        }
    }
    Ok(())
}

/// The role of a message that is only named, by the id of an item, until it is looked up.
const NAMED: &str = "item_reference";

/// The channel of an item, and its place among those of its kind there.
fn place_of(id: &str) -> Option<(String, usize)> {
    let (kind, rest) = id.split_once('_')?;
    let (digits, place) = rest.split_once('_').unwrap_or((rest, "0"));
    let is_known = matches!(kind, "rs" | "msg" | "fc");
    let channel = names::channel("", digits).filter(|_| is_known)?;
    Some((channel, place.parse().ok()?))
}

/// The most channels whose items may be named.
const MOST_REFERRED: usize = 128;

/// The channels of items that are only named, each once. An item may be named once, since each time
/// is a copy of what it says.
pub(super) fn referred(messages: &[Message]) -> Result<Vec<Box<str>>, Mistake> {
    let wrong = |what: String| Mistake::at("input", format!("\"input\" {what}"));
    let mut places = BTreeSet::new();
    for named in messages.iter().filter(|it| it.role == NAMED) {
        let id = named.name.as_deref().unwrap_or_default();
        let Some((channel, place)) = place_of(id) else {
            continue;
        };
        if !places.insert((channel, id.starts_with("fc_"), place)) {
            let id = clip(id);
            return Err(wrong(format!("names the item {id} more than once")));
        }
    }
    let channels = places.into_iter().map(|(channel, ..)| channel.into());
    let mut channels: Vec<Box<str>> = channels.collect();
    channels.dedup();
    if channels.len() > MOST_REFERRED {
        let what = format!("names items of more than {MOST_REFERRED} responses: send them whole");
        return Err(wrong(what));
    }
    Ok(channels)
}

/// Puts the items of an answer where they are named.
pub(super) fn refer(messages: &mut Vec<Message>, channel: &str, said: &Snapshot) {
    let mut all = Vec::new();
    for message in messages.drain(..) {
        let id = message.name.as_deref().filter(|_| message.role == NAMED);
        let place = id.and_then(|id| Some((id, place_of(id)?)));
        match place {
            Some((id, (of, place))) if of == channel => item_of(said, id, place, &mut all),
            _ => all.push(message),
        }
    }
    *messages = all;
}

/// Appends an item of an answer.
fn item_of(said: &Snapshot, id: &str, place: usize, messages: &mut Vec<Message>) {
    if id.starts_with("fc_") {
        if let Some(call) = said.tool_calls.get(place) {
            let function = object! {"name": &*call.name, "arguments": &*call.arguments};
            let call = object! {"id": &*call.id, "type": "function", "function": function};
            call_by_assistant(call, messages);
        }
    } else if place == 0 {
        // The snapshot has all of the text in one.
        let text = if said.text.is_empty() {
            &said.refusal
        } else {
            &said.text
        };
        messages.push(Message::new("assistant", Content::Text(text.clone())));
    }
}

/// Calls stand in the message that they came with.
fn call_by_assistant(call: Value, messages: &mut Vec<Message>) {
    let last = messages.last_mut();
    if let Some(last) = last.filter(|it| it.role == "assistant") {
        match &mut last.tool_calls {
            Some(Value::Array(calls)) => calls.push(call),
            none => *none = Some(Value::Array(vec![call])),
        }
        return;
    }
    messages.push(Message {
        tool_calls: Some(Value::Array(vec![call])),
        ..Message::new("assistant", Content::Absent)
    });
}

fn required(item: &mut Object, key: &str) -> Result<String, Mistake> {
    let text = item.string(key)?;
    text.ok_or_else(|| item.wrong(key, "a string"))
}

/// A text, or parts; a single part that is text is that text.
fn content(item: &mut Object, key: &str) -> Result<Content, Mistake> {
    let want = "a string or an array of content parts";
    let value = item.typed(key, want, |value| match &value {
        Value::String(_) | Value::Array(_) => Ok(value),
        _ => Err(value),
    })?;
    let parts = match value {
        Some(Value::Array(parts)) => parts,
        Some(Value::String(text)) => return Ok(Content::Text(text)),
        _ => return Err(item.wrong(key, want)),
    };
    let mut read = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let place = item.item(key, index);
        let kind = type_of(&part).to_owned();
        read.push(read_part(&kind, Object::part(part, &place)?)?);
    }
    let texts: Option<Vec<&str>> = read
        .iter()
        .map(|part| part.get("text").and_then(Value::as_str))
        .collect();
    match texts {
        Some(texts) if texts.len() <= 1 => Ok(Content::Text(texts.concat())),
        _ => Ok(Content::Parts(read)),
    }
}

/// A part in the words of Chat Completions.
fn read_part(kind: &str, mut part: Object) -> Result<Value, Mistake> {
    match kind {
        "input_text" | "output_text" | "text" => {
            Ok(object! {"type": "text", "text": required(&mut part, "text")?})
        }
        "refusal" => Ok(object! {"type": "text", "text": required(&mut part, "refusal")?}),
        "input_image" => {
            let mut image = Map::new();
            let url = part.string("image_url")?;
            let url = url.ok_or_else(|| {
                part.wrong("image_url", "a string: files are not kept by this server")
            })?;
            image.insert("url".into(), url.into());
            let detail = part.string("detail")?.filter(|detail| detail != "auto");
            image.extend(detail.map(|detail| ("detail".to_owned(), detail.into())));
            Ok(object! {"type": "image_url", "image_url": image})
        }
        "input_file" => {
            if part.has("file_id") {
                let want = "absent: files are not kept by this server; send \"file_data\"";
                return Err(part.wrong("file_id", want));
            }
            part.take("type");
            part.take("detail");
            Ok(object! {"type": "file", "file": part.rest()})
        }
        "input_audio" => {
            let audio = part.take("input_audio");
            let is_audio = |audio: &Value| audio.get("data").is_some_and(Value::is_string);
            let want = "an object with strings \"data\" and \"format\"";
            let audio = audio
                .filter(is_audio)
                .ok_or_else(|| part.wrong("input_audio", want))?;
            Ok(object! {"type": "input_audio", "input_audio": audio})
        }
        _ => {
            let want = "input_text, input_image, input_file, input_audio, output_text or refusal";
            Err(part.wrong("type", want))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn audio_has_data() {
        let said = |part: Value| {
            let body = json!({"input": [{"role": "user", "content": [part]}]}).to_string();
            read(&mut Object::read(body.as_bytes()).unwrap())
        };
        for part in [
            json!({"type": "input_audio"}),
            json!({"type": "input_audio", "input_audio": "aa"}),
            json!({"type": "input_audio", "input_audio": {"format": "wav"}}),
        ] {
            let mistake = said(part).unwrap_err();
            let param = mistake.param.as_deref();
            assert_eq!(param, Some("input[0].content[0].input_audio"));
        }
        let audio = json!({"data": "aa", "format": "wav"});
        let part = json!({"type": "input_audio", "input_audio": audio});
        let messages = said(part.clone()).unwrap();
        assert_eq!(messages[0].content, Content::Parts(vec![part]));
    }

    #[test]
    fn a_long_name_of_an_item_is_repeated_in_part() {
        let id = format!("fc_{}_{}1", "0123456789abcdef".repeat(2), "0".repeat(5000));
        let named = Message {
            name: Some(id),
            ..Message::new(NAMED, Content::Absent)
        };
        let mistake = referred(&[named.clone(), named]).unwrap_err();
        assert!(mistake.message.contains("fc_0123"), "{}", mistake.message);
        assert!(mistake.message.len() < 200, "{}", mistake.message);
    }
}
