//! A chat request in the form of `POST /v2/chat`.

use lmserver_runtime::http_provider::json::{put, put_present};
use lmserver_runtime::http_provider::{
    Call, Part, Question, ResponseFormat, Role, Source, Tool, ToolChoice, Turn, json,
};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::ProviderError;
use serde_json::{Map, Value};

/// The body, or what in the request Cohere has no place for.
pub(crate) fn body(question: &Question<'_>, model: &str) -> Result<Value, ProviderError> {
    let request = question.request;
    let turns = question.turns()?;
    let messages = turns.iter().map(|turn| message(question, turn));
    let messages: Result<Value, _> = messages.collect();
    let format = match question.response_format()? {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(object! {"type": "json_object"}),
        ResponseFormat::JsonSchema { schema, .. } => {
            Some(object! {"type": "json_object", "json_schema": schema.clone()})
        }
    };
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    let mut body = Map::new();
    put(&mut body, "messages", messages?);
    put_present(
        &mut body,
        &mut [
            ("temperature", request.temperature.map(Value::from)),
            ("p", request.top_p.map(Value::from)),
            ("max_tokens", request.max_tokens.map(Value::from)),
            ("stop_sequences", stop),
            ("seed", request.seed.clone().map(Value::Number)),
            ("response_format", format),
            ("thinking", thinking(question)?),
        ],
    );
    add_tools(question, &mut body)?;
    for (name, value) in question.options(&OPTIONS)? {
        put(&mut body, name, value.clone());
    }
    json::merge(&mut body, &request.extra);
    // What is read is a stream of the model that was routed to, whatever was asked for.
    put(&mut body, "model", model.into());
    put(&mut body, "stream", true.into());
    Ok(body.into())
}

/// The options that have words here.
const OPTIONS: [(&str, &str); 3] = [
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("top_k", "k"),
];

fn message(question: &Question<'_>, turn: &Turn<'_>) -> Result<Value, ProviderError> {
    let mut message = Map::new();
    let role = match turn.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    put(&mut message, "role", role.into());
    // An assistant that only called tools has said nothing.
    if !turn.parts.is_empty() {
        put(&mut message, "content", content(question, turn)?);
    }
    if !turn.calls.is_empty() {
        message.insert(
            "tool_calls".into(),
            turn.calls.iter().map(tool_call).collect(),
        );
    }
    if let Some(id) = turn.call_id {
        put(&mut message, "tool_call_id", id.into());
    }
    Ok(message.into())
}

fn tool_call(call: &Call<'_>) -> Value {
    let function = object! {"name": call.name, "arguments": call.arguments};
    object! {"id": call.id, "type": "function", "function": function}
}

/// A text, or parts where there is more than text.
fn content(question: &Question<'_>, turn: &Turn<'_>) -> Result<Value, ProviderError> {
    if let Some(text) = turn.text() {
        return Ok(text.into());
    }
    let parts = turn.parts.iter().map(|part| {
        let url = match part {
            Part::Text(text) => return Ok(object! {"type": "text", "text": *text}),
            Part::Image(Source::Url(url)) if turn.role == Role::User => (*url).to_owned(),
            Part::Image(Source::Data { media_type, base64 }) if turn.role == Role::User => {
                format!("data:{media_type};base64,{base64}")
            }
            Part::Image(_) => return Err(unknown(question, turn, "such an image")),
            Part::Audio { .. } => return Err(unknown(question, turn, "audio")),
            Part::File { .. } => return Err(unknown(question, turn, "a file")),
            Part::Other(part) => {
                let kind = json::str_at(part, "/type");
                return Err(unknown(question, turn, &format!("a part of type {kind}")));
            }
        };
        Ok(object! {"type": "image_url", "image_url": object! {"url": url}})
    });
    parts.collect()
}

fn unknown(question: &Question<'_>, turn: &Turn<'_>, what: &str) -> ProviderError {
    let place = &turn.place;
    question.cannot(&format!(
        "{what} in `{place}` (only text, and images of users)"
    ))
}

/// Cohere counts tokens of thinking where others name an effort.
fn thinking(question: &Question<'_>) -> Result<Option<Value>, ProviderError> {
    let budget = match question.request.reasoning_effort.as_deref() {
        None => return Ok(None),
        Some("none") => return Ok(Some(object! {"type": "disabled"})),
        Some("minimal") => 512,
        Some("low") => 1024,
        Some("medium") => 8192,
        // Without a budget it thinks as long as it wants.
        Some("high") => return Ok(Some(object! {"type": "enabled"})),
        Some(_) => {
            let want = "none, minimal, low, medium or high";
            return Err(question.wrong("reasoning_effort", want));
        }
    };
    Ok(Some(object! {"type": "enabled", "token_budget": budget}))
}

fn add_tools(question: &Question<'_>, body: &mut Map<String, Value>) -> Result<(), ProviderError> {
    let mut tools = question.tools()?;
    let choice = match question.tool_choice()? {
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::None) => Some("NONE"),
        Some(ToolChoice::Required) => Some("REQUIRED"),
        // There is no way to name one; to have no other choice is the same.
        Some(ToolChoice::Function(name)) => {
            tools.retain(|tool| tool.name == name);
            if tools.is_empty() {
                return Err(question.wrong("tool_choice.function.name", "the name of a tool"));
            }
            Some("REQUIRED")
        }
    };
    let is_strict = tools.iter().any(|tool| tool.strict == Some(true));
    if !tools.is_empty() {
        let tools: Value = tools.iter().map(in_their_form).collect();
        put(body, "tools", tools);
    }
    if is_strict {
        put(body, "strict_tools", true.into());
    }
    if let Some(choice) = choice {
        put(body, "tool_choice", choice.into());
    }
    Ok(())
}

fn in_their_form(tool: &Tool<'_>) -> Value {
    let mut function = Map::new();
    put(&mut function, "name", tool.name.into());
    if let Some(description) = tool.description {
        put(&mut function, "description", description.into());
    }
    // Cohere demands a schema of a function without parameters too.
    let parameters = tool.parameters.cloned();
    let parameters =
        parameters.unwrap_or_else(|| object! {"type": "object", "properties": object! {}});
    put(&mut function, "parameters", parameters);
    object! {"type": "function", "function": function}
}
