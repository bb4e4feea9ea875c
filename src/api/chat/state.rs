//! The JSON of `GET /api/chat/{channel_id}`.

use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::{Attempt, Failure, Position, Usage};
use serde::Serialize;

/// Writes the state of a chat. `text` is what the chunks up to `position` carried.
pub(super) fn write(channel: &str, snapshot: &Snapshot, position: Position) -> Vec<u8> {
    let calls = snapshot.tool_calls.iter().enumerate();
    let state = State {
        channel_id: channel,
        status: snapshot.status.as_str(),
        text: &snapshot.text,
        finish_reason: snapshot.finish_reason.map(|reason| reason.as_str()),
        usage: snapshot.usage.as_ref().map(TokenCounts::of),
        model: &snapshot.model,
        provider: snapshot.provider.as_deref(),
        reasoning: &snapshot.reasoning,
        refusal: &snapshot.refusal,
        tool_calls: calls
            .map(|(index, call)| Call {
                index,
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments,
            })
            .collect(),
        error: snapshot.error.as_ref().map(Fault::of),
        attempts: snapshot.attempts.iter().map(Failed::of).collect(),
        position: position.to_string(),
    };
    // Strings and numbers into a Vec: it cannot fail.
    serde_json::to_vec(&state).unwrap_or_default()
}

#[derive(Serialize)]
struct State<'a> {
    channel_id: &'a str,
    status: &'a str,
    text: &'a str,
    finish_reason: Option<&'a str>,
    usage: Option<TokenCounts>,
    model: &'a str,
    provider: Option<&'a str>,
    reasoning: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    refusal: &'a str,
    tool_calls: Vec<Call<'a>>,
    error: Option<Fault<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Failed<'a>>,
    position: String,
}

#[derive(Serialize)]
struct TokenCounts {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
}

#[derive(Serialize)]
struct Call<'a> {
    index: usize,
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Fault<'a> {
    code: &'a str,
    message: &'a str,
    retryable: bool,
}

#[derive(Serialize)]
struct Failed<'a> {
    provider: &'a str,
    model: &'a str,
    code: &'a str,
}

impl TokenCounts {
    fn of(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cached_tokens: usage.cached_tokens,
            estimated: usage.estimated,
        }
    }
}

impl<'a> Fault<'a> {
    fn of(failure: &'a Failure) -> Self {
        let Failure {
            code,
            message,
            retryable,
            ..
        } = failure;
        Self {
            code: code.as_str(),
            message,
            retryable: *retryable,
        }
    }
}

impl<'a> Failed<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let Attempt {
            provider,
            model,
            code,
        } = attempt;
        Self {
            provider,
            model,
            code: code.as_str(),
        }
    }
}
