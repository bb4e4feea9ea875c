//! What went wrong at the provider, in the words of the README's list.
//!
//! Three places report errors: a status other than 2xx, a JSON body where a stream was asked for,
//! and the stream itself. The status decides first, never the content type; where it says nothing
//! (or only "bad request") the body's own codes do.

mod report;

use std::time::Duration;

use serde_json::Value;

use report::Report;
pub(super) use report::seconds;

use crate::event::ErrorCode;
use crate::http_provider::json;
use crate::http_provider::redact::redact;
use crate::plugin::provider::{ProviderError, Secret};

/// What the head of a response says about its error.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Hints {
    /// The status.
    pub status: Option<u16>,
    /// `retry-after-ms`, else `retry-after`.
    pub retry_after: Option<Duration>,
    /// `x-should-retry`: the provider knows better.
    pub should_retry: Option<bool>,
    /// `x-amzn-errortype`: the name of the kind of error, which the body does not give.
    pub kind: Option<Box<str>>,
}

/// Who says it, and what must not be repeated.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// The value of `Host`, which names the server in messages.
    pub host: &'a str,
    /// What must not appear in a message.
    pub secrets: &'a [Secret],
}

impl Speaker<'_> {
    /// The error in the body of a response.
    #[must_use]
    pub fn body_error(self, body: &[u8], hints: &Hints) -> ProviderError {
        let mut report = json::value(body)
            .as_ref()
            .and_then(|document| Report::read(document, true))
            .unwrap_or_else(|| Report::of_text(&json::lossy(body)));
        report.add_kind(hints.kind.as_deref().unwrap_or_default());
        self.error(&report, hints)
    }

    /// An error document of a stream. `None`: it reports nothing after all.
    ///
    /// `is_flat`: it is known to be an error as a whole.
    #[must_use]
    pub fn event_error(self, document: &Value, is_flat: bool) -> Option<ProviderError> {
        Some(self.error(&Report::read(document, is_flat)?, &Hints::default()))
    }

    /// An error that the stream states as text.
    #[must_use]
    pub fn text_error(self, text: &[u8]) -> ProviderError {
        self.error(&Report::of_text(&json::lossy(text)), &Hints::default())
    }

    /// An error whose kind is named apart from its message, which may be empty.
    #[must_use]
    pub fn kind_error(self, kind: &str, message: &str) -> ProviderError {
        let mut report = Report::of_text(message);
        report.add_kind(kind);
        self.error(&report, &Hints::default())
    }

    /// An error that is stated here, about this host.
    #[must_use]
    pub fn own_error(self, code: ErrorCode, what: &str) -> ProviderError {
        ProviderError::new(code, self.say(&format!("{} {what}", self.host)))
    }

    /// An answer that is no stream, by its media type and its first bytes.
    pub(super) fn foreign_error(self, media_type: &str, beginning: &[u8]) -> ProviderError {
        let shown = if media_type.is_empty() {
            "no content type"
        } else {
            media_type
        };
        let mut what = format!("answered with {shown} instead of a stream, check base_url");
        let text = self.say(&Report::of_text(&json::lossy(beginning)).message);
        let mut separator = "; it says: ";
        for word in text.split_whitespace() {
            what.push_str(separator);
            what.extend(word.chars().filter(|it| !it.is_control()));
            separator = " ";
        }
        if what.len() > MAX_QUOTED {
            what.truncate(what.floor_char_boundary(MAX_QUOTED));
            what.push('…');
        }
        self.own_error(ErrorCode::ProviderError, &what)
    }

    fn error(self, report: &Report, hints: &Hints) -> ProviderError {
        let code = classify(hints.status.or(report.status), report);
        let message = match (report.message.is_empty(), hints.status) {
            (false, _) => self.say(&report.message),
            (true, Some(status)) => format!("{} answered {status}", self.host),
            (true, None) => format!("{} reported an error without a message", self.host),
        };
        let retryable = hints.should_retry.unwrap_or_else(|| code.is_retryable());
        let retry_after = hints
            .retry_after
            .or(report.retry_after)
            .filter(|_| retryable);
        ProviderError {
            code,
            message: message.into(),
            retryable,
            retry_after,
        }
    }

    /// A text made fit to be shown: no key in it, and not endless.
    fn say(self, text: &str) -> String {
        let mut text = redact(text, self.secrets.iter());
        if text.len() > MAX_MESSAGE {
            text.truncate(text.floor_char_boundary(MAX_MESSAGE));
            text.push('…');
        }
        text
    }
}

