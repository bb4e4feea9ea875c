//! Reads a request of `useChat` into the question that all providers are asked.
//!
//! Of the page's messages the parts that a model can be told are taken: text, files, tool calls and
//! what came of them. The other keys of the body are those of Chat Completions, as the page's
//! transport may add them: `model`, `temperature`, `tools`, ….

use lmserver_runtime::object;
use serde_json::{Map, Value};

use super::telling;
use crate::body::{Object, type_of};
use crate::chat_completions;
use crate::dialect::{Asked, Mistake};

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Asked, Mistake> {
    let mut body = Object::read(body)?;
    // What the page's own state needs is nothing to a model.
    for key in ["id", "trigger", "messageId", "stream"] {
        let _ = body.take(key);
    }
    let Some(items) = body.array("messages")?.filter(|items| !items.is_empty()) else {
        return Err(body.wrong("messages", "an array of at least one message"));
    };
    let mut messages = Vec::new();
    let mut continued = None;
    for (index, item) in items.into_iter().enumerate() {
        let place = body.item("messages", index);
        let mut item = Object::part(item, &place)?;
        let role = item.string("role")?.unwrap_or_default();
        let id = item.string("id")?;
        let Some(parts) = item.array("parts")? else {
            return Err(item.wrong("parts", "an array of parts"));
        };
        continued = match role.as_str() {
            "system" | "user" => {
                messages.extend(spoken(&role, parts, &place)?);
                None
            }
            "assistant" => {
                answered(parts, &place, &mut messages)?;
                id
            }
            _ => return Err(item.wrong("role", "\"system\", \"user\" or \"assistant\"")),
        };
    }
    let mut rest = body.rest();
    rest.insert("messages".into(), Value::Array(messages));
    let asked = chat_completions::request::read_object(Object::whole(rest))?;
    Ok(Asked {
        count: 1,
        is_stream: true,
        is_background: false,
        // An answer that goes on with the page's last message has its id.
        note: continued.unwrap_or_default().into_bytes().into(),
        telling: telling(),
        ..asked
    })
}

/// What a person or the page itself has said; text alone as text, which every server takes.
fn spoken(role: &str, parts: Vec<Value>, place: &str) -> Result<Option<Value>, Mistake> {
    let mut content = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let place = format!("{place}.parts[{index}]");
        let kind = type_of(&part).to_owned();
        let mut part = Object::part(part, &place)?;
        match kind.as_str() {
            "text" => {
                let text = part.string("text")?.unwrap_or_default();
                content.push(object! {"type": "text", "text": text});
            }
            "file" => content.push(file(&mut part)?),
            // Data and steps are the page's own.
            _ => {}
        }
    }
    Ok(match content.as_slice() {
        [] => None,
        [only] if type_of(only) == "text" => {
            Some(object! {"role": role, "content": only["text"].clone()})
        }
        _ => Some(object! {"role": role, "content": content}),
    })
}

fn file(part: &mut Object) -> Result<Value, Mistake> {
    let Some(url) = part.string("url")? else {
        return Err(part.wrong("url", "a string"));
    };
    let media_type = part.string("mediaType")?.unwrap_or_default();
    if media_type.starts_with("image/") {
        return Ok(object! {"type": "image_url", "image_url": object! {"url": url}});
    }
    let name = part.string("filename")?;
    Ok(object! {"type": "file", "file": object! {"file_data": url, "filename": name}})
}

/// What a model has answered: each of its steps is a message, followed by what came of its calls.
fn answered(parts: Vec<Value>, place: &str, out: &mut Vec<Value>) -> Result<(), Mistake> {
    let mut step = Step::default();
    for (index, part) in parts.into_iter().enumerate() {
        let place = format!("{place}.parts[{index}]");
        let kind = type_of(&part).to_owned();
        let mut part = Object::part(part, &place)?;
        match kind.as_str() {
            "text" => step
                .text
                .push_str(&part.string("text")?.unwrap_or_default()),
            "reasoning" => step
                .thought
                .push_str(&part.string("text")?.unwrap_or_default()),
            "step-start" => std::mem::take(&mut step).finish(out),
            "dynamic-tool" => {
                let name = part.word("toolName")?;
                step.call(name.unwrap_or_default(), &mut part)?;
            }
            _ => {
                if let Some(name) = kind.strip_prefix("tool-") {
                    step.call(name.to_owned(), &mut part)?;
                }
            }
        }
    }
    step.finish(out);
    Ok(())
}

#[derive(Default)]
struct Step {
    thought: String,
    text: String,
    calls: Vec<Value>,
    results: Vec<Value>,
}

impl Step {
    fn call(&mut self, name: String, part: &mut Object) -> Result<(), Mistake> {
        let Some(id) = part.word("toolCallId")? else {
            return Err(part.wrong("toolCallId", "a string of 1 to 256 bytes"));
        };
        let result = match part.string("state")?.as_deref() {
            Some("output-available") => shown(part.take("output")),
            Some("output-error") => {
                format!("Error: {}", part.string("errorText")?.unwrap_or_default())
            }
            Some("output-denied") => "Error: the call was denied".to_owned(),
            // A call without an outcome cannot be told to a model.
            _ => return Ok(()),
        };
        let input = part.take("input").unwrap_or_else(|| object! {});
        let function = object! {"name": name, "arguments": input.to_string()};
        self.calls
            .push(object! {"id": &*id, "type": "function", "function": function});
        self.results
            .push(object! {"role": "tool", "tool_call_id": id, "content": result});
        Ok(())
    }

