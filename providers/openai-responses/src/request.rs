//! A chat request in the form of `POST /responses`.

use lmserver_runtime::http_provider::json::merge;
use lmserver_runtime::http_provider::json::{put, put_present};
use lmserver_runtime::http_provider::{Part, Question, ResponseFormat, Role, Source, Turn};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::{ChatRequest, Content, ProviderError};
use serde_json::{Map, Value, json};

/// What an instance asks for with every request.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    pub(crate) store: bool,
    pub(crate) summary: Option<String>,
}

/// The body of the request.
pub(crate) fn body(
    habits: &Habits,
    request: &ChatRequest,
    model: &str,
) -> Result<Value, ProviderError> {
    let question = Question::new(request, "openai-responses");
    question.refuse(!request.stop.is_empty(), "stop")?;
    let mut body = Map::new();
    put(&mut body, "input", input(&question)?.into());
    put(&mut body, "store", habits.store.into());
    let mut reasoning = Map::new();
    for (name, value) in [
        ("effort", &request.reasoning_effort),
        ("summary", &habits.summary),
    ] {
        if let Some(value) = value {
            reasoning.insert(name.to_owned(), value.clone().into());
        }
    }
    put_present(
        &mut body,
        &mut [
            ("instructions", request.system.clone().map(Value::from)),
            ("temperature", request.temperature.map(Value::from)),
            ("top_p", request.top_p.map(Value::from)),
            ("max_output_tokens", request.max_tokens.map(Value::from)),
            ("tools", tools(&question)?),
            ("tool_choice", request.tool_choice.as_ref().map(flat)),
            ("text", text(&question)?),
            (
                "reasoning",
                (!reasoning.is_empty()).then_some(Value::Object(reasoning)),
            ),
            ("user", request.user.clone().map(Value::from)),
        ],
    );
    for (name, value) in question.options(&OPTIONS)? {
        let object = if name == VERBOSITY {
            let text = body.entry("text").or_insert_with(|| object! {});
            text.as_object_mut()
        } else {
            Some(&mut body)
        };
        if let Some(object) = object {
            object.insert(name.to_owned(), value.clone());
        }
    }
    merge(&mut body, &request.extra);
    if body.get("store") == Some(&Value::Bool(true))
        && let Some(notes) = &request.metadata
    {
        body.entry("metadata").or_insert_with(|| notes.clone());
    }
    // What is read is a stream of the model that was routed to, whatever was asked for.
    put(&mut body, "model", model.into());
    put(&mut body, "stream", true.into());
    Ok(Value::Object(body))
}

/// The options that have words here.
const OPTIONS: [(&str, &str); 7] = [
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("prompt_cache_retention", "prompt_cache_retention"),
    ("safety_identifier", "safety_identifier"),
    ("service_tier", "service_tier"),
    ("store", "store"),
    ("verbosity", VERBOSITY),
];

/// It stands beside the form of the answer.
const VERBOSITY: &str = "verbosity";

/// The conversation as items, the system prompt apart.
fn input(question: &Question<'_>) -> Result<Vec<Value>, ProviderError> {
    let mut items = Vec::new();
    let turns = question.turns()?;
    let skipped = usize::from(question.request.system.is_some());
    for (turn, message) in turns.iter().skip(skipped).zip(&question.request.messages) {
        let details: &[Value] = match &message.content {
            Content::Parts(parts) => parts,
            Content::Absent | Content::Text(_) => &[],
        };
        let role = match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => {
                items.push(object! {
                    "type": "function_call_output",
                    "call_id": turn.call_id,
                    "output": content(question, turn, details)?,
                });
                continue;
            }
        };
        if !turn.parts.is_empty() {
            items.push(object! {"role": role, "content": content(question, turn, details)?});
        }
        for call in &turn.calls {
            items.push(object! {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            });
        }
    }
    Ok(items)
}

/// Plain text, or the list of parts. `originals` are the parts as they came, for what the typed
/// view does not hold.
fn content(
    question: &Question<'_>,
    turn: &Turn<'_>,
    originals: &[Value],
) -> Result<Value, ProviderError> {
    if let Some(text) = turn.text() {
        return Ok(text.into());
    }
    let text_type = if turn.role == Role::Assistant {
        "output_text"
    } else {
        "input_text"
    };
    let mut parts = Vec::new();
    for (index, part) in turn.parts.iter().enumerate() {
        let original = originals.get(index).unwrap_or(&Value::Null);
        parts.push(match part {
            Part::Text(text) => object! {"type": text_type, "text": *text},
            Part::Image(source) => image(source, original),
            Part::File { source, name } => file(source, *name),
            Part::Audio { .. } => {
                let place = &turn.place;
                return Err(question.cannot(&format!("the sound in `{place}.content[{index}]`")));
            }
            // The parts of this API itself, as they are.
            Part::Other(part) => (*part).clone(),
        });
    }
    Ok(parts.into())
}

