//! What a request asks for, read from the body of each format, and what is wrong with it.

use lmserver_proto::percent;
use serde_json::Value;

use super::dialect::Dialect;
use super::schema;

/// A request, as far as an answer depends on it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The model's name, settings included.
    pub(super) model: String,
    /// Is a stream asked for?
    pub(super) streams: bool,
    /// The text of the last message.
    pub(super) message: String,
    /// The tools on offer: name and schema of the parameters.
    pub(super) tools: Vec<(String, Value)>,
    /// Is a call of a tool wanted?
    pub(super) wants_call: bool,
    /// The schema that the answer's text is to follow.
    pub(super) schema: Option<Value>,
    /// Chat: is the usage wanted?
    pub(super) wants_usage: bool,
    /// Gemini: are events wanted, and not the pieces of an array?
    pub(super) wants_events: bool,
}

/// Where the parts stand in the body of a format.
struct Shape {
    messages: &'static str,
    /// JSON pointers of which the first that is there counts.
    schemas: &'static [&'static str],
    tools: &'static str,
    /// The key that must be true for a stream; empty: the path decides.
    streams: &'static str,
    /// What [`streams`](Self::streams) means where it is missing.
    streams_by_default: bool,
}

impl Asked {
    /// Reads a request. `path` is the request's, `query` what stands behind it.
    ///
    /// # Errors
    ///
    /// What is wrong, as a provider would say it.
    pub(super) fn read(
        dialect: Dialect,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        if !body.is_object() {
            return Err("the body is no JSON object".to_owned());
        }
        let shape = shape(dialect);
        let mut asked = Self {
            model: model(dialect, path, &body)?,
            streams: streams(&shape, path, &body)?,
            message: message(&shape, &body)?,
            tools: tools(&shape, &body),
            wants_usage: body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)),
            wants_events: dialect != Dialect::Gemini
                || percent::query_value(query, "alt").as_deref() == Some("sse"),
            ..Self::default()
        };
        if dialect == Dialect::Messages && !body["max_tokens"].is_u64() {
            return Err("max_tokens: Field required".to_owned());
        }
        let mut schemas = shape.schemas.iter();
        asked.schema = schemas
            .find_map(|at| body.pointer(at))
            .filter(|it| it.is_object())
            .cloned();
        asked.wants_call = asked.wants_call(&body);
        Ok(asked)
    }

    /// A call is wanted where tools are on offer and the last message, which is no tool's result,
    /// has the word `tool` or the name of one in it, or where the choice says so.
    fn wants_call(&self, body: &Value) -> bool {
        if self.tools.is_empty() || self.message.is_empty() {
            return false;
        }
        let choice = [
            "/tool_choice",
            "/toolConfig/functionCallingConfig/mode",
            "/toolConfig/toolChoice",
        ];
        let choice = choice.iter().find_map(|at| body.pointer(at));
        let choice = choice.and_then(|it| {
            // A word, or an object of that type, or one with a key of that name.
            let typed = it.as_str().or_else(|| it["type"].as_str());
            typed.or_else(|| it.as_object()?.keys().next().map(String::as_str))
        });
        match choice.map(str::to_ascii_lowercase).as_deref() {
            Some("none") => false,
            Some("required" | "any" | "tool" | "function") => true,
            _ => {
                let words = self
                    .message
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'));
                words
                    .filter(|word| !word.is_empty())
                    .any(|word| word == "tool" || self.tools.iter().any(|(name, _)| name == word))
            }
        }
    }
}

fn shape(dialect: Dialect) -> Shape {
    let shape = Shape {
        messages: "messages",
        schemas: &[
            "/response_format/json_schema/schema",
            "/response_format/json_schema",
        ],
        tools: "/tools",
        streams: "stream",
        streams_by_default: false,
    };
    match dialect {
        Dialect::Chat | Dialect::Azure | Dialect::Cohere => shape,
        Dialect::Responses => Shape {
            messages: "input",
            schemas: &["/text/format/schema"],
            ..shape
        },
        Dialect::Messages => Shape {
            schemas: &["/output_config/format/schema", "/output_format/schema"],
            ..shape
        },
        Dialect::Gemini => Shape {
            messages: "contents",
            schemas: &[
                "/generationConfig/responseJsonSchema",
                "/generationConfig/responseSchema",
            ],
            streams: "",
            ..shape
        },
        Dialect::Ollama => Shape {
            schemas: &["/format"],
            streams_by_default: true,
            ..shape
        },
        Dialect::Bedrock => Shape {
            tools: "/toolConfig/tools",
            schemas: &[],
            streams: "",
            ..shape
        },
    }
}

fn model(dialect: Dialect, path: &str, body: &Value) -> Result<String, String> {
    let segment = match dialect {
        Dialect::Gemini => between(path, "/models/", ":"),
        Dialect::Bedrock => between(path, "/model/", "/"),
        Dialect::Azure => between(path, "/deployments/", "/chat/completions"),
        _ => None,
    };
    if let Some(segment) = segment {
        return Ok(percent::decode_lossy(segment).into_owned());
    }
    match body["model"].as_str() {
        Some(model) if !model.is_empty() => Ok(model.to_owned()),
        Some(_) => Err("model is empty".to_owned()),
        None => Err("you must provide a model parameter".to_owned()),
    }
}

/// The text behind the last `begin` and before the last `end`.
fn between<'a>(path: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = path.split_once(begin)?;
    rest.rsplit_once(end).map(|(segment, _)| segment)
}

fn streams(shape: &Shape, path: &str, body: &Value) -> Result<bool, String> {
    if shape.streams.is_empty() {
        return Ok(path.ends_with(":streamGenerateContent") || path.ends_with("/converse-stream"));
    }
    match body.get(shape.streams) {
        None | Some(Value::Null) => Ok(shape.streams_by_default),
        Some(Value::Bool(streams)) => Ok(*streams),
        Some(_) => Err(format!("{} is neither true nor false", shape.streams)),
    }
}

