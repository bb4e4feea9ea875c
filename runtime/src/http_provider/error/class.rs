//! Which code of the contract an error of a provider has.
//!
//! Codes and types are compared whole. Of texts only what servers are known to say is looked for: of
//! filters and length where the request is blamed, by the status or, without one, by no code that
//! blames the server; of money always, since some say it with the status of a rate limit. The order
//! matters: money before filters before length before the status, since the more special one tells more
//! truly whether another target may help.

use super::report::Report;
use super::words::{
    BILLING, BILLING_PHRASES, CONTENT_FILTER, CONTEXT_LENGTH, CONTEXT_PHRASES, FILTER_PHRASES,
    NAMED,
};
use crate::event::ErrorCode;

/// The class of an error, by the status of its response and what its body says.
///
/// `status`: of the response, else the one that the body names.
pub(super) fn classify(status: Option<u16>, report: &Report) -> ErrorCode {
    let has = |list: &[&str]| {
        report
            .words
            .iter()
            .any(|word| list.contains(&word.as_str()))
    };
    let message = report.message.to_ascii_lowercase();
    let says = |list: &[&str]| list.iter().any(|phrase| message.contains(phrase));
    let named = NAMED.iter().find(|(words, _)| has(words));
    let named = named.map(|(_, code)| *code);
    let is_request_blamed = match status {
        Some(status) => matches!(status, 400 | 409 | 413 | 422),
        None => named.is_none_or(|code| code == ErrorCode::ProviderBadRequest),
    };

    if has(BILLING) || says(BILLING_PHRASES) {
        return ErrorCode::ProviderBilling;
    }
    let is_refused = is_request_blamed || status == Some(403);
    if has(CONTENT_FILTER) || report.is_moderation || (is_refused && says(FILTER_PHRASES)) {
        return ErrorCode::ProviderContentFilter;
    }
    // Bedrock throttles with "too many tokens", which others say of a prompt.
    let is_throttled = named == Some(ErrorCode::ProviderRateLimited) || says(&["per minute"]);
    if has(CONTEXT_LENGTH) || (is_request_blamed && !is_throttled && says(CONTEXT_PHRASES)) {
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
        // The model failed, not the request, says Bedrock; somebody on the way gave up, says nginx.
        Some(424 | 499) => ErrorCode::ProviderError,
        Some(400..=499 | 501) => {
            let is_key = says(&["incorrect api key", "invalid api key", "api key not valid"]);
            match named {
                _ if is_key => ErrorCode::ProviderAuth,
                _ if says(&["model not exist"]) => ErrorCode::ProviderNotFound,
                None | Some(ErrorCode::ProviderError) => ErrorCode::ProviderBadRequest,
                Some(code) => code,
            }
        }
        Some(_) => match named {
            Some(code @ (ErrorCode::ProviderTimeout | ErrorCode::ProviderOverloaded)) => code,
            _ => ErrorCode::ProviderError,
        },
        None => named.unwrap_or(ErrorCode::ProviderError),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SPEAKER, with_status};
    use super::*;
    use serde_json::Value;

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
            (499, "provider_error"),
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
            (
                r#"{"error":{"type":"overloaded_error","message":"too many tokens in flight"}}"#,
                "provider_overloaded",
            ),
            (
                r#"{"error":{"type":"invalid_request_error","message":"too many tokens"}}"#,
                "provider_context_length",
            ),
            (
                r#"{"error":"Too many input tokens per minute"}"#,
                "provider_error",
            ),
        ] {
            let document: Value = serde_json::from_str(body).unwrap();
            assert_eq!(
                SPEAKER.event_error(&document, false).unwrap().code.as_str(),
                code,
                "{body}"
            );
        }
    }

    /// What a text says counts wherever the request is blamed: alone, and as the body of each status.
    #[test]
    fn a_text_tells_what_the_codes_do_not() {
        for (code, texts) in [
            (
                ErrorCode::ProviderContextLength,
                &[
                    "This model's maximum prompt length is 131072 but the request contains 537812.",
                    "You passed 4001 input tokens and requested 100 output tokens. However, the \
                     model's context length is only 4096 tokens",
                    "The decoder prompt (length 8825) is longer than the maximum model length of 8192.",
                    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
                    "The number of tokens to keep from the initial prompt is greater than the \
                     context length.",
                    "However, the model is loaded with context length of only 4096 tokens",
                    "Engine protocol predict stream returned an error: {code:500, message:'Context \
                     size has been exceeded.'}",
                    "Invalid request: Your request exceeded model token limit: 262144",
                    "invalid params, context window exceeds limit (2013)",
                    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.",
                    "Input validation error: `inputs` must have less than 1024 tokens.",
                    "the input token count is 1189301 but model only supports up to 1048576.",
                    "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
                    "400 Bad Request: Too many input tokens. Max input tokens: 8192",
                    "The input exceeded this model context window limit",
                    "<400> InternalError.Algo.InvalidParameter: Range of input length should be \
                     [1, 129024]",
                ][..],
            ),
            (
                ErrorCode::ProviderContentFilter,
                &[
                    "Output blocked by content filtering policy",
                    "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
                    "Content Exists Risk",
                ],
            ),
            (
                ErrorCode::ProviderBilling,
                &[
                    "You have reached your specified API usage limits. You will regain access later",
                    "Your team has either used all available credits or reached its limit.",
                    "Your newly created team doesn't have any credits or licenses yet.",
                ],
            ),
        ] {
            for text in texts {
                let body = serde_json::json!({"error": {"message": text}}).to_string();
                for status in [400, 413, 422] {
                    assert_eq!(with_status(status, &body).code, code, "{status} {text}");
                }
                let document = serde_json::json!({ "error": text });
                let error = SPEAKER.event_error(&document, false).unwrap();
                assert_eq!(error.code, code, "{text}");
                // A server that failed by itself may not fail again, whatever it blames.
                if code != ErrorCode::ProviderBilling {
                    let error = with_status(500, &body);
                    assert_eq!(error.code, ErrorCode::ProviderError, "{text}");
                }
            }
        }
    }

    #[test]
    fn who_has_no_money_or_asks_what_is_forbidden_is_no_stranger_and_no_hurry() {
        let spent = r#"{"code":"Some resource has been exhausted","error":"Your team has used all available credits"}"#;
        let filtered =
            r#"{"code":"permission-denied","error":"Content violates usage guidelines."}"#;
        for (status, body, code) in [
            (429, spent, "provider_billing"),
            (403, spent, "provider_billing"),
            (403, filtered, "provider_content_filter"),
            (403, r#"{"error":"no access"}"#, "provider_auth"),
            (
                429,
                r#"{"error":{"message":"m","type":"exceeded_current_quota_error"}}"#,
                "provider_billing",
            ),
            (
                400,
                r#"{"error":{"message":"Model Not Exist"}}"#,
                "provider_not_found",
            ),
            (
                400,
                r#"{"error":{"code":"model_decommissioned"}}"#,
                "provider_not_found",
            ),
            (499, r#"{"error":"context canceled"}"#, "provider_error"),
        ] {
            assert_eq!(
                with_status(status, body).code.as_str(),
                code,
                "{status} {body}"
            );
        }
    }

    /// `ResponseErrorCode` of OpenAI's Responses API: they come in a stream, where no status helps.
    #[test]
    fn each_code_of_a_failed_response_has_a_class() {
        for (code, words) in [
            (
                ErrorCode::ProviderBadRequest,
                &[
                    "data_residency_mismatch",
                    "empty_image_file",
                    "failed_to_download_image",
                    "image_file_not_found",
                    "image_file_too_large",
                    "image_parse_error",
                    "image_too_large",
                    "image_too_small",
                    "invalid_base64_image",
                    "invalid_image",
                    "invalid_image_format",
                    "invalid_image_mode",
                    "invalid_image_url",
                    "invalid_prompt",
                    "unsupported_image_media_type",
                ][..],
            ),
            (
                ErrorCode::ProviderContentFilter,
                &[
                    "bio_policy",
                    "cyber_policy",
                    "image_content_policy_violation",
                    "misalignment_policy_violation",
                ],
            ),
            (
                ErrorCode::ProviderOverloaded,
                &["server_is_overloaded", "slow_down"],
            ),
            (ErrorCode::ProviderTimeout, &["vector_store_timeout"]),
            (ErrorCode::ProviderRateLimited, &["rate_limit_exceeded"]),
            (
                ErrorCode::ProviderError,
                &["server_error", "what_comes_next_year"],
            ),
        ] {
            for word in words {
                let document = serde_json::json!({"error": {"code": word, "message": "m"}});
                let error = SPEAKER.event_error(&document, false).unwrap();
                assert_eq!(
                    (error.code, error.retryable),
                    (code, code.is_retryable()),
                    "{word}"
                );
            }
        }
    }
}
