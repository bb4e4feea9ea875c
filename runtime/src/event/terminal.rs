//! How answers end: well, cut short, or by one of a closed list of errors.

use std::fmt;
use std::time::Duration;

use super::{write_json_string, write_target};

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
    /// The reason of a word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Stop,
            Self::Length,
            Self::ToolCalls,
            Self::ContentFilter,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == word)
    }

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

/// An attempt that failed before the one that gave the terminal event.
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
    /// The attempts that failed before.
    pub attempts: Vec<Attempt>,
}

impl End {
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
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
    /// The attempts that failed before it.
    pub attempts: Vec<Attempt>,
    /// How long to wait before the request is made again, where somebody says so. It is not
    /// written: whoever answers over HTTP puts it into `Retry-After`.
    pub retry_after: Option<Duration>,
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
            retry_after: None,
        }
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
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

/// Why an answer failed. The list is closed, and is the README's.
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
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::ProviderAuth,
        Self::ProviderBilling,
        Self::ProviderNotFound,
        Self::ProviderContextLength,
        Self::ProviderBadRequest,
        Self::ProviderContentFilter,
        Self::ProviderRateLimited,
        Self::ProviderOverloaded,
        Self::ProviderTimeout,
        Self::ProviderUnreachable,
        Self::ProviderError,
        Self::ProviderTruncated,
        Self::TooLarge,
        Self::Shutdown,
        Self::Interrupted,
        Self::Gone,
        Self::Internal,
    ];

    /// The code of a word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

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

    /// Does it say something against the target, rather than about what was asked of it?
    #[must_use]
    pub fn blames_target(self) -> bool {
        match self {
            Self::ProviderAuth
            | Self::ProviderBilling
            | Self::ProviderNotFound
            | Self::ProviderRateLimited
            | Self::ProviderOverloaded
            | Self::ProviderTimeout
            | Self::ProviderUnreachable
            | Self::ProviderError
            | Self::ProviderTruncated => true,
            Self::ProviderContextLength
            | Self::ProviderBadRequest
            | Self::ProviderContentFilter
            | Self::TooLarge
            | Self::Shutdown
            | Self::Interrupted
            | Self::Gone
            | Self::Internal => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