/// The last message's text; empty if it is the result of a tool.
fn message(shape: &Shape, body: &Value) -> Result<String, String> {
    let key = shape.messages;
    let messages = match &body[key] {
        Value::String(text) if key == "input" => return Ok(text.clone()),
        Value::Array(messages) if !messages.is_empty() => messages,
        Value::Null => return Err(format!("{key} is missing")),
        _ => return Err(format!("{key} is no list of messages, or an empty one")),
    };
    for (at, message) in messages.iter().enumerate() {
        if !message.is_object() {
            return Err(format!("{key}[{at}] is no object"));
        }
        // Gemini's contents may do without, and items of Responses have a type instead.
        let may_lack = matches!(key, "contents" | "input");
        if !(message["role"].is_string() || may_lack && message["role"].is_null()) {
            return Err(format!("{key}[{at}].role is missing or no string"));
        }
    }
    let last = messages.last().unwrap_or(&Value::Null);
    let content = last.get("content").or_else(|| last.get("parts"));
    let is_result = last["role"] == "tool" || last["type"] == "function_call_output";
    let mut text = String::new();
    match content {
        _ if is_result => {}
        Some(Value::String(whole)) => text.push_str(whole),
        Some(Value::Array(parts)) => {
            for part in parts {
                if ["tool_result", "toolResult", "functionResponse"]
                    .iter()
                    .any(|kind| part["type"] == *kind || part.get(kind).is_some())
                {
                    return Ok(String::new());
                }
                text.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
        _ => {}
    }
    Ok(text)
}

fn tools(shape: &Shape, body: &Value) -> Vec<(String, Value)> {
    let offered = body.pointer(shape.tools).and_then(Value::as_array);
    let declared = offered.into_iter().flatten().flat_map(|tool| {
        // Gemini declares several functions in one entry.
        match tool["functionDeclarations"].as_array() {
            Some(functions) => functions.iter().collect(),
            None => vec![tool],
        }
    });
    let tool = |tool: &Value| {
        let function = ["function", "toolSpec"];
        let function = function
            .iter()
            .find_map(|key| tool.get(key))
            .unwrap_or(tool);
        let name = function["name"].as_str()?.to_owned();
        let schema = [
            "/parameters",
            "/input_schema",
            "/inputSchema/json",
            "/parametersJsonSchema",
        ];
        let schema = schema.iter().find_map(|at| function.pointer(at));
        Some((name, schema.cloned().unwrap_or(Value::Null)))
    };
    declared.filter_map(tool).take(schema::MOST_TOOLS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, path: &str, body: &str) -> Result<Asked, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Asked::read(dialect, path, query, body.as_bytes())
    }

    #[test]
    fn the_model_stands_in_the_body_or_in_the_path() {
        for (dialect, path, body, want) in [
            (
                Dialect::Chat,
                "/v1/chat/completions",
                r#"{"model":"words=2,cut@1","messages":[{"role":"user","content":"hi"}]}"#,
                "words=2,cut@1",
            ),
            (
                Dialect::Azure,
                "/openai/deployments/words=2,cut@1.5/chat/completions",
                r#"{"messages":[{"role":"user","content":"hi"}]}"#,
                "words=2,cut@1.5",
            ),
            (
                Dialect::Gemini,
                "/v1beta/models/words%3D2,cut@1:streamGenerateContent?alt=sse",
                r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#,
                "words=2,cut@1",
            ),
            (
                Dialect::Bedrock,
                "/model/words%3D2%2Ccut%401/converse-stream",
                r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#,
                "words=2,cut@1",
            ),
        ] {
            let asked = read(dialect, path, body).unwrap();
            assert_eq!((asked.model.as_str(), asked.message.as_str()), (want, "hi"));
        }
    }

    #[test]
    fn a_bad_request_is_told_what_is_wrong() {
        for (dialect, body, why) in [
            (Dialect::Chat, "", "no JSON"),
            (Dialect::Chat, "[]", "no JSON object"),
            (Dialect::Chat, r#"{"messages":[]}"#, "model parameter"),
            (Dialect::Chat, r#"{"model":"m"}"#, "messages is missing"),
            (Dialect::Chat, r#"{"model":"m","messages":[]}"#, "empty one"),
            (
                Dialect::Chat,
                r#"{"model":"m","messages":[1]}"#,
                "[0] is no object",
            ),
            (
                Dialect::Chat,
                r#"{"model":"m","messages":[{}]}"#,
                "[0].role",
            ),
            (
                Dialect::Chat,
                r#"{"model":"m","stream":1,"messages":[{"role":"user"}]}"#,
                "stream is neither",
            ),
            (Dialect::Responses, r#"{"model":"m"}"#, "input is missing"),
            (
                Dialect::Messages,
                r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
                "max_tokens",
            ),
        ] {
            let error = read(dialect, "/", body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn a_call_is_made_where_it_is_asked_for_by_a_word_or_the_choice() {
        let ask = |text: &str, rest: &str| {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}],
                "tools":[{{"type":"function","function":{{"name":"weather"}}}}]{rest}}}"#
            );
            read(Dialect::Chat, "/", &body).unwrap().wants_call
        };
        assert!(ask("the weather?", "") && ask("use a tool", ""));
        assert!(!ask("whether", "") && !ask("the weather?", r#","tool_choice":"none""#));
        assert!(ask("hi", r#","tool_choice":"required""#));
        let named = r#","tool_choice":{"type":"function","function":{"name":"weather"}}"#;
        assert!(ask("hi", named));
    }
}
