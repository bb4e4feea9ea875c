//! What a channel holds: events, their positions, and the closed lists of the contract.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Marks one incarnation of a channel: six random letters and digits.
///
/// Clients hand it back as the first half of a position; another epoch means that their position
/// belongs to a log that is no longer there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 6]);

impl Epoch {
    const ALPHABET: &'static [u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// Makes an epoch of random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 6]) -> Self {
        Self(random.map(|byte| {
            Self::ALPHABET
                .get(usize::from(byte & 31))
                .copied()
                .unwrap_or(b'a')
        }))
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an event stands: `<epoch>-<offset>`, the offset dense from 1 in each channel.
///
/// Offset 0 is the place before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The incarnation of the channel.
    pub epoch: Epoch,
    /// The number of the event in it.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = UnreadablePosition;

    fn from_str(text: &str) -> Result<Self, UnreadablePosition> {
        let (epoch, offset) = text.split_once('-').ok_or(UnreadablePosition)?;
        let epoch: [u8; 6] = epoch
            .as_bytes()
            .try_into()
            .map_err(|_| UnreadablePosition)?;
        if !epoch.iter().all(|byte| Epoch::ALPHABET.contains(byte)) {
            return Err(UnreadablePosition);
        }
        if offset.is_empty() || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnreadablePosition);
        }
        let offset = offset.parse().map_err(|_| UnreadablePosition)?;
        Ok(Self {
            epoch: Epoch(epoch),
            offset,
        })
    }
}

/// The text is not a position of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position of the form <epoch>-<offset>")]
pub struct UnreadablePosition;

/// From where a subscriber wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// No cursor: from the first event.
    Beginning,
    /// Only what comes from here on.
    Now,
    /// What follows this position.
    Position(Position),
    /// The client was told that its answer is gone (`gone-0`) and came back all the same.
    Gone,
    /// A cursor that this server did not write: treated as one of another epoch.
    Unreadable,
}

impl After {
    /// Reads a client's cursor: `Last-Event-ID`, or its twin in the query.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "0" | "earliest" => Self::Beginning,
            "now" => Self::Now,
            "gone-0" => Self::Gone,
            _ => text.parse().map_or(Self::Unreadable, Self::Position),
        }
    }

    /// True if the client says that it has already seen something.
    #[must_use]
    pub fn is_cursor(self) -> bool {
        matches!(self, Self::Position(_) | Self::Gone | Self::Unreadable)
    }
}

/// What kind of event an entry is, without reading its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first event of a chat channel.
    Start,
    /// A piece of the answer.
    Chunk,
    /// A piece of the model's reasoning.
    Reasoning,
    /// A piece of a refusal.
    Refusal,
    /// A fragment of a tool call.
    ToolCall,
    /// The end of an answer.
    End,
    /// The failure of an answer.
    Error,
    /// A publication of somebody else, as it stands.
    Data,
}

impl Kind {
    /// True for the event after which nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::End | Self::Error)
    }
}

/// An event of a channel, before it is placed in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Opens every stream; names the model as it was asked for.
    Start {
        /// The name that the client used.
        model: Box<str>,
    },
    /// Text of the answer.
    Chunk(Box<str>),
    /// Text of the model's reasoning.
    Reasoning(Box<str>),
    /// Text of a refusal.
    Refusal(Box<str>),
    /// A fragment of a tool call.
    ToolCall(Box<ToolCall>),
    /// The answer is complete (or cancelled).
    End(Box<End>),
    /// The answer failed.
    Error(Box<Failure>),
    /// Somebody's publication: one JSON document without raw line breaks.
    Data(Box<[u8]>),
}

impl Event {
    /// The kind of this event.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start { .. } => Kind::Start,
            Self::Chunk(_) => Kind::Chunk,
            Self::Reasoning(_) => Kind::Reasoning,
            Self::Refusal(_) => Kind::Refusal,
            Self::ToolCall(_) => Kind::ToolCall,
            Self::End(_) => Kind::End,
            Self::Error(_) => Kind::Error,
            Self::Data(_) => Kind::Data,
        }
    }

    /// Appends the event's JSON, the form that every encoding carries.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start { model } => {
                out.extend_from_slice(br#"{"type":"start","message":"","model":"#);
                write_json_string(model, out);
            }
            Self::Chunk(text) => write_text_event("chunk", text, out),
            Self::Reasoning(text) => write_text_event("reasoning", text, out),
            Self::Refusal(text) => write_text_event("refusal", text, out),
            Self::ToolCall(call) => call.write_json(out),
            Self::End(end) => end.write_json(out),
            Self::Error(failure) => failure.write_json(out),
            Self::Data(json) => return out.extend_from_slice(json),
        }
        out.push(b'}');
    }
}