fn classify(status: Option<u16>, report: &Report) -> ErrorCode {
    let has = |list: &[&str]| {
        report
            .words
            .iter()
            .any(|word| list.contains(&word.as_str()))
    };
    let message = report.message.to_ascii_lowercase();
    let says = |list: &[&str]| list.iter().any(|phrase| message.contains(phrase));
    let is_client_error = status.is_none_or(|status| matches!(status, 400 | 409 | 413 | 422));

    if has(BILLING) || (status != Some(429) && says(BILLING_PHRASES)) {
        return ErrorCode::ProviderBilling;
    }
    if has(CONTENT_FILTER) || report.is_moderation {
        return ErrorCode::ProviderContentFilter;
    }
    // Bedrock throttles with "too many tokens", which others say of a prompt.
    let is_throttled = named(report, ErrorCode::ProviderError) == ErrorCode::ProviderRateLimited;
    if has(CONTEXT_LENGTH) || (is_client_error && !is_throttled && says(CONTEXT_PHRASES)) {
        return ErrorCode::ProviderContextLength;
    }
    match status {
        Some(401) => ErrorCode::ProviderAuth,
        Some(402) => ErrorCode::ProviderBilling,
        Some(403) if says(&["moderation", "flagged"]) => ErrorCode::ProviderContentFilter,
        Some(403) => ErrorCode::ProviderAuth,
        Some(404) => ErrorCode::ProviderNotFound,
        Some(408 | 504 | 522 | 524) => ErrorCode::ProviderTimeout,
        Some(429) if has(&["modelnotreadyexception"]) => ErrorCode::ProviderOverloaded,
        Some(429) => ErrorCode::ProviderRateLimited,
        // Groq has no capacity left; Cohere found a text that it blocks.
        Some(498) if says(&["blocked", "deny"]) => ErrorCode::ProviderContentFilter,
        Some(498 | 503 | 529) => ErrorCode::ProviderOverloaded,
        // The model failed, not the request: only Bedrock says this.
        Some(424) => ErrorCode::ProviderError,
        Some(400..=499 | 501) => {
            let is_key = says(&["incorrect api key", "invalid api key", "api key not valid"]);
            match named(report, ErrorCode::ProviderBadRequest) {
                _ if is_key => ErrorCode::ProviderAuth,
                ErrorCode::ProviderError => ErrorCode::ProviderBadRequest,
                code => code,
            }
        }
        Some(_) => match named(report, ErrorCode::ProviderError) {
            code @ (ErrorCode::ProviderTimeout | ErrorCode::ProviderOverloaded) => code,
            _ => ErrorCode::ProviderError,
        },
        None => named(report, ErrorCode::ProviderError),
    }
}

/// The class that the words of a report name.
fn named(report: &Report, otherwise: ErrorCode) -> ErrorCode {
    NAMED
        .iter()
        .find(|(words, _)| {
            report
                .words
                .iter()
                .any(|word| words.contains(&word.as_str()))
        })
        .map_or(otherwise, |(_, code)| *code)
}

/// Bytes of a provider's message that are shown.
const MAX_MESSAGE: usize = 2048;

/// Bytes that are said of an answer that is no stream.
const MAX_QUOTED: usize = 320;

const BILLING: &[&str] = &[
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "payment_required",
    "enforced_spend_limit_reached",
];

const BILLING_PHRASES: &[&str] = &["insufficient balance", "credit balance is too low"];

const CONTENT_FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
    "prompt_blocked",
];

const CONTEXT_LENGTH: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "max_tokens_exceeded",
];

const CONTEXT_PHRASES: &[&str] = &[
    "prompt is too long",
    "prompt too long",
    "maximum context length",
    "max context length",
    "context length exceeded",
    "exceeds the context",
    "exceed context limit",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
    "exceeds the model's maximum context",
    "input is too long",
    "too many tokens",
];

