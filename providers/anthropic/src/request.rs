//! A chat request in the form of `POST /messages`.
//!
//! | request | body |
//! | --- | --- |
//! | `system`, system and developer messages | `system`, one text block each |
//! | user messages, tool results | user messages; neighbours of one role are one message |
//! | images, files | `image` and `document` blocks |
//! | an assistant's calls | `tool_use` blocks |
//! | `max_tokens` | the same; without it the instance's own, plus room for thinking |
//! | `stop` | `stop_sequences` |
//! | `tools`, `tool_choice` | the same in Anthropic's form; `required` is `any` |
//! | `response_format` of a schema | `output_config.format` |
//! | `reasoning_effort` | `thinking` with a budget, or `output_config.effort`, as the model takes it |
//! | `user` | `metadata.user_id` |
//! | `seed`, `metadata`, speakers' names | nothing: they are hints |
//! | parts of other types | as they are: Anthropic's own blocks |

use lmserver_runtime::http_provider::json::{put, put_present};
use lmserver_runtime::http_provider::{
    Part, Question, ResponseFormat, Role, Source, ToolChoice, Turn, json as lenient,
};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value, json};

use crate::thinking::{self, Thinking};

/// What an instance adds to every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// The limit of an answer whose request has none; the API insists on one.
    pub(crate) max_tokens: u64,
    /// How models are asked to think; none: by the model's name.
    pub(crate) thinking: Option<Thinking>,
}

/// The body of the request.
pub(crate) fn body(
    dialect: Dialect,
    question: &Question<'_>,
    model: &str,
) -> Result<Value, ProviderError> {
    let request = question.request;
    let mut body = Map::new();
    let (system, messages) = conversation(question)?;
    if !system.is_empty() {
        put(&mut body, "system", system.into());
    }
    put(&mut body, "messages", messages.into());

    if request
        .temperature
        .is_some_and(|value| !(0.0..=1.0).contains(&value))
    {
        return Err(question.wrong("temperature", "between 0 and 1 for anthropic"));
    }
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    put_present(
        &mut body,
        &mut [
            ("temperature", request.temperature.map(Value::from)),
            ("top_p", request.top_p.map(Value::from)),
            ("stop_sequences", stop),
            (
                "metadata",
                request
                    .user
                    .as_ref()
                    .map(|user| object! {"user_id": user.clone()}),
            ),
            ("tools", tools(question)?),
            ("tool_choice", tool_choice(question)?),
            ("output_config", output_config(question)?),
        ],
    );
    let style = dialect.thinking.unwrap_or_else(|| Thinking::of(model));
    let max_tokens = thinking::apply(style, dialect.max_tokens, question, &mut body)?;
    put(&mut body, "max_tokens", max_tokens.into());

    for (name, value) in question.options(&OPTIONS)? {
        if name == PARALLEL {
            forbid_parallel_calls(value, &mut body);
        } else {
            put(&mut body, name, value.clone());
        }
    }
    lenient::merge(&mut body, &request.extra);
    // What is read is a stream of the model that was routed to, whatever was asked for.
    put(&mut body, "model", model.into());
    put(&mut body, "stream", true.into());
    Ok(Value::Object(body))
}

/// Whether calls may stand side by side is said with the choice of tools.
fn forbid_parallel_calls(are_allowed: &Value, body: &mut Map<String, Value>) {
    if *are_allowed != Value::Bool(false) || !body.contains_key("tools") {
        return;
    }
    let choice = body
        .entry("tool_choice")
        .or_insert_with(|| object! {"type": "auto"});
    // Where none may be called there is no such key.
    if let Some(choice) = choice.as_object_mut()
        && choice.get("type") != Some(&json!("none"))
    {
        put(choice, "disable_parallel_tool_use", true.into());
    }
}

/// The options that have words here.
const OPTIONS: [(&str, &str); 2] = [("parallel_tool_calls", PARALLEL), ("top_k", "top_k")];

const PARALLEL: &str = "disable_parallel_tool_use";

/// The system prompt's blocks, and the messages.
fn conversation(question: &Question<'_>) -> Result<(Vec<Value>, Vec<Value>), ProviderError> {
    let mut system = Vec::new();
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for turn in question.turns()? {
        let blocks = blocks(question, &turn)?;
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
            _ => messages.push((role, blocks)),
        }
    }
    // A message without content is refused there.
    messages.retain(|(_, content)| !content.is_empty());
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
        blocks.extend(block(question, part, &turn.place)?);
    }
    if turn.role == Role::Tool {
        let Some(id) = turn.call_id else {
            let key = format!("{}.tool_call_id", turn.place);
            return Err(question.wrong(&key, "the id of a tool call"));
        };
        let result = object! {"type": "tool_result", "tool_use_id": id, "content": blocks};
        return Ok(vec![result]);
    }
    for call in &turn.calls {
        let input = call.object()?;
        let call = object! {"type": "tool_use", "id": call.id, "name": call.name, "input": input};
        blocks.push(call);
    }
    Ok(blocks)
}

fn block(
    question: &Question<'_>,
    part: &Part<'_>,
    place: &str,
) -> Result<Option<Value>, ProviderError> {
    Ok(match part {
        // An empty text is refused there.
        Part::Text("") => None,
        Part::Text(text) => Some(object! {"type": "text", "text": *text}),
        Part::Image(found) => Some(object! {"type": "image", "source": source(found)}),
        Part::File {
            source: found,
            name,
        } => {
            let mut block = object! {"type": "document", "source": source(found)};
            if let (Some(name), Some(block)) = (name, block.as_object_mut()) {
                put(block, "title", (*name).into());
            }
            Some(block)
        }
        Part::Other(block) => Some((*block).clone()),
        Part::Audio { .. } => return Err(question.cannot(&format!("audio in `{place}`"))),
    })
}

fn source(source: &Source<'_>) -> Value {
    match source {
        Source::Url(url) => object! {"type": "url", "url": *url},
        Source::Data { media_type, base64 } => {
            object! {"type": "base64", "media_type": *media_type, "data": *base64}
        }
        Source::Id(id) => object! {"type": "file", "file_id": *id},
    }
}

fn tools(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    let tools = question.tools()?;
    let tools = tools.iter().map(|tool| {
        let mut object = Map::new();
        put(&mut object, "name", tool.name.into());
        let schema = tool.parameters.cloned();
        let schema = schema.unwrap_or_else(|| object! {"type": "object", "properties": object! {}});
        put(&mut object, "input_schema", schema);
        put_present(
            &mut object,
            &mut [
                ("description", tool.description.map(Value::from)),
                (
                    "strict",
                    tool.strict.filter(|strict| *strict).map(Value::from),
                ),
            ],
        );
        Value::Object(object)
    });
    let tools: Vec<_> = tools.collect();
    Ok((!tools.is_empty()).then(|| tools.into()))
}

fn tool_choice(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    Ok(question.tool_choice()?.map(|choice| match choice {
        ToolChoice::Auto => object! {"type": "auto"},
        ToolChoice::None => object! {"type": "none"},
        ToolChoice::Required => object! {"type": "any"},
        ToolChoice::Function(name) => object! {"type": "tool", "name": name},
    }))
}

fn output_config(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    match question.response_format()? {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonSchema { schema, .. } => Ok(Some(
            object! {"format": object! {"type": "json_schema", "schema": schema.clone()}},
        )),
        ResponseFormat::JsonObject => Err(question.cannot(
            "`response_format` of type `json_object` (it takes one of type `json_schema`)",
        )),
    }
}

#[cfg(test)]
mod tests;