/// A fragment of a tool call. `id` and `name` stand on the first fragment of an `index` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Which call of the answer, counted from 0 in order of first appearance.
    pub index: u32,
    /// The provider's id of the call.
    pub id: Option<Box<str>>,
    /// The function's name.
    pub name: Option<Box<str>>,
    /// A fragment of the arguments' JSON text.
    pub arguments: Box<str>,
}

impl ToolCall {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"tool_call","message":"","index":"#);
        out.extend_from_slice(self.index.to_string().as_bytes());
        for (key, value) in [(&br#","id":"#[..], &self.id), (br#","name":"#, &self.name)] {
            if let Some(value) = value {
                out.extend_from_slice(key);
                write_json_string(value, out);
            }
        }
        out.extend_from_slice(br#","arguments":"#);
        write_json_string(&self.arguments, out);
    }
}

/// How an answer ended. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model came to its end.
    Stop,
    /// A limit on tokens was reached.
    Length,
    /// The model wants tools called.
    ToolCalls,
    /// The provider withheld the rest.
    ContentFilter,
    /// Somebody cancelled it here.
    Cancelled,
}

impl FinishReason {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The tokens that an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Of the answer's tokens, those spent on reasoning, where reported.
    pub reasoning_tokens: Option<u64>,
    /// Of the request's tokens, those read from a cache, where reported.
    pub cached_tokens: Option<u64>,
    /// Counted here, because the provider did not say.
    pub estimated: bool,
}

impl Usage {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut text = format!(
            r#"{{"input_tokens":{},"output_tokens":{}"#,
            self.input_tokens, self.output_tokens
        );
        for (key, value) in [
            ("reasoning_tokens", self.reasoning_tokens),
            ("cached_tokens", self.cached_tokens),
        ] {
            if let Some(value) = value {
                text.push_str(&format!(r#","{key}":{value}"#));
            }
        }
        if self.estimated {
            text.push_str(r#","estimated":true"#);
        }
        text.push('}');
        out.extend_from_slice(text.as_bytes());
    }
}

/// A target that failed before the one that gave the terminal event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the provider in the configuration.
    pub provider: Box<str>,
    /// The model asked of it.
    pub model: Box<str>,
    /// Why it failed.
    pub code: ErrorCode,
}

/// The terminal event of an answer that came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// How it ended.
    pub finish_reason: FinishReason,
    /// What it cost, if known.
    pub usage: Option<Usage>,
    /// The model that answered, as the target names it; none if no target was tried yet.
    pub model: Option<Box<str>>,
    /// The provider that answered.
    pub provider: Option<Box<str>>,
    /// The targets that failed before.
    pub attempts: Vec<Attempt>,
}

impl End {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"end","message":"","finish_reason":""#);
        out.extend_from_slice(self.finish_reason.as_str().as_bytes());
        out.extend_from_slice(br#"","usage":"#);
        match &self.usage {
            Some(usage) => usage.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
        write_target(
            self.model.as_deref(),
            self.provider.as_deref(),
            &self.attempts,
            out,
        );
    }
}

/// The terminal event of an answer that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What happened, for a program.
    pub code: ErrorCode,
    /// What happened, for a person.
    pub message: Box<str>,
    /// May the same request succeed if it is made again?
    pub retryable: bool,
    /// The model of the target that failed last.
    pub model: Option<Box<str>>,
    /// The provider that failed last.
    pub provider: Option<Box<str>>,
    /// The targets that failed before it.
    pub attempts: Vec<Attempt>,
}