const NAMED: &[(&[&str], ErrorCode)] = &[
    (
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limited",
            "ratelimitreached",
            "resource_exhausted",
            "throttlingexception",
            "servicequotaexceededexception",
            "too_many_requests",
            "toomanyrequests",
            "429",
        ],
        ErrorCode::ProviderRateLimited,
    ),
    (
        &[
            "overloaded_error",
            "overloaded",
            "engine_overloaded_error",
            "unavailable",
            "unavailable_error",
            "service_unavailable",
            "service_unavailable_error",
            "serviceunavailable",
            "capacity_exceeded",
            "modelnotreadyexception",
            "serviceunavailableexception",
            "insufficient_system_resource",
        ],
        ErrorCode::ProviderOverloaded,
    ),
    (
        &[
            "deadline_exceeded",
            "timeout_error",
            "timeout",
            "request_timeout",
            "modeltimeoutexception",
        ],
        ErrorCode::ProviderTimeout,
    ),
    (
        &[
            "invalid_api_key",
            "api_key_invalid",
            "authentication_error",
            "invalid_authentication_error",
            "permission_error",
            "permission_denied",
            "unauthenticated",
            "unauthorized",
            "forbidden",
            "accessdeniedexception",
            "expiredtokenexception",
            "invalidsignatureexception",
            "unrecognizedclientexception",
        ],
        ErrorCode::ProviderAuth,
    ),
    (
        &[
            "model_not_found",
            "model_not_available",
            "deploymentnotfound",
            "not_found",
            "not_found_error",
            "notfounderror",
            "resourcenotfoundexception",
        ],
        ErrorCode::ProviderNotFound,
    ),
    (
        &[
            "server_error",
            "api_error",
            "internal",
            "internal_error",
            "internal_server_error",
        ],
        ErrorCode::ProviderError,
    ),
    (
        &[
            "invalid_request_error",
            "invalid_argument",
            "invalid_prompt",
            "badrequesterror",
            "bad_request",
            "validation_error",
            "unsupported_parameter",
            "tool_use_failed",
            "validationexception",
        ],
        ErrorCode::ProviderBadRequest,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    #[test]
    fn a_kind_may_be_named_apart_from_the_message() {
        let hints = Hints {
            status: Some(400),
            kind: Some("AccessDeniedException:http://x.example/".into()),
            ..Hints::default()
        };
        let error = SPEAKER.body_error(br#"{"message":"m"}"#, &hints);
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::ProviderAuth, "m")
        );
        for (kind, code) in [
            ("throttlingException", "provider_rate_limited"),
            ("serviceUnavailableException", "provider_overloaded"),
            ("modelTimeoutException", "provider_timeout"),
            ("validationException", "provider_bad_request"),
            ("modelStreamErrorException", "provider_error"),
        ] {
            assert_eq!(SPEAKER.kind_error(kind, "m").code.as_str(), code, "{kind}");
        }
        let message = SPEAKER.kind_error("x", "").message;
        assert_eq!(&*message, "api.example reported an error without a message");
    }

    fn with_status(status: u16, body: &str) -> ProviderError {
        let hints = Hints {
            status: Some(status),
            ..Hints::default()
        };
        SPEAKER.body_error(body.as_bytes(), &hints)
    }

    #[test]
    fn a_status_decides_where_the_body_names_nothing_better() {
        for (status, code) in [
            (400, "provider_bad_request"),
            (401, "provider_auth"),
            (402, "provider_billing"),
            (403, "provider_auth"),
            (404, "provider_not_found"),
            (408, "provider_timeout"),
            (409, "provider_bad_request"),
            (413, "provider_bad_request"),
            (415, "provider_bad_request"),
            (422, "provider_bad_request"),
            (424, "provider_error"),
            (429, "provider_rate_limited"),
            (498, "provider_overloaded"),
            (500, "provider_error"),
            (501, "provider_bad_request"),
            (502, "provider_error"),
            (503, "provider_overloaded"),
            (504, "provider_timeout"),
            (520, "provider_error"),
            (522, "provider_timeout"),
            (524, "provider_timeout"),
            (529, "provider_overloaded"),
        ] {
            for body in [
                "",
                "{}",
                "busy",
                r#"{"error":{"message":"m","type":"api_error"}}"#,
            ] {
                assert_eq!(
                    with_status(status, body).code.as_str(),
                    code,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn a_body_refines_a_status() {
        for (status, body, code) in [
            (
                400,
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                "provider_context_length",
            ),
            (
                400,
                r#"{"error":{"message":"Prompt is too long"}}"#,
                "provider_context_length",
            ),
            (
                400,
                r#"{"error":{"type":"exceed_context_size_error"}}"#,
                "provider_context_length",
            ),
            (
                413,
                r#"{"message":"too many tokens: 9"}"#,
                "provider_context_length",
            ),
            (
                429,
                r#"{"message":"too many tokens per minute"}"#,
                "provider_rate_limited",
            ),
            (
                429,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                "provider_billing",
            ),
            (
                429,
                r#"{"error":{"details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                "provider_billing",
            ),
            (
                400,
                r#"{"error":{"message":"Your credit balance is too low"}}"#,
                "provider_billing",
            ),
            (
                400,
                r#"{"error":{"code":"content_filter"}}"#,
                "provider_content_filter",
            ),
            (
                400,
                r#"{"error":{"code":"content_policy_violation"}}"#,
                "provider_content_filter",
            ),
            (
                403,
                r#"{"error":{"code":403,"metadata":{"reasons":["x"]}}}"#,
                "provider_content_filter",
            ),
            (
                403,
                r#"{"error":{"message":"Your input was flagged"}}"#,
                "provider_content_filter",
            ),
            (
                400,
                r#"{"code":"x","error":"Incorrect API key provided."}"#,
                "provider_auth",
            ),
            (
                400,
                r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#,
                "provider_auth",
            ),
            (
                400,
                r#"{"error":{"code":"model_not_found","type":"invalid_request_error"}}"#,
                "provider_not_found",
            ),
            (
                400,
                r#"{"object":"error","type":"invalid_model","code":"1500"}"#,
                "provider_bad_request",
            ),
            (
                500,
                r#"{"error":{"status":"UNAVAILABLE"}}"#,
                "provider_overloaded",
            ),
            (
                500,
                r#"{"error":{"status":"DEADLINE_EXCEEDED"}}"#,
                "provider_timeout",
            ),
            (
                500,
                r#"{"error":{"message":"Context size has been exceeded."}}"#,
                "provider_error",
            ),
        ] {
            assert_eq!(
                with_status(status, body).code.as_str(),
                code,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn without_a_status_the_body_decides() {
        for (body, code) in [
            (
                r#"{"error":{"code":400,"message":"m"}}"#,
                "provider_bad_request",
            ),
            (
                r#"{"error":{"code":"429","message":"m"}}"#,
                "provider_rate_limited",
            ),
            (
                r#"{"error":{"code":500,"type":"server_error"}}"#,
                "provider_error",
            ),
            (
                r#"{"error":{"type":"overloaded_error"}}"#,
                "provider_overloaded",
            ),
            (
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                "provider_rate_limited",
            ),
            (
                r#"{"error":{"type":"invalid_request_error","code":"tool_use_failed"}}"#,
                "provider_bad_request",
            ),
            (r#"{"error":"m"}"#, "provider_error"),
        ] {
            let document: Value = serde_json::from_str(body).unwrap();
            assert_eq!(
                SPEAKER.event_error(&document, false).unwrap().code.as_str(),
                code,
                "{body}"
            );
        }
    }

    #[test]
    fn a_wait_is_handed_on_only_where_a_retry_may_help() {
        let wait = Some(Duration::from_secs(7));
        for (status, should_retry, retryable) in [
            (429, None, true),
            (429, Some(false), false),
            (400, None, false),
            (409, Some(true), true),
        ] {
            let hints = Hints {
                status: Some(status),
                retry_after: wait,
                should_retry,
                ..Hints::default()
            };
            let error = SPEAKER.body_error(b"x", &hints);
            assert_eq!(
                (error.retryable, error.retry_after.is_some()),
                (retryable, retryable)
            );
        }
    }

    #[test]
    fn a_message_names_the_host_where_there_is_none_and_has_an_end() {
        assert_eq!(&*with_status(502, "").message, "api.example answered 502");
        let long = with_status(500, &"é".repeat(5000));
        assert!(long.message.len() <= MAX_MESSAGE + '…'.len_utf8());
    }
}
