//! Reading the body of `POST /v1/responses`.

use std::sync::Arc;

use lmserver_runtime::plugin::provider::ChatRequest;
use serde_json::{Map, Value, json};

use super::{Form, ID, input, note};
use crate::body::{Object, type_of};
use crate::dialect::{Asked, Mistake};
use crate::names;

/// What of a question its response tells, with what it tells where the question does not say.
const ECHOED: [(&str, &str); 18] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("model", "\"default\""),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("store", "true"),
    ("temperature", "1.0"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
];

/// What concerns OpenAI's own keeping of things, or what this server's answers do not have.
const NOT_HANDED_ON: [&str; 5] = [
    "include",
    "truncation",
    "max_tool_calls",
    "top_logprobs",
    "stream_options",
];

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Asked, Mistake> {
    let mut object = Object::read(body)?;
    let echo = echo(&object);
    for key in ["conversation", "prompt"] {
        if object.has(key) {
            let want = "absent: this server keeps no such thing; send all in \"input\"";
            return Err(object.wrong(key, want));
        }
    }
    let model = object.word("model")?;
    let is_stream = object.bool("stream")?.unwrap_or(false);
    let is_background = object.bool("background")?.unwrap_or(false);
    let is_kept = object.bool("store")?.unwrap_or(true);
    let previous = previous(&mut object)?;
    let text = object.object("text")?;
    let (response_format, verbosity) = text.map_or(Ok((None, None)), format)?;
    let reasoning = object.object("reasoning")?;
    let reasoning_effort = match reasoning {
        Some(mut reasoning) => reasoning.word("effort")?,
        None => None,
    };
    let request = ChatRequest {
        messages: input::read(&mut object)?,
        system: object.string("instructions")?.filter(|it| !it.is_empty()),
        temperature: object.number("temperature", f64::MAX)?,
        top_p: object.number("top_p", 1.0)?,
        max_tokens: object.count("max_output_tokens", u64::MAX)?,
        stop: Vec::new(),
        seed: None,
        tools: tools(&mut object)?,
        tool_choice: tool_choice(&mut object)?,
        response_format,
        reasoning_effort,
        user: object.string("user")?,
        metadata: object
            .object("metadata")?
            .map(|it| Value::Object(it.rest())),
        options: options(&mut object, verbosity)?,
        extra: handed_on(object),
    };
    let referred = input::referred(&request.messages)?;
    let kept = note::write(&echo, &request.messages);
    Ok(Asked {
        model,
        request: Box::new(request),
        count: 1,
        is_stream,
        is_background,
        note: if is_kept {
            kept
        } else {
            note::forgetful(&kept)
        },
        previous: previous.map(Into::into),
        referred,
        telling: Arc::new(Form { is_again: false }),
    })
}

fn echo(object: &Object) -> Map<String, Value> {
    let mut told = Map::new();
    for (key, absent) in &ECHOED {
        let value = object.peek(key).cloned();
        let value = value.or_else(|| serde_json::from_str(absent).ok());
        told.insert((*key).to_owned(), value.unwrap_or_default());
    }
    told
}

/// The channel of the previous response.
fn previous(object: &mut Object) -> Result<Option<String>, Mistake> {
    object.typed(
        "previous_response_id",
        "the id of a response of this server",
        |value| {
            let channel = value.as_str().and_then(|id| names::channel(ID, id));
            channel.ok_or(value)
        },
    )
}

/// `text`: the form of the answer, and how much of it there is to be.
fn format(mut text: Object) -> Result<(Option<Value>, Option<Value>), Mistake> {
    let verbosity = text.word("verbosity")?.map(Value::String);
    let format = text.variant("format")?;
    let format = match format {
        Some(format) if type_of(&format) == "text" => None,
        Some(Value::Object(mut schema)) if schema.get("type") == Some(&json!("json_schema")) => {
            schema.remove("type");
            if !schema.get("name").is_some_and(Value::is_string) {
                return Err(text.wrong("format", "an object with a string \"name\""));
            }
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
        other => other,
    };
    Ok((format, verbosity))
}

/// Functions stand flat here; tools that a provider has itself are left as they are.
fn tools(object: &mut Object) -> Result<Option<Value>, Mistake> {
    let tools = object.array("tools")?.unwrap_or_default();
    let mut read = Vec::new();
    for (index, tool) in tools.into_iter().enumerate() {
        let place = object.item("tools", index);
        let wrong = |what: &str| {
            let message = format!("\"{place}\" must be an object with a string \"{what}\"");
            Mistake::at(place.clone(), message)
        };
        match (type_of(&tool), tool.clone()) {
            ("", _) => return Err(wrong("type")),
            ("function", Value::Object(mut function)) => {
                function.remove("type");
                if !function.get("name").is_some_and(Value::is_string) {
                    return Err(wrong("name"));
                }
                read.push(json!({"type": "function", "function": function}));
            }
            _ => read.push(tool),
        }
    }
    Ok((!read.is_empty()).then_some(Value::Array(read)))
}

fn tool_choice(object: &mut Object) -> Result<Option<Value>, Mistake> {
    let want = "\"none\", \"auto\", \"required\" or an object that names a tool";
    object.typed("tool_choice", want, |value| match &value {
        Value::String(word) if matches!(word.as_str(), "none" | "auto" | "required") => Ok(value),
        Value::Object(choice) if type_of(&value) == "function" => match choice.get("name") {
            Some(Value::String(name)) => {
                Ok(json!({"type": "function", "function": {"name": name}}))
            }
            _ => Err(value),
        },
        Value::Object(_) if !type_of(&value).is_empty() => Ok(value),
        _ => Err(value),
    })
}

/// What not all providers know, by its name in Chat Completions.
fn options(object: &mut Object, verbosity: Option<Value>) -> Result<Map<String, Value>, Mistake> {
    let parallel = object.bool("parallel_tool_calls")?;
    let tier = object.string("service_tier")?;
    let parallel = parallel.filter(|parallel| !parallel).map(Value::Bool);
    let tier = tier.filter(|tier| tier != "auto").map(Value::String);
    let mut options = Map::new();
    for (key, value) in [
        ("parallel_tool_calls", parallel),
        ("service_tier", tier),
        ("verbosity", verbosity.filter(|it| it != "medium")),
    ] {
        options.extend(value.map(|value| (key.to_owned(), value)));
    }
    for key in [
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
    ] {
        options.extend(
            object
                .string(key)?
                .map(|text| (key.to_owned(), text.into())),
        );
    }
    Ok(options)
}

/// What else there is goes to the provider as it came.
fn handed_on(mut object: Object) -> Map<String, Value> {
    for key in NOT_HANDED_ON {
        object.take(key);
    }
    object.rest()
}
