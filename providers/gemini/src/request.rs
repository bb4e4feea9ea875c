//! A chat request in the form of `models/{model}:streamGenerateContent`.

use std::borrow::Cow;

use lmserver_proto::percent;
use lmserver_runtime::http_provider::json::{put, put_present};
use lmserver_runtime::http_provider::{
    Call, Part, Question, ResponseFormat, Role, Source, ToolChoice, Turn, called_name, json,
};
use lmserver_runtime::object;
use lmserver_runtime::plugin::provider::{ChatRequest, ProviderError};
use serde_json::{Map, Value, json};

/// The path below the base URL. A model may bear the prefix that Google's lists show.
pub(crate) fn path(model: &str) -> String {
    let (kind, name) = match model.split_once('/') {
        Some((kind @ ("models" | "tunedModels" | "endpoints"), name)) => (kind, name),
        _ => ("models", model),
    };
    let name = percent::encode(name);
    format!("/{kind}/{name}:streamGenerateContent?alt=sse")
}

/// The body, or what in the request Gemini has no place for.
pub(crate) fn body(
    question: &Question<'_>,
    model: &str,
    is_vertex: bool,
) -> Result<Value, ProviderError> {
    let conversation = Conversation {
        question,
        turns: question.turns()?,
        wants_signatures: series(model).is_some_and(|series| series >= 3),
        has_ids: !is_vertex,
    };
    let mut body = Map::new();
    let system = conversation.system()?;
    put(&mut body, "contents", conversation.contents()?.into());
    if !system.is_empty() {
        put(&mut body, "systemInstruction", object! {"parts": system});
    }
    let generation = generation_config(question, model)?;
    if !generation.is_empty() {
        put(&mut body, "generationConfig", generation.into());
    }
    let tools = tools(question)?;
    if !tools.is_empty() {
        put(&mut body, "tools", json!([{"functionDeclarations": tools}]));
    }
    if let Some(choice) = question.tool_choice()? {
        let config = match choice {
            ToolChoice::Auto => object! {"mode": "AUTO"},
            ToolChoice::None => object! {"mode": "NONE"},
            ToolChoice::Required => object! {"mode": "ANY"},
            ToolChoice::Function(name) => object! {"mode": "ANY", "allowedFunctionNames": [name]},
        };
        let config = object! {"functionCallingConfig": config};
        put(&mut body, "toolConfig", config);
    }
    json::merge(&mut body, &question.request.extra);
    // The path has named it.
    body.remove("model");
    Ok(body.into())
}

/// The messages on their way into `contents` and `systemInstruction`.
struct Conversation<'a> {
    question: &'a Question<'a>,
    turns: Vec<Turn<'a>>,
    /// The model refuses calls of its own turns that come back without their signature.
    wants_signatures: bool,
    /// Calls and results may bear ids; Vertex AI refuses them.
    has_ids: bool,
}

