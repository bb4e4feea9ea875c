//! A chat request in the form of `ConverseStream`.
//!
//! | request | body |
//! | --- | --- |
//! | `system`, system and developer messages | `system`, one text each |
//! | user messages, tool results | user messages; neighbours of one role are one message |
//! | images, files, audio in base64 or at `s3://…` | `image`, `document` and `audio` blocks |
//! | an assistant's calls | `toolUse` blocks |
//! | `max_tokens`, `temperature`, `top_p`, `stop` | `inferenceConfig` |
//! | `tools`, `tool_choice` | `toolConfig`; `required` is `any` |
//! | `response_format` of a schema | `outputConfig.textFormat` |
//! | `reasoning_effort` | what the model's family has for it, as `thinking` says |
//! | `top_k` | for Claude among the fields that are handed on to the model |
//! | `service_tier` | `serviceTier`, where it has the same name there |
//! | `metadata` | `requestMetadata`, as far as its values are plain texts |
//! | `seed`, `user`, speakers' names | nothing: they are hints |

use lmserver_runtime::http_provider::{
    Part, Question, ResponseFormat, Role, ToolChoice, Turn, json as lenient,
};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value, json};

use crate::{media, thinking};

/// The body of the request.
pub(crate) fn body(question: &Question<'_>, model: &str) -> Result<Value, ProviderError> {
    let request = question.request;
    let turns = question.turns()?;
    let mut body = Map::new();
    let (system, messages) = conversation(question, &turns)?;
    if !system.is_empty() {
        body.insert("system".into(), system.into());
    }
    body.insert("messages".into(), messages.into());

    for (key, number) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        if number.is_some_and(|number| !(0.0..=1.0).contains(&number)) {
            return Err(question.wrong(key, "between 0 and 1 for bedrock"));
        }
    }
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    let inference = object([
        ("maxTokens", request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("topP", request.top_p.map(Value::from)),
        ("stopSequences", stop),
    ]);
    body.extend(object([
        ("inferenceConfig", non_empty(inference)),
        ("toolConfig", tool_config(question, &turns)?),
        ("outputConfig", output_config(question)?),
        ("requestMetadata", metadata(request.metadata.as_ref())),
    ]));
    thinking::apply(question, model, &mut body)?;
    options(question, model, &mut body)?;
    lenient::merge(&mut body, &request.extra);
    // The path has named it.
    body.remove("modelId");
    Ok(Value::Object(body))
}

/// Further options. That calls stand side by side is how it is here; it cannot be forbidden.
fn options(
    question: &Question<'_>,
    model: &str,
    body: &mut Map<String, Value>,
) -> Result<(), ProviderError> {
    for (name, value) in question.options(&OPTIONS)? {
        let more = match name {
            PARALLEL => {
                let is_forbidden = *value == Value::Bool(false) && body.contains_key("toolConfig");
                question.refuse(is_forbidden, "parallel_tool_calls")?;
                continue;
            }
            TOP_K => {
                question.refuse(!model.contains("anthropic."), "top_k")?;
                object! {"additionalModelRequestFields": object! {"top_k": value.clone()}}
            }
            _ if TIERS.iter().any(|tier| value == tier) => {
                object! {"serviceTier": object! {"type": value.clone()}}
            }
            _ => continue,
        };
        if let Value::Object(more) = more {
            lenient::merge(body, &more);
        }
    }
    Ok(())
}

/// The options that mean something here, by their own names.
const OPTIONS: [(&str, &str); 3] = [
    (PARALLEL, PARALLEL),
    (TOP_K, TOP_K),
    ("service_tier", "service_tier"),
];

const PARALLEL: &str = "parallel_tool_calls";

const TOP_K: &str = "top_k";

/// What a service tier may be.
const TIERS: [&str; 4] = ["default", "flex", "priority", "reserved"];

/// The entries that there are.
pub(crate) fn object<const N: usize>(
    mut entries: [(&str, Option<Value>); N],
) -> Map<String, Value> {
    let mut object = Map::new();
    lenient::put_present(&mut object, &mut entries);
    object
}

fn non_empty(object: Map<String, Value>) -> Option<Value> {
    (!object.is_empty()).then_some(Value::Object(object))
}

