//! What OpenAI's APIs have in common: the shape of errors, the fields of a response's head.

use std::borrow::Cow;

use lmserver_proto::http1::Response;
use lmserver_runtime::event::{ErrorCode, Failure};

use crate::dialect::About;
use crate::{fault, json, names};

/// The response to a failure before any content.
pub(crate) fn failure(failure: &Failure) -> Response {
    let mut body = Vec::new();
    error(failure.code, &failure.message, &mut body);
    fault::response(failure, body)
}

/// Appends `{"error":{…}}`.
pub(crate) fn error(code: ErrorCode, message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"error":{"message":"#);
    json::text(message, out);
    out.extend_from_slice(br#","type":""#);
    out.extend_from_slice(kind(code).as_bytes());
    out.extend_from_slice(br#"","param":null,"code":""#);
    out.extend_from_slice(word(code).as_bytes());
    out.extend_from_slice(br#""}}"#);
}

/// The code of an error: OpenAI's where programs look for it.
pub(crate) fn word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::ProviderContextLength => "context_length_exceeded",
        ErrorCode::ProviderContentFilter => "content_filter",
        code => code.as_str(),
    }
}

/// The word for a class of errors.
fn kind(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::ProviderBilling => "insufficient_quota",
        ErrorCode::ProviderRateLimited => "rate_limit_error",
        _ if fault::status(code) < 500 => "invalid_request_error",
        _ => "server_error",
    }
}

/// The fields that OpenAI's clients look for.
pub(crate) fn fields(about: &About<'_>, out: &mut Vec<(Cow<'static, str>, String)>) {
    out.push(("x-request-id".into(), names::id("req_", about.channel)));
}

/// The field that says how long they waited.
pub(crate) const ELAPSED_FIELD: &str = "openai-processing-ms";