impl Conversation<'_> {
    fn system(&self) -> Result<Vec<Value>, ProviderError> {
        let turns = self.turns.iter().filter(|turn| turn.role.is_system());
        turns
            .map(|turn| match turn.text() {
                Some(text) => Ok(object! {"text": text}),
                None => {
                    let what = format!("anything but text in `{}`, a system message", turn.place);
                    Err(self.question.cannot(&what))
                }
            })
            .collect()
    }

    fn contents(&self) -> Result<Vec<Value>, ProviderError> {
        let mut contents = Vec::new();
        // The results of one turn's calls belong into one content.
        let mut results: Vec<Value> = Vec::new();
        for turn in &self.turns {
            if turn.role == Role::Tool {
                results.push(self.result(turn)?);
                continue;
            }
            flush(&mut results, &mut contents);
            let (role, parts) = match turn.role {
                Role::System | Role::Developer => continue,
                Role::Assistant => ("model", self.answer(turn)?),
                Role::User | Role::Tool => ("user", self.parts(turn)?),
            };
            if !parts.is_empty() {
                contents.push(object! {"role": role, "parts": parts});
            }
        }
        flush(&mut results, &mut contents);
        if contents.is_empty() && !self.turns.is_empty() {
            let what = "a conversation without a message of a user";
            return Err(self.question.cannot(what));
        }
        Ok(contents)
    }

    fn parts(&self, turn: &Turn<'_>) -> Result<Vec<Value>, ProviderError> {
        let parts = turn.parts.iter();
        parts.map(|part| self.part(part, turn)).collect()
    }

    fn part(&self, part: &Part<'_>, turn: &Turn<'_>) -> Result<Value, ProviderError> {
        let place = &turn.place;
        match part {
            Part::Text(text) => Ok(object! {"text": *text}),
            Part::Image(source) | Part::File { source, .. } => self.data(source, turn),
            Part::Audio { base64, format } => {
                let media_type = format!("audio/{format}");
                Ok(object! {"inlineData": object! {"mimeType": media_type, "data": *base64}})
            }
            Part::Other(part) => {
                let kind = json::str_at(part, "/type");
                let what = format!("a part of type {kind} in `{place}`");
                Err(self.question.cannot(&what))
            }
        }
    }

    fn data(&self, source: &Source<'_>, turn: &Turn<'_>) -> Result<Value, ProviderError> {
        match source {
            Source::Data { media_type, base64 } => {
                Ok(object! {"inlineData": object! {"mimeType": *media_type, "data": *base64}})
            }
            Source::Url(url) => {
                let mut file = Map::new();
                put(&mut file, "fileUri", (*url).into());
                if let Some(media_type) = media_type(url) {
                    put(&mut file, "mimeType", media_type.into());
                }
                Ok(object! {"fileData": file})
            }
            Source::Id(_) => {
                let what = format!("a file by the id of another provider in `{}`", turn.place);
                Err(self.question.cannot(&what))
            }
        }
    }

    /// The parts of an assistant's turn: what it said, then what it called.
    fn answer(&self, turn: &Turn<'_>) -> Result<Vec<Value>, ProviderError> {
        let said = turn.parts.iter();
        // An empty text beside calls says nothing, and Gemini takes no empty text.
        let mut parts: Vec<_> = said
            .filter(|part| !matches!(part, Part::Text("")))
            .map(|part| self.part(part, turn))
            .collect::<Result<_, _>>()?;
        for (place, call) in turn.calls.iter().enumerate() {
            parts.push(self.call(call, place == 0)?);
        }
        Ok(parts)
    }

    fn call(&self, call: &Call<'_>, is_first: bool) -> Result<Value, ProviderError> {
        let mut function = Map::new();
        if self.has_ids && !call.id.is_empty() {
            put(&mut function, "id", call.id.into());
        }
        put(&mut function, "name", call.name.into());
        put(&mut function, "args", call.object()?);
        let mut part = Map::new();
        put(&mut part, "functionCall", function.into());
        let signature = match signature(self.question.request, call.id) {
            // Calls whose signature was not kept, or that another model made. Of parallel calls
            // only the first is checked.
            None if self.wants_signatures && is_first => Some(NO_SIGNATURE),
            signature => signature,
        };
        if let Some(signature) = signature {
            put(&mut part, "thoughtSignature", signature.into());
        }
        Ok(part.into())
    }

    fn result(&self, turn: &Turn<'_>) -> Result<Value, ProviderError> {
        let id = turn.call_id.unwrap_or_default();
        let Some(name) = called_name(&self.turns, id).or(turn.name) else {
            let at = format!("{}.tool_call_id", turn.place);
            return Err(self.question.wrong(&at, "the id of an earlier tool call"));
        };
        let mut text = String::new();
        let mut media = Vec::new();
        for part in &turn.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                part => media.push(self.part(part, turn)?),
            }
        }
        let mut result = Map::new();
        if self.has_ids && !id.is_empty() {
            put(&mut result, "id", id.into());
        }
        put(&mut result, "name", name.into());
        // Gemini takes objects only; `output` is its own name for what is none.
        let response = match serde_json::from_str(&text) {
            Ok(Value::Object(response)) => response.into(),
            _ => object! {"output": text},
        };
        put(&mut result, "response", response);
        if !media.is_empty() {
            put(&mut result, "parts", media.into());
        }
        Ok(object! {"functionResponse": result})
    }
}

/// Closes a content of tool results.
fn flush(results: &mut Vec<Value>, contents: &mut Vec<Value>) {
    if !results.is_empty() {
        contents.push(object! {"role": "user", "parts": std::mem::take(results)});
    }
}

/// The signature of a call, where the client sends back what Google's OpenAI form put there.
fn signature<'a>(request: &'a ChatRequest, id: &str) -> Option<&'a str> {
    let calls = request.messages.iter();
    calls
        .filter_map(|message| message.tool_calls.as_ref()?.as_array())
        .flatten()
        .find(|call| json::str_at(call, "/id") == id)?
        .pointer("/extra_content/google/thought_signature")?
        .as_str()
}

