//! Reading the body of `POST /v1/chat/completions`: all that OpenAI documents, and what else there
//! is goes to the provider as it came.

use lmserver_runtime::plugin::fast::Question;
use lmserver_runtime::plugin::provider::ChatRequest;
use serde_json::{Map, Value, json};

use super::{Form, fast, messages};
use crate::body::{Object, type_of};
use crate::dialect::{Asked, Mistake};

/// Answers that one request may ask for.
const COUNT_MAX: u64 = 8;

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Asked, Mistake> {
    match fast::read(body) {
        Some(asked) => Ok(asked),
        None => read_any(body),
    }
}

/// Reads a body with all that may be in it. Out of line: a plain question needs nothing of it.
#[inline(never)]
pub(super) fn read_any(body: &[u8]) -> Result<Asked, Mistake> {
    read_object(Object::read(body)?)
}

/// Reads the object that a body is, or that another dialect has made of its own.
pub(crate) fn read_object(mut object: Object) -> Result<Asked, Mistake> {
    let legacy = object.has("functions") || object.has("function_call");
    let model = object.word("model")?;
    let is_stream = object.bool("stream")?.unwrap_or(false);
    let usage = includes_usage(&mut object)?;
    let count = object.count("n", COUNT_MAX)?.unwrap_or(1);
    let messages = messages::read(&mut object)?;
    let max_tokens = object.count("max_tokens", u64::MAX)?;
    let max_completion_tokens = object.count("max_completion_tokens", u64::MAX)?;
    let request = ChatRequest {
        messages,
        system: None,
        temperature: object.number("temperature", f64::MAX)?,
        top_p: object.number("top_p", 1.0)?,
        max_tokens: max_completion_tokens.or(max_tokens),
        stop: stop(&mut object)?,
        seed: object.integer("seed")?,
        tools: tools(&mut object)?,
        tool_choice: tool_choice(&mut object)?,
        response_format: object.variant("response_format")?,
        reasoning_effort: object.word("reasoning_effort")?,
        user: object.string("user")?,
        metadata: object
            .object("metadata")?
            .map(|it| Value::Object(it.rest())),
        options: options(&mut object)?,
        extra: object.rest(),
    };
    Ok(Asked {
        count: usize::try_from(count).unwrap_or(1),
        ..asked(
            Question {
                model,
                request: Box::new(request),
            },
            is_stream,
            Form { usage, legacy },
        )
    })
}

/// A question that wants one answer.
pub(super) fn asked(question: Question, is_stream: bool, form: Form) -> Asked {
    Asked {
        model: question.model,
        request: question.request,
        count: 1,
        is_stream,
        is_background: false,
        note: Box::default(),
        previous: None,
        referred: Vec::new(),
        telling: form.shared(),
    }
}

/// `stream_options`, of which `include_obfuscation` is left out: this server adds none.
fn includes_usage(object: &mut Object) -> Result<bool, Mistake> {
    let Some(mut options) = object.object("stream_options")? else {
        return Ok(false);
    };
    options.bool("include_obfuscation")?;
    Ok(options.bool("include_usage")?.unwrap_or(false))
}

fn stop(object: &mut Object) -> Result<Vec<String>, Mistake> {
    let want = "a string or an array of strings";
    let stop = object.typed("stop", want, |value| match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) if items.iter().all(Value::is_string) => Ok(items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()),
        other => Err(other),
    })?;
    // An empty text stops nothing.
    let stop = stop.unwrap_or_default().into_iter();
    Ok(stop.filter(|text| !text.is_empty()).collect())
}

/// `tools`, or `functions`, which they were called before.
fn tools(object: &mut Object) -> Result<Option<Value>, Mistake> {
    let tools = object.array("tools")?;
    let functions = object.array("functions")?;
    let Some(tools) = tools else {
        let Some(functions) = functions.filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        for (index, function) in functions.iter().enumerate() {
            check_named(function, &object.item("functions", index))?;
        }
        let tools = functions.into_iter();
        let tools = tools.map(|function| json!({"type": "function", "function": function}));
        return Ok(Some(tools.collect()));
    };
    for (index, tool) in tools.iter().enumerate() {
        let place = object.item("tools", index);
        match type_of(tool) {
            "" => {
                let message = format!("\"{place}\" must be an object with a string \"type\"");
                return Err(Mistake::at(place, message));
            }
            "function" => {
                let function = tool.get("function").unwrap_or(&Value::Null);
                check_named(function, &format!("{place}.function"))?;
            }
            _ => {}
        }
    }
    // An empty list of tools is none; several providers refuse it.
    Ok((!tools.is_empty()).then_some(Value::Array(tools)))
}