    fn finish(self, out: &mut Vec<Value>) {
        if self.text.is_empty() && self.calls.is_empty() {
            return;
        }
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        let content = (!self.text.is_empty()).then_some(self.text);
        message.insert("content".into(), content.into());
        if !self.calls.is_empty() {
            message.insert("tool_calls".into(), self.calls.into());
        }
        if !self.thought.is_empty() {
            message.insert("reasoning_content".into(), self.thought.into());
        }
        out.push(Value::Object(message));
        out.extend(self.results);
    }
}

/// A tool's outcome as text.
fn shown(output: Option<Value>) -> String {
    match output {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::plugin::provider::{Content, Message};
    use serde_json::json;

    use super::*;

    fn asked(body: Value) -> Result<Asked, Mistake> {
        read(body.to_string().as_bytes())
    }

    fn said(parts: Value) -> Vec<Message> {
        let messages = json!([
            {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]},
            {"id": "2", "role": "assistant", "parts": parts},
        ]);
        let asked = asked(json!({"id": "c", "trigger": "submit-message", "messages": messages}));
        asked
            .unwrap_or_else(|mistake| panic!("{}", mistake.message))
            .request
            .messages
    }

    #[test]
    fn steps_with_tools_become_messages() {
        let messages = said(json!([
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool-f", "toolCallId": "i", "state": "output-available", "input": {"a": 1}, "output": {"b": 2}},
            {"type": "dynamic-tool", "toolName": "g", "toolCallId": "j", "state": "output-error", "input": {}, "errorText": "no"},
            {"type": "tool-h", "toolCallId": "k", "state": "input-streaming", "input": {}},
            {"type": "step-start"},
            {"type": "text", "text": "Done."},
            {"type": "data-x", "data": 1},
        ]));
        let roles: Vec<_> = messages.iter().map(|message| &*message.role).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"]);
        assert_eq!(messages[1].content, Content::Text("Let me see.".into()));
        assert_eq!(messages[1].reasoning.as_deref(), Some("Hm"));
        let calls = messages[1].tool_calls.as_ref().unwrap().as_array().unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(
            calls[0]["function"],
            json!({"name": "f", "arguments": "{\"a\":1}"})
        );
        assert_eq!(messages[2].content, Content::Text("{\"b\":2}".into()));
        assert_eq!(messages[3].content, Content::Text("Error: no".into()));
        assert_eq!(messages[4].content, Content::Text("Done.".into()));
    }

    #[test]
    fn what_a_page_says_is_text_where_it_is_text_and_nothing_where_it_says_nothing() {
        let said = |parts: Value| json!({"role": "user", "parts": parts});
        let hi = json!({"type": "text", "text": "Hi"});
        let data = json!({"type": "data-a", "data": 1});
        let body = json!({"messages": [said(json!([hi, data])), said(json!([data])), said(json!([hi, hi]))]});
        let messages = read(body.to_string().as_bytes()).unwrap().request.messages;
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].content, Content::Text("Hi".into()));
        assert!(matches!(&messages[1].content, Content::Parts(parts) if parts.len() == 2));
    }

    #[test]
    fn an_answer_goes_on_with_the_last_message_if_that_is_an_answer() {
        let user = json!({"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]});
        let assistant =
            json!({"id": "2", "role": "assistant", "parts": [{"type": "text", "text": "a"}]});
        for (messages, note) in [
            (json!([user]), ""),
            (json!([user, assistant]), "2"),
            (json!([user, assistant, user]), ""),
        ] {
            let asked = asked(json!({"messages": messages, "temperature": 0.5, "model": "m"}))
                .unwrap_or_else(|mistake| panic!("{}", mistake.message));
            assert_eq!(&*asked.note, note.as_bytes());
            assert!(asked.is_stream);
            assert_eq!(
                (asked.request.temperature, asked.model.as_deref()),
                (Some(0.5), Some("m"))
            );
            assert!(asked.request.extra.is_empty(), "{:?}", asked.request.extra);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (messages, param) in [
            (json!([]), "messages"),
            (json!([{"role": "robot", "parts": []}]), "messages[0].role"),
            (
                json!([{"role": "user", "content": "Hi"}]),
                "messages[0].parts",
            ),
            (
                json!([{"role": "user", "parts": [{"type": "file"}]}]),
                "messages[0].parts[0].url",
            ),
            (
                json!([{"role": "assistant", "parts": [{"type": "tool-f"}]}]),
                "messages[0].parts[0].toolCallId",
            ),
        ] {
            let mistake = asked(json!({"messages": messages}))
                .err()
                .unwrap_or_else(|| panic!("{messages} passed"));
            assert_eq!(mistake.param.as_deref(), Some(param), "{}", mistake.message);
        }
    }
}