fn image(source: &Source<'_>, original: &Value) -> Value {
    let mut image = match source {
        Source::Id(id) => object! {"type": "input_image", "file_id": *id},
        Source::Url(_) | Source::Data { .. } => {
            object! {"type": "input_image", "image_url": url(source)}
        }
    };
    if let (Some(detail), Some(image)) =
        (original.pointer("/image_url/detail"), image.as_object_mut())
    {
        put(image, "detail", detail.clone());
    }
    image
}

fn file(source: &Source<'_>, name: Option<&str>) -> Value {
    let (key, value) = match source {
        Source::Id(id) => ("file_id", (*id).to_owned()),
        Source::Url(_) => ("file_url", url(source)),
        Source::Data { .. } => ("file_data", url(source)),
    };
    let mut file = json!({"type": "input_file", key: value});
    if let (Some(name), Some(file)) = (name, file.as_object_mut()) {
        put(file, "filename", name.into());
    }
    file
}

fn url(source: &Source<'_>) -> String {
    match source {
        Source::Url(text) | Source::Id(text) => (*text).to_owned(),
        Source::Data { media_type, base64 } => format!("data:{media_type};base64,{base64}"),
    }
}

/// The tools, each flattened. Functions are checked.
fn tools(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    let tools = match &question.request.tools {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(question.wrong("tools", "an array of tools")),
    };
    let mut flattened: Vec<_> = tools.iter().map(flat).collect();
    for (index, tool) in flattened.iter_mut().enumerate() {
        let is_function = tool.get("type").and_then(Value::as_str) == Some("function");
        let Some(tool) = tool.as_object_mut().filter(|_| is_function) else {
            continue;
        };
        if !tool.get("name").is_some_and(Value::is_string) {
            let key = format!("tools[{index}].function.name");
            return Err(question.wrong(&key, "a string"));
        }
        // Chat Completions are lenient unless told otherwise, this API is strict.
        tool.entry("strict").or_insert(Value::Bool(false));
        tool.entry("parameters").or_insert(Value::Null);
    }
    Ok(Some(flattened.into()))
}

/// The form of the answer, where it is not plain text.
fn text(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    let format = match question.response_format()? {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject => object! {"type": "json_object"},
        ResponseFormat::JsonSchema { name, .. } => {
            let mut format = question.request.response_format.as_ref().map(flat);
            if let Some(format) = format.as_mut().and_then(Value::as_object_mut) {
                format.entry("name").or_insert(name.into());
                // As for functions.
                format.entry("strict").or_insert(Value::Bool(false));
            }
            format.unwrap_or_default()
        }
    };
    Ok(Some(object! {"format": format}))
}