fn check_named(function: &Value, place: &str) -> Result<(), Mistake> {
    let name = function.get("name").and_then(Value::as_str);
    if name.is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    let message = format!("\"{place}\" must be an object with a string \"name\"");
    Err(Mistake::at(format!("{place}.name"), message))
}

/// `tool_choice`, or the former `function_call`.
fn tool_choice(object: &mut Object) -> Result<Option<Value>, Mistake> {
    let want = "\"none\", \"auto\", \"required\" or an object that names a tool";
    let choice = object.typed("tool_choice", want, |value| match &value {
        Value::String(word) if matches!(word.as_str(), "none" | "auto" | "required") => Ok(value),
        Value::Object(_) if !type_of(&value).is_empty() => Ok(value),
        _ => Err(value),
    })?;
    let want = "\"none\", \"auto\" or an object with a string \"name\"";
    let former = object.typed("function_call", want, |value| match &value {
        Value::String(word) if matches!(word.as_str(), "none" | "auto") => Ok(value),
        Value::Object(call) if call.get("name").is_some_and(Value::is_string) => {
            Ok(json!({"type": "function", "function": {"name": call.get("name")}}))
        }
        _ => Err(value),
    })?;
    Ok(choice.or(former))
}

/// What a value must be that is handed on as it came.
#[derive(Clone, Copy)]
enum Shape {
    Bool,
    Integer,
    Number,
    Text,
    Object,
}

/// The documented parameters that only some providers know, and the value that says nothing: it is
/// what OpenAI takes where the key is absent, and providers who do not know the key refuse it.
const PASSED: [(&str, Shape, &str); 16] = [
    ("frequency_penalty", Shape::Number, "0"),
    ("presence_penalty", Shape::Number, "0"),
    ("logit_bias", Shape::Object, "{}"),
    ("logprobs", Shape::Bool, "false"),
    ("top_logprobs", Shape::Integer, "0"),
    ("parallel_tool_calls", Shape::Bool, "true"),
    ("store", Shape::Bool, ""),
    ("service_tier", Shape::Text, "\"auto\""),
    ("prediction", Shape::Object, ""),
    ("verbosity", Shape::Text, "\"medium\""),
    ("web_search_options", Shape::Object, ""),
    ("safety_identifier", Shape::Text, ""),
    ("prompt_cache_key", Shape::Text, ""),
    ("prompt_cache_retention", Shape::Text, ""),
    ("audio", Shape::Object, ""),
    ("moderation", Shape::Object, ""),
];

/// What the provider is given beside what all providers know.
fn options(object: &mut Object) -> Result<Map<String, Value>, Mistake> {
    refuse_audio(object)?;
    let mut passed = Map::new();
    for (key, shape, absent) in PASSED {
        let (want, is_right): (_, fn(&Value) -> bool) = match shape {
            Shape::Bool => ("a boolean", Value::is_boolean),
            Shape::Integer => ("an integer", |it| it.is_i64() || it.is_u64()),
            Shape::Number => ("a number", Value::is_number),
            Shape::Text => ("a string", Value::is_string),
            Shape::Object => ("an object", Value::is_object),
        };
        let value = object.typed(key, want, |value| {
            if is_right(&value) {
                Ok(value)
            } else {
                Err(value)
            }
        })?;
        let says_nothing = |value: &Value| match shape {
            Shape::Number => value.as_f64() == Some(0.0),
            _ => value.to_string().as_str() == absent,
        };
        if let Some(value) = value.filter(|value| !says_nothing(value)) {
            passed.insert(key.to_owned(), value);
        }
    }
    Ok(passed)
}

/// `modalities`: the answers of this server are text.
fn refuse_audio(object: &mut Object) -> Result<(), Mistake> {
    let want = "[\"text\"], since answers of this server are text";
    let modalities = object.typed("modalities", want, |value| match value.as_array() {
        Some(items) if items.iter().all(|item| item == "text") => Ok(()),
        _ => Err(value),
    });
    modalities.map(|_| ())
}
