//! A chat request in the form of `POST /api/chat`.

use lmserver_runtime::http_provider::json::{put, put_present};
use lmserver_runtime::http_provider::{
    Call, Part, Question, ResponseFormat, Role, Source, ToolChoice, Turn, called_name, json,
};
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value, json};

/// The body, or what in the request Ollama has no place for.
pub(crate) fn body(question: &Question<'_>, model: &str) -> Result<Value, ProviderError> {
    let request = question.request;
    let mut body = Map::new();
    put(&mut body, "messages", messages(question)?.into());
    let options = options(question)?;
    let format = match question.response_format()? {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some("json".into()),
        ResponseFormat::JsonSchema { schema, .. } => Some(schema.clone()),
    };
    put_present(
        &mut body,
        &mut [
            ("options", (!options.is_empty()).then(|| options.into())),
            ("format", format),
            ("think", think(question)?),
            ("tools", tools(question)?),
        ],
    );
    json::merge(&mut body, &request.extra);
    // What is read is a stream of the model that was routed to, whatever was asked for.
    put(&mut body, "model", model.into());
    put(&mut body, "stream", true.into());
    Ok(body.into())
}

fn messages(question: &Question<'_>) -> Result<Vec<Value>, ProviderError> {
    let turns = question.turns()?;
    let messages = turns.iter().map(|turn| {
        let mut message = Map::new();
        let role = match turn.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        put(&mut message, "role", role.into());
        content(question, turn, &mut message)?;
        if !turn.calls.is_empty() {
            let calls = turn.calls.iter().map(tool_call);
            let calls: Result<Value, _> = calls.collect();
            put(&mut message, "tool_calls", calls?);
        }
        if turn.role == Role::Tool {
            let id = turn.call_id.unwrap_or_default();
            let Some(name) = called_name(&turns, id).or(turn.name) else {
                let at = format!("{}.tool_call_id", turn.place);
                return Err(question.wrong(&at, "the id of an earlier tool call"));
            };
            put(&mut message, "tool_name", name.into());
        }
        Ok(message.into())
    });
    messages.collect()
}

/// Texts are joined, images stand apart from them.
fn content(
    question: &Question<'_>,
    turn: &Turn<'_>,
    message: &mut Map<String, Value>,
) -> Result<(), ProviderError> {
    let place = &turn.place;
    let mut content = String::new();
    let mut images: Vec<Value> = Vec::new();
    for part in &turn.parts {
        let what = match part {
            Part::Text(text) => {
                content.push_str(text);
                continue;
            }
            Part::Image(Source::Data { base64, .. }) => {
                images.push((*base64).into());
                continue;
            }
            Part::Image(Source::Url(_)) => "an image by URL",
            Part::Image(Source::Id(_)) => "an image by id",
            Part::Audio { .. } => "audio",
            Part::File { .. } => "a file",
            Part::Other(part) => &format!("a part of type {}", json::str_at(part, "/type")),
        };
        let what = format!("{what} in `{place}` (only text, and images as base64 data)");
        return Err(question.cannot(&what));
    }
    put(message, "content", content.into());
    if !images.is_empty() {
        put(message, "images", images.into());
    }
    Ok(())
}

fn tool_call(call: &Call<'_>) -> Result<Value, ProviderError> {
    let arguments = call.object()?;
    Ok(json!({"function": {"name": call.name, "arguments": arguments}}))
}

fn options(question: &Question<'_>) -> Result<Map<String, Value>, ProviderError> {
    let request = question.request;
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    let mut options = Map::new();
    put_present(
        &mut options,
        &mut [
            ("temperature", request.temperature.map(Value::from)),
            ("top_p", request.top_p.map(Value::from)),
            ("num_predict", request.max_tokens.map(Value::from)),
            ("stop", stop),
            ("seed", request.seed.clone().map(Value::Number)),
        ],
    );
    for (name, value) in question.options(&OPTIONS)? {
        put(&mut options, name, value.clone());
    }
    Ok(options)
}

/// The further options that have words here.
const OPTIONS: [(&str, &str); 3] = [
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("top_k", "top_k"),
];

fn think(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    match question.request.reasoning_effort.as_deref() {
        None => Ok(None),
        Some("none") => Ok(Some(false.into())),
        Some(effort @ ("low" | "medium" | "high")) => Ok(Some(effort.into())),
        Some(_) => Err(question.wrong("reasoning_effort", "none, low, medium or high")),
    }
}

/// The tools in OpenAI's form, unless none may be called: that is said by not naming any.
fn tools(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    match question.tool_choice()? {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => return Ok(None),
        Some(ToolChoice::Required | ToolChoice::Function(_)) => {
            return Err(question.cannot("a `tool_choice` other than auto and none"));
        }
    }
    let tools = question.tools()?.into_iter().map(|tool| {
        let mut function = Map::new();
        put(&mut function, "name", tool.name.into());
        let description = tool.description.map(Value::from);
        put_present(
            &mut function,
            &mut [
                ("description", description),
                ("parameters", tool.parameters.cloned()),
            ],
        );
        json!({"type": "function", "function": function})
    });
    let tools: Vec<Value> = tools.collect();
    Ok((!tools.is_empty()).then(|| tools.into()))
}