/// `{"type": "x", "x": {…}}` as `{"type": "x", …}`, which is how this API differs from Chat
/// Completions in all its objects.
fn flat(value: &Value) -> Value {
    let kind = value.get("type").and_then(Value::as_str);
    let inner = kind
        .and_then(|kind| value.get(kind))
        .and_then(Value::as_object);
    let (Some(kind), Some(inner)) = (kind, inner) else {
        return value.clone();
    };
    let mut flat = inner.clone();
    put(&mut flat, "type", kind.into());
    Value::Object(flat)
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::plugin::provider::Message;

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

    fn asked(content: Content) -> ChatRequest {
        ChatRequest {
            messages: vec![message("user", content)],
            ..ChatRequest::default()
        }
    }

    fn hi() -> ChatRequest {
        asked(Content::Text("Hi".into()))
    }

    fn written(request: &ChatRequest) -> Value {
        body(&Habits::default(), request, "m").unwrap()
    }

    #[test]
    fn a_plain_question_is_a_short_body() {
        let want = json!({
            "model": "m", "stream": true, "store": false,
            "input": [{"role": "user", "content": "Hi"}],
        });
        assert_eq!(written(&hi()), want);
    }

    #[test]
    fn every_option_has_its_place() {
        let schema = json!({"type": "object"});
        let request = ChatRequest {
            system: Some("Be brief".into()),
            temperature: Some(0.5),
            top_p: Some(0.9),
            max_tokens: Some(99),
            seed: Some(7.into()),
            tools: Some(json!([
                {"type": "function", "function": {"name": "f", "parameters": schema}},
                {"type": "function", "function": {"name": "g", "strict": true}},
                {"type": "custom", "custom": {"name": "h"}},
                {"type": "web_search"},
            ])),
            tool_choice: Some(json!({"type": "function", "function": {"name": "f"}})),
            response_format: Some(
                json!({"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}),
            ),
            reasoning_effort: Some("low".into()),
            user: Some("u".into()),
            metadata: Some(json!({"a": "b"})),
            ..hi()
        };
        let want = json!({
            "model": "m", "stream": true, "store": false, "instructions": "Be brief",
            "input": [{"role": "user", "content": "Hi"}],
            "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 99,
            "tools": [
                {"type": "function", "name": "f", "parameters": schema, "strict": false},
                {"type": "function", "name": "g", "parameters": null, "strict": true},
                {"type": "custom", "name": "h"},
                {"type": "web_search"},
            ],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {
                "type": "json_schema", "name": "r", "schema": schema, "strict": false,
            }},
            "reasoning": {"effort": "low"}, "user": "u",
        });
        assert_eq!(written(&request), want);
    }

    #[test]
    fn a_conversation_becomes_items() {
        let mut called = message("assistant", Content::Text("Let me see".into()));
        called.tool_calls = Some(json!([
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]));
        let mut silent = called.clone();
        silent.content = Content::Absent;
        let mut answered = message("tool", Content::Text("7".into()));
        answered.tool_call_id = Some("a".into());
        let request = ChatRequest {
            system: Some("s".into()),
            messages: vec![
                message("developer", Content::Text("d".into())),
                called,
                answered,
                silent,
            ],
            ..ChatRequest::default()
        };
        let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
        let want = json!([
            {"role": "developer", "content": "d"},
            {"role": "assistant", "content": "Let me see"},
            call,
            {"type": "function_call_output", "call_id": "a", "output": "7"},
            call,
        ]);
        assert_eq!(written(&request)["input"], want);
    }

    #[test]
    fn parts_have_their_names() {
        for (part, want) in [
            (
                json!({"type": "image_url", "image_url": {"url": "https://h/i", "detail": "low"}}),
                json!({"type": "input_image", "image_url": "https://h/i", "detail": "low"}),
            ),
            (
                json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}),
                json!({"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
            ),
            (
                json!({"type": "file", "file": {"file_data": "data:a/b;base64,AA", "filename": "n"}}),
                json!({"type": "input_file", "file_data": "data:a/b;base64,AA", "filename": "n"}),
            ),
            (
                json!({"type": "file", "file": {"file_id": "f"}}),
                json!({"type": "input_file", "file_id": "f"}),
            ),
            (json!({"type": "x"}), json!({"type": "x"})),
        ] {
            let text = json!({"type": "text", "text": "a"});
            let request = asked(Content::Parts(vec![text, part]));
            let content = json!([{"type": "input_text", "text": "a"}, want]);
            assert_eq!(written(&request)["input"][0]["content"], content);
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let sound = json!({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}});
        for (request, want) in [
            (
                ChatRequest {
                    stop: vec!["x".into()],
                    ..hi()
                },
                "openai-responses cannot express `stop`",
            ),
            (
                asked(Content::Parts(vec![sound])),
                "openai-responses cannot express the sound in `messages[0].content[0]`",
            ),
            (
                ChatRequest {
                    tools: Some(json!([{"type": "function"}])),
                    ..hi()
                },
                "`tools[0].function.name` must be a string",
            ),
            (
                ChatRequest {
                    response_format: Some(json!({"type": "x"})),
                    ..hi()
                },
                "`response_format.type` must be",
            ),
        ] {
            let error = body(&Habits::default(), &request, "m").unwrap_err();
            assert!(error.message.starts_with(want), "{error}");
        }
    }

    #[test]
    fn further_options_have_their_place_or_are_refused() {
        let with = |options: Value| ChatRequest {
            options: options.as_object().cloned().unwrap(),
            metadata: Some(json!({"a": "b"})),
            ..hi()
        };
        let options = json!({
            "parallel_tool_calls": false, "verbosity": "low", "store": true, "prediction": {},
        });
        let want = json!({
            "model": "m", "stream": true, "store": true, "metadata": {"a": "b"},
            "input": [{"role": "user", "content": "Hi"}],
            "parallel_tool_calls": false, "text": {"verbosity": "low"},
        });
        assert_eq!(written(&with(options)), want);
        let refused = body(&Habits::default(), &with(json!({"top_k": 4})), "m").unwrap_err();
        assert!(
            refused.message.contains("cannot express `top_k`"),
            "{refused}"
        );
    }

    #[test]
    fn habits_and_extra_are_added() {
        let habits = Habits {
            store: true,
            summary: Some("auto".into()),
        };
        let extra = json!({
            "model": "another", "stream": false, "include": ["x"], "reasoning": {"a": 1},
        });
        let Value::Object(extra) = extra else {
            panic!("an object")
        };
        let request = ChatRequest {
            metadata: Some(json!({"a": "b"})),
            extra,
            ..hi()
        };
        let want = json!({
            "model": "m", "stream": true, "store": true, "metadata": {"a": "b"},
            "input": [{"role": "user", "content": "Hi"}],
            "reasoning": {"summary": "auto", "a": 1}, "include": ["x"],
        });
        assert_eq!(body(&habits, &request, "m"), Ok(want));
    }
}