/// The system prompt's blocks, and the messages.
fn conversation(
    question: &Question<'_>,
    turns: &[Turn<'_>],
) -> Result<(Vec<Value>, Vec<Value>), ProviderError> {
    let mut system = Vec::new();
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for turn in turns {
        let blocks = blocks(question, turn)?;
        let role = match turn.role {
            Role::System | Role::Developer => {
                if turn.text().is_none() {
                    let what = format!("a system prompt of other than text in `{}`", turn.place);
                    return Err(question.cannot(&what));
                }
                system.extend(blocks);
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        match messages.last_mut() {
            Some((last, content)) if *last == role => content.extend(blocks),
            // A message without content is refused there.
            _ if blocks.is_empty() => {}
            _ => messages.push((role, blocks)),
        }
    }
    if messages.is_empty() && !question.request.messages.is_empty() {
        let want = "a conversation with a message that is not empty";
        return Err(question.wrong("messages", want));
    }
    let messages = messages.into_iter();
    let messages = messages.map(|(role, content)| object! {"role": role, "content": content});
    Ok((system, messages.collect()))
}

/// What one turn adds to the message that it is part of.
fn blocks(question: &Question<'_>, turn: &Turn<'_>) -> Result<Vec<Value>, ProviderError> {
    let mut blocks = Vec::new();
    for part in &turn.parts {
        blocks.extend(match part {
            // A blank text is refused there.
            Part::Text(text) if text.trim().is_empty() => None,
            Part::Text(text) => Some(object! {"text": *text}),
            part => Some(media::block(question, part, &turn.place)?),
        });
    }
    if turn.role == Role::Tool {
        let Some(id) = turn.call_id else {
            let key = format!("{}.tool_call_id", turn.place);
            return Err(question.wrong(&key, "the id of a tool call"));
        };
        return Ok(vec![
            object! {"toolResult": object! {"toolUseId": id, "content": blocks}},
        ]);
    }
    for call in &turn.calls {
        let input = call.object()?;
        let call =
            object! {"toolUse": object! {"toolUseId": call.id, "name": call.name, "input": input}};
        blocks.push(call);
    }
    Ok(blocks)
}

/// The tools and the choice. To call none has no word: then there must be no tools at all, which
/// a conversation with calls in it does not allow.
fn tool_config(
    question: &Question<'_>,
    turns: &[Turn<'_>],
) -> Result<Option<Value>, ProviderError> {
    let tools = question.tools()?;
    let choice = match question.tool_choice()? {
        None => None,
        Some(ToolChoice::None) => {
            let has_calls = |turn: &Turn<'_>| !turn.calls.is_empty() || turn.role == Role::Tool;
            if turns.iter().any(has_calls) {
                let what = "`tool_choice` \"none\" in a conversation with tool calls";
                return Err(question.cannot(what));
            }
            return Ok(None);
        }
        Some(ToolChoice::Auto) => Some(object! {"auto": object! {}}),
        Some(ToolChoice::Required) => Some(object! {"any": object! {}}),
        Some(ToolChoice::Function(name)) => Some(object! {"tool": object! {"name": name}}),
    };
    if tools.is_empty() {
        return Ok(None);
    }
    let tools: Vec<_> = tools
        .iter()
        .map(|tool| {
            let schema = tool.parameters.cloned();
            let schema =
                schema.unwrap_or_else(|| object! {"type": "object", "properties": object! {}});
            let description = tool.description.filter(|text| !text.is_empty());
            object! {"toolSpec": object([
                ("name", Some(tool.name.into())),
                ("description", description.map(Value::from)),
                ("inputSchema", Some(json!({"json": schema}))),
                ("strict", tool.strict.filter(|strict| *strict).map(Value::from)),
            ])}
        })
        .collect();
    let config = object([("tools", Some(tools.into())), ("toolChoice", choice)]);
    Ok(Some(Value::Object(config)))
}

fn output_config(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    match question.response_format()? {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonSchema { name, schema, .. } => {
            Ok(Some(object! {"textFormat": object! {
                "type": "json_schema",
                "structure": object! {"jsonSchema": object! {
                    "name": name,
                    "schema": schema.to_string(),
                }},
            }}))
        }
        ResponseFormat::JsonObject => Err(question.cannot(
            "`response_format` of type `json_object` (it takes one of type `json_schema`)",
        )),
    }
}

/// The notes that the API takes: up to 16 short texts.
fn metadata(notes: Option<&Value>) -> Option<Value> {
    let is_plain = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte);
        text.len() <= 256 && text.bytes().all(allowed)
    };
    let notes = notes?.as_object()?.iter();
    let notes = notes.filter(|(key, value)| {
        !key.is_empty() && is_plain(key) && value.as_str().is_some_and(is_plain)
    });
    let notes = notes.map(|(key, value)| (key.clone(), value.clone()));
    let mut kept = Map::new();
    kept.extend(notes.take(16));
    non_empty(kept)
}

#[cfg(test)]
mod tests;