fn generation_config(
    question: &Question<'_>,
    model: &str,
) -> Result<Map<String, Value>, ProviderError> {
    let request = question.request;
    let (media_type, schema) = match question.response_format()? {
        ResponseFormat::Text => (None, None),
        ResponseFormat::JsonObject => (Some("application/json"), None),
        ResponseFormat::JsonSchema { schema, .. } => {
            (Some("application/json"), Some(schema.clone()))
        }
    };
    let stop = (!request.stop.is_empty()).then(|| request.stop.clone().into());
    let mut config = Map::new();
    put_present(
        &mut config,
        &mut [
            ("temperature", request.temperature.map(Value::from)),
            ("topP", request.top_p.map(Value::from)),
            ("maxOutputTokens", request.max_tokens.map(Value::from)),
            ("stopSequences", stop),
            ("seed", request.seed.clone().map(Value::Number)),
            ("responseMimeType", media_type.map(Value::from)),
            ("responseJsonSchema", schema),
            ("thinkingConfig", thinking(question, model)?),
        ],
    );
    for (name, value) in question.options(&OPTIONS)? {
        put(&mut config, name, value.clone());
    }
    Ok(config)
}

/// The further options that have words here.
const OPTIONS: [(&str, &str); 3] = [
    ("frequency_penalty", "frequencyPenalty"),
    ("presence_penalty", "presencePenalty"),
    ("top_k", "topK"),
];

/// The number of a Gemini model, `2` of `gemini-2.5-pro`. A name without one (`gemini-pro-latest`)
/// stands for the newest; none for other models.
fn series(model: &str) -> Option<u32> {
    let (_, rest) = model.split_once("gemini-")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let digits = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    Some(digits.parse().unwrap_or(u32::MAX))
}

/// Of the models that take levels only these take the least; all take the one above it.
fn takes_minimal(model: &str) -> bool {
    [
        "gemini-3-flash",
        "gemini-3.5-flash",
        "gemini-3.6-flash",
        "flash-lite",
    ]
    .iter()
    .any(|name| model.contains(name))
}

/// The effort as Google's own OpenAI form maps it: a budget of tokens for Gemini 2.5, a level for
/// later models.
fn thinking(question: &Question<'_>, model: &str) -> Result<Option<Value>, ProviderError> {
    let Some(effort) = question.request.reasoning_effort.as_deref() else {
        return Ok(None);
    };
    let (budget, level) = match effort {
        "none" => (0, None),
        "minimal" if takes_minimal(model) => (1024, Some("MINIMAL")),
        "minimal" => (1024, Some("LOW")),
        "low" => (1024, Some("LOW")),
        "medium" => (8192, Some("MEDIUM")),
        "high" => (24_576, Some("HIGH")),
        _ => {
            let want = "none, minimal, low, medium or high";
            return Err(question.wrong("reasoning_effort", want));
        }
    };
    let is_shown = budget > 0;
    if series(model) == Some(2) {
        let config = object! {"thinkingBudget": budget, "includeThoughts": is_shown};
        return Ok(Some(config));
    }
    let Some(level) = level else {
        return Err(question.cannot(&format!("no reasoning at all of {model}")));
    };
    Ok(Some(
        object! {"thinkingLevel": level, "includeThoughts": true},
    ))
}

fn tools(question: &Question<'_>) -> Result<Vec<Value>, ProviderError> {
    let tools = question.tools()?.into_iter().map(|tool| {
        let mut declaration = Map::new();
        put(&mut declaration, "name", tool.name.into());
        let description = tool.description.map(Value::from);
        put_present(
            &mut declaration,
            &mut [
                ("description", description),
                // `parameters` is a subset of OpenAPI and refuses most JSON Schemas.
                ("parametersJsonSchema", tool.parameters.cloned()),
            ],
        );
        declaration.into()
    });
    Ok(tools.collect())
}

/// The media type that a URL's path ends in, where it does. Vertex AI wants one.
fn media_type(url: &str) -> Option<Cow<'static, str>> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, extension) = path.rsplit_once('/')?.1.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    Some(match extension.as_str() {
        "jpg" => "image/jpeg".into(),
        "png" | "jpeg" | "webp" | "heic" | "heif" | "gif" => format!("image/{extension}").into(),
        "mp3" | "wav" | "aac" | "ogg" | "flac" => format!("audio/{extension}").into(),
        "mp4" | "webm" | "mpeg" => format!("video/{extension}").into(),
        "pdf" => "application/pdf".into(),
        "txt" => "text/plain".into(),
        _ => return None,
    })
}

/// What Google's documentation names for calls that have no signature.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