impl Failure {
    /// A failure that no provider has a part in.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.is_retryable(),
            model: None,
            provider: None,
            attempts: Vec::new(),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"type":"error","message":"#);
        write_json_string(&self.message, out);
        out.extend_from_slice(br#","code":""#);
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.extend_from_slice(br#"","retryable":"#);
        out.extend_from_slice(if self.retryable { b"true" } else { b"false" });
        write_target(
            self.model.as_deref(),
            self.provider.as_deref(),
            &self.attempts,
            out,
        );
    }
}

/// Why an answer failed. The list is closed; `reference` names are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The provider refused the key.
    ProviderAuth,
    /// The account has no money or quota left.
    ProviderBilling,
    /// The provider does not know the model or the path.
    ProviderNotFound,
    /// The request is longer than the model's context.
    ProviderContextLength,
    /// The provider refused the request.
    ProviderBadRequest,
    /// The provider's filter refused the request.
    ProviderContentFilter,
    /// Too many requests or tokens for now.
    ProviderRateLimited,
    /// The provider has no capacity for now.
    ProviderOverloaded,
    /// A timer ran out, here or at the provider.
    ProviderTimeout,
    /// No connection: name, connect, TLS, or reset before any byte of an answer.
    ProviderUnreachable,
    /// The provider failed in a way that it does not explain.
    ProviderError,
    /// The answer stopped without a proper end.
    ProviderTruncated,
    /// A bound of this server was reached.
    TooLarge,
    /// The server was stopped before the answer was complete.
    Shutdown,
    /// Found unfinished after a restart.
    Interrupted,
    /// The answer is no longer kept.
    Gone,
    /// A defect of this server.
    Internal,
}

impl ErrorCode {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderAuth => "provider_auth",
            Self::ProviderBilling => "provider_billing",
            Self::ProviderNotFound => "provider_not_found",
            Self::ProviderContextLength => "provider_context_length",
            Self::ProviderBadRequest => "provider_bad_request",
            Self::ProviderContentFilter => "provider_content_filter",
            Self::ProviderRateLimited => "provider_rate_limited",
            Self::ProviderOverloaded => "provider_overloaded",
            Self::ProviderTimeout => "provider_timeout",
            Self::ProviderUnreachable => "provider_unreachable",
            Self::ProviderError => "provider_error",
            Self::ProviderTruncated => "provider_truncated",
            Self::TooLarge => "too_large",
            Self::Shutdown => "shutdown",
            Self::Interrupted => "interrupted",
            Self::Gone => "gone",
            Self::Internal => "internal",
        }
    }

    /// May the same request succeed if it is made again, nothing else being known?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::ProviderRateLimited
            | Self::ProviderOverloaded
            | Self::ProviderTimeout
            | Self::ProviderUnreachable
            | Self::ProviderError
            | Self::ProviderTruncated
            | Self::Shutdown
            | Self::Interrupted
            | Self::Internal => true,
            Self::ProviderAuth
            | Self::ProviderBilling
            | Self::ProviderNotFound
            | Self::ProviderContextLength
            | Self::ProviderBadRequest
            | Self::ProviderContentFilter
            | Self::TooLarge
            | Self::Gone => false,
        }
    }

    /// May the next target of a model be tried after this failure?
    ///
    /// A request that one provider finds malformed or improper is not handed to the next.
    #[must_use]
    pub fn allows_fallback(self) -> bool {
        !matches!(self, Self::ProviderBadRequest | Self::ProviderContentFilter)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    // Writing a str into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_text_event(kind: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(br#"","message":"#);
    write_json_string(text, out);
}

fn write_target(
    model: Option<&str>,
    provider: Option<&str>,
    attempts: &[Attempt],
    out: &mut Vec<u8>,
) {
    for (key, value) in [
        (&br#","model":"#[..], model),
        (br#","provider":"#, provider),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(key);
            write_json_string(value, out);
        }
    }
    if attempts.is_empty() {
        return;
    }
    let attempts: Vec<Value> = attempts
        .iter()
        .map(|attempt| {
            serde_json::json!({
                "provider": attempt.provider, "model": attempt.model, "code": attempt.code.as_str(),
            })
        })
        .collect();
    out.extend_from_slice(br#","attempts":"#);
    // Writing a Value into a Vec cannot fail.
    let _ = serde_json::to_writer(out, &attempts);
}
