//! The conversation of a request: turns of parts and calls.

use serde_json::{Map, Value};

use crate::event::ErrorCode;
use crate::http_provider::json;
use crate::plugin::provider::{ChatRequest, Content, Message, ProviderError};

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name.
    pub name: Option<&'a str>,
    /// What it says; empty for an assistant that only called.
    pub parts: Vec<Part<'a>>,
    /// The calls that an assistant made.
    pub calls: Vec<Call<'a>>,
    /// Which call a tool answers.
    pub call_id: Option<&'a str>,
    /// Where it stands in the request, for messages: `messages[2]`.
    pub place: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that sets the rules.
    System,
    /// The same, by its newer name.
    Developer,
    /// The one that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a call.
    Tool,
}

/// A piece of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// Text.
    Text(&'a str),
    /// A picture.
    Image(Source<'a>),
    /// Sound.
    Audio {
        /// The bytes, in base64.
        base64: &'a str,
        /// `wav`, `mp3`, ….
        format: &'a str,
    },
    /// A document.
    File {
        /// Where it is.
        source: Source<'a>,
        /// Its name.
        name: Option<&'a str>,
    },
    /// Some other part, whose `type` says what it is.
    Other(&'a Value),
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// At a URL, for the provider to fetch.
    Url(&'a str),
    /// Here: a `data:` URL (RFC 2397), cut into its parts.
    Data {
        /// The media type, without parameters.
        media_type: &'a str,
        /// The bytes, in base64.
        base64: &'a str,
    },
    /// At the provider, under this id.
    Id(&'a str),
}

/// A call that an assistant made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its id, which its result names.
    pub id: &'a str,
    /// The function.
    pub name: &'a str,
    /// The arguments' JSON text.
    pub arguments: &'a str,
}

impl Role {
    /// Does it set the rules?
    #[must_use]
    pub fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

impl Turn<'_> {
    /// The text, if all of it is text; the texts of several parts follow each other.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let mut all = String::new();
        for part in &self.parts {
            let Part::Text(text) = part else { return None };
            all.push_str(text);
        }
        Some(all)
    }
}

impl Call<'_> {
    /// The arguments as the object that they must be; empty ones are an object without members.
    ///
    /// # Errors
    ///
    /// Arguments that are no JSON object.
    pub fn object(&self) -> Result<Value, ProviderError> {
        if self.arguments.trim().is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        json::value(self.arguments.as_bytes())
            .filter(Value::is_object)
            .ok_or_else(|| {
                let id = self.id;
                refusal(format!(
                    "the `arguments` of the tool call `{id}` must be the text of a JSON object"
                ))
            })
    }
}

/// The name of the function of which a tool's result, by its id, is one.
#[must_use]
pub fn called_name<'a>(turns: &[Turn<'a>], id: &str) -> Option<&'a str> {
    let mut calls = turns.iter().flat_map(|turn| &turn.calls).rev();
    calls.find(|call| call.id == id).map(|call| call.name)
}

pub(super) fn read(request: &ChatRequest) -> Result<Vec<Turn<'_>>, ProviderError> {
    let mut turns = Vec::new();
    if let Some(text) = &request.system {
        turns.push(Turn {
            role: Role::System,
            name: None,
            parts: vec![Part::Text(text)],
            calls: Vec::new(),
            call_id: None,
            place: "system".to_owned(),
        });
    }
    for (index, message) in request.messages.iter().enumerate() {
        turns.push(turn(message, format!("messages[{index}]"))?);
    }
    Ok(turns)
}

fn turn(message: &Message, place: String) -> Result<Turn<'_>, ProviderError> {
    let role = match message.role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => {
            let want = "system, developer, user, assistant or tool";
            return Err(wrong(&format!("{place}.role"), want));
        }
    };
    let mut parts = Vec::new();
    match &message.content {
        Content::Absent => {}
        Content::Text(text) => parts.push(Part::Text(text)),
        Content::Parts(list) => {
            for (index, value) in list.iter().enumerate() {
                parts.push(part(value).map_err(|(key, want)| {
                    wrong(&format!("{place}.content[{index}]{key}"), want)
                })?);
            }
        }
    }
    let mut calls = Vec::new();
    let made = message.tool_calls.as_ref().and_then(Value::as_array);
    for (index, value) in made.into_iter().flatten().enumerate() {
        calls.push(call(value).ok_or_else(|| {
            wrong(
                &format!("{place}.tool_calls[{index}]"),
                "{\"id\": …, \"type\": \"function\", \"function\": {\"name\": …, \"arguments\": …}}",
            )
        })?);
    }
    Ok(Turn {
        role,
        name: message.name.as_deref(),
        parts,
        calls,
        call_id: message.tool_call_id.as_deref(),
        place,
    })
}

/// Reads a part; the error is the key in it and what would be right.
fn part(value: &Value) -> Result<Part<'_>, (&'static str, &'static str)> {
    let string = |at: &str| value.pointer(at).and_then(Value::as_str);
    let text = |at: &str, key| string(at).map(Part::Text).ok_or((key, "a string"));
    match string("/type").unwrap_or_default() {
        "text" | "input_text" | "output_text" => text("/text", ".text"),
        "refusal" => text("/refusal", ".refusal"),
        "image_url" => {
            let url = string("/image_url/url").or_else(|| string("/image_url"));
            let source = source(url.ok_or((".image_url.url", "a string"))?);
            let source = source.ok_or((".image_url.url", DATA_URL))?;
            Ok(Part::Image(source))
        }
        "input_audio" => match (string("/input_audio/data"), string("/input_audio/format")) {
            (Some(base64), Some(format)) => Ok(Part::Audio { base64, format }),
            _ => Err((
                ".input_audio",
                "{\"data\": base64, \"format\": \"wav\" or \"mp3\"}",
            )),
        },
        "file" => {
            let want = (".file", "an object with \"file_data\" or \"file_id\"");
            let source = match (string("/file/file_data"), string("/file/file_id")) {
                (Some(data), _) => source(data).ok_or((".file.file_data", DATA_URL))?,
                (None, id) => Source::Id(id.ok_or(want)?),
            };
            let name = string("/file/filename");
            Ok(Part::File { source, name })
        }
        "" => Err((".type", "a string")),
        _ => Ok(Part::Other(value)),
    }
}

