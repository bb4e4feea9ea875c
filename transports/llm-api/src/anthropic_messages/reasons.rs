//! The words of Anthropic for how answers end, and what they cost.

use crate::json::{number, text};

/// The stop reason for a finish reason.
pub(super) fn stop_reason(finish_reason: &str, has_refused: bool) -> &'static str {
    match finish_reason {
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        _ if has_refused => "refusal",
        _ => "end_turn",
    }
}

/// Appends a usage. What was read from a cache is counted apart from the rest of the input.
pub(super) fn usage(input: u64, cached: Option<u64>, output: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"input_tokens":"#);
    number(input.saturating_sub(cached.unwrap_or(0)), out);
    if let Some(cached) = cached {
        out.extend_from_slice(br#","cache_read_input_tokens":"#);
        number(cached, out);
    }
    out.extend_from_slice(br#","output_tokens":"#);
    number(output, out);
    out.push(b'}');
}

/// Appends the body of an error: `{"type":"error","error":{…}}`. `code` is one of this server's.
pub(super) fn error(code: &str, message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"error","error":{"type":"#);
    text(error_type(code), out);
    out.extend_from_slice(br#","message":"#);
    text(message, out);
    out.extend_from_slice(b"}}");
}

fn error_type(code: &str) -> &'static str {
    match code {
        "provider_bad_request"
        | "provider_context_length"
        | "provider_content_filter"
        | "invalid_request"
        | "method_not_allowed"
        | "unsupported_media_type"
        | "idempotency_conflict" => "invalid_request_error",
        "unauthorized" => "authentication_error",
        "forbidden" => "permission_error",
        "provider_not_found" | "model_not_found" | "not_found" | "gone" => "not_found_error",
        "provider_rate_limited" | "rate_limited" => "rate_limit_error",
        "provider_billing" => "billing_error",
        "provider_overloaded" | "overloaded" | "draining" | "shutdown" => "overloaded_error",
        "provider_timeout" | "timeout" => "timeout_error",
        "too_large" => "request_too_large",
        _ => "api_error",
    }
}