/// A URL; none if it begins like a `data:` URL and is none in base64.
fn source(url: &str) -> Option<Source<'_>> {
    let is_data = url
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if !is_data {
        return Some(Source::Url(url));
    }
    let (head, base64) = url.get(5..)?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    let media_type = head.split(';').next().unwrap_or_default();
    (!media_type.is_empty()).then_some(Source::Data { media_type, base64 })
}

fn call(value: &Value) -> Option<Call<'_>> {
    let string = |at: &str| value.pointer(at).and_then(Value::as_str);
    Some(Call {
        id: string("/id")?,
        name: string("/function/name")?,
        arguments: string("/function/arguments")?,
    })
}

/// The value of `key` is not what it must be.
pub(super) fn wrong(key: &str, want: &str) -> ProviderError {
    refusal(format!("`{key}` must be {want}"))
}

pub(super) fn refusal(message: String) -> ProviderError {
    ProviderError::new(ErrorCode::ProviderBadRequest, message)
}

const DATA_URL: &str = "an https URL or \"data:MEDIA/TYPE;base64,…\"";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_conversation_is_read() {
        let mut called = message("assistant", Content::Absent);
        called.tool_calls = Some(json!([
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"x\":1}"}},
        ]));
        let parts = vec![
            json!({"type": "text", "text": "a"}),
            json!({"type": "text", "text": "b"}),
        ];
        let mut answered = message("tool", Content::Parts(parts));
        answered.tool_call_id = Some("b".into());
        let request = ChatRequest {
            system: Some("s".into()),
            messages: vec![
                message("developer", Content::Text("d".into())),
                called,
                answered,
            ],
            ..ChatRequest::default()
        };
        let turns = read(&request).unwrap();
        let roles: Vec<_> = turns.iter().map(|turn| turn.role).collect();
        let want = [Role::System, Role::Developer, Role::Assistant, Role::Tool];
        assert_eq!(roles, want);
        assert!(roles[0].is_system() && roles[1].is_system() && !roles[2].is_system());
        let texts: Vec<_> = turns.iter().map(|turn| turn.text().unwrap()).collect();
        assert_eq!(texts, ["s", "d", "", "ab"]);
        let objects: Vec<_> = turns[2].calls.iter().map(Call::object).collect();
        assert_eq!(objects, [Ok(json!({})), Ok(json!({"x": 1}))]);
        let id = turns[3].call_id.unwrap();
        assert_eq!(called_name(&turns, id), Some("g"));
        assert_eq!(called_name(&turns, "c"), None);
        assert_eq!(turns[3].place, "messages[2]");
    }

    #[test]
    fn parts_are_read() {
        let other = json!({"type": "x"});
        for (value, want) in [
            (
                json!({"type": "refusal", "refusal": "no"}),
                Part::Text("no"),
            ),
            (
                json!({"type": "image_url", "image_url": {"url": "https://h/i.png"}}),
                Part::Image(Source::Url("https://h/i.png")),
            ),
            (
                json!({"type": "image_url", "image_url": {"url": "data:image/png;x=y;base64,AA=="}}),
                Part::Image(Source::Data {
                    media_type: "image/png",
                    base64: "AA==",
                }),
            ),
            (
                json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
                Part::Audio {
                    base64: "AA",
                    format: "wav",
                },
            ),
            (
                json!({"type": "file", "file": {"file_id": "f", "filename": "n"}}),
                Part::File {
                    source: Source::Id("f"),
                    name: Some("n"),
                },
            ),
            (other.clone(), Part::Other(&other)),
        ] {
            assert_eq!(part(&value), Ok(want));
        }
    }

    #[test]
    fn what_is_wrong_in_a_message_is_named() {
        let parts = |value| message("user", Content::Parts(vec![value]));
        let mut called = message("assistant", Content::Absent);
        called.tool_calls = Some(json!([{"id": "a"}]));
        for (message, want) in [
            (
                message("bot", Content::Absent),
                "`messages[0].role` must be system, developer, user, assistant or tool",
            ),
            (
                parts(json!({"text": "a"})),
                "`messages[0].content[0].type` must be a string",
            ),
            (
                parts(json!({"type": "text"})),
                "`messages[0].content[0].text` must be a string",
            ),
            (
                parts(json!({"type": "image_url", "image_url": {"url": "data:image/png,AA"}})),
                "`messages[0].content[0].image_url.url` must be an https URL or \
                 \"data:MEDIA/TYPE;base64,…\"",
            ),
            (
                parts(json!({"type": "file", "file": {}})),
                "`messages[0].content[0].file` must be an object with \"file_data\" or \"file_id\"",
            ),
            (
                called,
                "`messages[0].tool_calls[0]` must be {\"id\": …, \"type\": \"function\", \
                 \"function\": {\"name\": …, \"arguments\": …}}",
            ),
        ] {
            let request = ChatRequest {
                messages: vec![message],
                ..ChatRequest::default()
            };
            let error = read(&request).unwrap_err();
            assert_eq!(&*error.message, want);
        }
        let call = Call {
            id: "a",
            name: "f",
            arguments: "[]",
        };
        let error = call.object().unwrap_err();
        assert!(error.message.contains("tool call `a`"), "{error}");
    }
}
